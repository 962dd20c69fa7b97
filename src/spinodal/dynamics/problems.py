"""Other problems in which a regulariser makes features switch on by jumps: deep completion.

A problem is a loss and its gradient on flat vectors of weights, many at once: positions have shape
(walkers, coordinates), as `spinodal.dynamics.diffusions` and `spinodal.rare.paths` take them. Each
row of the answers follows from the same row of the positions alone, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixCompletion:
    """A partly observed matrix, fitted by a product of matrices whose weights cost.

        E = 1/2 sum over observed (i, j) of (W_ij - target_ij)**2
            + (weight_decay / 2) sum over layers ||W_l||_F**2,    W = W_L ... W_1

    `target` and `observed` have shape (rows, columns); hidden widths are all `width`. A position
    holds the layers one after the other, W_1 first, row by row. With everything observed this is a
    deep linear network with inputs of unit covariance. The cheapest weights for a given W cost
    (depth weight_decay / 2) times the sum of its singular values to the power 2/depth: the deeper,
    the more of a first-order transition to every further rank.
    """

    target: Array
    observed: NDArray[np.bool_]
    depth: int
    width: int
    weight_decay: float

    def __post_init__(self) -> None:
        """Settle the arrays; refuse what is no problem."""
        target, observed = np.array(self.target, dtype=float), np.array(self.observed, dtype=bool)
        if target.ndim != 2 or target.shape != observed.shape or not np.all(np.isfinite(target)):
            raise InputError(
                f"The target must be a matrix of finite numbers and `observed` of its shape, got "
                f"{target.shape} and {observed.shape}."
            )
        if not observed.any():
            raise InputError("Nothing of the matrix is observed; mark at least one entry.")
        if self.depth < 2 or self.width < 1 or not self.weight_decay >= 0:
            raise InputError(
                "Completion needs depth >= 2, width >= 1 and weight_decay >= 0, got "
                f"{self.depth}, {self.width} and {self.weight_decay}."
            )
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "observed", observed)

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of every layer, W_1 first."""
        rows, columns = self.target.shape
        ends = [columns, *[self.width] * (self.depth - 1), rows]
        return [(ends[i + 1], ends[i]) for i in range(self.depth)]

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(rows * columns for rows, columns in self.shapes)

    def layers(self, positions: Array) -> list[Array]:
        """The matrices W_1 ... W_L of every walker, each (walkers, outputs, inputs)."""
        found, start = [], 0
        for rows, columns in self.shapes:
            part = positions[:, start : start + rows * columns]
            found.append(part.reshape(-1, rows, columns))
            start += rows * columns
        return found

    def matrix(self, positions: Array) -> Array:
        """W of every walker, (walkers, rows, columns)."""
        return _product(self.layers(positions))

    def along(self, positions: Array, left: Array, right: Array) -> Array:
        """left^T W right of every walker, (walkers,), without making W."""
        found = np.broadcast_to(right[:, None], (len(positions), right.size, 1))
        for layer in self.layers(positions):
            found = layer @ found
        return (found[..., 0] * left).sum(axis=1)

    def strengths(self, positions: Array) -> Array:
        """Singular values of W, largest first, (walkers, rank): the order parameters."""
        return np.asarray(np.linalg.svd(self.matrix(positions), compute_uv=False), dtype=float)

    def loss(self, positions: Array) -> Array:
        """E, shape (walkers,)."""
        return self.landscape(positions)[0]

    def gradient(self, positions: Array) -> Array:
        """dE/dW_l for all layers, shape (walkers, coordinates)."""
        return self.landscape(positions)[1]

    def landscape(self, positions: Array) -> tuple[Array, Array]:
        """Loss and gradient in one pass: dE/dW_l = (W_L..W_{l+1})^T R (W_{l-1}..W_1)^T + b W_l.

        R is the residual at the observed entries and zero elsewhere.
        """
        layers = self.layers(positions)
        below = [layers[0]]
        for layer in layers[1:]:
            below.append(layer @ below[-1])
        residual = np.where(self.observed, below[-1] - self.target, 0.0)
        squares = (positions**2).sum(axis=1)
        losses = 0.5 * (residual**2).sum(axis=(1, 2)) + 0.5 * self.weight_decay * squares
        slopes: list[Array] = []
        for number in range(self.depth - 1, -1, -1):
            part = residual @ below[number - 1].swapaxes(1, 2) if number else residual
            slopes.append(part.reshape(len(positions), -1))
            residual = layers[number].swapaxes(1, 2) @ residual
        return losses, np.concatenate(slopes[::-1], axis=1) + self.weight_decay * positions

    def balanced(self, values: Sequence[float], left: ArrayLike, right: ArrayLike) -> Array:
        """The cheapest weights of W = sum_i values_i left_i right_i^T, shape (coordinates,).

        `left` (rows, r) and `right` (columns, r) have orthonormal columns. Every layer carries the
        amplitude values_i**(1/depth); hidden directions are the first r axes.
        """
        u, v = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
        amplitude = np.asarray(values, dtype=float) ** (1 / self.depth)
        rank = amplitude.size
        if rank > self.width:
            raise InputError(f"Width {self.width} has no room for rank {rank}; give fewer values.")
        frames = [v, *[np.eye(self.width, rank)] * (self.depth - 1), u]
        layers = [(frames[i + 1] * amplitude) @ frames[i].T for i in range(self.depth)]
        return np.concatenate([layer.reshape(-1) for layer in layers])


def circulant_mask(size: int, observed: int) -> NDArray[np.bool_]:
    """Every row and every column of a square matrix observed `observed` times, in a band."""
    if not 1 <= observed <= size:
        raise InputError(
            f"Between 1 and {size} entries of every row can be observed, got {observed}."
        )
    row, column = np.indices((size, size))
    return (column - row) % size < observed


def _product(layers: list[Array]) -> Array:
    found = layers[0]
    for layer in layers[1:]:
        found = layer @ found
    return found
