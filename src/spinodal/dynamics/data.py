"""Data sets and their second moments: what a network is trained and tested on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Second moments of inputs x and targets y, not centred: all that a linear network sees.

    xx = E[x x^T], shape (inputs, inputs); yx = E[y x^T], shape (outputs, inputs);
    yy = E[y y^T], shape (outputs, outputs).
    """

    xx: NDArray[np.float64]
    yx: NDArray[np.float64]
    yy: NDArray[np.float64]

    def error(self, end_to_end: NDArray[np.float64]) -> NDArray[np.float64]:
        """1/2 E||y - W x||^2 for maps W of shape (..., outputs, inputs)."""
        # Row sums of products, not one einsum: their order does not depend on how many maps come.
        rows: NDArray[np.float64] = (end_to_end @ self.xx - 2 * self.yx) * end_to_end
        flat = rows.reshape(*rows.shape[:-2], self.yx.size)
        return 0.5 * (flat.sum(axis=-1) + np.trace(self.yy))


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """Training samples x (samples, inputs), y (samples, outputs), and what is held out.

    `x` and `y` are None in population mode, where `train` and `test` are the exact moments.
    `x_test` and `y_test` are the held-out samples, None where `test` is known otherwise.
    """

    train: Moments
    test: Moments
    x: NDArray[np.float64] | None = None
    y: NDArray[np.float64] | None = None
    x_test: NDArray[np.float64] | None = None
    y_test: NDArray[np.float64] | None = None

    @property
    def samples(self) -> int | None:
        """Number of training samples, None for the population."""
        return None if self.x is None else len(self.x)

    @cached_property
    def products(self) -> NDArray[np.float64]:
        """Per-sample products, shape (samples, inputs^2 + outputs * inputs): x x^T, then y x^T.

        The moments of a batch are means of these rows.
        """
        if self.x is None or self.y is None:
            raise InputError("The population has no samples to draw batches from.")
        xx = np.einsum("ni,nj->nij", self.x, self.x).reshape(len(self.x), -1)
        yx = np.einsum("ni,nj->nij", self.y, self.x).reshape(len(self.x), -1)
        return np.hstack([xx, yx])

    def with_constant_input(self) -> Data:
        """The same data with a constant input 1 appended, which carries the biases.

        Where there are no samples, inputs and targets have zero mean.
        """
        x, x_test = _append_ones(self.x), _append_ones(self.x_test)
        train, test = _append_constant(self.train), _append_constant(self.test)
        if x is not None and self.y is not None:
            train = moments(x, self.y)
        if x_test is not None and self.y_test is not None:
            test = moments(x_test, self.y_test)
        return Data(train=train, test=test, x=x, y=self.y, x_test=x_test, y_test=self.y_test)


def _append_ones(x: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return None if x is None else np.hstack([x, np.ones((len(x), 1))])


def _append_constant(m: Moments) -> Moments:
    size = len(m.xx)
    xx = np.eye(size + 1)
    xx[:size, :size] = m.xx
    return Moments(xx=xx, yx=np.hstack([m.yx, np.zeros((len(m.yx), 1))]), yy=m.yy)


def moments(x: ArrayLike, y: ArrayLike) -> Moments:
    """Empirical second moments of samples x (samples, inputs) and y (samples, outputs)."""
    x, y = _real(x), _real(y)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) == 0:
        raise InputError(
            "Data must be two tables with one row per sample, got shapes "
            f"{x.shape} and {y.shape}; reshape them to (samples, inputs) and (samples, outputs)."
        )
    if 0 in (x.shape[1], y.shape[1]):
        raise InputError(
            f"Data must have at least one input and one output, got {x.shape[1]} and {y.shape[1]}."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("Data must be finite numbers; found NaN or infinity: drop those rows.")
    n = len(x)
    with np.errstate(over="ignore", invalid="ignore"):
        found = Moments(xx=x.T @ x / n, yx=y.T @ x / n, yy=y.T @ y / n)
    if not all(np.isfinite(table).all() for table in (found.xx, found.yx, found.yy)):
        largest = max(np.abs(x).max(), np.abs(y).max())
        raise InputError(
            f"The second moments of the data are not finite, its largest number is {largest:.3g}: "
            "scale the data to numbers of order 1."
        )
    return found


def _real(table: ArrayLike) -> NDArray[np.float64]:
    """A table of real numbers as float64."""
    if np.iscomplexobj(table):
        raise InputError(
            "Data must be real numbers, got complex ones: give real and imaginary parts as "
            "columns of their own."
        )
    try:
        return np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as why:
        raise InputError(f"Data must be tables of real numbers: {why}.") from None


def from_arrays(
    x: ArrayLike, y: ArrayLike, x_test: ArrayLike | None = None, y_test: ArrayLike | None = None
) -> Data:
    """The user's own arrays as a task; without held-out arrays test error is train error."""
    if (x_test is None) != (y_test is None):
        raise InputError("Held-out data need both x_test and y_test: give both or neither.")
    if x_test is None or y_test is None:
        x_test, y_test = x, y
    x, y, x_test, y_test = _real(x), _real(y), _real(x_test), _real(y_test)
    train, test = moments(x, y), moments(x_test, y_test)
    if test.yx.shape != train.yx.shape:
        raise InputError(
            "Held-out data must have the inputs and outputs of the training data, got "
            f"{x_test.shape[1]} and {y_test.shape[1]} beside {x.shape[1]} and {y.shape[1]}."
        )
    return Data(train=train, test=test, x=x, y=y, x_test=x_test, y_test=y_test)
