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
from spinodal.dynamics.schedule import Stretch, adam_corrections, stretches
from spinodal.dynamics.tables import (
    check_probabilities,
    exact_products,
    flat_mask,
    joint_factor,
    noise_factors,
    rounded,
    sample_products,
    stacked,
)
from spinodal.dynamics.tasks import AnyTask, Data
from spinodal.dynamics.updates import Loss, Optimizer, Sampling, Update
from spinodal.errors import InputError
from spinodal.seeding import keys

__all__ = ["Draw", "Plan", "Stretch", "adam_corrections", "bytes_per_replica", "make_plan"]

MOST_WORDS = 2**28
"""Random words of a replica's step: the engine counts them with 32 bits."""


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
    network.check_size(outputs, real_inputs)
    blocks = network.blocks(outputs, real_inputs)
    path = "moments" if network.linear and update.loss == "squared" else "samples"
    products = sample_products(datasets, update, dtype) if path == "moments" else None
    held_out = path == "samples" and first.x_test is not None
    plan = Plan(
        seed=seed,
        replicas=tuple(replicas),
        dataset_of=np.asarray(dataset_of, dtype=np.int64),
        shapes=tuple(blocks),
        activation=network.activation,
        precision=dtype,
        trainable=flat_mask(network, outputs, real_inputs),
        path=path,
        loss=update.loss,
        inputs=inputs,
        real_inputs=real_inputs,
        outputs=outputs,
        samples=first.samples or 0,
        products=products,
        exact=rounded(exact_products(datasets), dtype) if path == "moments" else None,
        x=stacked("x", datasets, dtype) if path == "samples" else None,
        y=stacked("y", datasets, dtype) if path == "samples" else None,
        test_x=stacked("x_test", datasets, dtype) if held_out else None,
        test_y=stacked("y_test", datasets, dtype) if held_out else None,
        sampling=update.sampling,
        factor=joint_factor(update, task),
        gaussian=update.gaussian,
        centre=exact_products(datasets)
        if update.gaussian == "local" and path == "moments"
        else None,
        factors=noise_factors(network, update, datasets, path),
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
        check_probabilities(plan.y, plan.test_y)
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
    draws = {"batches": batches, "labels": labels, "gradients": gradients, "kicks": kicks}
    for kind, draw in draws.items():
        if draw is not None and draw.words > MOST_WORDS:
            raise InputError(
                f"A step would draw {draw.words:,} words of {draw.name} for every replica, at most "
                f"{MOST_WORDS:,} can be: lower {_what_to_lower(kind, plan)}."
            )
    return draws


def _what_to_lower(kind: str, plan: Plan) -> str:
    """The settings that a stream's words grow with."""
    if kind == "batches":
        return {
            "shuffled": "the number of samples",
            "replacement": "batch_size",
            "fresh": "batch_size, inputs or outputs",
            "wishart": "inputs or outputs",
        }[plan.sampling]
    if kind == "labels" and plan.path == "samples":
        return "batch_size (with sampling 'full': the number of samples) or outputs"
    if kind == "gradients" and plan.factors is None:
        return "the number of samples"
    return "the width or depth of the network" if kind == "kicks" else "inputs or outputs"


def bytes_per_replica(network: Network, update: Update, outputs: int, inputs: int) -> int:
    """About how much memory a replica needs while it trains, tables of the data left out.

    Its weights in the network's precision, as the machine's and as the start's, and a copy to
    store; what the optimiser remembers, likewise; its first weights with the random words and
    normals they come from, in 64 bits; its streams' keys; and a look at its map.
    """
    weights = sum(rows * columns for rows, columns in network.blocks(outputs, inputs))
    buffers = {"sgd": 0, "momentum": 1}.get(update.optimizer, 2)
    size = 8 if network.precision == "float64" else 4
    look = outputs * (inputs + 1) + 3  # the map, the norm and two losses
    streams = 5 * 16  # batches, labels, gradients, kicks and first weights
    return weights * (size * (3 + 2 * buffers) + 3 * 8) + 8 * look + streams
