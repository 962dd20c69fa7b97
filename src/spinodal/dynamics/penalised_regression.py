"""Sparse regression with a concave penalty: coefficients switch on and off by jumps.

    E(w) = 1/2 ||y - X w||**2 + (weight_decay scale**2 / 2) sum_j ln(1 + w_j**2 / scale**2)

with the positions of `spinodal.dynamics.problems`: (walkers, coordinates). With orthonormal
features every coefficient is that of `spinodal.theory.penalties`, its signal the correlation
X_j . y; with correlated ones whether a coefficient switches depends on which others have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class PenalisedRegression:
    """Least squares with a logarithmic penalty. `design` (samples, features), `outputs` (samples,).

    Losses include 1/2 ||y||**2, the loss of all coefficients zero.
    """

    design: Array
    outputs: Array
    weight_decay: float
    scale: float

    def __post_init__(self) -> None:
        """Settle the arrays; refuse what is no problem."""
        x, y = np.array(self.design, dtype=float), np.array(self.outputs, dtype=float)
        if x.ndim != 2 or y.shape != x.shape[:1] or not np.all(np.isfinite(x)):
            raise InputError(
                "The design must be a matrix of finite numbers with one row per output, got "
                f"{x.shape} and {y.shape}."
            )
        if not (np.all(np.isfinite(y)) and self.weight_decay >= 0 and self.scale > 0):
            raise InputError(
                "Outputs must be finite, weight_decay at least 0 and scale positive, got "
                f"{self.weight_decay} and {self.scale}."
            )
        object.__setattr__(self, "design", x)
        object.__setattr__(self, "outputs", y)

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.design.shape[1]

    @cached_property
    def gram(self) -> Array:
        """X^T X."""
        return self.design.T @ self.design

    @cached_property
    def moments(self) -> Array:
        """X^T y: the signals, where features are orthonormal."""
        return self.design.T @ self.outputs

    def loss(self, positions: Array) -> Array:
        """E, shape (walkers,)."""
        return self.landscape(positions)[0]

    def gradient(self, positions: Array) -> Array:
        """dE/dw, shape (walkers, coordinates)."""
        return self.landscape(positions)[1]

    def landscape(self, positions: Array) -> tuple[Array, Array]:
        """Loss and gradient, X^T (X w - y) + weight_decay w / (1 + w**2 / scale**2)."""
        # einsum sums row by row in one order, however many walkers there are; BLAS does not.
        pulled = np.einsum("nj,jk->nk", positions, self.gram)
        squares = 1 + (positions / self.scale) ** 2
        fit = 0.5 * float(self.outputs @ self.outputs) + (
            positions * (0.5 * pulled - self.moments)
        ).sum(axis=1)
        price = 0.5 * self.weight_decay * self.scale**2 * np.log(squares).sum(axis=1)
        slopes = pulled - self.moments + self.weight_decay * positions / squares
        return fit + price, slopes


def correlated_design(features: int, correlation: float) -> Array:
    """A square design of unit features, any two of which have the same correlation."""
    lowest = -1 / (features - 1) if features > 1 else -1.0
    if not lowest < correlation < 1:
        raise InputError(
            f"{features} features can have a common correlation between {lowest:.3g} and 1, got "
            f"{correlation:g}."
        )
    gram = (1 - correlation) * np.eye(features) + correlation
    return np.asarray(np.linalg.cholesky(gram).T, dtype=float)
