"""The jumps that SGD does make: from a higher rank down to a lower one, against two exponents.

Minibatch noise cannot raise the rank, but it can lose a feature: the mode's amplitude is pushed
over its saddle, downwards, and never comes back. The mean time goes as exp(Phi B / lr), with one
Phi for the diffusion that is usually put in place of SGD and another, larger one for SGD itself
(`theory.quasipotential`). How they can be told apart: ln tau against B / lr, where the slope
of the diffusion's exact times is known, so that the prefactor is not in the way.

With one input and one output the mode is the network, at any width: theory has no free parameter,
and the chain of SGD is solved exactly (`theory.minibatch_chain`). The 2-2 network of the paper is
the real case, in which singular vectors also turn. Learning rate and batch size are varied
independently. Every arm also runs upwards, from the exact lower rank, which it cannot leave by
construction, and from beside it, which it could; the same training sets are drawn with replacement
and shuffled; and there are twins without noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.protocols.downward_jumps_reading import read_network, read_samplings
from spinodal.protocols.downward_jumps_records import (
    SAMPLINGS,
    DownwardJumpsSettings,
    JumpNetwork,
    Record,
    SamplingArms,
)
from spinodal.protocols.side_by_side import Job, ensemble_job, outcomes, own_seed
from spinodal.theory import quasipotential

__all__ = ["DownwardJumpsSettings", "Record", "preset", "run"]

BELOW = 0.6
"""A feature is lost below this fraction of the saddle's amplitude: beyond all recrossings."""

UPWARDS, UP_HORIZON = 8, 0.45
"""Replicas of every point that start without the feature; their dead weights are exact zeros,
and about half the time in which a jump down is due shows that they stay."""

NEAR, NEAR_AMPLITUDE, NEAR_TIME = 40, 0.5, 60.0
"""Replicas that start beside the lower rank, their fraction of the saddle's amplitude, and how long
they are watched: noise reaches their feature, which decays about 1 / weight decay fast."""

QUIET = 2000
"""Updates of the twins without noise."""


def preset(effort: str) -> DownwardJumpsSettings:
    """Settings of the quick or the full reproduction."""
    paper = effort == "paper"
    return DownwardJumpsSettings(
        networks=(
            JumpNetwork(
                name="one feature",
                width=1,
                signals=(0.9,),
                weight_decay=0.32,
                learning_rate=0.2,
                batch_sizes=(3, 4, 5, 6, 7) if paper else (3, 4, 5, 6),
                replicas=(2000, 2000, 1000, 500, 200) if paper else (700, 400, 180, 120),
                collapse=((0.1, 2), (0.4, 8)),
                collapse_replicas=2000 if paper else 200,
                check_every=16,
            ),
            JumpNetwork(
                name="2-2 network",
                width=10,
                signals=(0.9, 0.8),
                weight_decay=0.28,
                learning_rate=0.2,
                batch_sizes=(4, 5, 6, 7, 8) if paper else (4, 5, 6),
                replicas=(1500, 1200, 800, 400, 200) if paper else (500, 250, 120),
                collapse=((0.25, 5), (0.4, 8)),
                collapse_replicas=1500 if paper else 128,
                horizon=1.0,
            ),
        ),
        samplings=SamplingArms(
            replicas=400 if paper else 64,
            datasets=40 if paper else 16,
            steps=600_000 if paper else 120_000,
        ),
    )


def run(
    settings: DownwardJumpsSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> Record:
    """All jumps down, and all that do not go up; the record does not depend on `workers`."""
    arms = settings.samplings
    data = [draw(sampled(arms), seed=seed, dataset=i) for i in range(arms.datasets)]
    jobs: dict[str, Job] = {}
    for one in settings.networks:
        jobs |= plan(one, seed)
    for sampling in SAMPLINGS:
        jobs[sampling] = ensemble_job(
            ensemble(arms, sampling),
            seed=own_seed(seed, "downward jumps", sampling),
            replicas=arms.replicas,
            data=None if sampling == "wishart" else data,
        )
    found = outcomes(jobs, workers=workers, progress=progress)
    return Record(
        networks=tuple(
            read_network(one, settings_of(one), found, seed) for one in settings.networks
        ),
        **read_samplings(arms, data, found),
    )


def settings_of(one: JumpNetwork) -> list[tuple[float, int, int, bool]]:
    """(learning rate, batch size, replicas, fitted) of every point."""
    return [
        *(
            (one.learning_rate, b, n, True)
            for b, n in zip(one.batch_sizes, one.replicas, strict=True)
        ),
        *((rate, b, one.collapse_replicas, False) for rate, b in one.collapse),
    ]


def plan(one: JumpNetwork, seed: int) -> dict[str, Job]:
    """Down and up at every point, and the twin without noise."""
    jobs: dict[str, Job] = {}
    for rate, size, replicas, _ in settings_of(one):
        for way, count in (("down", replicas), ("up", UPWARDS), ("near", NEAR)):
            jobs[f"{one.name}, {rate:g}, {size}, {way}"] = ensemble_job(
                jumps(one, rate, size, way),
                seed=own_seed(seed, "downward jumps", one.name, f"{rate:g}", size, way),
                replicas=count,
            )
    quiet = jumps(one, one.learning_rate, one.batch_sizes[0], "down").noise_off.twin(steps=QUIET)
    jobs[f"{one.name}, noise off"] = ensemble_job(quiet, seed=seed, replicas=1)
    return jobs


def jumps(one: JumpNetwork, rate: float, size: int, way: str) -> Ensemble:
    """Networks with all features learned (down), or all but the weakest (up; near: beside it)."""
    weakest, count = one.weakest, len(one.signals)
    lost = (BELOW * weakest.saddle) ** 3
    strengths = {
        "down": one.strengths,
        "up": one.strengths[:-1],
        "near": (*one.strengths[:-1], (NEAR_AMPLITUDE * weakest.saddle) ** 3),
    }[way]
    if way == "near":
        time = NEAR_TIME
    else:
        time = (one.horizon if way == "down" else UP_HORIZON) * expected_time(one, rate, size)
    return Ensemble(
        task=GaussianTask(signals=one.signals),
        network=one.network,
        update=Update(
            learning_rate=rate, weight_decay=one.weight_decay, sampling="wishart", batch_size=size
        ),
        start=Start(kind="balanced", strengths=strengths),
        events=(
            Event(mode=count, threshold=lost, direction="below")
            if way == "down"
            else Event(mode=count, threshold=0.5 * weakest.learned**3),
        ),
        steps=int(time / rate) + 1,
        check_every=one.check_every,
    )


def expected_time(one: JumpNetwork, rate: float, size: int) -> float:
    """Diffusion's mean time, with the exponent of SGD."""
    mode, noise = one.weakest, rate / size
    gained = quasipotential.exact_exponent(mode) - quasipotential.diffusion_exponent(mode)
    log_time = quasipotential.log_passage_time(mode, noise=noise, end=BELOW * mode.saddle)
    return float(np.exp(log_time + gained / noise))


def sampled(arms: SamplingArms) -> GaussianTask:
    """Training sets with the population's second moments."""
    return GaussianTask(
        signals=(arms.signal,), samples=arms.samples, empirical_signals=(arms.signal,)
    )


def ensemble(arms: SamplingArms, sampling: str) -> Ensemble:
    """The learned feature under one sampling."""
    mode = arms.mode
    task: Any = GaussianTask(signals=(arms.signal,)) if sampling == "wishart" else sampled(arms)
    return Ensemble(
        task=task,
        network=Network(depth=3, width=1),
        update=Update.model_validate(
            {
                "learning_rate": arms.learning_rate,
                "weight_decay": arms.weight_decay,
                "sampling": sampling,
                "batch_size": arms.batch_size,
            }
        ),
        start=Start(kind="balanced", strengths=(mode.learned**3,)),
        events=(Event(mode=1, threshold=(BELOW * mode.saddle) ** 3, direction="below"),),
        steps=arms.steps,
        check_every=arms.check_every,
        datasets=1 if sampling == "wishart" else arms.datasets,
    )
