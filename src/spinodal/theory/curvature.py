"""Closed-form Hessian spectra of deep linear networks at balanced stationary points.

Unit input variance, hidden layers of one width, weights of all layers as coordinates. A stationary
configuration chooses `trivial`, `saddle` or `learned` for every mode; active modes (all but the
trivial ones) have amplitude a and strength a**depth. Eigenvalues of exactly zero are flat valleys:
rotations of the hidden layers that leave the end-to-end map alone, and, for tied signals, rotations
of a learned mode into an equally strong unlearned one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.roots import Array, depth_root

Choice = Literal["trivial", "saddle", "learned"]


class Level(NamedTuple):
    """One eigenvalue of the Hessian, how often it occurs, and the motion it belongs to."""

    value: float
    multiplicity: int
    motion: str


def configuration_strengths(
    configuration: Sequence[Choice],
    *,
    depth: int,
    signals: ArrayLike,
    weight_decay: float,
    input_variances: ArrayLike = 1.0,
) -> Array:
    """Strength of every mode, shape (modes,); an InputError where a chosen point does not exist."""
    eta, variance = np.broadcast_arrays(np.atleast_1d(signals), input_variances)
    if len(configuration) != len(eta):
        raise InputError(
            f"A configuration chooses one point per signal: got {len(configuration)} choices for "
            f"{len(eta)} signals."
        )
    points = modes.stationary_points(
        depth=depth, signal=eta, weight_decay=weight_decay, input_variance=variance
    )
    unknown = set(configuration) - set(points._fields)
    if unknown:
        raise InputError(f"Choices are trivial, saddle or learned, got {sorted(unknown)}.")
    strengths = np.array(
        [getattr(points, choice)[i] for i, choice in enumerate(configuration)], dtype=float
    )
    if np.any(np.isnan(strengths)):
        i = int(np.argmax(np.isnan(strengths)))
        limit = float(modes.spinodal(depth, eta[i], input_variance=variance[i]))
        raise InputError(
            f"Mode {i} has no {configuration[i]} point at weight_decay {weight_decay:g} and depth "
            f"{depth}; its spinodal is {limit:.6g}."
        )
    return strengths


def hessian_spectrum(
    configuration: Sequence[Choice],
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    inputs: int | None = None,
    outputs: int | None = None,
) -> tuple[Level, ...]:
    """All eigenvalues of the Hessian at a balanced stationary point; depth >= 2.

    With r active modes of amplitude a_i and strength l_i, width w, and p = min(inputs, outputs):

    * radial, one per active mode: L a**(2L-2) - (L-2) weight_decay
    * imbalance between layers: 2 weight_decay
    * hidden rotation of an active into a dead channel, (w-r)(L-1) each: 0 and 2 weight_decay
    * two active modes: 0 and 2 weight_decay, L-1 each, and the pair
      (l_i +- l_j)(eta_i -+ eta_j)/(a_i**2 - a_j**2)
    * outer rotation of active i into inactive j: (eta_i -+ eta_j) a_i**(L-2); negative when a
      weaker signal is learned and a stronger one is not
    * dead-dead: weight_decay; at depth 2, where a dead channel feels its signal, weight_decay -+
      eta_j instead

    Multiplicities add up to the number of weights. Inputs and outputs beyond the signals carry
    signal 0. Below depth 3 and at weight decay 0 some of these are zero; see the values.
    """
    depth = modes.checked_depth(depth)
    if depth == 1:
        raise InputError("The spectrum is for depth >= 2; at depth 1 every eigenvalue is positive.")
    eta = np.atleast_1d(np.asarray(signals, dtype=float))
    inputs, outputs = inputs or len(eta), outputs or len(eta)
    narrow, wide = min(inputs, outputs), max(inputs, outputs)
    if len(eta) > narrow:
        raise InputError(f"{len(eta)} signals need as many inputs and outputs, got {narrow}.")
    lam = configuration_strengths(
        configuration, depth=depth, signals=eta, weight_decay=weight_decay
    )
    eta = np.append(eta, np.zeros(narrow - len(eta)))
    lam = np.append(lam, np.zeros(narrow - len(lam)))
    a = depth_root(lam, depth)
    active, dead = np.flatnonzero(lam > 0), np.flatnonzero(lam == 0)
    r, hidden, spare = len(active), width - len(active), wide - narrow
    if hidden < 0:
        raise InputError(f"{r} active modes need width >= {r}, got {width}.")
    levels: list[Level] = []

    def add(value: float, multiplicity: int, motion: str) -> None:
        if multiplicity > 0:
            levels.append(Level(float(value), multiplicity, motion))

    for i in active:
        add(depth * a[i] ** (2 * depth - 2) - (depth - 2) * weight_decay, 1, "radial")
        add(2 * weight_decay, depth - 1, "imbalance")
        add(0.0, hidden * (depth - 1), "hidden rotation")
        add(2 * weight_decay, hidden * (depth - 1), "hidden rotation, stretched")
        add(eta[i] * a[i] ** (depth - 2), spare, "outer rotation, unpaired")
        for j in dead:
            for sign in (-1, 1):
                add((eta[i] + sign * eta[j]) * a[i] ** (depth - 2), 1, "outer rotation")
        for j in active[active > i]:
            add(0.0, depth - 1, "hidden rotation of a pair")
            add(2 * weight_decay, depth - 1, "hidden rotation of a pair, stretched")
            for value in _pair(depth, eta[[i, j]], lam[[i, j]], a[[i, j]], weight_decay):
                add(value, 1, "pair rotation")
    if depth == 2:
        for j in dead:
            add(weight_decay - eta[j], hidden, "dead channels")
            add(weight_decay + eta[j], hidden, "dead channels")
        add(weight_decay, hidden * spare, "dead channels")
    else:
        count = hidden * (narrow + wide - 2 * r) + (depth - 2) * hidden**2
        add(weight_decay, count, "dead channels")
    return tuple(levels)


def zero_modes(spectrum: Sequence[Level]) -> int:
    """Number of eigenvalues that are exactly zero: the dimension of the valley."""
    return sum(level.multiplicity for level in spectrum if level.value == 0.0)


def _pair(depth: int, eta: Array, lam: Array, a: Array, weight_decay: float) -> tuple[float, float]:
    """(minus, plus) eigenvalues of two active modes turning together."""
    if lam[0] == lam[1]:  # tied signals at the same point: the limit of the quotients
        radial = depth * a[0] ** (2 * depth - 2) - (depth - 2) * weight_decay
        return float(radial), float(depth * eta[0] * a[0] ** (depth - 2))
    spread = a[0] ** 2 - a[1] ** 2
    minus = (lam[0] + lam[1]) * (eta[0] - eta[1]) / spread
    plus = (lam[0] - lam[1]) * (eta[0] + eta[1]) / spread
    return float(minus), float(plus)
