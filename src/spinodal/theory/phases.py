"""A whole network: its phases, their order, and how many directions lead down from each point.

With uncorrelated inputs the modes add up: E = outputs/2 + sum of (mode loss - its value at 0), for
unit output variance. Every choice of a stationary point per mode is a stationary configuration,
but few are minima: wherever a weaker mode is learned and a stronger one is not, turning the first
into the second lowers the loss. So the minima are nested: rank r has the r strongest modes, and
there are 1 + #{modes whose spinodal lies above the weight decay} of them (depth >= 3), not 2**d.
Depth 1 and 2 have one minimum.

A network of hidden width w has no phase of rank above w. Modes with equal signals make a phase
that learns only some of them a continuous valley; it counts once, and any member represents it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.curvature import Choice, configuration_strengths
from spinodal.theory.modes import checked, checked_depth
from spinodal.theory.roots import Array

_ENUMERATED_MODES = 16


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The lowest stationary configuration that learns `rank` modes and leaves the others at 0.

    `strengths` follow the order in which the signals were given (zeros where not learned); it is
    empty and `loss` None where the phase does not exist.
    """

    rank: int
    loss: float | None
    exists: bool
    local_minimum: bool
    global_minimum: bool
    strengths: tuple[float, ...]


class Branches(NamedTuple):
    """The bifurcation diagram of one mode: arrays shaped as `weight_decay`, NaN where missing."""

    weight_decay: Array
    trivial: Array
    saddle: Array
    learned: Array
    barrier_out: Array
    barrier_back: Array
    gap: Array


def phases(
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    input_variances: ArrayLike = 1.0,
    inputs: int | None = None,
    outputs: int | None = None,
) -> tuple[Phase, ...]:
    """The phases of rank 0, 1, ..., len(signals), in that order.

    loss = outputs/2 + sum over learned modes of `modes.gap`: half the output variance where
    nothing is learned. A phase exists if its modes all have a learned point and the layers have
    room for it; it is a local minimum if its index is 0 and no mode is left on the flat point of
    weight decay 0. At depth 1 only the phase that learns every mode is stationary.
    """
    depth, eta, variance, decay, room = _network(
        depth, width, signals, weight_decay, input_variances, inputs, outputs
    )
    gaps = modes.gap(depth=depth, signal=eta, weight_decay=decay, input_variance=variance)
    points = modes.stationary_points(
        depth=depth, signal=eta, weight_decay=decay, input_variance=variance
    )
    order = np.argsort(np.where(np.isnan(gaps), np.inf, gaps), kind="stable")
    learnable = int(np.sum(eta > 0))
    available = int(np.sum(~np.isnan(points.learned) & (eta > 0)))

    found: list[Phase] = []
    for rank in range(len(eta) + 1):
        exists = rank <= min(room, available) and (depth > 1 or rank == learnable)
        chosen = order[:rank]
        strengths = np.zeros(len(eta))
        strengths[chosen] = points.learned[chosen]
        minimum = False
        if exists:
            flat = decay == 0 and depth > 2 and rank < min(room, learnable)
            minimum = not flat and _negative(depth, width, eta, variance, decay, strengths) == 0
        found.append(
            Phase(
                rank=rank,
                loss=_baseline(eta, outputs) + float(gaps[chosen].sum()) if exists else None,
                exists=exists,
                local_minimum=minimum,
                global_minimum=False,
                strengths=tuple(map(float, strengths)) if exists else (),
            )
        )
    return _mark_global(found)


def index(
    configuration: Sequence[Choice],
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    input_variances: ArrayLike = 1.0,
) -> int:
    """Number of independent directions in weight space that lower the loss, zero modes excluded.

    Counted from closed-form blocks: the radial curvature of each active mode, the turning of each
    active pair, and the outer rotations of an active into an inactive mode; at depth 2 also the
    dead channels, which feel their signal. The nested saddle (r strongest modes learned, the next
    at its saddle) has index 1.
    """
    depth, eta, variance, decay, room = _network(
        depth, width, signals, weight_decay, input_variances, None, None
    )
    strengths = configuration_strengths(
        configuration,
        depth=depth,
        signals=eta,
        weight_decay=decay,
        input_variances=variance,
    )
    if np.count_nonzero(strengths) > room:
        raise InputError(
            f"{np.count_nonzero(strengths)} active modes do not fit through width {width}."
        )
    return _negative(depth, width, eta, variance, decay, strengths)


def count_minima(
    *,
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    input_variances: ArrayLike = 1.0,
) -> int:
    """Number of separate valleys of local minima: 1 + #{weight_decay < spinodal}, room permitting.

    1 at depth 1 and 2 and at weight decay 0. With unequal input variances minima need not be
    nested, so all sets of up to 16 modes are tried.
    """
    depth, eta, variance, decay, room = _network(
        depth, width, signals, weight_decay, input_variances, None, None
    )
    if depth < 3 or decay == 0:
        return 1
    limits = modes.spinodal(depth, eta, input_variance=variance)
    alive = np.flatnonzero(decay < limits)
    if np.ptp(variance) == 0:
        return 1 + min(room, len(alive))
    if len(alive) > _ENUMERATED_MODES:
        raise InputError(
            f"Counting minima with unequal input variances tries all sets of modes, at most "
            f"{_ENUMERATED_MODES}; {len(alive)} have a learned point."
        )
    learned = modes.stationary_points(
        depth=depth, signal=eta, weight_decay=decay, input_variance=variance
    ).learned
    count = 0
    for rank in range(min(room, len(alive)) + 1):
        for chosen in combinations(alive, rank):
            strengths = np.zeros(len(eta))
            strengths[list(chosen)] = learned[list(chosen)]
            count += _negative(depth, width, eta, variance, decay, strengths) == 0
    return count


def bifurcation(
    depth: int, signal: float, weight_decays: ArrayLike, *, input_variance: float = 1.0
) -> Branches:
    """All stationary branches of one mode over a range of weight decays."""
    decay = checked("weight_decay", weight_decays)
    point = {
        "depth": depth,
        "signal": signal,
        "weight_decay": decay,
        "input_variance": input_variance,
    }
    return Branches(
        decay,
        *modes.stationary_points(**point),
        modes.barrier_out(**point),
        modes.barrier_back(**point),
        modes.gap(**point),
    )


def _network(
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    input_variances: ArrayLike,
    inputs: int | None,
    outputs: int | None,
) -> tuple[int, Array, Array, float, int]:
    """Validated arguments, and the largest rank that the layers let through."""
    depth = checked_depth(depth)
    if width != int(width) or width < 1:
        raise InputError(f"width must be a whole number >= 1, got {width!r}.")
    eta = checked("signals", np.atleast_1d(signals))
    variance = np.broadcast_to(
        checked("input_variances", input_variances, positive=True), eta.shape
    )
    for name, size in (("inputs", inputs), ("outputs", outputs)):
        if size is not None and size < len(eta):
            raise InputError(f"{len(eta)} signals need at least as many {name}, got {size}.")
    decay = float(checked("weight_decay", weight_decay))
    return depth, eta, variance, decay, len(eta) if depth == 1 else min(int(width), len(eta))


def _baseline(eta: Array, outputs: int | None) -> float:
    return 0.5 * (outputs or len(eta))


def _negative(
    depth: int, width: int, eta: Array, variance: Array, decay: float, strengths: Array
) -> int:
    """Negative Hessian eigenvalues of the balanced configuration with these strengths."""
    if depth == 1:
        return 0
    active, dead = np.flatnonzero(strengths > 0), np.flatnonzero(strengths == 0)
    power = strengths[active] ** (2 - 2 / depth)
    radial = depth * variance[active] * power - (depth - 2) * decay
    count = int(np.sum(radial < 0))
    for position, i in enumerate(active):
        for j in dead:
            # [[eta_i, -eta_j], [-eta_j, s_j strength + eta_i - s_i strength]] a**(L-2): the last
            # entry is s_j strength plus a price, hence positive, and the determinant decides.
            lift = (variance[j] - variance[i]) * strengths[i] + eta[i]
            product, rival = eta[i] * lift, eta[j] ** 2
            count += int(product < rival and not np.isclose(product, rival, rtol=1e-14, atol=0))
        for j in active[position + 1 :]:
            count += _pair_negative(depth, eta[[i, j]], variance[[i, j]], decay, strengths[[i, j]])
    if depth == 2:
        count += (width - len(active)) * int(np.sum(eta[dead] > decay))
    return count


def _pair_negative(depth: int, eta: Array, variance: Array, decay: float, strengths: Array) -> int:
    """Negative directions of two active modes turning into each other (0, 1 or 2).

    In the entries (i, j) and (j, i) of the end-to-end map the fit contributes the two input
    variances and the price its divided differences (symmetric part) and sums (antisymmetric).
    """
    if variance[0] == variance[1] and eta[0] == eta[1] and strengths[0] != strengths[1]:
        return 0  # tied signals on different points: one free rotation, one positive
    price = decay * strengths ** (2 / depth - 1)
    together = float(price.sum() / strengths.sum())
    if strengths[0] == strengths[1]:
        apart = float((2 / depth - 1) * price[0] / strengths[0])
    else:
        apart = float((price[0] - price[1]) / (strengths[0] - strengths[1]))
    half, cross = 0.5 * (apart + together), 0.5 * (apart - together)
    block = np.array([[variance[1] + half, cross], [cross, variance[0] + half]])
    return int(np.sum(np.linalg.eigvalsh(block) < 0))


def _mark_global(found: list[Phase]) -> tuple[Phase, ...]:
    """Flag the lowest minimum, or both where two coexist to the last digits."""
    losses = {phase.rank: phase.loss for phase in found if phase.local_minimum}
    lowest = min((value for value in losses.values() if value is not None), default=np.inf)
    size = max((abs(value) for value in losses.values() if value is not None), default=0.0)
    winners = {
        rank
        for rank, value in losses.items()
        if value is not None and value - lowest <= 8 * np.finfo(float).eps * size
    }
    return tuple(
        Phase(**{**phase.__dict__, "global_minimum": phase.rank in winners}) for phase in found
    )
