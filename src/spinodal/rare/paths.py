"""The lowest way from one valley to another: path, saddle, its index, the barrier on both sides.

The simplified string method of E, Ren and Vanden-Eijnden (2007): images along a path slide downhill
and are spread evenly again, until the path follows the gradient everywhere. Then the highest
image climbs along the path and slides across it, and Newton's method finishes the saddle. What is
found is one path that cannot be lowered by small changes; another initial path may find another.

Nothing here knows of noise or of escape times: the barrier is a property of the loss alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.rare.hessians import Array, Curvatures, Landscape, curvatures, polish, steepest
from spinodal.seeding import generator

STATIONARY = 1e-4
"""Ends with a gradient longer than this fraction of the largest on the path are no minima."""

_ROUGH = 1e-3
"""The path is smooth enough to climb from when images move this little, same measure."""

_LOOK = 50
"""Updates between two looks at where the path stands."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SaddlePath:
    """A path of least effort. `positions` (images, coordinates), `losses` and `arc` (images,).

    `arc` is the length along the path, from 0 to 1. `saddle` is the highest point, with the
    length of its gradient, `residual`, and the Hessian's `curvatures` there; it is None on a path
    that only rises or falls. `passes` counts the maxima between the ends: with more than one the
    path rests in a valley on its way and `saddle` is the highest. `converged` says that the saddle
    met the tolerance, has index 1 and lies on the path.
    """

    positions: Array
    losses: Array
    arc: Array
    saddle: Array | None
    saddle_loss: float
    residual: float
    curvatures: Curvatures | None
    passes: int
    iterations: int
    converged: bool

    @property
    def barrier_out(self) -> float:
        """Loss at the highest point minus that at the first; 0 on a path that only falls."""
        return self.saddle_loss - float(self.losses[0])

    @property
    def barrier_back(self) -> float:
        """Loss at the highest point minus that at the last; 0 on a path that only rises."""
        return self.saddle_loss - float(self.losses[-1])

    @property
    def index(self) -> int | None:
        """Independent directions downhill from the saddle: 1 where the path is a lowest one."""
        return None if self.curvatures is None else self.curvatures.index


def string_method(
    landscape: Landscape,
    start: ArrayLike,
    end: ArrayLike,
    *,
    images: int = 21,
    initial: ArrayLike | None = None,
    tolerance: float = 1e-8,
    most: int = 20_000,
    seed: int = 0,
) -> SaddlePath:
    """The path of least effort from one minimum to another, from a straight line or `initial`.

    `landscape` takes positions (points, coordinates) and returns losses and gradients. `start` and
    `end` are minima (`relax` finds them), shape (coordinates,); directions without curvature are
    allowed at minima and saddle. `initial` is a first path of any number of points, of which the
    ends are replaced. `tolerance` is that of the saddle's gradient, as a fraction of the largest
    on the path. `most` bounds the updates of the images; `seed` chooses first vectors of
    searches for curvatures, on which no answer depends beyond rounding.

    InputError: ends that are no minima, losses that are not finite.
    """
    first, last = _point("start", start), _point("end", end)
    if first.shape != last.shape or np.array_equal(first, last) or images < 5:
        raise InputError(
            f"A path joins two different points of one space by at least 5 images, got shapes "
            f"{first.shape} and {last.shape} and {images!r} images."
        )
    path = _spread(_initial(initial, first, last), images)
    safe = _watched(landscape)
    scale = float(np.linalg.norm(last - first))
    _check_ends(safe, path, scale, seed)
    path, losses, count, climber = _settle(safe, path, scale, most, seed)
    if climber is None:
        return _finished(path, losses, None, math.nan, None, count, converged=True)
    spacing = float(np.linalg.norm(np.diff(path, axis=0), axis=1).max())
    size = _size(safe(path)[1])
    saddle, residual = polish(
        safe, path[climber], scale=scale, tolerance=tolerance * size, reach=0.5 * spacing
    )
    near = float(np.linalg.norm(saddle - path[climber])) <= 2 * spacing
    path[climber] = saddle
    losses = safe(path)[0]
    spectrum = curvatures(safe, saddle, scale=scale, seed=seed)
    met = residual <= max(tolerance, 1e-12) * size and near and spectrum.index == 1
    return _finished(path, losses, climber, residual, spectrum, count, converged=met)


def relax(
    landscape: Landscape, point: ArrayLike, *, tolerance: float = 1e-10, most: int = 100_000
) -> Array:
    """The minimum that noise-free descent reaches from `point`, shape (coordinates,).

    Steps are 0.8 / (largest curvature), and Newton's method finishes. `tolerance` of the gradient
    is relative to the largest curvature times the distance from the origin. InputError if `most`
    steps do not suffice, as on a slope without end.
    """
    x, safe = _point("point", point), _watched(landscape)
    scale = max(float(np.linalg.norm(x)), 1e-3)
    guess = generator(0, "relax").standard_normal((1, x.size))
    largest = 0.0
    for count in range(most):
        if count % _LOOK == 0:
            largest, guess = steepest(safe, x[None], scale, guess)
        loss, gradient = (part[0] for part in safe(x[None]))
        if np.linalg.norm(gradient) <= 1e-6 * largest * scale:
            goal = tolerance * largest * scale
            found, _ = polish(safe, x, scale=scale, tolerance=goal, reach=0.1 * scale)
            # Newton's method would as well go to a saddle: a minimum is not higher.
            return found if safe(found[None])[0][0] <= loss + goal * scale else x
        x = x + _step(-gradient[None], largest, 0.5 * scale)[0]
    raise InputError(
        f"No minimum was reached in {most} steps of descent; start nearer to one or allow more."
    )


def _settle(
    landscape: Landscape, path: Array, scale: float, most: int, seed: int
) -> tuple[Array, Array, int, int | None]:
    """Slide and climb until nothing moves: path, losses, updates made, the image that climbed."""
    guess = generator(seed, "steepest").standard_normal(path.shape)
    climber: int | None = None
    losses, gradients = landscape(path)
    largest, count = 0.0, 0
    while count < most:
        if count % _LOOK == 0:
            largest, guess = steepest(landscape, path, scale, guess)
        force = -gradients
        if climber is not None:
            along = path[climber + 1] - path[climber - 1]
            along /= np.linalg.norm(along)
            force[climber] += 2 * (gradients[climber] @ along) * along
        before = path
        path = path.copy()
        spacing = float(np.linalg.norm(path[1] - path[0]))
        path[1:-1] += _step(force[1:-1], largest, spacing)
        path = _spread(path, len(path), climber)
        losses, gradients = landscape(path)
        count += 1
        moved = float(np.linalg.norm(path - before, axis=1).max()) * largest
        smooth = moved < _ROUGH * _size(gradients)
        if climber is None:
            if smooth and (climber := _highest(losses)) is None:
                break
        else:
            # Newton's method needs a start near the saddle, not on it.
            if smooth and _size(gradients[[climber]]) < 0.1 * _ROUGH * _size(gradients):
                break
            if count % _LOOK == 0 and losses.max() > losses[climber]:
                climber = _highest(losses) or climber
    return path, losses, count, climber if climber is not None else _highest(losses)


def _size(gradients: Array) -> float:
    """Length of the longest gradient."""
    return float(np.linalg.norm(gradients, axis=1).max())


def _step(force: Array, largest: float, reach: float) -> Array:
    """The displacement of one update, force / (largest curvature), none longer than `reach`."""
    length = np.linalg.norm(force, axis=1, keepdims=True)
    return force * np.minimum(0.8 / max(largest, 1e-300), reach / np.maximum(length, 1e-300))


def _highest(losses: Array) -> int | None:
    """The highest image, or None where that is an end."""
    top = int(np.argmax(losses))
    return top if 0 < top < len(losses) - 1 else None


def _spread(path: Array, images: int, fixed: int | None = None) -> Array:
    """Images at equal distances along the broken line, on either side of a fixed one."""
    if fixed is not None:
        below = _spread(path[: fixed + 1], fixed + 1)
        return np.concatenate([below, _spread(path[fixed:], images - fixed)[1:]])
    arc = _arc(path)
    at = np.linspace(0.0, arc[-1], images)
    left = np.clip(np.searchsorted(arc, at, side="right") - 1, 0, len(path) - 2)
    width = np.diff(arc)[left]
    share = ((at - arc[left]) / np.where(width > 0, width, 1.0))[:, None]
    found = path[left] + share * (path[left + 1] - path[left])
    found[[0, -1]] = path[[0, -1]]
    return found


def _arc(path: Array) -> Array:
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _finished(
    path: Array,
    losses: Array,
    climber: int | None,
    residual: float,
    spectrum: Curvatures | None,
    count: int,
    *,
    converged: bool,
) -> SaddlePath:
    arc = _arc(path)
    return SaddlePath(
        positions=path,
        losses=losses,
        arc=arc / arc[-1],
        saddle=None if climber is None else path[climber],
        saddle_loss=float(losses.max() if climber is None else losses[climber]),
        residual=residual,
        curvatures=spectrum,
        passes=_passes(losses),
        iterations=count,
        converged=converged,
    )


def _passes(losses: Array) -> int:
    """Maxima between the ends that stand out by a thousandth of all that the losses span."""
    enough = 1e-3 * float(np.ptp(losses))
    count, low, high, rising = 0, losses[0], losses[0], False
    for loss in losses:
        if rising:
            high = max(high, loss)
            if loss < high - enough:
                count, low, rising = count + 1, loss, False
        else:
            low = min(low, loss)
            if loss > low + enough:
                high, rising = loss, True
    return count


def _point(name: str, value: ArrayLike) -> Array:
    x = np.array(value, dtype=float)
    if x.ndim != 1 or x.size == 0 or not np.all(np.isfinite(x)):
        raise InputError(f"{name} must be one point of finite numbers, got shape {x.shape}.")
    return x


def _initial(initial: ArrayLike | None, start: Array, end: Array) -> Array:
    if initial is None:
        return np.stack([start, end])
    path = np.array(initial, dtype=float)
    if path.ndim != 2 or path.shape[1:] != start.shape or not np.all(np.isfinite(path)):
        raise InputError(
            f"The initial path must be finite and of shape (points, {start.size}), got "
            f"{path.shape}."
        )
    return np.concatenate([start[None], path[1:-1], end[None]])


def _watched(landscape: Landscape) -> Callable[[Array], tuple[Array, Array]]:
    """The landscape, with a sentence where it has no number."""

    def found(points: Array) -> tuple[Array, Array]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            losses, gradients = (np.asarray(part, dtype=float) for part in landscape(points))
        if losses.shape != points.shape[:1] or gradients.shape != points.shape:
            raise InputError(
                f"For points of shape {points.shape} the landscape must return losses of shape "
                f"{points.shape[:1]} and gradients of shape {points.shape}, got {losses.shape} and "
                f"{gradients.shape}."
            )
        if not (np.all(np.isfinite(losses)) and np.all(np.isfinite(gradients))):
            raise InputError(
                "The loss or its gradient is not finite somewhere on the path; give an initial "
                "path that stays where they are."
            )
        return losses, gradients

    return found


def _check_ends(landscape: Landscape, path: Array, scale: float, seed: int) -> None:
    gradients = landscape(path)[1]
    size, lengths = _size(gradients), np.linalg.norm(gradients[[0, -1]], axis=1)
    for name, end, length in zip(("start", "end"), path[[0, -1]], lengths, strict=True):
        if length > STATIONARY * size:
            raise InputError(
                f"The {name} is no minimum: its gradient has length {length:.3g}, and "
                f"{STATIONARY * size:.3g} is allowed; relax it first."
            )
        spectrum = curvatures(landscape, end, scale=scale, seed=seed)
        if spectrum.index > 0:
            raise InputError(
                f"The {name} is no minimum but a saddle of index {spectrum.index}, with curvature "
                f"{spectrum.eigenvalues[0]:.3g}: there is no barrier to climb from it; push it off "
                "and relax it first."
            )
