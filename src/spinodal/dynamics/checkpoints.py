"""Starts: random or zero weights, balanced networks, traps by annealing, checkpoints from files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from spinodal.dynamics.balanced import balanced
from spinodal.dynamics.data import Data
from spinodal.dynamics.files import load_checkpoint, save_checkpoint, with_hash
from spinodal.dynamics.machine import Machine, build
from spinodal.dynamics.networks import (
    Layers,
    Network,
    end_to_end,
    project_to_rank,
    singular_values,
)
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.records import Settings

__all__ = ["Start", "balanced", "load_checkpoint", "prepare", "save_checkpoint"]

CHECK_EVERY = 4
"""Updates between two looks at a checkpoint in preparation: its residual is met within 40 %."""

KEPT = 8
"""Traps kept ready: arms of one experiment and their twins start from the same ones."""

_PREPARED: dict[str, tuple[Layers, NDArray[np.float64]]] = {}
_LOCK = threading.Lock()  # shards prepare their starts side by side


class Start(Settings):
    """Where training starts.

    `random`: independent Gaussian weights. `zeros`: all weights zero, plus Gaussian ones of
    standard deviation `jitter`. `trap`: a network trained by annealing until it holds exactly
    `rank` features. `balanced`: all layers share `strengths` equally along the singular vectors
    of the training data. `checkpoint`: the layers in the file `path` (see `load_checkpoint`),
    whose `sha256` is filled in and belongs to the digest. Traps and balanced starts are linear
    networks.

    A trap is prepared by full-batch training from random weights on a ladder of weight decays
    that starts at `ladder_start` and rises by `ladder_step` after every `rung_steps` updates until
    no more than `rank` strengths exceed `alive`. The weight decay then stays until strength
    number rank + 1 has fallen below `residual`: how well the checkpoint has converged
    is a setting, because it decides what happens next. `residual` 0 projects exactly onto
    the low-rank set instead. With `ladder_down` the weight decay returns to that of the
    experiment in steps of `ladder_step`, else at once.
    """

    kind: Literal["random", "zeros", "trap", "balanced", "checkpoint"] = "random"
    rank: NonNegativeInt = 0
    strengths: tuple[NonNegativeFloat, ...] = ()
    jitter: NonNegativeFloat = 0.0
    path: str = ""
    sha256: str = ""
    residual: float = Field(default=1e-9, ge=0)
    ladder_start: NonNegativeFloat = 0.2
    ladder_step: PositiveFloat = 0.01
    rung_steps: PositiveInt = 200
    alive: PositiveFloat = 1e-2
    learning_rate: PositiveFloat = 0.08
    ladder_down: bool = False

    @model_validator(mode="before")
    @classmethod
    def _hash(cls, values: object) -> object:
        return with_hash(values)

    @model_validator(mode="after")
    def _consistent(self) -> Start:
        if (self.kind == "checkpoint") != bool(self.path):
            raise InputError(
                f"A start from a checkpoint needs its path, and no other has one; got kind "
                f"'{self.kind}' and path '{self.path}'."
            )
        if self.jitter > 0 and self.kind != "zeros":
            raise InputError(
                f"jitter belongs to a start from zeros, got kind '{self.kind}': use kind 'zeros', "
                "or the network's initial_scale."
            )
        return self


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
    at = np.full(len(replicas), update.weight_decay)
    if start.kind == "balanced":
        with np.errstate(over="ignore"):
            layers = balanced(network, datasets, dataset_of, start.strengths)
        _check_size(layers, network, f"strengths {start.strengths}")
        return layers, at
    if start.kind == "zeros":
        return network.gaussian(outputs, inputs, start.jitter, seed=seed, replicas=replicas), at
    if start.kind == "checkpoint":
        layers = load_checkpoint(
            start.path, network.shapes(outputs, inputs), biases=network.biases, replicas=replicas,
            dtype=network.precision, sha256=start.sha256,
        )  # fmt: skip
        _check_size(layers, network, f"weights in {start.path}")
        return layers, at
    layers = network.initial(outputs, inputs, seed=seed, replicas=replicas)
    if start.kind == "random":
        return layers, at
    key = _name_of_trap(start, network, update, datasets, dataset_of, seed, replicas)
    with _LOCK:
        found = _PREPARED.get(key)
    if found is None:
        # Without the lock: two threads may do the same work, which gives the same bits.
        found = _anneal(layers, start, network, update, datasets, dataset_of)
        with _LOCK:
            while len(_PREPARED) >= KEPT:
                del _PREPARED[next(iter(_PREPARED))]
            _PREPARED[key] = found
    return [layer.copy() for layer in found[0]], found[1].copy()


def _check_size(layers: Layers, network: Network, what: str) -> None:
    """Refuse a start that has diverged before its first update."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = sum(float((layer.astype(np.float64) ** 2).sum()) for layer in layers)
        if network.linear:
            total += float((end_to_end(layers) ** 2).sum())
    if not np.isfinite(total):
        raise InputError(
            f"The start's {what} are too large: the squares of its weights or of its map are no "
            f"finite numbers in {network.precision}; use numbers of order 1."
        )


def _name_of_trap(
    start: Start,
    network: Network,
    update: Update,
    datasets: Sequence[Data],
    dataset_of: NDArray[np.int64],
    seed: int,
    replicas: range,
) -> str:
    """A digest of all that annealing depends on."""
    target = update.weight_decay if start.ladder_down else None
    text = f"{start.digest} {network.digest} {target} {seed} {replicas} {dataset_of.tolist()}"
    sha = hashlib.sha256(text.encode())
    for data in datasets:
        sha.update(data.train.xx.tobytes() + data.train.yx.tobytes())
    return sha.hexdigest()


def _anneal(
    layers: Layers,
    start: Start,
    network: Network,
    update: Update,
    datasets: Sequence[Data],
    dataset_of: NDArray[np.int64],
) -> tuple[Layers, NDArray[np.float64]]:
    outputs, inputs = datasets[0].train.yx.shape
    inputs -= network.biases
    if start.rank > min(outputs, inputs):
        raise InputError(f"{outputs} outputs and {inputs} inputs have no rank {start.rank}.")
    # Rounding hides strengths below the precision of the strongest one.
    floor = 10 * float(np.finfo(network.precision).eps)
    residual = max(start.residual or 1e-9, floor)
    machine = _exact_descent(layers, start, network, datasets, dataset_of)
    decay = np.full(len(dataset_of), start.ladder_start)
    done = [layer.copy() for layer in layers]
    waiting = np.ones(len(dataset_of), dtype=bool)
    # From random weights to the first rung, then from look to look.
    first = -(-3 * start.rung_steps // CHECK_EVERY) * CHECK_EVERY
    for count in range(first, 200 * start.rung_steps, CHECK_EVERY):
        steps = count - machine.step
        dead = _strength(machine.advance(steps, steps).maps[-1, :, :inputs], start.rank)
        # Each replica is taken at its own moment, while the others train on.
        passed = waiting & (dead <= residual)
        if passed.any():
            for kept, layer in zip(done, machine.layers, strict=True):
                kept[..., passed] = layer[..., passed]
        waiting &= ~passed
        if not waiting.any():
            break
        if count % start.rung_steps == 0:
            decay[waiting & (dead > start.alive)] += start.ladder_step
            machine.decay = decay.astype(network.precision)
    else:
        raise InputError(
            f"No checkpoint of rank {start.rank} with a residual of {residual:g} was reached: "
            "use a larger residual, longer rungs or a higher ladder_start."
        )
    prepared = decay.copy()
    if start.ladder_down:
        machine = _exact_descent(done, start, network, datasets, dataset_of)
        while (above := decay > update.weight_decay).any():
            decay[above] = np.maximum(decay[above] - start.ladder_step, update.weight_decay)
            machine.decay = decay.astype(network.precision)
            machine.advance(start.rung_steps, start.rung_steps)
        done = [layer.copy() for layer in machine.layers]
    return (project_to_rank(done, start.rank) if start.residual == 0 else done), prepared


def _exact_descent(
    layers: Layers,
    start: Start,
    network: Network,
    datasets: Sequence[Data],
    dataset_of: NDArray[np.int64],
) -> Machine:
    """Full-batch training at the start's learning rate and first weight decay: no noise."""
    update = Update(
        learning_rate=start.learning_rate, weight_decay=start.ladder_start, sampling="full"
    )
    plan = make_plan(network, update, datasets, dataset_of, seed=0, replicas=range(len(dataset_of)))
    return build(plan, layers)


def _strength(maps: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Strength number rank + 1 of maps (outputs, inputs, R); zero where there is none."""
    values = singular_values(np.moveaxis(maps, -1, 0))
    return values[:, rank] if values.shape[1] > rank else np.zeros(len(values))
