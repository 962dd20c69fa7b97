"""Everything settled that a machine needs to train replicas: arrays and numbers, no decisions.

Arrays of a data set have the data set first; arrays of weights are (P, ...) with the layers one
after another, row by row. What is marked T is in the network's precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Activation, Network
from spinodal.dynamics.noise import frozen_factor, local_factor, unique_products
from spinodal.dynamics.schedule import Stretch, adam_corrections, stretches
from spinodal.dynamics.tasks import AnyTask, Data, GaussianTask
from spinodal.dynamics.updates import Loss, Optimizer, Sampling, Update
from spinodal.errors import InputError
from spinodal.seeding import keys

__all__ = ["Draw", "Plan", "Stretch", "adam_corrections", "make_plan"]


@dataclass(frozen=True)
class Draw:
    """A stream of random words, one per replica: its name, and how many words a step owns."""

    name: str
    words: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What a machine does, for replicas that each have a data set and streams of their own.

    Two paths. `moments` (linear networks, squared error): the gradient comes from the batch's
    K = d (d + 1) / 2 + p d unique products <x_i x_j> (i <= j, row by row) and <y_i x_j>, where d
    counts the constant input of biases and p the outputs. `samples`: sample by sample.

    A batch's products are (the sum of its rows of `products`, one after the other) / size, or
    `exact` for sampling `full` and `population`, or follow from `factor` (`fresh`, `wishart`).
    """

    seed: int
    replicas: tuple[int, ...]
    dataset_of: NDArray[np.int64]  # (R,) number of the replica's data set in the tables
    # the network
    shapes: tuple[tuple[int, int], ...]  # rows and columns of every layer, constant units included
    activation: Activation
    precision: Literal["float64", "float32"]
    trainable: NDArray[np.floating]  # T (P,): 1 where a weight is trained, 0 where it is fixed
    # the loss and the data
    path: Literal["moments", "samples"]
    loss: Loss
    inputs: int  # d
    real_inputs: int  # d without the constant input
    outputs: int  # p
    samples: int  # N, 0 in a population
    products: NDArray[np.floating] | None  # T (sets, N, K), where the moments of batches need it
    exact: NDArray[np.floating] | None  # T (sets, K), path of moments
    x: NDArray[np.floating] | None  # T (sets, N, d), path of samples
    y: NDArray[np.floating] | None  # T (sets, N, p)
    test_x: NDArray[np.floating] | None  # T (sets, M, d), path of samples, what is held out
    test_y: NDArray[np.floating] | None  # T (sets, M, p)
    # batches and noise
    sampling: Sampling
    factor: NDArray[np.float64] | None  # (V, V) Cholesky factor of (x, y) without constant input
    gaussian: Literal["local", "frozen"] | None
    centre: NDArray[np.float64] | None  # (sets, K): the exact products, for local noise
    factors: NDArray[np.float64] | None
    # local: (sets, K, k), F F^T = covariance of one sample's products; frozen: (sets, P, k), of
    # one sample's gradient. A stretch's noise has the factor `spread * factors`.
    label_noise: float  # s; per batch s / sqrt(size) on the path of moments
    # the optimiser
    optimizer: Optimizer
    momentum: float
    second_momentum: float
    epsilon: float
    stretches: tuple[Stretch, ...]
    # the streams; None where nothing is drawn
    batches: Draw | None
    labels: Draw | None
    gradients: Draw | None
    kicks: Draw | None

    @property
    def weights(self) -> int:
        """P, the number of entries of all layers."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Number of the first weight of every layer."""
        sizes = [rows * columns for rows, columns in self.shapes]
        return tuple(int(at) for at in np.cumsum([0, *sizes[:-1]]))

    @property
    def smallest(self) -> float:
        """Weights and momenta below this become zero; of second moments, below `smallest_square`.

        Denormal numbers would slow a trapped run many times.
        """
        return 1e-100 if self.precision == "float64" else 1e-30

    @property
    def smallest_square(self) -> float:
        """See `smallest`."""
        return 1e-200 if self.precision == "float64" else 1e-37

    @cached_property
    def first_weight_decay(self) -> float:
        """The weight decay before any stage changes it."""
        return self.stretches[0].weight_decay or 0.0

    def stretch(self, step: int) -> Stretch:
        """The stretch that update number `step` (from 0) belongs to."""
        return next(s for s in self.stretches if s.last is None or step < s.last)

    def noise_factors(self, stretch: Stretch) -> NDArray[np.float64]:
        """Factor of the Gaussian noise in a stretch, F F^T = covariance / batch_size."""
        assert self.factors is not None
        return self.factors * stretch.spread

    def keys(self, draw: Draw) -> NDArray[np.uint64]:
        """Philox keys of a stream, shape (R, 2)."""
        return keys(self.seed, draw.name, self.replicas)

    def keep(self, mask: NDArray[np.bool_]) -> Plan:
        """The plan for some of the replicas; their numbers do not change."""
        chosen = tuple(self.replicas[i] for i in np.flatnonzero(mask))
        return replace(self, replicas=chosen, dataset_of=self.dataset_of[mask])


def make_plan(
    network: Network,
    update: Update,
    datasets: Sequence[Data],
    dataset_of: NDArray[np.int64],
    *,
    seed: int,
    replicas: Sequence[int],
    task: AnyTask | None = None,
) -> Plan:
    """The plan for replica `replicas[i]` on `datasets[dataset_of[i]]`.

    With biases the data sets have the constant input already (`Data.with_constant_input`).
    `task` is what fresh samples are drawn from; None where the data are the user's own.
    """
    first, dtype = datasets[0], network.precision
    outputs, inputs = first.train.yx.shape
    real_inputs = inputs - network.biases
    blocks = network.blocks(outputs, real_inputs)
    path = "moments" if network.linear and update.loss == "squared" else "samples"
    products = _products(datasets, update, dtype) if path == "moments" else None
    held_out = path == "samples" and first.x_test is not None
    plan = Plan(
        seed=seed,
        replicas=tuple(replicas),
        dataset_of=np.asarray(dataset_of, dtype=np.int64),
        shapes=tuple(blocks),
        activation=network.activation,
        precision=dtype,
        trainable=_flat_mask(network, outputs, real_inputs),
        path=path,
        loss=update.loss,
        inputs=inputs,
        real_inputs=real_inputs,
        outputs=outputs,
        samples=first.samples or 0,
        products=products,
        exact=_exact(datasets).astype(dtype) if path == "moments" else None,
        x=_stack("x", datasets, dtype) if path == "samples" else None,
        y=_stack("y", datasets, dtype) if path == "samples" else None,
        test_x=_stack("x_test", datasets, dtype) if held_out else None,
        test_y=_stack("y_test", datasets, dtype) if held_out else None,
        sampling=update.sampling,
        factor=_factor(update, task),
        gaussian=update.gaussian,
        centre=_exact(datasets) if update.gaussian == "local" and path == "moments" else None,
        factors=_noise_factors(network, update, datasets, path),
        label_noise=update.label_noise,
        optimizer=update.optimizer,
        momentum=update.momentum,
        second_momentum=update.second_momentum,
        epsilon=update.epsilon,
        stretches=stretches(update, first.samples or 0, path),
        batches=None,
        labels=None,
        gradients=None,
        kicks=None,
    )
    if update.loss == "cross_entropy":
        _check_probabilities(plan)
    return replace(plan, **_draws(plan, update))


def _draws(plan: Plan, update: Update) -> dict[str, Draw | None]:
    """The streams and the words that a step of each owns."""
    d, p = plan.inputs, plan.outputs
    size = max(stretch.batch_size for stretch in plan.stretches)
    variables = plan.real_inputs + p
    batches = labels = gradients = kicks = None
    if plan.sampling == "shuffled":
        batches = Draw("shuffled batches", plan.samples)
    elif plan.sampling == "replacement":
        batches = Draw("batches with replacement", -(-size // 2))
    elif plan.sampling == "fresh":
        batches = Draw("fresh batches", -(-size * variables // 2))
    elif plan.sampling == "wishart":
        corners = variables * (variables - 1) // 2
        batches = Draw("wishart batches", 8 * variables + -(-corners // 2))
    if update.label_noise > 0:
        targets = p * d if plan.path == "moments" else size * p
        labels = Draw("label noise", -(-targets // 2))
    if plan.gaussian is not None:
        normals = plan.samples if plan.factors is None else plan.factors.shape[-1]
        gradients = Draw("gradient noise", -(-normals // 2))
    if any(stretch.kick > 0 for stretch in plan.stretches):
        kicks = Draw("Langevin noise", -(-plan.weights // 2))
    return {"batches": batches, "labels": labels, "gradients": gradients, "kicks": kicks}


def _flat_mask(network: Network, outputs: int, inputs: int) -> NDArray[np.floating]:
    masks = network.trainable(outputs, inputs)
    if masks is None:
        return np.ones(network.parameters(outputs, inputs), dtype=network.precision)
    return np.concatenate([mask.ravel() for mask in masks]).astype(network.precision)


def _exact(datasets: Sequence[Data]) -> NDArray[np.float64]:
    """Unique products of the exact moments, shape (sets, K)."""
    upper = np.triu_indices(len(datasets[0].train.xx))
    return np.stack([np.concatenate([d.train.xx[upper], d.train.yx.ravel()]) for d in datasets])


def _products(datasets: Sequence[Data], update: Update, dtype: str) -> NDArray[np.floating] | None:
    """Unique products of every sample, where batches are drawn from the training set."""
    if update.sampling not in ("shuffled", "replacement"):
        return None
    x, y = _stack("x", datasets, "float64"), _stack("y", datasets, "float64")
    return np.stack([unique_products(*pair) for pair in zip(x, y, strict=True)]).astype(dtype)


def _stack(name: str, datasets: Sequence[Data], dtype: str) -> NDArray[np.floating]:
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
    return np.ascontiguousarray(np.stack(tables), dtype=dtype)


def _factor(update: Update, task: AnyTask | None) -> NDArray[np.float64] | None:
    if update.sampling not in ("fresh", "wishart"):
        return None
    if not isinstance(task, GaussianTask) or task.random_frames:
        raise InputError(
            f"Sampling '{update.sampling}' needs a Gaussian task in its diagonal frame: use "
            "sampling 'shuffled' or 'replacement', or random_frames = false."
        )
    return task.factor()


def _noise_factors(
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


def _check_probabilities(plan: Plan) -> None:
    """Cross-entropy compares with class probabilities."""
    assert plan.y is not None
    for y in (plan.y, plan.test_y):
        if y is None:
            continue
        total = y.sum(axis=-1)
        if y.shape[-1] < 2 or (y < 0).any() or np.abs(total - 1).max() > 1e-6:
            raise InputError(
                "Cross-entropy needs class probabilities of at least two classes as targets (rows "
                "at least 0 that add up to 1, such as one-hot rows), but these targets are other "
                "numbers: give class numbers or one-hot rows, or use loss 'squared'."
            )
