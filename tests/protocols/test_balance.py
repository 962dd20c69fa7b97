"""Rates both ways stand in the ratio of Boltzmann's weights, except under minibatch noise."""

from __future__ import annotations

import math
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
    for line in (narrow.measured, wide.measured):
        error = (line.high - line.low) / 3.92
        assert abs(line.slope - line.predicted) < 4 * error
    # The slope of any other width would not do: the measured difference is that of theory.
    error = math.hypot(*((one.measured.high - one.measured.low) / 3.92 for one in (narrow, wide)))
    measured, exact = (
        abs(getattr(wide.measured, of)) - abs(getattr(narrow.measured, of))
        for of in ("slope", "predicted")
    )
    assert abs(measured - exact) < 4 * error


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


def _with_slopes(record: BalanceRecord, *slopes: float, error: float) -> BalanceRecord:
    return replace(
        record,
        sharpness=tuple(
            replace(one, measured=replace(one.measured, slope=s, low=s - error, high=s + error))
            for one, s in zip(record.sharpness, slopes, strict=True)
        ),
    )


def test_the_section_says_sharpening_and_growth_only_where_they_were_measured(
    record: BalanceRecord,
) -> None:
    growing = replace(record, growth=replace(record.growth, slope=0.9, low=0.8, high=1.0))

    def verdict(of: BalanceRecord) -> str:
        return section.section(of).stated[1].verdict

    sharp = _with_slopes(growing, -100.0, -200.0, error=10.0)
    assert "phase sharpens" in section.section(sharp).answer
    assert verdict(sharp) == "reproduces"
    unsure = _with_slopes(growing, -100.0, -200.0, error=100.0)
    assert "does not sharpen beyond the errors" in section.section(unsure).answer
    assert verdict(unsure) == "not checked"
    flat = _with_slopes(growing, -200.0, -100.0, error=10.0)
    assert "becomes less sharp" in section.section(flat).answer
    assert verdict(flat) == "not reproduced as described"
    falling = replace(sharp, growth=replace(record.growth, slope=-1.0, low=-1.2, high=-0.8))
    assert "ln(waiting time) falls" in section.section(falling).answer
    assert verdict(falling) == "not reproduced as described"
    assert "a jump in large networks" in section._width_text(sharp)
    assert "a jump in large networks" not in section._width_text(unsure)


def test_minibatches_are_no_boltzmann_law_only_where_enough_was_due(
    record: BalanceRecord,
) -> None:
    noise = record.minibatches

    def told(ups: int, due: float) -> tuple[str, str]:
        up = replace(noise.up, escapes=ups)
        one = replace(record, minibatches=replace(noise, up=up, boltzmann_up=due))
        return section._one_way(one.minibatches), section.section(one).stated[0].verdict

    assert told(0, 50.0) == ("no", "wrong")
    assert told(0, 6.9) == ("open", "not checked")
    assert told(0, 0.0) == ("open", "not checked")
    assert told(50, 50.0) == ("open", "not checked")
    assert told(3, 300.0) == ("other", "not checked")
    assert told(300, 50.0) == ("other", "not checked")


def test_which_of_measured_and_predicted_times_is_longer_is_counted(
    record: BalanceRecord,
) -> None:
    one = record.points[0]
    passage = replace(one.up, mean=10.0, low=9.0, high=11.0)
    for predicted, text in ((5.0, "errors at 1 and shorter at 0"), (20.0, "at 0 and shorter at 1")):
        found = section._slow_text([replace(one, up=passage, predicted_up=predicted)])
        assert text in found
        assert ("hidden directions" in found) == (predicted == 5.0)


def test_settings_that_compare_nothing_are_refused() -> None:
    with pytest.raises((InputError, ValidationError), match="coexistence"):
        BalanceSettings(log_ratios=(1.0,))
    with pytest.raises((InputError, ValidationError), match="two different widths"):
        BalanceSettings(widths=(4, 4))
    with pytest.raises(InputError, match="less heat"):
        balance.run(SMALL.model_copy(update={"heat": 0.2}), seed=0)
