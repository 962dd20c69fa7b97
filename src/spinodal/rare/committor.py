"""An estimated committor as a score: the chance to arrive before returning, from a pilot run.

Every state in which a trajectory of the pilot set a new maximum is an honest trial: whether that
trajectory arrived or returned afterwards is a draw with the committor's probability. A logistic
regression on features of these states,

    ln(q / (1 - q)) = offset + sum_k slope_k (feature_k - centre_k) / scale_k,

gives a score that grows with q. Splitting stays unbiased whatever comes of the fit; a better one
only makes it less noisy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.rare.estimates import SplittingRate
from spinodal.rare.excursions import Paths
from spinodal.rare.flux import NUMBERS, Numbers, watch
from spinodal.rare.splitting import SplittingSettings, find_basin, rate, split, watching
from spinodal.rare.swarms import Ranked, States, Swarm
from spinodal.seeding import generator

RIDGE = 1e-3
"""Penalty per trial on slopes of standardised features, so that separable trials have a fit."""

TRIALS = 20_000
"""Trials that are used at most."""

PILOT = NUMBERS // 4
"""The repetition whose streams the pilot uses: none of those that estimate."""


@dataclass(frozen=True, kw_only=True)
class Committor:
    """A fitted committor of features; calling it gives ln(q / (1 - q)), the score.

    `trials` states, of which `arrivals` went on to arrive. `separation`: the chance that one that
    arrived scored higher than one that did not (0.5: the features say nothing).
    """

    offset: float
    slopes: tuple[float, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    trials: int
    arrivals: int
    separation: float
    steps: int = 0

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """ln(q / (1 - q)) of features (copies, features), shape (copies,)."""
        total = np.full(len(features), self.offset)
        # One feature after the other: the bits of a copy depend on no company.
        for k, slope in enumerate(self.slopes):
            total += slope * ((features[:, k] - self.centres[k]) / self.scales[k])
        return total

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """q itself, shape (copies,)."""
        return 1 / (1 + np.exp(-np.clip(self(features), -700, 700)))


def fit_committor(
    features: NDArray[np.float64], arrived: NDArray[np.bool_], *, steps: int = 0
) -> Committor:
    """Logistic regression of outcomes (trials,) on features (trials, features)."""
    features = np.asarray(features, dtype=float)
    if features.ndim != 2 or len(features) != len(arrived) or not np.isfinite(features).all():
        raise InputError(
            "Features must be finite numbers of shape (trials, features) with one outcome each, "
            f"got shapes {features.shape} and {np.shape(arrived)}."
        )
    y = np.asarray(arrived, dtype=float)
    if not 0 < y.sum() < len(y):
        raise InputError(
            f"Of {len(y)} trials {int(y.sum())} arrived: a committor can be fitted only where some "
            "arrive and some return; use more copies in the pilot."
        )
    centres, scales = features.mean(axis=0), features.std(axis=0)
    scales[scales == 0] = 1.0
    x = np.column_stack([np.ones(len(y)), (features - centres) / scales])
    penalty = np.full(x.shape[1], RIDGE * len(y))
    penalty[0] = 0.0
    beta = np.zeros(x.shape[1])
    beta[0] = math.log(y.mean() / (1 - y.mean()))

    def cost(b: NDArray[np.float64]) -> float:
        z = x @ b
        return float((np.logaddexp(0, z) - y * z).sum() + 0.5 * penalty @ b**2)

    for _ in range(100):
        q = 1 / (1 + np.exp(-np.clip(x @ beta, -700, 700)))
        slope = x.T @ (q - y) + penalty * beta
        curvature = (x * (q * (1 - q))[:, None]).T @ x + np.diag(penalty + 1e-9)
        step, now = np.linalg.solve(curvature, slope), cost(beta)
        while cost(beta - step) > now and np.abs(step).max() > 1e-12:
            step = 0.5 * step
        beta = beta - step
        if np.abs(step).max() < 1e-9:
            break
    return Committor(
        offset=float(beta[0]),
        slopes=tuple(beta[1:].tolist()),
        centres=tuple(centres.tolist()),
        scales=tuple(scales.tolist()),
        trials=len(y),
        arrivals=int(y.sum()),
        separation=_separation(x @ beta, y > 0),
        steps=steps,
    )


def _separation(score: NDArray[np.float64], arrived: NDArray[np.bool_]) -> float:
    """Mann and Whitney's statistic: P(score of an arrival > score of another), ties half."""
    order = np.sort(score[~arrived])
    below = np.searchsorted(order, score[arrived], side="left")
    up_to = np.searchsorted(order, score[arrived], side="right")
    return float((below + up_to).mean() / (2 * len(order)))


def pilot_committor(
    swarm: Swarm, *, target: float, seed: int, settings: SplittingSettings | None = None
) -> Committor:
    """A committor of the swarm's features from one repetition with the swarm's own score."""
    settings = settings or SplittingSettings()
    basin = find_basin(swarm, target, settings, seed)
    rules, numbers = settings.rules(basin.floor, target), [Numbers(PILOT)]
    moves = watching(basin, settings)
    seen = watch(
        swarm, rules, basin, seed=seed, numbers=numbers, copies=settings.watchers, moves=moves
    )
    states: list[States] = []
    outcomes: list[NDArray[np.bool_]] = []

    def note(paths: Paths) -> None:
        under_way = np.isfinite(paths.level)  # whoever arrived is no trial any more
        states.append(paths.states[under_way])
        outcomes.append(np.isinf(paths.top)[paths.owner[under_way]])

    draws = [generator(seed, "splitting", PILOT)]
    entrances = [one.states for one in seen]
    _, made = split(swarm, entrances, rules, settings, seed, numbers, draws, note)
    if not states:
        raise InputError("No copy left the basin in the pilot: watch it with more copies.")
    every, arrived = np.concatenate(states), np.concatenate(outcomes)
    if len(every) > TRIALS:
        chosen = draws[0].choice(len(every), TRIALS, replace=False)
        every, arrived = every[chosen], arrived[chosen]
    swarm.launch(every, seed, numbers[0].take(len(every)))
    watched = settings.watchers * (moves + basin.burn_in) + basin.moves
    return fit_committor(swarm.features(), arrived, steps=(made + watched) * swarm.every)


@dataclass(frozen=True, kw_only=True)
class ScoreEffect:
    """The same rate with two scores: squared relative error times steps is what a score costs.

    `gain`: the cost with the swarm's own score over that with the committor's.
    """

    own: SplittingRate
    by_committor: SplittingRate
    committor: Committor
    gain: float


def score_effect(
    swarm: Swarm,
    *,
    target: float,
    seed: int,
    settings: SplittingSettings | None = None,
    time_per_step: float | None = None,
    workers: int = 1,
) -> ScoreEffect:
    """What the committor's score gains over the swarm's own, at the same settings."""
    committor = pilot_committor(swarm, target=target, seed=seed, settings=settings)

    def estimate(one: Swarm) -> SplittingRate:
        return rate(
            one, target=target, seed=seed, settings=settings, time_per_step=time_per_step,
            workers=workers,
        )  # fmt: skip

    own, better = estimate(swarm), estimate(Ranked(swarm, committor))
    costs = [one.relative_error**2 * one.steps for one in (own, better)]
    gain = costs[0] / costs[1] if costs[1] > 0 and math.isfinite(costs[0]) else math.nan
    return ScoreEffect(own=own, by_committor=better, committor=committor, gain=gain)
