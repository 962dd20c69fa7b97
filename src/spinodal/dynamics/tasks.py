"""What is to be learned: joint Gaussian data with a prescribed spectrum, or the user's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.seeding import generator

Matrix = tuple[tuple[float, ...], ...]


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
    """Training samples x (samples, inputs), y (samples, outputs), and held-out moments.

    `x` and `y` are None in population mode, where `train` and `test` are the exact moments.
    """

    train: Moments
    test: Moments
    x: NDArray[np.float64] | None = None
    y: NDArray[np.float64] | None = None

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

        Inputs of the population have zero mean.
        """
        if self.x is None or self.y is None:
            return Data(train=_append_constant(self.train), test=_append_constant(self.test))
        one = np.ones((len(self.x), 1))
        x = np.hstack([self.x, one])
        # The held-out inputs have mean zero up to sampling error, which the test error of a
        # network whose biases stay at zero does not feel.
        return Data(train=moments(x, self.y), test=_append_constant(self.test), x=x, y=self.y)


def _append_constant(m: Moments) -> Moments:
    size = len(m.xx)
    xx = np.eye(size + 1)
    xx[:size, :size] = m.xx
    return Moments(xx=xx, yx=np.hstack([m.yx, np.zeros((len(m.yx), 1))]), yy=m.yy)


def moments(x: ArrayLike, y: ArrayLike) -> Moments:
    """Empirical second moments of samples x (samples, inputs) and y (samples, outputs)."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) == 0:
        raise InputError(
            "Data must be two tables with one row per sample, got shapes "
            f"{x.shape} and {y.shape}; reshape them to (samples, inputs) and (samples, outputs)."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("Data must be finite numbers; found NaN or infinity: drop those rows.")
    n = len(x)
    return Moments(xx=x.T @ x / n, yx=y.T @ x / n, yy=y.T @ y / n)


def from_arrays(
    x: ArrayLike, y: ArrayLike, x_test: ArrayLike | None = None, y_test: ArrayLike | None = None
) -> Data:
    """The user's own arrays as a task; without held-out arrays test error is train error."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    train = moments(x, y)
    if x_test is None or y_test is None:
        return Data(train=train, test=train, x=x, y=y)
    return Data(train=train, test=moments(x_test, y_test), x=x, y=y)


class GaussianTask(Settings):
    """Zero-mean jointly Gaussian x and y.

    Sigma_yx has the singular values `signals` on its diagonal (or in random orthogonal frames,
    one pair per data set, with `random_frames`); Sigma_xx and Sigma_yy are the identity unless
    given as matrices. `samples` None means the population: exact moments, no sampling.
    With `pool`, the `samples` are drawn without replacement from a pool of that size, as in
    sparse-data experiments. `empirical_signals` conditions every data set on its own moments:
    the sample is whitened and recoloured, which for Gaussian data is exactly the law of
    the sample given that its Sigma_xx and Sigma_yy are as prescribed and its Sigma_yx has
    these singular values.
    """

    signals: tuple[float, ...] = Field(min_length=1)
    inputs: PositiveInt | None = None
    outputs: PositiveInt | None = None
    input_covariance: Matrix | None = None
    output_covariance: Matrix | None = None
    random_frames: bool = False
    samples: PositiveInt | None = None
    pool: PositiveInt | None = None
    test_samples: PositiveInt | None = None
    empirical_signals: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> GaussianTask:
        if min(self.signals) < 0:
            raise InputError(f"Signals are singular values, at least 0; got {self.signals}.")
        if len(self.signals) > min(self.shape):
            raise InputError(
                f"{len(self.signals)} signals need as many inputs and outputs, got {self.shape}."
            )
        if self.pool is not None and (self.samples is None or self.samples > self.pool):
            raise InputError(f"A pool of {self.pool} cannot give {self.samples} samples.")
        if self.empirical_signals is not None and (
            self.samples is None or self.samples < sum(self.shape) or self.pool is not None
        ):
            raise InputError(
                "empirical_signals needs at least inputs + outputs samples and no pool."
            )
        if self.samples is not None:
            self.factor(self.signals)
            self.factor(self.empirical_signals or self.signals)
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        d = len(self.signals)
        return self.outputs or d, self.inputs or d

    def population(self, signals: tuple[float, ...] | None = None) -> Moments:
        """The exact moments, in the diagonal frame."""
        outputs, inputs = self.shape
        yx = np.zeros((outputs, inputs))
        values = self.signals if signals is None else signals
        yx[range(len(values)), range(len(values))] = values
        xx = np.eye(inputs) if self.input_covariance is None else np.array(self.input_covariance)
        yy = np.eye(outputs) if self.output_covariance is None else np.array(self.output_covariance)
        if xx.shape != (inputs, inputs) or yy.shape != (outputs, outputs):
            raise InputError(
                f"Covariances must have shapes {(inputs, inputs)} and {(outputs, outputs)}, "
                f"got {xx.shape} and {yy.shape}."
            )
        return Moments(xx=xx, yx=yx, yy=yy)

    def factor(self, signals: tuple[float, ...] | None = None) -> NDArray[np.float64]:
        """Cholesky factor of the joint covariance of (x, y)."""
        m = self.population(signals)
        joint = np.block([[m.xx, m.yx.T], [m.yx, m.yy]])
        try:
            factor: NDArray[np.float64] = np.linalg.cholesky(joint).astype(np.float64)
        except np.linalg.LinAlgError:
            raise InputError(
                f"No Gaussian data has signals {signals or self.signals} with these covariances: "
                "the joint covariance is not positive definite. With unit covariances signals "
                "must be below 1; larger ones need a larger output_covariance or samples = None."
            ) from None
        return factor


def draw(task: GaussianTask, *, seed: int, dataset: int) -> Data:
    """Data set number `dataset` of the task under `seed`: the same data in any company."""
    rng = generator(seed, "dataset", dataset)
    outputs, inputs = task.shape
    left, right = np.eye(outputs), np.eye(inputs)
    if task.random_frames:
        left, right = _orthogonal(rng, outputs), _orthogonal(rng, inputs)
    m = task.population()
    exact = Moments(xx=right @ m.xx @ right.T, yx=left @ m.yx @ right.T, yy=left @ m.yy @ left.T)
    if task.samples is None:
        return Data(train=exact, test=exact)
    factor = task.factor()
    joint = rng.standard_normal((task.pool or task.samples, inputs + outputs)) @ factor.T
    if task.pool is not None:
        joint = joint[rng.choice(task.pool, size=task.samples, replace=False)]
    if task.empirical_signals is not None:
        sample = np.linalg.cholesky(joint.T @ joint / len(joint))
        joint = np.linalg.solve(sample, joint.T).T @ task.factor(task.empirical_signals).T
    test = exact
    if task.test_samples is not None:
        held_out = rng.standard_normal((task.test_samples, inputs + outputs)) @ factor.T
        test = moments(held_out[:, :inputs] @ right.T, held_out[:, inputs:] @ left.T)
    x, y = joint[:, :inputs] @ right.T, joint[:, inputs:] @ left.T
    return Data(train=moments(x, y), test=test, x=x, y=y)


def _orthogonal(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A rotation drawn uniformly: QR of a Gaussian matrix with the signs of R's diagonal."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.multiply(q, np.sign(np.diag(r)), dtype=np.float64)
