"""The benchmark: what it counts, whom it believes, what it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinodal.cli import bench as command
from spinodal.cli import main
from spinodal.speed import benchmark, contest, core, measure, scaling
from spinodal.speed.case import Case
from spinodal.speed.contest import DisagreementError, Effort, agree
from spinodal.speed.flops import flops_per_step, operations
from spinodal.speed.rivals import rival
from spinodal.speed.rivals.rival import Rival, rivals

# Counting


class Number:
    """A number that counts what is done with it."""

    done = 0

    def _counted(self, _: object) -> Number:
        Number.done += 1
        return self

    __add__ = __sub__ = __mul__ = __truediv__ = _counted


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A matrix product whose sums start from zero."""
    result = np.empty((len(a), b.shape[1]), dtype=object)
    for i, j in np.ndindex(*result.shape):
        result[i, j] = Number()
        for k in range(a.shape[1]):
            result[i, j] = result[i, j] + a[i, k] * b[k, j]
    return result


def numbers(*shape: int) -> np.ndarray:
    table = np.empty(shape, dtype=object)
    for at in np.ndindex(*shape):
        table[at] = Number()
    return table


def update(weights: list[np.ndarray], slopes: list[np.ndarray]) -> None:
    for weight, slope in zip(weights, slopes, strict=True):
        weight[...] = weight + (slope + weight * 0.1) * -0.1


def linear_step(case: Case) -> None:
    """The update from the mean products of a batch, number by number."""
    weights = [numbers(*shape) for shape in case.shapes]
    means = Number()
    for _ in range(3 + 4):  # x_i x_j for i <= j, and y_i x_j
        for _ in range(case.batch_size):
            means = means + Number()
        means = means / case.batch_size
    below = [weights[0]]
    for weight in weights[1:]:
        below.append(product(weight, below[-1]))
    flow = product(below[-1], numbers(2, 2)) - numbers(2, 2)
    slopes = []
    for layer in range(case.depth - 1, 0, -1):
        slopes.append(product(flow, below[layer - 1].T))
        flow = product(weights[layer].T, flow)
    update(weights, [flow, *slopes[::-1]])


def sigmoid_step(case: Case) -> int:
    """The update sample by sample; returns how often the activation was called."""
    weights = [numbers(*shape) for shape in case.shapes]
    slopes = [numbers(*shape) for shape in case.shapes]
    calls = 0
    for _ in range(case.batch_size):
        units = [numbers(2, 1)]
        for weight in weights:
            units.append(product(weight, units[-1]))
            calls += 0 if weight is weights[-1] else len(weight)
        delta = units[-1] - numbers(2, 1)
        for layer in range(case.depth - 1, -1, -1):
            slopes[layer] = slopes[layer] + delta * units[layer].T
            if layer:
                slope = units[layer] * (numbers(*units[layer].shape) - units[layer])
                delta = product(weights[layer].T, delta) * slope
    update(weights, [slope / case.batch_size for slope in slopes])
    return calls


sizes = st.builds(
    lambda width, depth, batch: {"width": width, "depth": depth, "batch_size": batch},
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 5),
)  # fmt: skip


@settings(max_examples=20)
@given(size=sizes)
def test_the_operations_of_a_linear_step_are_those_that_a_counting_number_sees(size):
    case = Case(**size)
    Number.done = 0
    linear_step(case)
    assert flops_per_step(case) == Number.done


@settings(max_examples=20)
@given(size=sizes)
def test_the_operations_of_a_sigmoid_step_are_those_that_a_counting_number_sees(size):
    from spinodal.dynamics import elementary

    case = Case(activation="sigmoid", **size)
    Number.done = 0
    calls = sigmoid_step(case)
    assert flops_per_step(case) == Number.done + calls * operations(elementary.sigmoid)


def test_operations_are_counted_on_numbers_and_not_on_bits_or_comparisons():
    assert operations(lambda x: x * x + 1.0) == 2
    assert operations(lambda x: np.sqrt(x * x) / 3.0) == 3
    assert operations(lambda x: np.where(x > 0, x, -x)) == 1
    assert operations(lambda x: (x.view(np.int64) + 1).view(np.float64)) == 0


# Rivals


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_everybody_makes_the_same_update(activation: str, sampling: str, precision: str):
    choices = {"activation": activation, "sampling": sampling, "precision": precision}
    case = Case.model_validate({**choices, "width": 5, "batch_size": 8, "samples": 40})
    agree(case, rivals(case), core.builds())


class Careless:
    """A rival that has forgotten the weight decay."""

    def __init__(self, case: Case, replicas: int) -> None:
        without = Case.model_validate(case.model_dump() | {"weight_decay": 0.0})
        self.replicas = replicas
        self.inner: Rival = next(iter(rivals(case).values()))[0](without, replicas)
        self.follow, self.run = self.inner.follow, self.inner.run


@pytest.mark.needs("torch")
def test_a_rival_that_makes_another_update_is_not_timed():
    case = Case(width=4, batch_size=8, samples=32)
    with pytest.raises(DisagreementError, match="careless departs"):
        agree(case, {"careless": (Careless, (1,))}, ())


@pytest.mark.needs("torch")
def test_the_loop_and_the_batched_rivals_are_there_where_torch_is():
    assert {"torch_loop", "torch_bmm", "torch_bmm_moments", "torch_lanes"} <= set(rivals(Case()))
    assert set(rivals(Case(activation="sigmoid"))) >= {"torch_loop", "torch_bmm"}


# Timing


def test_everyone_takes_turns():
    order: list[str] = []

    def work(name: str) -> measure.Work:
        return lambda steps: order.extend([name] * (steps > 0))

    timings = measure.alternate({"a": work("a"), "b": work("b")}, seconds=1e-5, repeats=6)
    assert order[-12:] == ["a", "b"] * 6
    assert all(timing.quickest <= timing.median for timing in timings.values())


def test_sizes_to_try_begin_with_the_usual_best():
    assert contest._some((64, 256, 1024, 4096), 2) == (256, 64)
    assert contest._some((1,), 2) == (1,)


# The command


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Any]]:
    """A benchmark whose turns are too short to mean anything."""
    tiny = Effort(seconds=1e-4, repeats=2, tune=1, widths=(2,), depths=(1,), batch_sizes=(1,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "QUICK", tiny)
        patch.setattr(scaling, "QUICK_REPLICAS", (300,))
        yield benchmark.benchmark(benchmark.BenchSettings(quick=True, threads=2))


@pytest.fixture
def hurried(measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The commands find these numbers."""
    monkeypatch.setattr(command, "benchmark", lambda _, say: measured)
    return measured


@pytest.mark.usefixtures("hurried")
def test_the_json_document_has_rows_of_the_engine_and_its_rivals(capsys):
    assert main(["bench", "--quick", "--threads", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        "engine", "rivals", "rivals_not_installed", "peak", "machine", "headline", "scaling",
    }  # fmt: skip
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert "twin" in {row["rival"] for row in found["rivals"]}
    for row in [*found["engine"], *found["rivals"]]:
        assert 0 < row["us_per_replica_step"] <= row["us_median"]
    assert {row["build"] for row in found["engine"]} == set(core.builds())
    threads = [row["threads"] for row in found["scaling"]["threads"]]
    assert threads == [1, 2]


def test_the_headline_compares_the_default_build_with_the_quickest_rival(measured):
    for row in measured["headline"]:
        same = {key: row[key] for key in ("activation", "sampling", "width")}
        rivals_of_it = [r for r in measured["rivals"] if same.items() <= r.items()]
        assert row["us_best_rival"] == min(r["us_per_replica_step"] for r in rivals_of_it)
        if core.builds():
            assert row["build"] == core.builds()[-1]


def test_the_table_names_every_rival(hurried, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["bench", "--quick"]) == 0
    text = capsys.readouterr().out
    assert all(f" {row['rival']} " in text for row in hurried["rivals"])
    assert "\u2026" not in text  # nothing is cut short on a common terminal


def test_with_the_twin_alone_nobody_is_called_a_rival(measured, capsys, monkeypatch):
    monkeypatch.setattr(rival, "find_spec", lambda _: None)
    twins = [row for row in measured["rivals"] if row["rival"] == "twin"]
    headline = [
        row | {"best_rival": "twin", "times_faster_than_best_rival": 7.0}
        | ({"times_faster_than_loop": None} if "us_per_replica_step" in row else {})
        for row in measured["headline"]
    ]  # fmt: skip
    found = measured | {
        "rivals": twins, "headline": headline, "rivals_not_installed": rival.absent(),
    }  # fmt: skip
    monkeypatch.setattr(command, "benchmark", lambda _, say: found)
    assert main(["bench", "--quick"]) == 0
    text = capsys.readouterr().out
    assert "best rival" not in text
    assert "x rival" not in text
    assert "own NumPy code" in text
    for install in ("PyTorch (pip install torch)", "JAX (pip install jax)"):
        assert f"not measured, because it is not installed: {install}" in text


def test_rivals_that_are_here_are_not_called_absent(monkeypatch):
    monkeypatch.setattr(rival, "find_spec", lambda name: None if name == "jax" else object())
    assert [row["name"] for row in rival.absent()] == ["JAX"]


def test_memory_is_that_of_the_program_and_not_of_whoever_started_it():
    here = scaling._peak_memory()
    ballast = np.ones(2**26)  # half a GiB that the child does not have
    assert scaling._peak_memory() >= here + ballast.nbytes // 2
    assert scaling.memory_row(300)["peak_mib"] * 2**20 < ballast.nbytes


def test_a_number_of_threads_below_one_is_refused(capsys):
    assert main(["bench", "--threads", "0"]) == 2
    assert "--threads must be greater than 0" in capsys.readouterr().err
