"""Checkpoints of every residual side by side, trained on until the second feature appears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.checkpoints import Start, prepare
from spinodal.dynamics.networks import Layers, project_to_rank, strengths
from spinodal.dynamics.tasks import Data
from spinodal.dynamics.trainer import copies_at, seen_strengths, trainer
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.sparse_records import SparseGrokkingSettings

LOOKS = 500
"""Updates made in one go while escapes are looked for after every one of them."""


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
    # Short steps, so that a target is met within a few per cent.
    fine = Update(learning_rate=0.01, weight_decay=0.0, sampling="full")
    machine = trainer(layers, settings.network, fine, data, np.arange(count), weight_decay=decay)
    kept = copies_at(
        machine, lambda values: values[1] <= targets, targets=len(targets), most=200_000
    )
    if kept is None:
        raise InputError("The second feature did not decay to the smallest residual.")
    if 0.0 in settings.residuals:
        names.append(0.0)
        kept.append(project_to_rank(machine.layers, 1))
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
    total = len(checkpoints.residual)
    machine = trainer(
        checkpoints.layers, settings.network, update, data, checkpoints.dataset, seed=seed
    )
    escaped, lanes = np.full(total, -1), np.arange(total)
    horizon = round(settings.horizon * settings.learning_rate / update.learning_rate)
    while machine.step < horizon and len(lanes):
        seen = machine.advance(min(LOOKS, horizon - machine.step), 1)
        beyond = seen_strengths(seen.maps)[:, 1] > settings.threshold
        hit = np.asarray(beyond.any(axis=0))
        escaped[lanes[hit]] = seen.steps[beyond.argmax(axis=0)[hit]]
        lanes = lanes[~hit]
        if hit.any() and len(lanes):
            machine.keep(~hit)
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
    machine = trainer(
        checkpoints.layers, settings.network, settings.update(None), data, checkpoints.dataset
    )
    first, early = machine.observe(), machine.advance(9, 1)
    machine.advance(1, 1)
    tenth = machine.observe()
    later = machine.advance(2 * settings.stated_epochs - 10, 10)
    looks = (first, early, tenth, later)
    maps = np.moveaxis(np.concatenate([look.maps for look in looks]), -1, 0)
    errors = [
        np.array([getattr(d, part).error(w) for d, w in zip(data, maps, strict=True)])
        for part in ("train", "test")
    ]
    return Followed(np.concatenate([look.steps for look in looks]), *errors)
