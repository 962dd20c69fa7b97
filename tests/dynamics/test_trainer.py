"""Layers at hand are trained as an ensemble would, and copied at the right update."""

from __future__ import annotations

import numpy as np
import pytest

from spinodal.dynamics.checkpoints import balanced
from spinodal.dynamics.networks import Network, strengths
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.trainer import BLOCK, copies_at, seen_strengths, trainer
from spinodal.dynamics.updates import Update

NETWORK = Network(depth=3, width=4)
DATA = [draw(GaussianTask(signals=(0.9, 0.8), samples=64), seed=1, dataset=i) for i in range(3)]
LANES = np.array([0, 1, 2])


def descent(decay, **more):
    update = Update(learning_rate=0.05, weight_decay=0.0, sampling="full")
    layers = balanced(NETWORK, DATA, LANES, (0.5, 0.2))
    return trainer(layers, NETWORK, update, DATA, LANES, weight_decay=decay, **more)


def test_every_lane_has_its_own_weight_decay():
    together = descent([0.1, 0.2, 0.6])
    together.advance(300, 300)
    for lane, decay in enumerate((0.1, 0.2, 0.6)):
        alone = descent(decay)
        alone.advance(300, 300)
        for one, both in zip(alone.layers, together.layers, strict=True):
            np.testing.assert_array_equal(one[..., lane], both[..., lane])


def test_batches_go_on_where_an_earlier_sweep_stopped():
    update = Update(learning_rate=0.05, weight_decay=0.1, batch_size=16)
    start = balanced(NETWORK, DATA, LANES, (0.5, 0.2))
    whole = trainer(start, NETWORK, update, DATA, LANES, seed=4)
    whole.advance(30, 30)
    first = trainer(start, NETWORK, update, DATA, LANES, seed=4)
    first.advance(13, 13)
    second = trainer(first.layers, NETWORK, update, DATA, LANES, seed=4, first_step=13)
    second.advance(17, 17)
    for one, other in zip(whole.layers, second.layers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_copy_is_the_first_network_that_meets_its_target():
    targets = np.array([0.15, 0.1, 0.01])[:, None]
    machine = descent(0.6)
    kept = copies_at(machine, lambda values: values[1] <= targets, targets=3, most=10_000)
    assert kept is not None
    walker = descent(0.6)
    missing = {(t, lane) for t in range(3) for lane in range(3)}
    while missing:
        for t, lane in sorted(missing):
            if strengths(walker.layers)[1, lane] <= targets[t, 0]:
                for copy, layer in zip(kept[t], walker.layers, strict=True):
                    np.testing.assert_array_equal(copy[..., lane], layer[..., lane])
                missing.discard((t, lane))
        walker.advance(1, 1)
    assert machine.step % BLOCK == 0


def test_a_target_that_is_never_met_gives_no_copies():
    found = copies_at(descent(0.0), lambda v: (v[1] < 1e-9)[None], targets=1, most=500)
    assert found is None


def test_strengths_of_a_trace_are_those_of_the_layers():
    machine = descent(0.1)
    seen = seen_strengths(machine.advance(20, 10).maps)
    assert seen.shape == (2, 2, 3)
    np.testing.assert_allclose(seen[-1], strengths(machine.layers), rtol=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_traces_keep_the_order_of_lanes(count):
    lanes = LANES[:count]
    layers = balanced(NETWORK, DATA, lanes, (0.5, 0.2))
    update = Update(learning_rate=0.05, weight_decay=0.1, sampling="full")
    machine = trainer(layers, NETWORK, update, DATA, lanes)
    assert seen_strengths(machine.observe().maps).shape == (1, 2, count)
