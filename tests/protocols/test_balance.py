"""Rates both ways stand in the ratio of Boltzmann's weights, except under minibatch noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from pydantic import TypeAdapter, ValidationError

from spinodal.errors import InputError
from spinodal.protocols import balance
from spinodal.protocols.balance_records import BalanceRecord, BalanceSettings
from spinodal.report.sections import balance as section
from spinodal.theory.equilibrium import log_phase_ratio

SMALL = BalanceSettings(
    widths=(2, 3), log_ratios=(0.0, 1.0), heat=0.0105, replicas=80, learning_rate=0.25, horizon=8
)


@pytest.fixture(scope="module")
def record() -> BalanceRecord:
    return balance.run(SMALL, seed=5)


def test_weight_decays_are_those_at_which_the_exact_ratio_is_the_one_asked_for() -> None:
    for width, ratio in ((2, 0.0), (3, 1.0)):
        decay = balance.weight_decay_at(SMALL, width, ratio)
        found = log_phase_ratio(
            depth=3, width=width, signal=0.8, weight_decay=decay, temperature=0.0105 / width
        )
        assert abs(found - ratio) < 1e-5


def test_measured_rates_stand_in_the_exact_ratio(record: BalanceRecord) -> None:
    assert record.chi_square_p > 1e-4
    for point in record.points:
        assert point.deviation is not None
        assert abs(point.deviation) < 4


def test_a_wrong_temperature_would_have_been_noticed(record: BalanceRecord) -> None:
    off = []
    for p in record.points:
        wrong = log_phase_ratio(
            depth=3,
            width=p.width,
            signal=0.8,
            weight_decay=p.weight_decay,
            temperature=1.5 * p.temperature,
        )
        off.append(((p.log_ratio or 0) - wrong) / np.sqrt(1 / p.up.escapes + 1 / p.down.escapes))
    assert np.square(off).sum() > 60


def test_minibatches_lose_the_feature_and_never_learn_it(record: BalanceRecord) -> None:
    noise = record.minibatches
    assert noise.up.escapes == 0
    assert noise.down.escapes > 0.9 * noise.down.replicas
    assert noise.boltzmann_up > 50


def test_wider_networks_wait_longer_and_change_more_abruptly(record: BalanceRecord) -> None:
    assert record.growth.low > 0
    narrow, wide = record.sharpness
    assert abs(wide.measured.predicted) > abs(narrow.measured.predicted)
    assert wide.window < narrow.window


def test_a_line_through_exact_points_has_their_slope() -> None:
    x = np.array([1.0, 2.0, 4.0])
    line = balance._line(SMALL, x, 3 * x - 1, np.array([0.1, 0.2, 0.1]), 2.0)
    np.testing.assert_allclose([line.slope, line.predicted], [3.0, 2.0])
    weight = np.array([100.0, 25.0, 100.0])
    spread = (weight * (x - (weight * x).sum() / weight.sum()) ** 2).sum()
    np.testing.assert_allclose((line.high - line.low) / 2, 1.959964 / np.sqrt(spread), rtol=1e-6)


def test_a_record_survives_json_and_does_not_depend_on_workers(record: BalanceRecord) -> None:
    adapter = TypeAdapter(BalanceRecord)
    assert adapter.validate_json(adapter.dump_json(record)) == record


def test_the_section_draws_its_figures_and_says_no_when_the_balance_is_off(
    record: BalanceRecord,
) -> None:
    told = section.section(record)
    for figure in told.figures():
        figure.draw(Canvas(figsize=figure.size))
    assert "Under additive noise yes" in told.answer
    assert "Under additive noise no" in section.section(replace(record, chi_square_p=1e-9)).answer


def test_settings_that_compare_nothing_are_refused() -> None:
    with pytest.raises((InputError, ValidationError), match="coexistence"):
        BalanceSettings(log_ratios=(1.0,))
    with pytest.raises((InputError, ValidationError), match="two different widths"):
        BalanceSettings(widths=(4, 4))
    with pytest.raises(InputError, match="less heat"):
        balance.run(SMALL.model_copy(update={"heat": 0.2}), seed=0)
