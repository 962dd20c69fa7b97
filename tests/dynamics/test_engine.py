"""The compiled machine repeats its twin bit for bit, on every instruction set, in any company."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import import_or_skip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spinodal.dynamics import elementary
from spinodal.dynamics.machine import Machine, Trace
from spinodal.dynamics.networks import Layers, Network
from spinodal.dynamics.plan import Plan, make_plan
from spinodal.dynamics.tasks import ClassTask, GaussianTask, draw
from spinodal.dynamics.twin import Twin
from spinodal.dynamics.updates import Stage, Update
from spinodal.errors import InputError
from spinodal.seeding import Stream, normals_from_words

_kernels = import_or_skip("spinodal.dynamics._engine._kernels")

from spinodal.dynamics import compiled  # noqa: E402
from spinodal.dynamics.compiled import Compiled  # noqa: E402

ISAS = compiled.features().available
FINITE = GaussianTask(signals=(0.9, 0.5), samples=30, test_samples=12)
POPULATION = GaussianTask(signals=(0.9, 0.5))
WIDE = GaussianTask(signals=(0.9, 0.5), inputs=9, outputs=6, samples=30)
CLASSES = ClassTask(classes=3, inputs=2, samples=30, test_samples=10)
STAGES = (
    Stage(at=9, learning_rate=0.02, batch_size=5),
    Stage(at=20, weight_decay=0.3, temperature=0.01),
)

CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "replacement": (FINITE, {}, {"sampling": "replacement"}),
    "shuffled": (FINITE, {}, {}),
    "shuffled, incomplete batches, labels": (
        FINITE, {}, {"drop_last": False, "label_noise": 0.3},
    ),
    "full": (FINITE, {}, {"sampling": "full", "batch_size": None}),
    "population": (POPULATION, {}, {"sampling": "population", "batch_size": None}),
    "fresh, biases": (FINITE, {"biases": True}, {"sampling": "fresh"}),
    "wishart": (FINITE, {}, {"sampling": "wishart"}),
    "wishart, large batch": (FINITE, {}, {"sampling": "wishart", "batch_size": 40}),
    "Langevin, biases": (
        FINITE, {"biases": True}, {"sampling": "replacement", "temperature": 1e-3},
    ),
    "momentum": (FINITE, {}, {"optimizer": "momentum"}),
    "adam": (FINITE, {}, {"optimizer": "adam", "learning_rate": 0.01}),
    "adamw": (FINITE, {"biases": True}, {"optimizer": "adamw", "learning_rate": 0.01}),
    "local": (FINITE, {}, {"sampling": "full", "gaussian": "local"}),
    "local, population": (POPULATION, {}, {"sampling": "population", "gaussian": "local"}),
    "frozen": (
        FINITE, {}, {"sampling": "full", "gaussian": "frozen", "frozen_strengths": (0.5, 0.2)},
    ),
    "schedule": (FINITE, {}, {"schedule": STAGES}),
    "uneven widths": (FINITE, {"depth": 5, "widths": (3, 7, 1, 12)}, {"sampling": "replacement"}),
    "one layer": (FINITE, {"depth": 1}, {}),
    "many inputs": (WIDE, {"width": 13}, {}),
    "tanh": (FINITE, {"activation": "tanh"}, {"schedule": STAGES}),
    "tanh, fresh, biases": (FINITE, {"activation": "tanh", "biases": True}, {"sampling": "fresh"}),
    "tanh, local": (FINITE, {"activation": "tanh"}, {"sampling": "full", "gaussian": "local"}),
    "sigmoid": (FINITE, {"activation": "sigmoid"}, {"sampling": "replacement"}),
    "softplus, labels": (FINITE, {"activation": "softplus"}, {"label_noise": 0.2}),
    "relu, biases": (FINITE, {"activation": "relu", "biases": True}, {"temperature": 0.01}),
    "gelu": (FINITE, {"activation": "gelu", "biases": True}, {"sampling": "replacement"}),
    "gelu, full": (FINITE, {"activation": "gelu"}, {"sampling": "full", "batch_size": None}),
    "sigmoid, classes": (
        CLASSES, {"activation": "sigmoid", "biases": True},
        {"loss": "cross_entropy", "optimizer": "adam", "learning_rate": 0.01},
    ),
    "linear, classes": (CLASSES, {}, {"loss": "cross_entropy"}),
}  # fmt: skip


def planned(
    task: Any, network: dict[str, Any], update: dict[str, Any], *, replicas: range = range(3, 14)
) -> tuple[Plan, Layers]:
    """A plan on three data sets, replica i on set i modulo 3, and its starts."""
    net = Network.model_validate({"depth": 3, "width": 6, **network})
    rule = Update.model_validate(
        {"learning_rate": 0.05, "weight_decay": 0.1, "batch_size": 8, **update}
    )
    data = [draw(task, seed=5, dataset=i) for i in range(3)]
    outputs, inputs = data[0].train.yx.shape
    if net.biases:
        data = [d.with_constant_input() for d in data]
    dataset_of = np.array(replicas) % 3
    plan = make_plan(net, rule, data, dataset_of, seed=5, replicas=replicas, task=task)
    return plan, net.initial(outputs, inputs, seed=5, replicas=replicas)


def assert_equal_bits(a: Machine, b: Machine, first: Trace, second: Trace) -> None:
    """Same state and same looks."""
    for name in ("steps", "maps", "norms", "train", "test"):
        x, y = getattr(first, name), getattr(second, name)
        assert (x is None) == (y is None), name
        if x is not None:
            assert_same_bytes(x, y, name)
    mine, other = a.state(), b.state()
    assert mine.keys() == other.keys()
    for name, values in mine.items():
        assert values.dtype == other[name].dtype
        assert_same_bytes(values, other[name], name)


def assert_same_bytes(a: np.ndarray, b: np.ndarray, name: str) -> None:
    """Equal to the last bit, signs of zeros included; one NaN is as good as another."""
    a, b = (np.where(np.isnan(x), np.nan, x) for x in (a, b))
    np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"), err_msg=name)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_every_instruction_set_repeats_the_twin_bit_for_bit(case: str, precision: str):
    task, network, update = CASES[case]
    plan, layers = planned(task, {**network, "precision": precision}, update)
    twin = Twin(plan, layers)
    seen = twin.advance(40, 7)
    for isa in ISAS:
        engine = Compiled(plan, layers, isa)
        assert_equal_bits(engine, twin, engine.advance(40, 7), seen)
        assert_equal_bits(engine, twin, engine.observe(), twin.observe())


@pytest.mark.parametrize(
    "case", ["replacement", "shuffled", "adam", "Langevin, biases", "wishart", "tanh", "gelu"]
)
def test_instruction_sets_agree_over_twenty_thousand_updates(case: str):
    task, network, update = CASES[case]
    small = {"batch_size": 4, "schedule": ()} if "activation" in network else {"schedule": ()}
    plan, layers = planned(task, network, {**update, **small}, replicas=range(16))
    first = Compiled(plan, layers, ISAS[0])
    seen = first.advance(20_000, 4_000)
    assert np.isfinite(seen.norms).all()
    for isa in ISAS[1:]:
        other = Compiled(plan, layers, isa)
        assert_equal_bits(other, first, other.advance(20_000, 4_000), seen)


def test_the_twin_agrees_over_thousands_of_updates():
    update = {"sampling": "replacement", "temperature": 1e-3}
    plan, layers = planned(FINITE, {"depth": 2, "width": 3}, update, replicas=range(16))
    twin, engine = Twin(plan, layers), Compiled(plan, layers)
    assert_equal_bits(engine, twin, engine.advance(4_000, 1_000), twin.advance(4_000, 1_000))


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 11), min_size=0, max_size=4),
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 6),
    batch=st.integers(1, 19),
    biases=st.booleans(),
    precision=st.sampled_from(["float64", "float32"]),
    activation=st.sampled_from(["identity", "tanh", "sigmoid", "softplus", "relu", "gelu"]),
    sampling=st.sampled_from(["shuffled", "replacement", "fresh", "full"]),
    optimizer=st.sampled_from(["sgd", "momentum", "adam", "adamw"]),
    temperature=st.sampled_from([0.0, 0.1]),
    label_noise=st.sampled_from([0.0, 0.2]),
    replicas=st.integers(2, 19),
    isa=st.sampled_from(ISAS),
)
def test_any_network_and_setting_repeats_the_twin(
    widths: list[int],
    inputs: int,
    outputs: int,
    batch: int,
    replicas: int,
    isa: str,
    **options: Any,
):
    task = GaussianTask(signals=(0.6,), inputs=inputs, outputs=outputs, samples=19, test_samples=5)
    network = {"depth": len(widths) + 1, "widths": tuple(widths)}
    network |= {name: options.pop(name) for name in ("biases", "precision", "activation")}
    update = {**options, "batch_size": None if options["sampling"] == "full" else batch}
    plan, layers = planned(
        task, network, {**update, "learning_rate": 0.02}, replicas=range(replicas)
    )
    twin, engine = Twin(plan, layers), Compiled(plan, layers, isa)
    assert_equal_bits(engine, twin, engine.advance(11, 4), twin.advance(11, 4))


@pytest.mark.parametrize("case", ["replacement", "schedule", "sigmoid", "adam", "frozen"])
def test_a_replica_has_the_same_bits_in_any_company(case: str):
    task, network, update = CASES[case]
    plan, layers = planned(task, network, update)
    whole = Compiled(plan, layers)
    seen = whole.advance(30, 10)
    lanes = [9, 2, 3]
    for chosen in ([0], lanes, [*range(5, 11)]):
        mask = np.zeros(11, dtype=bool)
        mask[chosen] = True
        part = Compiled(plan.keep(mask), [layer[..., mask] for layer in layers])
        np.testing.assert_array_equal(part.advance(30, 10).maps, seen.maps[..., mask])
        np.testing.assert_array_equal(part.state()["weights"], whole.state()["weights"][:, mask])


@pytest.mark.parametrize("case", ["shuffled", "schedule", "momentum", "adamw", "tanh"])
def test_a_run_can_be_interrupted_thinned_and_taken_up_again(case: str):
    task, network, update = CASES[case]
    plan, layers = planned(task, network, update)
    whole, pieces = Compiled(plan, layers), Compiled(plan, layers)
    whole.advance(30, 30)
    pieces.advance(4, 1)
    pieces.advance(7, 3)
    mask = np.arange(11) % 3 != 1
    pieces.keep(mask)
    step, kept = pieces.step, pieces.state()
    pieces.advance(19, 19)
    again = Compiled(plan.keep(mask), [layer[..., mask] for layer in layers])
    again.restore(step, kept)
    again.advance(19, 19)
    for name, values in whole.state().items():
        chosen = values[..., mask]
        np.testing.assert_array_equal(pieces.state()[name], chosen)
        np.testing.assert_array_equal(again.state()[name], chosen)


def test_looks_are_taken_where_they_are_asked_for_across_stages():
    plan, layers = planned(*CASES["schedule"])
    engine = Compiled(plan, layers)
    seen = engine.advance(25, 4)
    assert seen.steps.tolist() == [4, 8, 12, 16, 20, 24, 25]
    step_by_step = Compiled(plan, layers)
    for look, step in enumerate(seen.steps):
        one = step_by_step.advance(int(step) - step_by_step.step, 100)
        np.testing.assert_array_equal(one.maps[-1], seen.maps[look])
        np.testing.assert_array_equal(one.norms[-1], seen.norms[look])


def test_weight_decay_may_differ_between_replicas():
    plan, layers = planned(*CASES["replacement"])
    twin, engine = Twin(plan, layers), Compiled(plan, layers)
    twin.decay = engine.decay = np.linspace(0, 1, 11)
    assert_equal_bits(engine, twin, engine.advance(20, 20), twin.advance(20, 20))
    assert np.all(np.diff(engine.observe().norms[0]) != 0)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_trapped_weights_become_zero_before_they_become_denormal(precision: str):
    task, _, update = CASES["replacement"]
    strong = {**update, "weight_decay": 10.0, "optimizer": "momentum", "momentum": 0.5}
    plan, layers = planned(task, {"precision": precision}, strong)
    for layer in layers:
        layer *= 1e-22 if precision == "float32" else 1e-90
    twin, engine = Twin(plan, layers), Compiled(plan, layers)
    assert_equal_bits(engine, twin, engine.advance(60, 60), twin.advance(60, 60))
    weights = engine.state()["weights"]
    assert (weights == 0).any()
    assert not np.any((weights != 0) & (np.abs(weights) < plan.smallest))


@pytest.mark.parametrize("network", [{}, {"activation": "tanh"}, {"activation": "gelu"}])
def test_a_diverging_replica_leaves_its_neighbours_alone(network: dict[str, Any]):
    plan, layers = planned(FINITE, network, {"sampling": "replacement"})
    healthy = Compiled(plan, layers)
    seen = healthy.advance(30, 10)
    sick = [layer.copy() for layer in layers]
    sick[0][..., 4] = 1e200
    sick[1][..., 7] = np.nan
    engine = Compiled(plan, sick)
    trace = engine.advance(30, 10)
    others = np.delete(np.arange(11), [4, 7])
    assert not np.isfinite(trace.norms[-1, [4, 7]]).any()
    np.testing.assert_array_equal(trace.maps[..., others], seen.maps[..., others])
    np.testing.assert_array_equal(
        engine.state()["weights"][:, others], healthy.state()["weights"][:, others]
    )


def test_threads_do_not_disturb_each_other():
    plan, layers = planned(*CASES["sigmoid"])
    alone = Compiled(plan, layers)
    alone.advance(400, 400)

    def run(_: int) -> NDArray[np.floating]:
        engine = Compiled(plan, layers)
        engine.advance(400, 400)
        return engine.state()["weights"]

    with ThreadPoolExecutor(4) as pool:
        for weights in pool.map(run, range(8)):
            np.testing.assert_array_equal(weights, alone.state()["weights"])


SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    5e-324,
    -1e-310,
    1e-300,
    709.0,
    710.5,
    -745.0,
    -760.0,
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", compiled.FUNCTIONS)
def test_elementary_functions_have_the_bits_of_the_readable_ones(name: str, isa: str):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**64, 20_000, dtype=np.uint64).view(np.float64)
    x = np.concatenate([SPECIAL, rng.normal(size=20_000) * 10, rng.uniform(-800, 800, 5_000), bits])
    mine = compiled.elementary(name, x, isa)
    readable = getattr(elementary, name)(x)
    np.testing.assert_array_equal(mine, readable)
    fine = ~np.isnan(mine)
    np.testing.assert_array_equal(np.signbit(mine[fine]), np.signbit(readable[fine]))


@pytest.mark.parametrize("isa", ISAS)
def test_words_and_normals_are_those_of_the_streams(isa: str):
    stream = Stream(7, "a stream", [2], 12)
    key = np.array([3, 2**63 + 5], dtype=np.uint64)
    words = compiled.philox_words(key, 1, 5, isa)
    np.testing.assert_array_equal(words, np.random.Philox(key=key).random_raw(20))
    drawn = np.concatenate([stream.words(step)[:, 0] for step in range(50)])
    drawn = np.concatenate([drawn, np.array([0, 2**64 - 1, 2**32 - 1], dtype=np.uint64)])
    np.testing.assert_array_equal(
        compiled.normals(drawn, isa).view(np.uint64), normals_from_words(drawn).view(np.uint64)
    )


def test_arrays_that_do_not_fit_are_refused_and_nothing_crashes():
    plan, layers = planned(*CASES["replacement"])
    engine = Compiled(plan, layers)
    assert plan.batches is not None
    problem = {
        **compiled._tables(plan), "replicas": 11, "dataset_of": np.arange(11) % 3,
        "order": np.arange(11), "batches_keys": plan.keys(plan.batches), "batches_words": 4,
    }  # fmt: skip
    _kernels.Engine(problem, "auto")
    wrong = {
        "layers": [[6, 2], [6, 5], [2, 6]],
        "rows": np.zeros((3, 30, 7)),
        "dataset_of": np.full(11, 3),
        "order": np.full(11, -1),
        "batches_keys": np.zeros((10, 2), dtype=np.uint64),
        "batches_words": 3,
        "samples": 31,
        "datasets": 4,
        "activation": 6,
        "replicas": 0,
        "trainable": np.ones(3),
        "largest_batch": 9_000,
    }
    for name, value in wrong.items():
        with pytest.raises((ValueError, TypeError), match="engine's"):
            _kernels.Engine({**problem, name: value}, "auto")
        with pytest.raises((ValueError, TypeError), match="engine's"):
            _kernels.Engine({**problem, name: "nonsense"}, "auto")
    short = [layer[..., :5] for layer in layers]
    engine._state["weights"] = np.concatenate([layer.reshape(-1, 5) for layer in short])
    with pytest.raises(ValueError, match="'weights' must have shape"):
        engine.advance(1, 1)
    with pytest.raises(InputError, match="belongs to another ensemble"):
        Compiled(plan, layers).restore(3, {**engine.state(), "weights": np.zeros((2, 2))})


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPINODAL_ENGINE", "abacus")
    with pytest.raises(InputError, match="abacus"):
        compiled.features()
    monkeypatch.setenv("SPINODAL_ENGINE", "generic")
    assert compiled.features().chosen == "generic"


def test_a_core_multiplies_and_adds():
    assert all(compiled.peak(isa, 0.005) > 1e7 for isa in ISAS)
