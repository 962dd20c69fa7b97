"""Curvatures of a loss from its gradients alone: products with the Hessian, its lowest end, index.

A landscape is a function of positions (points, coordinates) that returns losses (points,) and
gradients (points, coordinates). The Hessian is never stored where there are many coordinates: its
product with a direction v is the central difference (g(x + e v) - g(x - e v)) / 2e.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh, minres

from spinodal.seeding import generator

Array = NDArray[np.float64]
Landscape = Callable[[Array], tuple[Array, Array]]
"""Positions (points, coordinates) in, losses (points,) and gradients (points, coordinates) out."""

DENSE = 250
"""Up to so many coordinates the whole spectrum is computed, beyond only its lowest end."""

FLAT = 1e-5
"""Curvatures below this fraction of the largest count as zero: finite differences say no more."""

_SHIFT = 1e-5
"""Finite differences over this fraction of the length scale: errors of its square and of
rounding / it, both about 1e-10."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curvatures:
    """Eigenvalues of the Hessian at one point, ascending.

    All of them up to DENSE coordinates, else only the lowest, and then `zeros` counts those found.
    `index` counts the negative ones beyond rounding, `zeros` those that are zero within it;
    `largest` is the largest modulus and `lowest` the unit eigenvector of the lowest.
    """

    eigenvalues: Array
    lowest: Array
    largest: float
    complete: bool

    @property
    def index(self) -> int:
        """Independent directions downhill."""
        return int((self.eigenvalues < -FLAT * self.largest).sum())

    @property
    def zeros(self) -> int:
        """Independent directions along which the slope does not change."""
        return int((np.abs(self.eigenvalues) <= FLAT * self.largest).sum())


def products(landscape: Landscape, points: Array, directions: Array, scale: float) -> Array:
    """Hessian times direction at each of several points, shape (points, coordinates).

    `scale` is the length over which the landscape changes.
    """
    length = np.linalg.norm(directions, axis=1, keepdims=True)
    shift = _SHIFT * scale * directions / np.where(length > 0, length, 1.0)
    _, ahead = landscape(points + shift)
    _, behind = landscape(points - shift)
    return (ahead - behind) * (length / (2 * _SHIFT * scale))


def steepest(
    landscape: Landscape, points: Array, scale: float, guess: Array
) -> tuple[float, Array]:
    """Largest curvature (in modulus) over several points, by power iteration from `guess`."""
    largest = 0.0
    for _ in range(12):
        found = products(landscape, points, guess, scale)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        largest = float(length.max())
        guess = np.where(length > 1e-12 * largest, found / np.where(length > 0, length, 1), guess)
    return largest, guess


def curvatures(
    landscape: Landscape, point: Array, *, scale: float, seed: int = 0, lowest: int = 6
) -> Curvatures:
    """The spectrum of the Hessian at a point, or its lowest end by Lanczos's method.

    `seed` chooses Lanczos's first vector. At least the `lowest` eigenvalues are found, and as many
    more as it takes to find one that is not negative.
    """
    size = point.size
    if size <= DENSE:
        rows = products(landscape, np.tile(point, (size, 1)), np.eye(size), scale)
        values, vectors = np.linalg.eigh(0.5 * (rows + rows.T))
        return Curvatures(
            eigenvalues=values,
            lowest=vectors[:, 0],
            largest=float(np.abs(values).max()),
            complete=True,
        )
    operator = _operator(landscape, point, scale)
    first = generator(seed, "Lanczos").standard_normal(size)
    largest = float(abs(eigsh(operator, k=1, which="LM", v0=first, tol=1e-3)[0][0]))
    while True:
        values, vectors = eigsh(operator, k=lowest, which="SA", v0=first, tol=1e-3 * FLAT)
        order = np.argsort(values)
        values, vectors = values[order], vectors[:, order]
        if values[-1] >= -FLAT * largest or 2 * lowest >= size:
            break
        lowest *= 2
    return Curvatures(eigenvalues=values, lowest=vectors[:, 0], largest=largest, complete=False)


def polish(
    landscape: Landscape, point: Array, *, scale: float, tolerance: float, reach: float
) -> tuple[Array, float]:
    """The stationary point next to `point` by Newton's method, and the length of its gradient.

    Each step solves Hessian step = -gradient by MINRES, which leaves directions without curvature
    alone: along a valley of equal points it finds the nearest. Steps longer than `reach` are
    shortened; the best point is returned, whether or not `tolerance` was met.
    """
    gradient = landscape(point[None])[1][0]
    best, smallest = point, float(np.linalg.norm(gradient))
    for _ in range(30):
        if smallest <= tolerance:
            break
        step = minres(_operator(landscape, point, scale), -gradient, rtol=1e-8, maxiter=400)[0]
        step *= min(1.0, reach / max(float(np.linalg.norm(step)), 1e-300))
        point = point + step
        gradient = landscape(point[None])[1][0]
        length = float(np.linalg.norm(gradient))
        if not length < 4 * smallest:
            break
        if length < smallest:
            best, smallest = point, length
    return best, smallest


def _operator(landscape: Landscape, point: Array, scale: float) -> LinearOperator:
    def product(direction: Array) -> Array:
        return products(landscape, point[None], direction.reshape(1, -1), scale)[0]

    return LinearOperator((point.size, point.size), matvec=product, dtype=np.float64)
