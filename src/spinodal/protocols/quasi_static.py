"""What an infinitely slow sweep of the weight decay would show on one sample, from its moments."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.tasks import Moments
from spinodal.theory import modes
from spinodal.theory.finite_data import empirical_spinodals, stationary_rank

NODES = 3
"""Gauss-Legendre nodes per interval; the areas are then right to about 1e-4 of themselves."""

BELOW = 1e-10
"""Relative distance below the spinodal at which the jump is read: it is off by its root, 1e-5."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Mode by mode, strongest first.

    `spinodals`: weight decay at which the phase that holds the mode ends. `jumps`: strength of the
    mode just before. `areas`: integral of its strength from weight decay 0 to there, which is the
    area of the hysteresis loop if no strength is regained on the way down.
    """

    spinodals: tuple[float, ...]
    jumps: tuple[float, ...]
    areas: tuple[float, ...]


def predict(moments: Moments, depth: int) -> Prediction:
    """The quasi-static sweep of the sample with these training moments."""
    spinodals = empirical_spinodals(moments.xx, moments.yx, depth=depth)
    jumps = [
        _strengths(moments, depth, rank, float(limit) * (1 - BELOW))[rank - 1]
        for rank, limit in enumerate(spinodals, start=1)
    ]
    return Prediction(
        spinodals=tuple(spinodals.tolist()),
        jumps=tuple(float(jump) for jump in jumps),
        areas=tuple(_areas(moments, depth, spinodals).tolist()),
    )


def predict_population(signals: tuple[float, ...], depth: int) -> Prediction:
    """The same for infinitely many samples with unit covariances, mode by mode in closed form."""
    eta = np.sort(signals)[::-1]
    spinodals = modes.spinodal(depth, eta)
    nodes, weights = _rule()
    decays = spinodals * (1 - nodes[:, None] ** 2)
    learned = modes.stationary_points(depth=depth, signal=eta, weight_decay=decays).learned
    areas = spinodals * np.sum((2 * nodes * weights)[:, None] * learned, axis=0)
    return Prediction(
        spinodals=tuple(spinodals.tolist()),
        jumps=tuple(modes.spinodal_strength(depth, eta).tolist()),
        areas=tuple(areas.tolist()),
    )


def strength_at(moments: Moments, depth: int, mode: int, decay: float) -> float:
    """Strength of a mode in the rank-`mode` phase of the sample; an InputError where it is none."""
    return float(_strengths(moments, depth, mode, decay)[mode - 1])


def _strengths(moments: Moments, depth: int, rank: int, decay: float) -> NDArray[np.float64]:
    matrix = stationary_rank(moments.xx, moments.yx, depth=depth, rank=rank, weight_decay=decay)
    return np.asarray(np.linalg.svd(matrix, compute_uv=False), dtype=np.float64)


def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return 0.5 * (nodes + 1), 0.5 * weights


def _areas(moments: Moments, depth: int, spinodals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of every strength over the upward sweep, which holds the highest rank it can.

    Strengths end like a square root at the spinodal: with weight decay = top - (top - bottom) u^2
    they are smooth in u.
    """
    nodes, weights = _rule()
    areas = np.zeros(len(spinodals))
    edges = np.append(0.0, np.unique(spinodals))
    for bottom, top in pairwise(edges):
        rank = int(np.flatnonzero(spinodals >= top)[-1]) + 1
        for u, weight in zip(nodes, weights, strict=True):
            values = _strengths(moments, depth, rank, float(top - (top - bottom) * u**2))
            areas[:rank] += 2 * u * weight * (top - bottom) * values[:rank]
    return areas
