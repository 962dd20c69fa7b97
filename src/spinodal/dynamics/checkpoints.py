"""Starts: random weights, points on the balanced path, and traps prepared by annealing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from spinodal.dynamics.networks import (
    Layers,
    Network,
    project_to_rank,
    strengths,
)
from spinodal.dynamics.tasks import Data
from spinodal.dynamics.updates import Update, gradients, step
from spinodal.errors import InputError
from spinodal.records import Settings

CHECK_EVERY = 4
"""Updates between two looks at a checkpoint in preparation: its residual is met within 40 %."""


class Start(Settings):
    """Where training starts.

    `random`: independent Gaussian weights. `trap`: a network trained by annealing until it holds
    exactly `rank` features. `balanced`: all layers share `strengths` equally along the singular
    vectors of the training data.

    A trap is prepared by full-batch training from random weights on a ladder of weight decays
    that starts at `ladder_start` and rises by `ladder_step` after every `rung_steps` updates until
    no more than `rank` strengths exceed `alive`. The weight decay then stays until strength
    number rank + 1 has fallen below `residual`: how well the checkpoint has converged
    is a setting, because it decides what happens next. `residual` 0 projects exactly onto
    the low-rank set instead. With `ladder_down` the weight decay returns to that of the
    experiment in steps of `ladder_step`, else at once.
    """

    kind: Literal["random", "trap", "balanced"] = "random"
    rank: NonNegativeInt = 0
    strengths: tuple[NonNegativeFloat, ...] = ()
    residual: float = Field(default=1e-9, ge=0)
    ladder_start: NonNegativeFloat = 0.2
    ladder_step: PositiveFloat = 0.01
    rung_steps: PositiveInt = 200
    alive: PositiveFloat = 1e-2
    learning_rate: PositiveFloat = 0.08
    ladder_down: bool = False


def prepare(
    start: Start,
    network: Network,
    update: Update,
    datasets: list[Data],
    dataset_of: NDArray[np.int64],
    *,
    seed: int,
    replicas: range,
) -> tuple[Layers, NDArray[np.float64]]:
    """Initial layers (rows, columns, replicas) and the weight decay each was prepared at."""
    outputs, inputs = datasets[0].train.yx.shape
    inputs -= network.biases
    if start.kind == "balanced":
        layers = balanced(network, datasets, dataset_of, start.strengths)
        return layers, np.full(len(replicas), update.weight_decay)
    layers = network.initial(outputs, inputs, seed=seed, replicas=replicas)
    if start.kind == "random":
        return layers, np.full(len(replicas), update.weight_decay)
    return _anneal(layers, start, network, update, datasets, dataset_of)


def balanced(
    network: Network,
    datasets: list[Data],
    dataset_of: NDArray[np.int64],
    values: tuple[float, ...],
) -> Layers:
    """Layers whose product has the strengths `values` along the data's singular vectors.

    Each of the L layers carries the amplitude strength^(1/L) of its mode on its first units.
    """
    rank = len(values)
    if network.biases:
        raise InputError("Balanced starts have no biases: set biases = false.")
    outputs, inputs = datasets[0].train.yx.shape
    if rank > min(outputs, inputs, *network.hidden, outputs):
        raise InputError(
            f"{rank} strengths do not fit through layers of widths {network.hidden} between "
            f"{inputs} inputs and {outputs} outputs."
        )
    amplitudes = np.diag(np.asarray(values, dtype=float) ** (1 / network.depth))
    layers: Layers = []
    for layer, (rows, columns) in enumerate(network.shapes(outputs, inputs), start=1):
        block = np.zeros((len(datasets), rows, columns))
        for i, data in enumerate(datasets):
            left, _, right = np.linalg.svd(data.train.yx)
            core = amplitudes
            if layer == 1:
                core = core @ right[:rank]
            if layer == network.depth:
                core = left[:, :rank] @ core
            block[i, : core.shape[0], : core.shape[1]] = core
        lanes = np.moveaxis(block[dataset_of], 0, -1)
        layers.append(np.ascontiguousarray(lanes, dtype=network.precision))
    return layers


def _anneal(
    layers: Layers,
    start: Start,
    network: Network,
    update: Update,
    datasets: list[Data],
    dataset_of: NDArray[np.int64],
) -> tuple[Layers, NDArray[np.float64]]:
    outputs, inputs = datasets[0].train.yx.shape
    inputs -= network.biases
    if start.rank > min(outputs, inputs):
        raise InputError(f"{outputs} outputs and {inputs} inputs have no rank {start.rank}.")
    xx = _lanes([d.train.xx for d in datasets], dataset_of, network)
    yx = _lanes([d.train.yx for d in datasets], dataset_of, network)
    trainable = network.trainable(outputs, inputs)
    # Rounding hides strengths below the precision of the strongest one.
    floor = 10 * float(np.finfo(network.precision).eps)
    residual = max(start.residual or 1e-9, floor)
    decay = np.full(len(dataset_of), start.ladder_start)
    done = [layer.copy() for layer in layers]
    waiting = np.ones(len(dataset_of), dtype=bool)
    warm_up = 3 * start.rung_steps  # from random weights to the first rung
    for count in range(1, 200 * start.rung_steps):
        _relax(layers, xx, yx, decay, start.learning_rate, trainable)
        if count < warm_up or count % CHECK_EVERY:
            continue
        values = strengths(layers, inputs)
        dead = values[start.rank] if len(values) > start.rank else np.zeros(len(decay))
        # Each replica is taken at its own moment, while the others train on.
        passed = waiting & (dead <= residual)
        for kept, layer in zip(done, layers, strict=True):
            kept[..., passed] = layer[..., passed]
        waiting &= ~passed
        if not waiting.any():
            break
        if count % start.rung_steps == 0:
            decay[waiting & (dead > start.alive)] += start.ladder_step
    else:
        raise InputError(
            f"No checkpoint of rank {start.rank} with a residual of {residual:g} was reached: "
            "use a larger residual, longer rungs or a higher ladder_start."
        )
    prepared = decay.copy()
    if start.ladder_down:
        while (above := decay > update.weight_decay).any():
            decay[above] = np.maximum(decay[above] - start.ladder_step, update.weight_decay)
            for _ in range(start.rung_steps):
                _relax(done, xx, yx, decay, start.learning_rate, trainable)
    return (project_to_rank(done, start.rank) if start.residual == 0 else done), prepared


def _relax(
    layers: Layers,
    xx: NDArray[np.floating],
    yx: NDArray[np.floating],
    decay: NDArray[np.float64],
    learning_rate: float,
    trainable: list[NDArray[np.bool_]] | None,
) -> None:
    """One full-batch step in which every replica has its own weight decay."""
    slopes = gradients(layers, xx, yx)
    slopes = [
        (slope + decay * weight).astype(weight.dtype, copy=False)
        for slope, weight in zip(slopes, layers, strict=True)
    ]
    plain = Update(learning_rate=learning_rate, weight_decay=0.0, sampling="full")
    step(layers, slopes, None, plain, trainable)


def _lanes(
    parts: list[NDArray[np.float64]], dataset_of: NDArray[np.int64], network: Network
) -> NDArray[np.floating]:
    """Matrices of every replica's data set, replicas last."""
    stack = np.stack(parts, axis=-1).astype(network.precision)
    return np.ascontiguousarray(stack[..., dataset_of])
