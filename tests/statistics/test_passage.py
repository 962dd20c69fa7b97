"""When a series counts as escaped, and how abruptly it did."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spinodal.errors import InputError
from spinodal.statistics import passage, transitions

STEPS = np.arange(0, 100, 10)
SERIES = hnp.arrays(float, (3, 12), elements=st.floats(-2, 2))


def test_the_first_check_strictly_beyond_the_threshold_is_the_passage():
    series = [0, 0, 1, 2, 0, 2, 2, 2, 2, 2]
    once = passage.first_passage(series, 1, steps=STEPS, direction="up")
    assert (once.index, once.step, once.passed) == (3, 30, True)
    lasting = passage.first_passage(series, 1, steps=STEPS, direction="up", persistence=3)
    assert (lasting.index, lasting.step) == (5, 50)


def test_a_run_that_begins_too_late_to_be_confirmed_ends_the_watching_for_all():
    series = np.zeros((2, 10))
    series[1, 9] = 5
    found = passage.first_passage(series, 1, steps=STEPS, direction="up", persistence=3)
    assert not found.passed.any()
    np.testing.assert_array_equal(found.step, [70, 70])


def test_each_series_may_have_its_own_threshold():
    series = np.tile(np.arange(10.0), (3, 1))
    found = passage.first_passage(series, [0.5, 4.5, 20], steps=STEPS, direction="up")
    np.testing.assert_array_equal(found.index, [1, 5, -1])
    np.testing.assert_array_equal(found.step, [10, 50, 90])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_an_overflow_is_a_divergence_and_not_an_escape(broken):
    series = [0, 0, 0, broken, 5, 5, 5, 5, 5, 5]
    found = passage.first_passage(series, 1, steps=STEPS, direction="up")
    assert (found.passed, found.diverged, found.step) == (False, True, 20)
    escaped_before = [0, 5, 5, broken, 5, 5, 5, 5, 5, 5]
    found = passage.first_passage(escaped_before, 1, steps=STEPS, direction="up")
    assert (found.passed, found.diverged, found.step) == (True, False, 10)
    unborn = passage.first_passage([broken] * 10, 1, steps=STEPS, direction="up")
    assert (unborn.diverged, unborn.step) == (True, 0)


def test_passages_become_escape_times_with_a_status_for_every_series():
    series = np.zeros((3, 10))
    series[0, 4:] = 2
    series[1, 7:] = np.nan
    found = passage.first_passage(series, 1, steps=STEPS, direction="up")
    times = found.escape_times(0.5, dataset=[0, 0, 1])
    assert times.status.tolist() == ["escaped", "diverged", "censored"]
    assert times.time.tolist() == [20.0, 30.0, 45.0]
    assert times.dataset.tolist() == [0, 0, 1]


@settings(deadline=None)
@given(series=SERIES, threshold=st.floats(-2, 2), persistence=st.integers(1, 12))
def test_down_is_up_in_the_mirror(series, threshold, persistence):
    at = np.arange(12)
    up = passage.first_passage(series, threshold, steps=at, direction="up", persistence=persistence)
    down = passage.first_passage(
        -series, -threshold, steps=at, direction="down", persistence=persistence
    )
    np.testing.assert_array_equal(up.step, down.step)
    np.testing.assert_array_equal(up.index, down.index)


@settings(deadline=None)
@given(series=SERIES, threshold=st.floats(-2, 2), persistence=st.integers(1, 11))
def test_asking_for_more_persistence_never_finds_an_earlier_passage(series, threshold, persistence):
    index = []
    for k in (persistence, persistence + 1):
        found = passage.first_passage(
            series, threshold, steps=np.arange(12), direction="up", persistence=k
        )
        index.append(np.where(found.passed, found.index, 99))
    assert np.all(index[0] <= index[1])


def test_the_papers_definition_is_the_midpoint_of_plateau_and_final_value():
    error = np.array([1.0, 1.0, 0.8, 0.61, 0.6, 0.59, 0.3, 0.2, 0.2, 0.2])
    assert passage.midpoint_threshold(1.0, 0.2) == pytest.approx(0.6, rel=1e-15)
    found = passage.midpoint_passage(error, steps=STEPS, plateau=1.0, final=0.2)
    assert found.step == 50


def test_noise_about_a_plateau_is_no_escape_once_a_least_drop_is_asked_for():
    error = 1 + 0.01 * np.random.default_rng(0).standard_normal((200, 10))
    plateau, final = passage.plateau_and_final(error, checks=2)
    literal = passage.midpoint_passage(error, steps=STEPS, plateau=plateau, final=final)
    careful = passage.midpoint_passage(
        error, steps=STEPS, plateau=plateau, final=final, least_drop=0.1
    )
    assert literal.passed.mean() > 0.3
    assert not careful.passed.any()
    np.testing.assert_array_equal(careful.step, 90)


def test_recrossing_counts_those_that_come_back_and_a_core_set_forgives_grazing():
    series = np.zeros((4, 10))
    series[0, 3:] = 2
    series[1, 3:], series[1, 5] = 2, 0.9
    series[2, 3:], series[2, 5] = 2, 0.1
    found = passage.first_passage(series, 1, steps=STEPS, direction="up")
    grazing = passage.recrossings(series, found, back_to=1, direction="up")
    returning = passage.recrossings(series, found, back_to=0.5, direction="up")
    assert (grazing.events, grazing.trials) == (2, 3)
    assert (returning.events, returning.trials) == (1, 3)
    assert returning.low < 1 / 3 < returning.high


def test_a_logistic_transition_has_the_width_of_its_formula():
    steps = np.arange(0, 4001, 2)
    rate, centre = 0.02, np.array([[1000.0], [2000.0]])
    error = 1 - 0.8 / (1 + np.exp(-rate * (steps - centre)))
    found = transitions.transitions(error, steps=steps, plateau=1.0, final=0.2)
    assert found.complete.all()
    np.testing.assert_allclose(found.delay, centre[:, 0], rtol=1e-9)
    # Linear interpolation errs by step**2 * curvature / 8: here 1e-4 of the width.
    np.testing.assert_allclose(found.width, 2 * np.log(9) / rate, rtol=1e-4)
    np.testing.assert_allclose(found.abruptness, found.width / found.delay)


def test_the_error_of_the_width_falls_with_the_square_of_the_check_interval():
    error = []
    for every in (40, 20, 10):
        steps = np.arange(0, 4001, every)
        series = 1 / (1 + np.exp(-0.02 * (steps - 2003)))
        width = transitions.transitions(series, steps=steps, plateau=0, final=1).width
        error.append(abs(float(width) - 2 * np.log(9) / 0.02))
    assert error[0] / error[2] > 8


def test_noise_on_the_plateau_or_after_the_passage_does_not_widen_a_transition():
    series = [0.0, 0.3, 0.0, 0.0, 1.0, 0.05, 1.0, 1.0]
    found = transitions.transitions(series, steps=np.arange(8), plateau=0, final=1)
    assert found.width == pytest.approx(0.8)
    assert found.delay == pytest.approx(3.5)


def test_a_delay_counts_from_the_first_check():
    series, steps = [0.0, 0.0, 1.0], np.array([100, 110, 120])
    found = transitions.transitions(series, steps=steps, plateau=0, final=1)
    assert found.delay == pytest.approx(15)
    assert found.abruptness == pytest.approx(8 / 15)


def test_a_transition_without_both_ends_is_not_complete():
    steps = np.arange(10)
    half_way = np.concatenate([np.zeros(5), np.full(5, 0.7)])
    at_once = np.ones(10)
    never = np.zeros(10)
    found = transitions.transitions([half_way, at_once, never], steps=steps, plateau=0, final=1)
    assert not found.complete.any()
    assert np.isnan(found.abruptness).all()


def test_a_table_over_thresholds_shows_what_the_count_depends_on():
    series = np.tile(np.arange(10.0), (4, 1))
    table = passage.threshold_sensitivity(series, 7.0, steps=STEPS, direction="up")
    assert [row.threshold for row in table] == [3.5, 5.25, 7.0, 8.75, 10.5]
    assert [row.passed for row in table] == [4, 4, 4, 4, 0]
    assert [row.exposure for row in table] == [160, 240, 320, 360, 360]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"steps": STEPS[:5]}, "one step per check"),
        ({"steps": STEPS[::-1]}, "increase strictly"),
        ({"persistence": 0}, "between 1 and the number of checks"),
        ({"persistence": 11}, "between 1 and the number of checks"),
        ({"threshold": np.nan}, "threshold is NaN"),
        ({"direction": "sideways"}, "'up' or 'down'"),
    ],
)
def test_a_series_that_cannot_be_read_is_refused_with_a_reason(arguments, sentence):
    given_ = {"threshold": 1.0, "steps": STEPS, "direction": "up"} | arguments
    with pytest.raises(InputError, match=sentence):
        passage.first_passage(np.zeros(10), **given_)
