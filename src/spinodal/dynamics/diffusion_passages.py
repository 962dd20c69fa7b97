"""First passages of a diffusion by waiting for them, the honest way to a rate while it is cheap."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.dynamics.diffusions import Array, Diffusion, Walkers
from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.seeding import Stream


def first_passages(
    diffusion: Diffusion,
    start: ArrayLike,
    *,
    target: float,
    steps: int,
    seed: int,
    replicas: int | None = None,
    name: str = "passages",
    bridge: bool = False,
    elsewhere: Callable[[Array], NDArray[np.bool_]] | None = None,
) -> EscapeTimes:
    """When each walker's score first reaches `target`, watched for at most `steps` updates.

    `start` is one position (coordinates,) for all `replicas`, or one each (replicas, coordinates).
    A walker whose position or score stops being finite has `diverged`; one that is where
    `elsewhere(positions)` is true before it reaches the target has `escaped_elsewhere`; the others
    are `censored` at the end. A start at or beyond the target has escaped at time 0.

    Seen at the steps only, a path is late: between two steps it may have crossed and come back, and
    passage times are too long by a relative O(sqrt(step)). With `bridge` the score is taken for a
    coordinate (a gradient of length 1) and a crossing between two looks at distances u and v below
    the target is drawn with its probability exp(-2 u v / (sigma^2 step)), sigma the noise at the
    earlier look; the error is then O(step). Bridges have random numbers of their own, so paths
    are the same with and without.
    """
    if steps < 1 or not math.isfinite(target):
        raise InputError(
            f"A passage needs a finite target and at least 1 step, got {target!r} and {steps!r}."
        )
    walkers = Walkers(diffusion, _starts(start, replicas), seed=seed, name=name)
    if bridge:
        _check_bridge(diffusion, walkers.positions)
        uniform = Stream(seed, f"{name}, bridges", walkers.numbers, 1)
    else:
        uniform = None
    count = len(walkers)
    ended = np.full(count, steps, dtype=np.int64)
    status = np.full(count, "censored", dtype="<U17")
    alive, scores = np.arange(count), walkers.scores()
    status[scores >= target], ended[scores >= target] = "escaped", 0
    under_way = scores < target
    while True:
        if not under_way.all():
            walkers.keep(under_way)
            if uniform is not None:
                uniform.keep(under_way)
            alive, scores = alive[under_way], scores[under_way]
        if not len(alive) or walkers.step >= steps:
            break
        # Whoever has ended walks along unseen for a while: to drop one costs more than a step.
        under_way = np.ones(len(alive), dtype=bool)
        for _ in range(min(64, steps - walkers.step)):
            sigma2 = _variance(diffusion, walkers.positions) if bridge else None
            walkers.advance(1)
            now = walkers.scores()
            crossed = now >= target
            if uniform is not None and sigma2 is not None:
                crossed |= _crossed_between(
                    target - scores, target - now, sigma2 * diffusion.step,
                    uniform.words(walkers.step - 1)[0],
                )  # fmt: skip
            ends = [("escaped", crossed)] if crossed.any() else []
            if elsewhere is not None:
                ends.insert(0, ("escaped_elsewhere", elsewhere(walkers.positions) & ~crossed))
            # A sum is finite only if everything is: one look for all.
            if not np.isfinite(now.sum() + walkers.positions.sum()):
                finite = np.isfinite(now) & np.isfinite(walkers.positions).all(axis=1)
                ends.insert(0, ("diverged", ~finite))
            for word, which in ends:
                new = which & under_way
                status[alive[new]], ended[alive[new]] = word, walkers.step
                under_way &= ~which
            scores = now
            if not under_way.any():
                break
    return EscapeTimes(
        replica=np.arange(count),
        dataset=np.zeros(count, dtype=np.int64),
        steps=ended,
        time=np.asarray(ended * diffusion.step, dtype=np.float64),
        status=status,
    )


def _starts(start: ArrayLike, replicas: int | None) -> Array:
    """One row per walker."""
    x = np.array(start, dtype=float)
    if x.ndim not in (1, 2):
        raise InputError(
            "A start is a vector of coordinates, or a matrix with a row per replica; got an array "
            f"of {x.ndim} dimensions: write [-1.0] for the point -1 on a line."
        )
    if x.ndim == 1:
        if replicas is None or replicas < 1:
            raise InputError(f"One start for all needs a number of replicas, got {replicas!r}.")
        return np.tile(x, (replicas, 1))
    if replicas is not None and len(x) != replicas:
        raise InputError(f"{len(x)} starts were given for {replicas} replicas; leave one out.")
    return x


def _check_bridge(diffusion: Diffusion, positions: Array) -> None:
    if diffusion.noise is not None and np.shape(diffusion.noise(positions)) != (len(positions), 1):
        raise InputError(
            "A bridge needs to know the noise along the score: use a temperature, or a noise of "
            "one coordinate."
        )


def _variance(diffusion: Diffusion, positions: Array) -> Array:
    """sigma^2, the variance of the score per unit time at each walker, shape (walkers,)."""
    if diffusion.noise is None:
        return np.full(len(positions), 2 * (diffusion.temperature or 0.0))
    return diffusion.noise(positions)[:, 0] ** 2


def _crossed_between(
    before: Array, after: Array, variance: Array, words: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Did a Brownian bridge between two distances below the target touch it? One word each."""
    chance = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return (after > 0) & (chance < np.exp(-2 * before * after / variance))
