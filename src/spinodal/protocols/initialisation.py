"""Sensitivity to the start as numbers: which rank do random weights of each scale end in?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, Outcome
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.protocols.side_by_side import Job, ensemble_job, own_seed
from spinodal.records import Settings
from spinodal.statistics.proportion import Proportion, escape_probability
from spinodal.theory import modes


class BasinSettings(Settings):
    """Noise-free training on the population from N(0, scale^2 / width) weights.

    `scales` multiply the paper's standard deviation. Long enough to come to rest: `steps`.
    """

    signals: tuple[PositiveFloat, ...] = (0.9, 0.8)
    network: Network = Network(depth=3, width=10)
    learning_rate: PositiveFloat = 0.08
    weight_decays: tuple[PositiveFloat, ...] = (0.32, 0.2, 0.03)
    scales: tuple[PositiveFloat, ...] = (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.4)
    starts: PositiveInt = 150
    steps: PositiveInt = 900


@dataclass(frozen=True, kw_only=True)
class Basin:
    """Fractions of random starts that end at each rank, with exact 95 % intervals."""

    weight_decay: float
    scale: float
    rank_zero: Proportion
    rank_one: Proportion
    rank_two: Proportion
    diverged: int


@dataclass(frozen=True, kw_only=True)
class BasinRecord:
    """Basin fractions; `scale` 1 is the paper's initialisation."""

    starts: int
    basins: tuple[Basin, ...]

    def basin(self, weight_decay: float, scale: float) -> Basin:
        """The fractions at this weight decay and scale."""
        return next(b for b in self.basins if (b.weight_decay, b.scale) == (weight_decay, scale))


def plan(settings: BasinSettings, seed: int) -> dict[str, Job]:
    """One short noise-free ensemble for each weight decay and scale, same weights up to scale."""
    return {
        _name(weight_decay, scale): ensemble_job(
            Ensemble(
                task=GaussianTask(signals=settings.signals),
                network=settings.network.model_copy(update={"initial_scale": scale}),
                update=Update(
                    learning_rate=settings.learning_rate,
                    weight_decay=weight_decay,
                    sampling="population",
                ),
                start=Start(kind="random"),
                # Never reached; an event is what notices replicas that diverge.
                events=(Event(threshold=1e5),),
                steps=settings.steps,
                check_every=settings.steps // 3,
            ),
            seed=own_seed(seed, "basins"),
            replicas=settings.starts,
        )
        for weight_decay in settings.weight_decays
        for scale in settings.scales
    }


def read(settings: BasinSettings, results: Mapping[str, Any]) -> BasinRecord:
    """Count the features above their saddles at the end."""
    basins = []
    for weight_decay in settings.weight_decays:
        saddles = modes.saddle(
            depth=settings.network.depth, signal=settings.signals, weight_decay=weight_decay
        )
        for scale in settings.scales:
            outcome: Outcome = results[_name(weight_decay, scale)]
            diverged = outcome.passages[0].status == "diverged"
            rank = np.where(diverged, -1, (outcome.strengths > saddles).sum(axis=1))
            parts = [escape_probability(int((rank == r).sum()), settings.starts) for r in range(3)]
            basins.append(
                Basin(
                    weight_decay=weight_decay,
                    scale=scale,
                    rank_zero=parts[0],
                    rank_one=parts[1],
                    rank_two=parts[2],
                    diverged=int(diverged.sum()),
                )
            )
    return BasinRecord(starts=settings.starts, basins=tuple(basins))


def _name(weight_decay: float, scale: float) -> str:
    return f"random starts, scale {scale:g}, weight decay {weight_decay:g}"
