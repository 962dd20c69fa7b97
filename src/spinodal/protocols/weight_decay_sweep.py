"""Training goes on while the weight decay is swept in small steps, the state carried over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.machine import Machine
from spinodal.dynamics.networks import Layers, Network, singular_values
from spinodal.dynamics.tasks import Data
from spinodal.dynamics.trainer import trainer
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError

Floats = NDArray[np.float64]
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

    def machines(
        self, layers: Layers, network: Network, update: Update, *, seed: int, first_step: int
    ) -> tuple[Machine, Machine]:
        """One machine for the lanes with noise, one for the others."""
        count = len(self.noisy)
        parts = [[layer[..., :count] for layer in layers], [layer[..., count:] for layer in layers]]
        noisy, quiet = (
            trainer(
                [np.ascontiguousarray(layer) for layer in part],
                network,
                own,
                self.data,
                sets,
                seed=seed,
                replicas=numbers,
                first_step=first_step,
            )
            for part, own, sets, numbers in zip(
                parts,
                (update, update.noiseless),
                (self.noisy, self.quiet),
                (self.replicas, range(len(self.quiet))),
                strict=True,
            )
        )
        return noisy, quiet


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
    network: Network,
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
    machines = lanes.machines(layers, network, update, seed=seed, first_step=first_step)
    kept, kept_at = [layer.copy() for layer in layers], np.full(len(lanes.datasets), -1)
    strengths, errors = [], []
    split = len(lanes.noisy)
    for number, decays in enumerate(rungs):
        maps = []
        for machine, own in zip(machines, (decays[:split], decays[split:]), strict=True):
            machine.decay = own.astype(network.precision)
            maps.append(machine.advance(rung_steps, rung_steps).maps[-1])
        values, error = _observe(np.concatenate(maps, axis=-1), lanes)
        strengths.append(values)
        errors.append(error)
        if wanted is not None:
            now = wanted(values) & (kept_at < 0)
            kept_at[now] = number
            for copy, layer in zip(kept, _layers(machines), strict=True):
                copy[..., now] = layer[..., now]
        if progress is not None:
            progress((number + 1) / len(rungs))
    return Sweep(
        strengths=np.array(strengths),
        test_error=np.array(errors),
        layers=_layers(machines),
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


def _layers(machines: Sequence[Machine]) -> Layers:
    """All lanes side by side again."""
    parts = zip(*(machine.layers for machine in machines), strict=True)
    return [np.concatenate(part, axis=-1) for part in parts]


def _observe(maps: Floats, lanes: Lanes) -> tuple[Floats, Floats]:
    maps = np.moveaxis(maps, -1, 0)
    if not np.all(np.isfinite(maps)):
        raise InputError("Training diverged during the sweep: use a smaller learning_rate.")
    error = np.empty(len(maps))
    sets = np.array(lanes.datasets)
    for number, data in enumerate(lanes.data):
        mine = sets == number
        error[mine] = data.test.error(maps[mine])
    return singular_values(maps).T, error
