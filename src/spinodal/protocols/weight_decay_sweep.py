"""Training goes on while the weight decay is swept in small steps, the state carried over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.batches import Batches
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.networks import Layers, end_to_end, singular_values
from spinodal.dynamics.optimisers import step
from spinodal.dynamics.tasks import Data
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError

Floats = NDArray[np.float64]
Moving = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lanes:
    """Which data set each lane trains on: lanes with minibatch noise first, then full-batch ones.

    `replicas` are the numbers of the noisy lanes; each owns its order of samples.
    """

    data: Sequence[Data]
    noisy: tuple[int, ...]
    quiet: tuple[int, ...]
    replicas: tuple[int, ...]

    @property
    def datasets(self) -> tuple[int, ...]:
        """Data set of every lane."""
        return (*self.noisy, *self.quiet)

    def batches(self, update: Update, seed: int) -> Callable[[int], tuple[Moving, Moving]]:
        """The batch moments of every step, shapes (rows, columns, lanes)."""

        def source(update: Update, sets: tuple[int, ...], replicas: list[int]) -> Batches:
            return Batches.of(
                update,
                list(self.data),
                np.array(sets, dtype=np.int64),
                seed=seed,
                replicas=replicas,
                task=None,
                dtype="float64",
            )

        noisy = source(update, self.noisy, list(self.replicas))
        xx, yx = source(update.noiseless, self.quiet, []).moments(0)

        def moments(at: int) -> tuple[Moving, Moving]:
            batch = noisy.moments(at)
            return np.concatenate([batch[0], xx], axis=-1), np.concatenate([batch[1], yx], axis=-1)

        return moments


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """What was seen at the end of every rung; the rung axis comes first, the lanes last.

    `strengths` (rungs, modes, lanes), strongest first; `test_error` (rungs, lanes). `layers` is the
    state at the end, `kept` a copy of every lane at the rung `kept_at` where it was first wanted
    (-1: never).
    """

    strengths: Floats
    test_error: Floats
    layers: Layers
    kept: Layers
    kept_at: NDArray[np.int64]


def sweep(
    layers: Layers,
    rungs: Floats,
    *,
    lanes: Lanes,
    update: Update,
    rung_steps: int,
    seed: int,
    wanted: Callable[[Floats], Mask] | None = None,
    first_step: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Sweep:
    """Train `rung_steps` updates at every weight decay of `rungs`, shape (rungs, lanes).

    The weight decay of `update` is not used. `wanted` is given the strengths (modes, lanes) at the
    end of a rung and says which lanes to keep a copy of. `first_step` continues the order of
    batches of an earlier sweep.
    """
    layers = [layer.copy() for layer in layers]
    kept, kept_at = [layer.copy() for layer in layers], np.full(len(lanes.datasets), -1)
    plain = update.model_copy(update={"weight_decay": 0.0})
    batches = lanes.batches(update, seed)
    strengths, errors = [], []
    at = first_step
    for number, decays in enumerate(rungs):
        for _ in range(rung_steps):
            slopes = gradients(layers, *batches(at))
            for slope, layer in zip(slopes, layers, strict=True):
                slope += decays * layer
            step(layers, slopes, None, plain)
            at += 1
        values, error = _observe(layers, lanes)
        strengths.append(values)
        errors.append(error)
        if wanted is not None:
            now = wanted(values) & (kept_at < 0)
            kept_at[now] = number
            for copy, layer in zip(kept, layers, strict=True):
                copy[..., now] = layer[..., now]
        if progress is not None:
            progress((number + 1) / len(rungs))
    return Sweep(
        strengths=np.array(strengths),
        test_error=np.array(errors),
        layers=layers,
        kept=kept,
        kept_at=kept_at,
    )


def last_held(strengths: Floats, threshold: float) -> int | None:
    """Last rung of an upward sweep at whose end the strength still exceeds `threshold`.

    None where the feature was never held, or is still held at the last rung: then there is no
    transition in the range. `strengths` has shape (rungs,).
    """
    held = np.flatnonzero(strengths > threshold)
    if len(held) == 0 or held[-1] == len(strengths) - 1:
        return None
    return int(held[-1])


def _observe(layers: Layers, lanes: Lanes) -> tuple[Floats, Floats]:
    maps = np.moveaxis(end_to_end(layers), -1, 0).astype(np.float64)
    if not np.all(np.isfinite(maps)):
        raise InputError("Training diverged during the sweep: use a smaller learning_rate.")
    error = np.empty(len(maps))
    sets = np.array(lanes.datasets)
    for number, data in enumerate(lanes.data):
        mine = sets == number
        error[mine] = data.test.error(maps[mine])
    return singular_values(maps).T, error
