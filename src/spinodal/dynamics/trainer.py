"""Training of layers that are at hand: a machine for them, and copies taken on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.dynamics.data import Data
from spinodal.dynamics.machine import Machine, build
from spinodal.dynamics.networks import Layers, Network, singular_values
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.updates import Update

BLOCK = 64
"""Updates made in one go while something is looked for after every one of them."""


def trainer(
    layers: Layers,
    network: Network,
    update: Update,
    datasets: Sequence[Data],
    dataset_of: ArrayLike,
    *,
    seed: int = 0,
    replicas: Sequence[int] | None = None,
    weight_decay: ArrayLike | None = None,
    first_step: int = 0,
) -> Machine:
    """A machine that trains copies of `layers`, lane i on `datasets[dataset_of[i]]`.

    `weight_decay` gives every lane its own, in place of that of `update`. With `first_step`
    batches and noise go on from there.
    """
    lanes = np.asarray(dataset_of, dtype=np.int64)
    plan = make_plan(
        network,
        update,
        [d.with_constant_input() for d in datasets] if network.biases else datasets,
        lanes,
        seed=seed,
        replicas=range(len(lanes)) if replicas is None else replicas,
    )
    machine = build(plan, layers)
    if first_step:
        machine.restore(first_step, machine.state())
    if weight_decay is not None:
        machine.decay = np.broadcast_to(weight_decay, lanes.shape).astype(network.precision)
    return machine


def seen_strengths(maps: NDArray[np.float64], inputs: int | None = None) -> NDArray[np.float64]:
    """Strengths in the maps of a trace, (looks, modes, lanes), strongest first."""
    return np.moveaxis(singular_values(np.moveaxis(maps[:, :, :inputs], -1, 1)), 1, -1)


def copies_at(
    machine: Machine,
    wanted: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    *,
    targets: int,
    most: int,
) -> list[Layers] | None:
    """Copies of every lane at the first update at which each of `targets` conditions holds.

    `wanted` maps strengths (modes, lanes) to (targets, lanes). None if some condition was not met
    within `most` updates. Updates are made in blocks; a block in which a condition is met is gone
    through once more, because only weights that are there can be copied.
    """
    lanes = machine.layers[0].shape[-1]
    kept = [[layer.copy() for layer in machine.layers] for _ in range(targets)]
    waiting = np.ones((targets, lanes), dtype=bool)

    def take(values: NDArray[np.float64]) -> None:
        passed = waiting & wanted(values)
        for copies, here in zip(kept, passed, strict=True):
            for copy, layer in zip(copies, machine.layers, strict=True):
                copy[..., here] = layer[..., here]
        waiting[passed] = False

    take(seen_strengths(machine.observe().maps)[0])
    start = machine.step
    while waiting.any():
        if machine.step - start >= most:
            return None
        before, state = machine.step, machine.state()
        seen = seen_strengths(machine.advance(BLOCK, 1).maps)
        hits = [n for n, values in enumerate(seen, start=1) if (waiting & wanted(values)).any()]
        if hits:
            machine.restore(before, state)
            for count in hits:
                machine.advance(before + count - machine.step, BLOCK)
                take(seen[count - 1])
            if machine.step < before + BLOCK:
                machine.advance(before + BLOCK - machine.step, BLOCK)
    return kept
