"""The readable machine: a replica's numbers are its own, states can be left and taken up again."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest

from spinodal.dynamics.data import from_arrays
from spinodal.dynamics.machine import build, look_after
from spinodal.dynamics.networks import Network
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.tasks import ClassTask, GaussianTask, draw
from spinodal.dynamics.twin import Twin
from spinodal.dynamics.updates import Stage, Update

FINITE = GaussianTask(signals=(0.9, 0.8), samples=24, test_samples=10)
POPULATION = GaussianTask(signals=(0.9, 0.8))
CLASSES = ClassTask(classes=3, inputs=2, samples=24, test_samples=10)

CASES = {
    "shuffled": ({}, {}),
    "replacement, biases, labels, adam": (
        {"biases": True},
        {"sampling": "replacement", "label_noise": 0.1, "optimizer": "adam"},
    ),
    "fresh, momentum": ({}, {"sampling": "fresh", "optimizer": "momentum"}),
    "wishart, single precision": ({"precision": "float32"}, {"sampling": "wishart"}),
    "local, biases, adamw": (
        {"biases": True},
        {"sampling": "full", "gaussian": "local", "optimizer": "adamw"},
    ),
    "frozen": ({}, {"sampling": "population", "gaussian": "frozen", "frozen_strengths": (0.5,)}),
    "tanh, labels": (
        {"activation": "tanh", "biases": True},
        {"sampling": "replacement", "label_noise": 0.1},
    ),
    "gelu, local": ({"activation": "gelu"}, {"sampling": "full", "gaussian": "local"}),
    "relu, fresh, single precision": (
        {"activation": "relu", "biases": True, "precision": "float32"},
        {"sampling": "fresh"},
    ),
    "sigmoid, classes": (
        {"activation": "sigmoid", "biases": True},
        {"loss": "cross_entropy", "optimizer": "adam"},
    ),
    "linear, classes": ({}, {"loss": "cross_entropy", "sampling": "full"}),
}


def machine(case, replicas: Sequence[int] = range(5), seed=3):
    network_changes, changes = CASES[case]
    network = Network.model_validate({"width": 4, **network_changes})
    sized = changes.get("sampling") != "full" or "gaussian" in changes
    stage = Stage(at=5, learning_rate=0.02, weight_decay=0.2, batch_size=5 if sized else None)
    update = Update.model_validate(
        {
            "learning_rate": 0.05, "weight_decay": 0.1, "batch_size": 7, "temperature": 1e-3,
            "schedule": (stage,), **changes,
        }
    )  # fmt: skip
    task = FINITE
    if changes.get("loss"):
        task = CLASSES
    elif changes.get("sampling") in ("wishart", "population"):
        task = POPULATION
    data = [draw(task, seed=1, dataset=i) for i in range(2)]
    if network.biases:
        data = [d.with_constant_input() for d in data]
    layers = network.initial(*task.shape, seed=seed, replicas=list(replicas))
    of = np.array([i % 2 for i in replicas])
    plan = make_plan(network, update, data, of, seed=seed, replicas=list(replicas), task=task)
    return Twin(plan, layers)


def assert_same(trace, other, mine: list[int] | None = None):
    np.testing.assert_array_equal(trace.steps, other.steps)
    for name in ("maps", "norms", "train", "test"):
        values, others = getattr(trace, name), getattr(other, name)
        if others is None:
            assert values is None
        else:
            np.testing.assert_array_equal(values[..., mine or slice(None)], others)


@pytest.mark.parametrize("case", CASES)
def test_a_replica_trains_the_same_alone_and_in_company(case):
    together, alone = machine(case), machine(case, [3])
    assert_same(together.advance(12, 5), alone.advance(12, 5), [3])
    np.testing.assert_array_equal(together.state()["weights"][:, [3]], alone.state()["weights"])


@pytest.mark.parametrize("case", [name for name, (network, _) in CASES.items() if network])
def test_constant_units_stay_constant_and_nothing_else_does(case):
    one = machine(case)
    before = one.state()["weights"]
    one.advance(3, 3)
    fixed = one.plan.trainable == 0
    moved = one.state()["weights"] != before
    assert not moved[fixed].any()
    assert moved[~fixed].all()


@pytest.mark.parametrize("case", CASES)
def test_the_replicas_that_stay_do_not_notice_that_others_leave(case):
    whole, part = machine(case), machine(case)
    whole.advance(9, 9)
    part.advance(3, 3)
    part.keep(np.array([False, True, False, True, False]))
    part.advance(6, 6)
    for name, values in whole.state().items():
        np.testing.assert_array_equal(values[..., [1, 3]], part.state()[name])


@pytest.mark.parametrize("case", CASES)
def test_a_run_taken_up_again_is_the_run_that_went_on(case):
    first, second = machine(case), machine(case)
    first.advance(4, 4)
    state, step = first.state(), first.step
    expected = first.advance(8, 4)
    second.restore(step, state)
    assert_same(second.advance(8, 4), expected)
    for name, values in first.state().items():
        np.testing.assert_array_equal(values, second.state()[name])


def test_a_state_is_a_copy():
    one = machine("fresh, momentum")
    before = one.state()
    kept = {name: values.copy() for name, values in before.items()}
    one.advance(2, 2)
    for name, values in kept.items():
        np.testing.assert_array_equal(before[name], values)


def test_layers_are_views_of_the_weights():
    one = machine("shuffled")
    one.layers[1][0, 0] = 7.0
    assert (one.state()["weights"][8] == 7).all()  # 4 x 2 weights come before


def test_looks_come_after_every_so_many_updates_and_after_the_last():
    assert look_after(12, 5).tolist() == [5, 10, 12]
    assert look_after(10, 5).tolist() == [5, 10]
    assert look_after(3, 5).tolist() == [3]
    one = machine("shuffled")
    assert one.advance(12, 5).steps.tolist() == [5, 10, 12]
    assert one.advance(4, 2).steps.tolist() == [14, 16]
    assert_same(one.observe(), machine("shuffled").advance(16, 16))


def test_a_linear_network_shows_its_map_and_its_norm():
    one = machine("local, biases, adamw")
    one.advance(3, 3)
    seen = one.observe()
    layers = [layer[..., 2] for layer in one.layers]
    np.testing.assert_allclose(seen.maps[0, ..., 2], reduce(lambda p, w: w @ p, layers), rtol=1e-13)
    assert seen.norms[0, 2] == pytest.approx(sum((w**2).sum() for w in layers), rel=1e-14)
    assert seen.train is None
    assert seen.test is None


@pytest.mark.parametrize("case", ["tanh, labels", "sigmoid, classes", "linear, classes"])
def test_other_networks_show_sums_over_the_samples_and_mean_losses(case):
    one = machine(case)
    one.advance(3, 3)
    seen = one.observe()
    network, changes = CASES[case]
    task = CLASSES if "loss" in changes else FINITE
    for replica in range(2):
        data = draw(task, seed=1, dataset=replica)
        if network.get("biases"):
            data = data.with_constant_input()
        for x, y, loss in (
            (data.x, data.y, seen.train), (data.x_test, data.y_test, seen.test)
        ):  # fmt: skip
            assert x is not None
            assert y is not None
            assert loss is not None
            h = x
            for number, layer in enumerate(one.layers):
                h = h @ layer[..., replica].T
                if number < 2 and "activation" in network:
                    h = np.tanh(h) if network["activation"] == "tanh" else 1 / (1 + np.exp(-h))
                    h[:, -1] = 1.0
            if "loss" in changes:
                each = np.log(np.exp(h).sum(axis=1)) - (y * h).sum(axis=1)
            else:
                each = 0.5 * ((h - y) ** 2).sum(axis=1)
            assert loss[0, replica] == pytest.approx(each.mean(), rel=1e-12)
            if loss is seen.train:
                ones = x if network.get("biases") else np.hstack([x, np.ones((len(x), 1))])
                np.testing.assert_allclose(seen.maps[0, ..., replica], h.T @ ones, rtol=1e-11)


def test_without_held_out_samples_there_is_no_test_loss():
    data = draw(GaussianTask(signals=(0.9,), samples=9), seed=1, dataset=0)
    network = Network(width=3, activation="tanh")
    update = Update(learning_rate=0.1, weight_decay=0, sampling="full")
    plan = make_plan(network, update, [data], np.zeros(2, dtype=int), seed=1, replicas=range(2))
    seen = Twin(plan, network.initial(1, 1, seed=1, replicas=range(2))).observe()
    assert seen.train is not None
    assert seen.test is None


def test_the_twin_is_built_where_the_engine_is_switched_off(monkeypatch):
    monkeypatch.setenv("SPINODAL_ENGINE", "off")
    plan = machine("shuffled").plan
    layers = Network(width=4).initial(2, 2, seed=3, replicas=range(5))
    built = build(plan, layers)
    assert isinstance(built, Twin)
    built.advance(2, 2)
    start = Network(width=4).initial(2, 2, seed=3, replicas=range(5))
    for mine, theirs in zip(layers, start, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_diverging_replica_becomes_infinite_in_silence_and_leaves_the_others_alone():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 1))
    data = [from_arrays(x, x), from_arrays(30 * x, 30 * x)]
    network = Network(depth=2, width=2)
    update = Update(learning_rate=0.1, weight_decay=0, sampling="full")
    layers = network.initial(1, 1, seed=1, replicas=range(2))
    plan = make_plan(network, update, data, np.array([0, 1]), seed=1, replicas=range(2))
    seen = Twin(plan, layers).advance(60, 60)
    assert not np.isfinite(seen.norms[0, 1])
    alone = Twin(plan.keep(np.array([True, False])), [layer[..., :1] for layer in layers])
    np.testing.assert_array_equal(alone.advance(60, 60).maps[..., 0], seen.maps[..., 0])


def test_the_same_words_are_read_whatever_the_precision():
    """Single precision follows double precision until rounding tells them apart."""
    double = machine("shuffled").advance(5, 5).maps
    CASES["single"] = ({"precision": "float32"}, {})
    single = machine("single").advance(5, 5).maps
    del CASES["single"]
    np.testing.assert_allclose(single, double, atol=1e-5)
    assert (single != double).any()
