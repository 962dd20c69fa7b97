"""Checkpoints of every residual side by side, trained on until the second feature appears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.batches import Batches
from spinodal.dynamics.checkpoints import Start, prepare
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.networks import Layers, end_to_end, project_to_rank, strengths
from spinodal.dynamics.optimisers import step
from spinodal.dynamics.tasks import Data
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.sparse_records import SparseGrokkingSettings


@dataclass(frozen=True)
class Checkpoints:
    """Networks side by side: layers with one lane per (residual, data set), residual first.

    The residual None is the one of its own for every data set at which the stated time is due.
    """

    layers: Layers
    residual: tuple[float | None, ...]
    dataset: NDArray[np.int64]
    prepared_at: NDArray[np.float64]

    @property
    def strengths(self) -> NDArray[np.float64]:
        """Strengths of every lane, shape (modes, lanes)."""
        return strengths(self.layers)

    def at(self, residuals: tuple[float | None, ...]) -> Checkpoints:
        """Only the lanes of these residuals."""
        lanes = np.flatnonzero([r in residuals for r in self.residual])
        return Checkpoints(
            [np.ascontiguousarray(layer[..., lanes]) for layer in self.layers],
            tuple(self.residual[i] for i in lanes),
            self.dataset[lanes],
            self.prepared_at[lanes],
        )


def prepare_checkpoints(
    settings: SparseGrokkingSettings, data: list[Data], tuned: NDArray[np.float64], seed: int
) -> Checkpoints:
    """Anneal once per data set; keep the network each time its second strength passes a target."""
    count, highest = len(data), max(max(settings.residuals), float(tuned.max()))
    start = Start(
        kind="trap", rank=1, residual=highest, ladder_start=0.05, rung_steps=settings.rung_updates
    )
    layers, decay = prepare(
        start, settings.network, settings.update(None), data, np.arange(count),
        seed=seed, replicas=range(count),
    )  # fmt: skip
    positive = sorted((r for r in settings.residuals if r > 0), reverse=True)
    names: list[float | None] = [*positive, None]
    targets = np.vstack([np.repeat(np.array(positive)[:, None], count, axis=1), tuned])
    kept = [[layer.copy() for layer in layers] for _ in names]
    waiting = np.ones(targets.shape, dtype=bool)
    xx, yx = (
        np.ascontiguousarray(np.stack([getattr(d.train, m) for d in data], axis=-1))
        for m in ("xx", "yx")
    )
    # Short steps, so that a target is met within a few per cent.
    fine = Update(learning_rate=0.01, weight_decay=0.0, sampling="full")
    for _ in range(200_000):
        passed = waiting & (strengths(layers)[1] <= targets)
        for copies, here in zip(kept, passed, strict=True):
            for copy, layer in zip(copies, layers, strict=True):
                copy[..., here] = layer[..., here]
        waiting &= ~passed
        if not waiting.any():
            break
        slopes = gradients(layers, xx, yx)
        step(layers, [s + decay * w for s, w in zip(slopes, layers, strict=True)], None, fine)
    else:
        raise InputError("The second feature did not decay to the smallest residual.")
    if 0.0 in settings.residuals:
        names.append(0.0)
        kept.append(project_to_rank(layers, 1))
    return Checkpoints(
        [np.concatenate(parts, axis=-1) for parts in zip(*kept, strict=True)],
        tuple(name for name in names for _ in range(count)),
        np.tile(np.arange(count), len(names)),
        np.tile(decay, len(names)),
    )


def escape_updates(
    settings: SparseGrokkingSettings,
    data: list[Data],
    checkpoints: Checkpoints,
    update: Update,
    seed: int,
) -> dict[tuple[float | None, int], int | None]:
    """Updates until the second strength of every checkpoint first exceeds the threshold.

    The horizon is one of time: at half the learning rate it holds twice the updates.
    """
    layers = [layer.copy() for layer in checkpoints.layers]
    total = layers[0].shape[-1]
    batches = Batches.of(
        update, data, checkpoints.dataset, seed=seed, replicas=list(range(total)),
        task=None, dtype="float64",
    )  # fmt: skip
    escaped = np.full(total, -1)
    lanes = np.arange(total)
    horizon = round(settings.horizon * settings.learning_rate / update.learning_rate)
    for now in range(1, horizon + 1):
        step(layers, gradients(layers, *batches.moments(now - 1)), None, update)
        beyond = strengths(layers)[1] > settings.threshold
        escaped[lanes[beyond & (escaped[lanes] < 0)]] = now
        open_ = escaped[lanes] < 0
        if not open_.any():
            break
        # A lane alone would be summed in another order; a few idle ones are cheap.
        if 2 <= open_.sum() < 0.8 * len(lanes):
            lanes = lanes[open_]
            layers = [np.ascontiguousarray(layer[..., open_]) for layer in layers]
            batches.keep(open_)
    keys = zip(checkpoints.residual, checkpoints.dataset.tolist(), strict=True)
    return {
        key: None if at < 0 else int(at) for key, at in zip(keys, escaped.tolist(), strict=True)
    }


@dataclass(frozen=True)
class Followed:
    """Train and test errors (data sets, records) at `updates`, full batch."""

    updates: NDArray[np.int64]
    train: NDArray[np.float64]
    test: NDArray[np.float64]


def follow(
    settings: SparseGrokkingSettings, data: list[Data], checkpoints: Checkpoints
) -> Followed:
    """Errors of the runs that are due at the stated time, to well beyond it."""
    layers, update = [layer.copy() for layer in checkpoints.layers], settings.update(None)
    batches = Batches.of(
        update, data, checkpoints.dataset, seed=0, replicas=list(range(len(data))),
        task=None, dtype="float64",
    )  # fmt: skip
    rows, at = [], []
    for now in range(2 * settings.stated_epochs + 1):
        if now % 10 == 0 or now < 10:
            maps = np.moveaxis(end_to_end(layers), -1, 0)
            rows.append([[float(getattr(d, part).error(w)) for d, w in zip(data, maps, strict=True)]
                         for part in ("train", "test")])  # fmt: skip
            at.append(now)
        step(layers, gradients(layers, *batches.moments(now)), None, update)
    errors = np.moveaxis(np.array(rows), 0, -1)
    return Followed(np.array(at), errors[0], errors[1])
