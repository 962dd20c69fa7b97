"""What a plan knows of networks and data sets, as arrays: tables of samples, products, factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Network
from spinodal.dynamics.noise import frozen_factor, local_factor, unique_products
from spinodal.dynamics.tasks import AnyTask, Data, GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError


def flat_mask(network: Network, outputs: int, inputs: int) -> NDArray[np.floating]:
    """1 where a weight is trained, 0 where it is fixed: shape (P,)."""
    masks = network.trainable(outputs, inputs)
    if masks is None:
        return np.ones(network.parameters(outputs, inputs), dtype=network.precision)
    return np.concatenate([mask.ravel() for mask in masks]).astype(network.precision)


def exact_products(datasets: Sequence[Data]) -> NDArray[np.float64]:
    """Unique products of the exact moments, shape (sets, K)."""
    upper = np.triu_indices(len(datasets[0].train.xx))
    return np.stack([np.concatenate([d.train.xx[upper], d.train.yx.ravel()]) for d in datasets])


def sample_products(
    datasets: Sequence[Data], update: Update, dtype: str
) -> NDArray[np.floating] | None:
    """Unique products of every sample, where batches are drawn from the training set."""
    if update.sampling not in ("shuffled", "replacement"):
        return None
    x, y = stacked("x", datasets, "float64"), stacked("y", datasets, "float64")
    with np.errstate(over="ignore", invalid="ignore"):
        table = np.stack([unique_products(*pair) for pair in zip(x, y, strict=True)])
    return rounded(table, dtype)


def stacked(name: str, datasets: Sequence[Data], dtype: str) -> NDArray[np.floating]:
    """Arrays of samples of all data sets, (sets, samples, ...)."""
    tables = [getattr(d, name) for d in datasets]
    if any(table is None for table in tables):
        raise InputError(
            "These settings need a training set, but the task is the population: set samples, or "
            "use a linear network with sampling 'fresh', 'wishart' or 'population'."
        )
    if len({table.shape for table in tables}) > 1:
        raise InputError(
            "Data sets that are trained on side by side must have equally many samples, got "
            f"{[len(table) for table in tables]}: leave out some, or run them one by one."
        )
    return rounded(np.stack(tables), dtype)


def rounded(table: NDArray[np.float64], dtype: str) -> NDArray[np.floating]:
    """The table in the network's precision, contiguous; refused where that has no such numbers."""
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(table, dtype=dtype)
    if not np.isfinite(result).all():
        raise InputError(
            f"The data or their products are too large for {dtype}: scale the data to numbers of "
            "order 1."
        )
    return result


def joint_factor(update: Update, task: AnyTask | None) -> NDArray[np.float64] | None:
    """Cholesky factor of (x, y), where batches are drawn from the population."""
    if update.sampling not in ("fresh", "wishart"):
        return None
    if not isinstance(task, GaussianTask) or task.random_frames:
        raise InputError(
            f"Sampling '{update.sampling}' needs a Gaussian task in its diagonal frame: use "
            "sampling 'shuffled' or 'replacement', or random_frames = false."
        )
    return task.factor()


def noise_factors(
    network: Network, update: Update, datasets: Sequence[Data], path: str
) -> NDArray[np.float64] | None:
    """Factors of the covariance of one sample's products or gradient, where noise is Gaussian."""
    if update.gaussian is None or (update.gaussian == "local" and path == "samples"):
        return None
    if update.gaussian == "local":
        parts = [local_factor(data, constant=network.biases) for data in datasets]
    else:
        parts = [frozen_factor(data, network, update.frozen_strengths) for data in datasets]
    return np.stack(parts)


def check_probabilities(*targets: NDArray[np.floating] | None) -> None:
    """Cross-entropy compares with class probabilities."""
    for y in targets:
        if y is None:
            continue
        total = y.sum(axis=-1)
        if y.shape[-1] < 2 or (y < 0).any() or np.abs(total - 1).max() > 1e-6:
            raise InputError(
                "Cross-entropy needs class probabilities of at least two classes as targets (rows "
                "at least 0 that add up to 1, such as one-hot rows), but these targets are other "
                "numbers: give class numbers or one-hot rows, or use loss 'squared'."
            )
