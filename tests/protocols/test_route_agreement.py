"""Theory, waiting and splitting give one rate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from pydantic import TypeAdapter, ValidationError
from scipy.special import i0e

from spinodal.errors import InputError
from spinodal.protocols import route_agreement
from spinodal.protocols.route_agreement_records import RouteRecord, RouteSettings
from spinodal.report.sections import route_agreement as section
from spinodal.theory import modes

SMALL = RouteSettings(
    width=2,
    signals=(0.9, 0.8),
    ratios=(0.4, 0.28, 0.2),
    learning_rate=0.25,
    longest=3e4,
    replicas=120,
    repetitions=6,
    copies=64,
)


@pytest.fixture(scope="module")
def record() -> RouteRecord:
    return route_agreement.run(SMALL, seed=3)


def test_waiting_and_splitting_agree_where_both_are_done(record: RouteRecord) -> None:
    assert len(record.agreement) >= 2
    assert record.chi_square_p is not None
    assert record.chi_square_p > 1e-4
    for one in record.agreement:
        error = math.log(one.high / one.low) / 2 / 1.96
        assert abs(math.log(one.value)) < 4 * error


def test_theory_comes_nearer_as_the_temperature_falls(record: RouteRecord) -> None:
    ratios = [(p.splitting.mean or math.nan) / p.langer * p.step_factor for p in record.points]
    assert all(0.3 < ratio < 4 for ratio in ratios)
    # Within the errors of the coldest, leading order is no worse than at the warmest.
    error = record.points[-1].splitting.relative_error or 0.0
    assert abs(math.log(ratios[-1])) < abs(math.log(ratios[0])) + 3 * error


def pooled(record: RouteRecord, turning: bool = False) -> tuple[float, float]:
    """Mean of ln(measured / generator) over all points and routes, and its standard error.

    With `turning` times the full integral over the angle towards the other feature, relative to
    the Gaussian one that the generator has.
    """
    signal = record.signals[0]
    pass_ = modes.saddle(depth=3, signal=signal, weight_decay=record.weight_decay)
    logs, weights = [], []
    for p in record.points:
        k = float(pass_) * (signal - record.signals[-1]) / (2 * p.temperature)
        factor = math.sqrt(2 * math.pi * k) * i0e(k) if turning else 1.0
        for one in (p.waiting, p.splitting):
            if one is not None and one.mean and one.relative_error:
                logs.append(math.log(one.mean / p.best * factor))
                weights.append(one.relative_error**-2)
    assert len(logs) >= 2
    return float(np.average(logs, weights=weights)), sum(weights) ** -0.5


def test_the_generator_gives_the_measured_times_of_a_feature_alone() -> None:
    more = {"signals": (0.9,), "ratios": (0.4, 0.28), "replicas": 800, "longest": 1.5e4}
    few = {"repetitions": 5, "copies": 32}
    found, error = pooled(route_agreement.run(SMALL.model_copy(update=more | few), seed=3))
    assert error < 0.03
    # Two coordinates are too fast, if anything; second order in steps is a percent.
    assert -0.01 - 3 * error < found < 0.06 + 3 * error


def test_beside_a_close_feature_times_are_shorter_by_its_turning(record: RouteRecord) -> None:
    found, error = pooled(record)
    assert error < 0.03
    assert found < -3 * error
    completed, error = pooled(record, turning=True)
    assert abs(completed) < 0.05 + 3 * error


def test_a_wrong_barrier_would_have_been_noticed(record: RouteRecord) -> None:
    coldest = record.points[-1]
    error = coldest.splitting.relative_error or 1.0
    assert 0.1 * coldest.energy_barrier > 3 * error


def test_barriers_and_predictions_never_see_a_measured_time(record: RouteRecord) -> None:
    small = {"replicas": 10, "copies": 16, "repetitions": 2, "longest": 1e3}
    other = route_agreement.run(SMALL.model_copy(update=small), seed=99)
    for one, two in zip(record.points, other.points, strict=True):
        assert one.splitting != two.splitting
        for name in ("energy_barrier", "free_barrier", "langer", "corrected", "reduced", "best"):
            assert getattr(one, name) == getattr(two, name)


def test_a_record_survives_json(record: RouteRecord) -> None:
    adapter = TypeAdapter(RouteRecord)
    assert adapter.validate_json(adapter.dump_json(record)) == record


def test_the_section_draws_its_figure_and_says_what_would_falsify(record: RouteRecord) -> None:
    told = section.section(record)
    for figure in told.figures():
        figure.draw(Canvas(figsize=figure.size))
    assert "Neither is seen" in section._falsifier(record)
    flat = replace(
        record,
        points=tuple(
            replace(p, waiting=None, splitting=replace(p.splitting, mean=100.0))
            for p in record.points
        ),
    )
    assert "does not grow" in section._falsifier(flat)


def test_temperatures_without_a_barrier_and_features_that_are_not_there_are_refused() -> None:
    with pytest.raises((InputError, ValidationError), match="below the thermal spinodal"):
        RouteSettings(ratios=(1.2, 0.5))
    with pytest.raises((InputError, ValidationError), match="no next feature"):
        RouteSettings(rank=2)
