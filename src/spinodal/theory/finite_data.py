"""Phases of a network trained on a sample: general input covariance, from empirical moments.

With sigma_xx = mean x x^T and sigma_yx = mean y x^T the balanced network of end-to-end map W has

    F(W) = 1/2 tr(W sigma_xx W^T) - tr(W sigma_yx^T) + 1/2 tr sigma_yy
           + (depth weight_decay / 2) sum_i strength_i ** (2/depth),

strengths being the singular values of W. Stationary maps of rank r obey ridge equations in which
every mode has its own ridge t_i = weight_decay strength_i**(2/depth - 2):

    W = sum_i u_i u_i^T sigma_yx (sigma_xx + t_i)^-1,  with orthonormal u_i and orthogonal rows.

When sigma_xx and sigma_yx share singular directions the modes separate (`modes` with
`input_variance`); in general they do not, and the equations are solved by Newton's method along a
path on which the weakest strength falls from its value without weight decay: the learned phase
first, then, past the largest weight decay on the path (the spinodal), the saddle. The smallest
strength is a good parameter at the fold, where weight decay is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.modes import checked, checked_depth
from spinodal.theory.roots import Array

_EPS = float(np.finfo(float).eps)


class RidgePath(NamedTuple):
    """Rank-1 stationary points, one per ridge: arrays shaped as `ridge`; see `ridge_path_rank1`."""

    ridge: Array
    weight_decay: Array
    strength: Array


class EmpiricalModes(NamedTuple):
    """What theory predicts for one sample, mode by mode, strongest first; NaN where missing.

    Entry r belongs to the step between rank r and rank r + 1. `saddle` and `learned` are the
    weakest strength of the saddle on the way and of the rank-(r+1) phase; the barriers are loss
    differences from that saddle down to the rank-r and to the rank-(r+1) phase.
    """

    spinodal: Array
    saddle: Array
    learned: Array
    barrier_out: Array
    barrier_back: Array


def empirical_loss(
    matrix: ArrayLike,
    sigma_xx: ArrayLike,
    sigma_yx: ArrayLike,
    sigma_yy: ArrayLike,
    *,
    depth: int,
    weight_decay: float,
) -> float:
    """F(W) of the module, for the map `matrix` of shape (outputs, inputs).

    Strengths below 1e-14 of the largest count as zero: at depth 8 a rounding error of 1e-17 would
    cost 1e-4.
    """
    depth = checked_depth(depth)
    w = np.asarray(matrix, dtype=float)
    sxx, syx = _moments(sigma_xx, sigma_yx)
    fit = 0.5 * np.sum((w @ sxx) * w) - np.sum(w * syx) + 0.5 * np.trace(np.asarray(sigma_yy))
    strengths = np.linalg.svd(w, compute_uv=False)
    strengths = strengths[strengths > 1e-14 * strengths[0]]
    price = 0.5 * depth * weight_decay * np.sum(strengths ** (2 / depth))
    return float(fit + price)


def ridge_path_rank1(
    sigma_xx: ArrayLike, sigma_yx: ArrayLike, *, depth: int, ridge: ArrayLike
) -> RidgePath:
    """All stationary rank-1 maps that no outer rotation lowers, in closed form along the ridge t.

    u(t) is the top eigenvector of sigma_yx (sigma_xx + t)^-1 sigma_xy,
    strength(t) = ||(sigma_xx + t)^-1 sigma_xy u||, weight_decay(t) = t strength**(2 - 2/depth).
    Small t is the learned phase, large t the saddle, and the maximum over t the spinodal.
    """
    depth = checked_depth(depth)
    sxx, syx = _moments(sigma_xx, sigma_yx)
    t = checked("ridge", ridge)
    flat = np.ravel(t)
    variances, frame = np.linalg.eigh(sxx)
    coupling = syx @ frame
    shrink = 1 / (variances + flat[:, None])
    matrix = np.einsum("ik,tk,jk->tij", coupling, shrink, coupling)
    top = np.linalg.eigh(matrix)[1][..., -1]
    strength = np.linalg.norm(shrink * (top @ coupling), axis=-1).reshape(t.shape)
    return RidgePath(t, t * strength ** (2 - 2 / depth), strength)


def empirical_spinodals(sigma_xx: ArrayLike, sigma_yx: ArrayLike, *, depth: int) -> Array:
    """Spinodal of every mode of this sample, strongest first; shape (min(outputs, inputs),).

    Entry r is the largest weight decay on the branch of rank-(r+1) minima that starts at the
    reduced-rank regression without weight decay. At depth 2 it is where the weakest strength
    reaches zero; at depth 1 infinite.
    """
    depth = checked_depth(depth)
    sxx, syx = _moments(sigma_xx, sigma_yx)
    ranks = range(1, min(syx.shape) + 1)
    if depth == 1:
        return np.full(len(ranks), np.inf)
    return np.array([_branch(sxx, syx, depth, rank).fold()[1] for rank in ranks])


def effective_signals(sigma_xx: ArrayLike, sigma_yx: ArrayLike, *, depth: int) -> Array:
    """Signals whose population spinodals (unit input variance) are this sample's; depth >= 2."""
    if checked_depth(depth) == 1:
        raise InputError("Effective signals need depth >= 2: at depth 1 there is no spinodal.")
    spinodals = empirical_spinodals(sigma_xx, sigma_yx, depth=depth)
    return (spinodals / modes.spinodal(depth, 1.0)) ** (depth / (2 * depth - 2))


def stationary_rank(
    sigma_xx: ArrayLike,
    sigma_yx: ArrayLike,
    *,
    depth: int,
    rank: int,
    weight_decay: float,
    branch: Literal["learned", "saddle"] = "learned",
) -> Array:
    """End-to-end map of the rank-`rank` phase, shape (outputs, inputs).

    With branch="saddle", the saddle between rank - 1 and rank instead (depth >= 3). An InputError
    names the spinodal where the point does not exist.
    """
    depth = checked_depth(depth)
    sxx, syx = _moments(sigma_xx, sigma_yx)
    decay = float(checked("weight_decay", weight_decay))
    if not 0 <= rank <= min(syx.shape):
        raise InputError(f"rank must lie between 0 and {min(syx.shape)}, got {rank}.")
    if branch == "saddle" and (depth < 3 or rank == 0):
        raise InputError(f"No saddle leads to rank {rank} at depth {depth}; it needs depth >= 3.")
    if depth == 1:
        if rank < min(syx.shape):
            raise InputError("At depth 1 the only stationary map is the ridge regression.")
        ridge = np.linalg.solve(sxx + decay * np.eye(len(sxx)), syx.T).T
        return np.asarray(ridge, dtype=np.float64)
    if rank == 0:
        return np.zeros(syx.shape)
    path = _branch(sxx, syx, depth, rank)
    limit = path.fold()[1]
    if not decay < limit:
        raise InputError(
            f"No {branch} point of rank {rank} exists at weight_decay {decay:g}: it needs "
            f"weight_decay below the spinodal of this sample, {limit:.6g} at depth {depth}."
        )
    return path.at_weight_decay(decay, branch).matrix


def stationary_index(
    matrix: ArrayLike, sigma_xx: ArrayLike, sigma_yx: ArrayLike, *, depth: int, weight_decay: float
) -> int:
    """Number of independent directions that lower F at a stationary map, its rank held fixed.

    For depth >= 3 raising the rank always costs (the price has infinite slope there), so this is
    the index in weight space too. Directions flatter than 1e-9 of the largest count as zero modes.
    """
    sxx, syx = _moments(sigma_xx, sigma_yx)
    left, strengths, right = np.linalg.svd(np.asarray(matrix, dtype=float))
    rank = int(np.sum(strengths > 1e-12 * max(float(strengths[0]), np.finfo(float).tiny)))
    if rank == 0:
        return 0
    point = _Point(left, strengths[:rank], right.T, weight_decay)
    hessian = _linearise(point, sxx, syx, 2 / checked_depth(depth))[1]
    levels = np.linalg.eigvalsh(0.5 * (hessian + hessian.T))
    return int(np.sum(levels < -1e-9 * np.abs(levels).max()))


def empirical_modes(
    sigma_xx: ArrayLike, sigma_yx: ArrayLike, *, depth: int, weight_decay: float
) -> EmpiricalModes:
    """Spinodals, saddles, learned strengths and barriers of this sample, strongest first.

    The rank-r phase at the foot of `barrier_out` must exist too (NaN otherwise).
    """
    depth = checked_depth(depth)
    if depth < 2:
        raise InputError("At depth 1 the loss is convex: there are no modes to pass; use depth 2+.")
    sxx, syx = _moments(sigma_xx, sigma_yx)
    decay = float(checked("weight_decay", weight_decay))
    rows = []
    foot = 0.0  # loss of the rank-r phase without 1/2 tr sigma_yy
    for rank in range(1, min(syx.shape) + 1):
        path = _branch(sxx, syx, depth, rank)
        limit = path.fold()[1]
        saddle = learned = top = head = np.nan
        if decay < limit:
            point = path.at_weight_decay(decay, "learned")
            learned, head = float(point.strengths[-1]), path.loss(point)
            if depth > 2 and decay > 0:
                point = path.at_weight_decay(decay, "saddle")
                saddle, top = float(point.strengths[-1]), path.loss(point)
        rows.append((limit, saddle, learned, top - foot, top - head))
        foot = head
    return EmpiricalModes(*np.array(rows).T)


class _NoConvergenceError(Exception):
    """Newton's method did not settle; the path then takes a shorter step."""


class _Point(NamedTuple):
    """A map by its singular frames (complete, orthogonal) and its non-zero strengths."""

    left: Array
    strengths: Array
    right: Array
    weight_decay: float

    @property
    def matrix(self) -> Array:
        rank = len(self.strengths)
        return (self.left[:, :rank] * self.strengths) @ self.right[:, :rank].T


class _Branch:
    """Stationary maps of one rank, parametrised by their weakest strength.

    The branch is continued from the reduced-rank regression. Where another mode overtakes on the
    way (strongly unequal input variances) the branch can lose its stability before its fold; rank
    1 is exact (`_RidgeBranch`), and full rank has no other modes.
    """

    def __init__(self, sxx: Array, syx: Array, depth: int, rank: int) -> None:
        self.sxx, self.syx, self.depth, self.rank = sxx, syx, depth, rank
        self.power = 2 / depth
        self.scale = float(np.linalg.norm(syx, 2))
        start = _reduced_rank_regression(sxx, syx, rank)
        self.known = [start]
        self.widest = float(start.strengths[-1])
        self._fold: tuple[float, float] | None = None

    def loss(self, point: _Point) -> float:
        """F without its constant 1/2 tr sigma_yy."""
        zero = np.zeros((len(self.syx), len(self.syx)))
        return empirical_loss(
            point.matrix,
            self.sxx,
            self.syx,
            zero,
            depth=self.depth,
            weight_decay=point.weight_decay,
        )

    def at_strength(self, strength: float) -> _Point:
        """The stationary point whose weakest strength this is; its weight decay is found."""
        targets = [strength]
        for _ in range(400):
            nearest = min(
                self.known, key=lambda p: abs(np.log(p.strengths[-1] / targets[-1])), default=None
            )
            assert nearest is not None
            try:
                found = self._newton(nearest, targets[-1])
            except (_NoConvergenceError, np.linalg.LinAlgError):
                targets.append(float(np.sqrt(targets[-1] * nearest.strengths[-1])))
                continue
            self.known.append(found)
            targets.pop()
            if not targets:
                return found
        raise InputError("The ridge equations of this sample could not be solved; check its rank.")

    def fold(self) -> tuple[float, float]:
        """(weakest strength, weight decay) at the spinodal of this branch."""
        if self._fold is None:
            self._fold = self._find_fold()
        return self._fold

    def _find_fold(self) -> tuple[float, float]:
        if self.widest <= 1e-12 * self.scale:  # the data hold fewer modes than that
            return 0.0, 0.0
        if self.depth == 2:
            # No fold: the strength reaches zero. One tangent step over the last millionth.
            last = self.at_strength(1e-6 * self.widest)
            reach = float(last.strengths[-1])
            return 0.0, last.weight_decay - reach * self._tangent(last)
        high = low = self.widest
        while self._tangent(self.at_strength(low)) < 0:
            high, low = low, 0.8 * low
            if low < 1e-9 * self.widest:
                raise InputError("No spinodal was found for this sample; check its moments.")
        strength = _log_root(lambda s: self._tangent(self.at_strength(s)), low, high, xtol=1e-11)
        return strength, self.at_strength(strength).weight_decay

    def at_weight_decay(self, decay: float, branch: Literal["learned", "saddle"]) -> _Point:
        """The point of the learned or the saddle part of the branch at a weight decay below it."""
        turn = self.fold()[0]
        if branch == "learned":
            low, high = (turn if self.depth > 2 else 1e-9 * self.widest), self.widest
        else:
            low, high = 0.5 * turn, turn
            while self.at_strength(low).weight_decay > decay:
                low, high = low**2 / high, low
        if decay == 0:
            return self.known[0]

        def excess(strength: float) -> float:
            return self.at_strength(strength).weight_decay - decay

        if excess(low) * excess(high) > 0:  # within rounding of the spinodal
            return self.at_strength(turn)
        return self.at_strength(_log_root(excess, low, high, xtol=1e-14))

    def _tangent(self, point: _Point) -> float:
        """d weight_decay / d (weakest strength) along the branch."""
        _, bordered, count = self._bordered(point)
        rhs = np.zeros(count + 1)
        rhs[-1] = 1.0
        return float(_solve(bordered, rhs)[-1])

    def _bordered(self, point: _Point) -> tuple[Array, Array, int]:
        residual, hessian, free = _linearise(point, self.sxx, self.syx, self.power)
        count = len(residual)
        push = np.zeros(free.shape)
        index = np.arange(self.rank)
        push[index, index] = point.strengths ** (self.power - 1)
        weakest = np.zeros(free.shape)
        weakest[self.rank - 1, self.rank - 1] = 1.0
        bordered = np.zeros((count + 1, count + 1))
        bordered[:count, :count] = hessian
        bordered[:count, count] = push[free]
        bordered[count, :count] = weakest[free]
        return residual, bordered, count

    def _newton(self, start: _Point, strength: float) -> _Point:
        point, previous = start, np.inf
        error = missed = np.inf
        first = later = 0.0
        # Exactly tied modes fold together, where any step turns a corner; take a tiny one freely.
        careful = abs(np.log(strength / start.strengths[-1])) > 1e-6
        for _ in range(25):
            residual, bordered, count = self._bordered(point)
            error = float(np.abs(residual).max())
            missed = abs(point.strengths[-1] / strength - 1)
            # Past the tolerance, go on as long as each step still helps.
            if error < 1e-13 * self.scale and missed < 1e-13 and error >= 0.5 * previous:
                return point
            previous = error
            step = _solve(bordered, np.append(-residual, strength - point.strengths[-1]))
            # The first step follows the tangent; later ones only correct it. Long corrections
            # mean that the iteration is on its way to another branch.
            length = float(np.linalg.norm(step[:count]))
            first, later = (length, 0.0) if first == 0.0 else (first, later + length)
            if careful and later > 0.3 * first and later > 1e-9 * self.scale:
                raise _NoConvergenceError
            free = _free(point)
            core = np.zeros(free.shape)
            core[free] = step[:count]
            core[np.arange(self.rank), np.arange(self.rank)] += point.strengths
            left, values, right = np.linalg.svd(core)
            if not values[self.rank - 1] > 0 or not np.all(np.isfinite(values)):
                raise _NoConvergenceError
            point = _Point(
                point.left @ left,
                values[: self.rank],
                point.right @ right.T,
                point.weight_decay + float(step[-1]),
            )
        if error < 1e-11 * self.scale and missed < 1e-11:
            return point
        raise _NoConvergenceError


class _RidgeBranch(_Branch):
    """Rank 1, by the closed form of `ridge_path_rank1`: exact even where modes overtake."""

    def _path(self, log_ridge: ArrayLike) -> RidgePath:
        return ridge_path_rank1(
            self.sxx, self.syx, depth=self.depth, ridge=np.exp(np.asarray(log_ridge))
        )

    def _find_fold(self) -> tuple[float, float]:
        """(log ridge, weight decay) at the top of the path."""
        if self.scale == 0 or self.depth == 2:  # at depth 2 the path rises to an infinite ridge
            return np.inf, self.scale
        size = np.log(np.linalg.norm(self.sxx, 2))
        grid = size + np.linspace(-12, 12, 481)
        heights = self._path(grid).weight_decay
        top = int(np.clip(np.argmax(heights), 1, len(grid) - 2))
        best = minimize_scalar(
            lambda x: -float(self._path(x).weight_decay),
            bounds=(grid[top - 1], grid[top + 1]),
            method="bounded",
            options={"xatol": 1e-10},
        )
        log_ridge = float(best.x)
        return log_ridge, float(self._path(log_ridge).weight_decay)

    def at_weight_decay(self, decay: float, branch: Literal["learned", "saddle"]) -> _Point:
        if decay == 0:
            return self.known[0]
        turn = self.fold()[0]
        if np.isinf(turn):
            turn = float(np.log(np.linalg.norm(self.sxx, 2))) + 60.0
        step = -1.0 if branch == "learned" else 1.0
        near, far = turn, turn + step
        while float(self._path(far).weight_decay) > decay:
            near, far = far, far + step
            if abs(far - turn) > 5000:
                raise InputError("No rank-1 point was found for this sample; check its moments.")

        low, high = sorted((near, far))
        root = brentq(lambda x: float(self._path(x).weight_decay) - decay, low, high, xtol=1e-14)
        assert isinstance(root, float)
        return self._at_ridge(root, decay)

    def _at_ridge(self, log_ridge: float, decay: float) -> _Point:
        ridge = np.exp(log_ridge)
        inverse = np.linalg.inv(self.sxx + ridge * np.eye(len(self.sxx)))
        top = np.linalg.eigh(self.syx @ inverse @ self.syx.T)[1][:, -1:]
        matrix = top @ top.T @ self.syx @ inverse
        left, strengths, right = np.linalg.svd(matrix)
        found = float(ridge * strengths[0] ** (2 - self.power))
        if abs(found / decay - 1) > 1e-9:  # the top mode changes here, and the path jumps
            raise InputError(
                f"At weight_decay {decay:g} two modes of this sample exchange as the rank-1 phase; "
                "choose another weight_decay."
            )
        return _Point(left, strengths[:1], right.T, decay)


def _branch(sxx: Array, syx: Array, depth: int, rank: int) -> _Branch:
    return (_RidgeBranch if rank == 1 else _Branch)(sxx, syx, depth, rank)


def _free(point: _Point) -> np.ndarray:
    """Entries, in the point's own frames, of changes that keep the rank: all but the dead block."""
    rank = len(point.strengths)
    free = np.ones((len(point.left), len(point.right)), dtype=bool)
    free[rank:, rank:] = False
    return free


def _linearise(
    point: _Point, sxx: Array, syx: Array, power: float
) -> tuple[Array, Array, np.ndarray]:
    """Gradient and Hessian of F on maps of this rank, in the frames of `point`, and `_free`.

    The rank-r maps are a curved set: moving the frames brings the gradient in the dead block,
    -U_dead^T sigma_yx V_dead, into the mixed second derivatives.
    """
    left, strengths, right, decay = point
    rank, (outputs, inputs) = len(strengths), (len(left), len(right))
    gradient = left.T @ (point.matrix @ sxx - syx) @ right
    dead = gradient[rank:, rank:].copy()
    price = decay * strengths ** (power - 1)
    index = np.arange(rank)
    gradient[index, index] += price

    hessian = np.zeros((outputs, inputs, outputs, inputs))
    rows = np.arange(outputs)
    hessian[rows, :, rows, :] = right.T @ sxx @ right
    a, b = index[:, None], index[None, :]
    difference = strengths[:, None] - strengths[None, :]
    tied = np.abs(difference) < 1e-9 * strengths[:, None]
    bend = decay * (power - 1) * strengths ** (power - 2)
    symmetric = np.where(
        tied,
        bend[:, None],
        (price[:, None] - price[None, :]) / np.where(tied, 1.0, difference),
    )
    turning = (price[:, None] + price[None, :]) / (strengths[:, None] + strengths[None, :])
    np.fill_diagonal(turning, bend)  # with `symmetric`, the diagonal then carries `bend` once
    hessian[a, b, a, b] += 0.5 * (symmetric + turning)
    off = ~np.eye(rank, dtype=bool)
    ia, ib = np.nonzero(off)
    hessian[ia, ib, ib, ia] += 0.5 * (symmetric - turning)[off]
    for i in range(rank):
        for m in range(rank, outputs):
            hessian[m, i, m, i] += price[i] / strengths[i]
        for n in range(rank, inputs):
            hessian[i, n, i, n] += price[i] / strengths[i]
            hessian[rank:, i, i, n] += dead[:, n - rank] / strengths[i]
            hessian[i, n, rank:, i] += dead[:, n - rank] / strengths[i]
    free = _free(point)
    keep = free.ravel()
    full = hessian.reshape(outputs * inputs, outputs * inputs)
    return gradient[free], full[np.ix_(keep, keep)], free


def _log_root(function: Callable[[float], float], low: float, high: float, *, xtol: float) -> float:
    """The zero of `function` between two strengths, to relative accuracy `xtol`."""
    root = brentq(lambda log: function(float(np.exp(log))), np.log(low), np.log(high), xtol=xtol)
    assert isinstance(root, float)
    return float(np.exp(root))


def _solve(matrix: Array, rhs: Array) -> Array:
    """Least-squares solution: exactly tied signals leave a free rotation, which must stay put."""
    return np.asarray(np.linalg.lstsq(matrix, rhs, rcond=16 * _EPS)[0], dtype=np.float64)


def _reduced_rank_regression(sxx: Array, syx: Array, rank: int) -> _Point:
    """The best map of this rank without weight decay, where every branch starts."""
    if not np.any(syx):
        return _Point(np.eye(len(syx)), np.zeros(rank), np.eye(len(sxx)), 0.0)
    variances, frame = np.linalg.eigh(sxx)
    usable = variances > 1e-12 * variances[-1]
    half = np.where(usable, 1 / np.sqrt(np.where(usable, variances, 1.0)), 0.0)
    left, values, right = np.linalg.svd(syx @ frame * half, full_matrices=False)
    matrix = (left[:, :rank] * values[:rank]) @ right[:rank] * half @ frame.T
    left, values, right = np.linalg.svd(matrix)
    return _Point(left, values[:rank], right.T, 0.0)


def _moments(sigma_xx: ArrayLike, sigma_yx: ArrayLike) -> tuple[Array, Array]:
    sxx, syx = np.asarray(sigma_xx, dtype=float), np.asarray(sigma_yx, dtype=float)
    if syx.ndim != 2 or sxx.shape != (syx.shape[1], syx.shape[1]):
        raise InputError(
            f"sigma_yx must have shape (outputs, inputs) and sigma_xx (inputs, inputs), "
            f"got {syx.shape} and {sxx.shape}."
        )
    if not (np.all(np.isfinite(sxx)) and np.all(np.isfinite(syx))):
        raise InputError("Moments must be finite numbers; NaN or infinity was given.")
    if not np.allclose(sxx, sxx.T, rtol=1e-9, atol=1e-12 * float(np.abs(sxx).max())):
        raise InputError("sigma_xx must be symmetric: it is the covariance of the inputs.")
    return 0.5 * (sxx + sxx.T), syx
