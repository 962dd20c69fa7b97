"""The update rules, written to be read: gradient, step, and where the batches come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.networks import Layers, multiply
from spinodal.dynamics.tasks import Data, GaussianTask
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.seeding import Stream, indices, normals_from_words, permutations

Sampling = Literal["shuffled", "replacement", "fresh", "full", "population"]

SMALLEST = 1e-100
"""Weights below this are set to zero: denormal numbers would slow a trapped run many times."""


class Update(Settings):
    """One training step: where the gradient comes from, and what noise is added to it.

    theta <- theta - lr (grad E_batch + weight_decay theta) + sqrt(2 T lr) xi,  xi ~ N(0, 1)

    `sampling` names the batches: `shuffled` (every epoch a new order, as a DataLoader does),
    `replacement` (independent draws from the training set), `fresh` (new samples of the
    population), `full` (the whole training set: no sampling noise) or `population` (the exact
    gradient). `drop_last` leaves out the incomplete batch of an epoch. `temperature` T adds
    isotropic (Langevin) noise; 0 adds none.
    """

    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    sampling: Sampling = "shuffled"
    batch_size: PositiveInt | None = None
    drop_last: bool = True
    temperature: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Update:
        if self.sampling in ("shuffled", "replacement", "fresh") and self.batch_size is None:
            raise InputError(f"Sampling '{self.sampling}' needs a batch_size.")
        return self

    @property
    def noiseless(self) -> Update:
        """The noise-off twin: same learning rate and weight decay, no noise of any kind."""
        sampling: Sampling = "population" if self.sampling in ("fresh", "population") else "full"
        return self.model_copy(update={"sampling": sampling, "temperature": 0.0})

    def steps_per_epoch(self, samples: int | None) -> int:
        """Updates per pass over the training set; 1 where there is no such pass."""
        if samples is None or self.batch_size is None or self.sampling in ("full", "population"):
            return 1
        steps = samples // self.batch_size
        if not self.drop_last and samples % self.batch_size:
            steps += 1
        if steps == 0:
            raise InputError(
                f"A batch of {self.batch_size} does not fit into {samples} samples and incomplete "
                "batches are dropped, so an epoch has no steps: use sampling 'full', a smaller "
                "batch, or drop_last = false."
            )
        return steps


def gradients(layers: Layers, xx: NDArray[np.floating], yx: NDArray[np.floating]) -> Layers:
    """Gradient of 1/2 <||y - W x||^2> in every layer from batch moments.

    With G = W <x x^T> - <y x^T>, A_l = W_L ... W_{l+1} and B_l = W_{l-1} ... W_1,
    dE/dW_l = A_l^T G B_l^T. Moments have shape (rows, columns, replicas or 1).
    """
    below = [layers[0]]  # W_l ... W_1
    for layer in layers[1:]:
        below.append(multiply(layer, below[-1]))
    flow = multiply(below[-1], xx) - yx  # A_l^T G, from the last layer to the first
    result: Layers = []
    for layer in range(len(layers) - 1, 0, -1):
        result.append(np.einsum("ikr,jkr->ijr", flow, below[layer - 1]))
        flow = np.einsum("kir,kjr->ijr", layers[layer], flow)
    return [flow, *result[::-1]]


def step(
    layers: Layers,
    gradient: Sequence[NDArray[np.floating]],
    noise: Sequence[NDArray[np.floating]] | None,
    update: Update,
    trainable: list[NDArray[np.bool_]] | None = None,
) -> None:
    """One update, in place. `noise` holds standard normals shaped as the layers, or None."""
    kick = np.sqrt(2 * update.temperature * update.learning_rate)
    for i, (weight, slope) in enumerate(zip(layers, gradient, strict=True)):
        change = slope + update.weight_decay * weight
        change *= -update.learning_rate
        if noise is not None:
            change += (kick * noise[i]).astype(weight.dtype, copy=False)
        if trainable is not None:
            change *= trainable[i]
        weight += change
        weight *= np.abs(weight) >= SMALLEST


class Batches:
    """The batch moments of every step, for replicas that each own their order of samples."""

    def __init__(
        self,
        update: Update,
        datasets: list[Data],
        dataset_of: NDArray[np.int64],
        *,
        seed: int,
        replicas: list[int],
        task: GaussianTask | None,
        dtype: str,
    ) -> None:
        """Batches of `datasets[dataset_of[i]]` for replica i, drawn from its own stream."""
        self._update, self._dtype = update, dtype
        self._dataset_of = dataset_of
        first = datasets[0]
        self._outputs, self._inputs = first.train.yx.shape
        self._exact = _stack([d.train for d in datasets], dataset_of, dtype)
        self._epoch = -1
        samples = first.samples
        if update.sampling in ("shuffled", "replacement"):
            if samples is None:
                raise InputError(
                    f"Sampling '{update.sampling}' needs a training set, but the task is the "
                    "population: set samples, or use sampling 'fresh' or 'population'."
                )
            self._table = np.concatenate([d.products for d in datasets]).astype(dtype)
            self._samples = samples
            self._per_epoch = update.steps_per_epoch(samples)
        if update.sampling == "fresh":
            if task is None or task.random_frames:
                raise InputError("Fresh samples need a Gaussian task in its diagonal frame.")
            self._factor = task.factor()
        self._stream = self._make_stream(seed, replicas)

    def _make_stream(self, seed: int, replicas: list[int]) -> Stream | None:
        update = self._update
        if update.batch_size is None or update.sampling in ("full", "population"):
            return None
        if update.sampling == "shuffled":
            return Stream(seed, "shuffled batches", replicas, self._samples)
        if update.sampling == "replacement":
            return Stream(seed, "batches with replacement", replicas, update.batch_size)
        variables = update.batch_size * len(self._factor)
        return Stream(seed, "fresh batches", replicas, -(-variables // 2))

    def moments(self, step: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """<x x^T> and <y x^T> of the batch of this step, shapes (rows, columns, replicas)."""
        if self._stream is None:
            return self._exact
        if self._update.sampling == "shuffled":
            epoch, within = divmod(step, self._per_epoch)
            if epoch != self._epoch:
                self._load_epoch(epoch)
            return self._unpack(self._sums[within])
        words = self._stream.words(step)
        if self._update.sampling == "replacement":
            chosen = indices(words, self._samples)
            return self._unpack(self._rows(chosen).mean(axis=0))
        return self._fresh(words)

    def _load_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch and sum the products of each of its batches."""
        assert self._stream is not None
        assert self._update.batch_size is not None
        order = permutations(self._stream.words(epoch))
        size = self._update.batch_size
        self._sums = [
            self._rows(order[at * size : (at + 1) * size]).mean(axis=0)
            for at in range(self._per_epoch)
        ]
        self._epoch = epoch

    def _rows(self, chosen: NDArray[np.int64]) -> NDArray[np.floating]:
        """Products of the chosen samples (batch, replicas), each from the replica's data set."""
        return self._table.take(chosen + self._samples * self._dataset_of, axis=0)

    def _fresh(
        self, words: NDArray[np.uint64]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        size, variables = self._update.batch_size or 1, len(self._factor)
        normals = normals_from_words(words)[: size * variables].reshape(size, variables, -1)
        joint = np.einsum("vk,nkr->nvr", self._factor, normals)
        inputs = variables - self._outputs
        x, y = joint[:, :inputs], joint[:, inputs:]
        if inputs < self._inputs:  # the constant input that carries the biases
            x = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
        xx = np.einsum("nir,njr->ijr", x, x) / size
        yx = np.einsum("nir,njr->ijr", y, x) / size
        return xx.astype(self._dtype, copy=False), yx.astype(self._dtype, copy=False)

    def _unpack(
        self, rows: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Rows of shape (replicas, products) as two matrices with the replicas last."""
        columns = np.ascontiguousarray(rows.T)
        split = self._inputs**2
        return (
            columns[:split].reshape(self._inputs, self._inputs, -1),
            columns[split:].reshape(self._outputs, self._inputs, -1),
        )

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only; their numbers do not change."""
        self._dataset_of = self._dataset_of[mask]
        self._exact = (self._exact[0][..., mask], self._exact[1][..., mask])
        if self._stream is not None:
            self._stream.keep(mask)
        self._epoch = -1


def _stack(
    parts: list, dataset_of: NDArray[np.int64], dtype: str
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Exact moments of every replica's data set, replicas last."""
    xx = np.stack([m.xx for m in parts], axis=-1).astype(dtype)
    yx = np.stack([m.yx for m in parts], axis=-1).astype(dtype)
    return np.ascontiguousarray(xx[..., dataset_of]), np.ascontiguousarray(yx[..., dataset_of])
