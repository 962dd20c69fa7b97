"""The Gaussian task: joint Gaussian inputs and targets with a prescribed spectrum."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from spinodal.dynamics.data import Data, Moments, moments
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.seeding import generator

Matrix = tuple[tuple[float, ...], ...]


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

    kind: Literal["gaussian"] = "gaussian"
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
        exact = self.population()
        for name, matrix in (("input_covariance", exact.xx), ("output_covariance", exact.yy)):
            if getattr(self, name) is not None and not _semi_definite(matrix):
                raise InputError(
                    f"{name} must be a covariance matrix, but it has a negative eigenvalue: "
                    "lower the entries beside the diagonal."
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
        if not (np.array_equal(xx, xx.T) and np.array_equal(yy, yy.T)):
            raise InputError("Covariances must be symmetric: make entries (i, j) and (j, i) equal.")
        return Moments(xx=xx, yx=yx, yy=yy)

    def check_possible(self, use: str) -> None:
        """Refuse moments that no Gaussian x and y have; `use` says what needs such variables.

        The exact gradient does not: it is defined for signals of any size.
        """
        m = self.population()
        if not _semi_definite(np.block([[m.xx, m.yx.T], [m.yx, m.yy]])):
            raise InputError(
                f"{use} needs Gaussian x and y, but none have signals {self.signals} with these "
                "covariances: the joint covariance has a negative eigenvalue. With unit "
                "covariances signals must be at most 1; larger ones need a larger "
                "output_covariance."
            )

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


def _semi_definite(matrix: NDArray[np.float64]) -> bool:
    """Is a symmetric matrix positive semi-definite, but for rounding?"""
    scale = np.abs(matrix).max() or 1.0
    try:
        np.linalg.cholesky(matrix / scale + 1e-12 * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        return False
    return True


def draw_gaussian(task: GaussianTask, *, seed: int, dataset: int) -> Data:
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
    test, x_test, y_test = exact, None, None
    if task.test_samples is not None:
        held_out = rng.standard_normal((task.test_samples, inputs + outputs)) @ factor.T
        x_test, y_test = held_out[:, :inputs] @ right.T, held_out[:, inputs:] @ left.T
        test = moments(x_test, y_test)
    x, y = joint[:, :inputs] @ right.T, joint[:, inputs:] @ left.T
    return Data(train=moments(x, y), test=test, x=x, y=y, x_test=x_test, y_test=y_test)


def _orthogonal(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A rotation drawn uniformly: QR of a Gaussian matrix with the signs of R's diagonal."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.multiply(q, np.sign(np.diag(r)), dtype=np.float64)
