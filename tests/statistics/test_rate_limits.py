"""One-sided bounds, median-unbiased rates and delayed entry: exact identities and coverage."""

import numpy as np
import pytest
from helpers import assert_consistent
from hypothesis import given, settings
from hypothesis import strategies as st
from posteriors import table
from scipy import stats

from spinodal.errors import InputError
from spinodal.statistics import rate_limits, survival

METHODS = ["automatic", "likelihood_ratio", "exact", "fixed_events"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("events", [1, 4, 5, 40])
def test_an_interval_is_two_bounds_that_share_what_is_left(method, events):
    low, high = rate_limits.rate_interval(events, 3.0, confidence=0.9, method=method)
    options = {"confidence": 0.95, "method": method}
    assert rate_limits.rate_bound(events, 3.0, side="lower", **options) == pytest.approx(low)
    assert rate_limits.rate_bound(events, 3.0, side="upper", **options) == pytest.approx(high)
    assert low < events / 3.0 < high


def test_exact_bounds_invert_the_poisson_law_of_the_count():
    low, high = (
        rate_limits.rate_bound(6, 2.0, side=side, confidence=0.9, method="exact") * 2.0
        for side in ("lower", "upper")
    )
    assert stats.poisson.sf(5, low) == pytest.approx(0.1, rel=1e-10)
    assert stats.poisson.cdf(6, high) == pytest.approx(0.1, rel=1e-10)


def test_a_bound_at_even_odds_is_the_estimate_and_nothing_escaped_has_its_bound():
    for side in ("lower", "upper"):
        middle = rate_limits.rate_bound(9, 3.0, side=side, confidence=0.5)
        assert middle == pytest.approx(3.0, rel=1e-12)
    assert rate_limits.rate_bound(0, 5.0, side="lower") == 0
    assert rate_limits.rate_bound(0, 5.0, side="upper") == pytest.approx(np.log(20) / 5)


@pytest.mark.parametrize("events", [1, 3, 30, 1000])
def test_the_median_unbiased_rate_splits_the_poisson_law_in_two_equal_halves(events):
    mean = float(rate_limits.median_unbiased_rate(events, 1.0))
    below = stats.poisson.cdf(events - 1, mean) + stats.poisson.pmf(events, mean) / 2
    assert below == pytest.approx(0.5, abs=1e-10)
    mean = float(rate_limits.median_unbiased_rate(events, 1.0, fixed_events=True))
    assert stats.gamma.cdf(mean, events) == pytest.approx(0.5, abs=1e-10)


def test_with_many_events_all_estimates_of_a_rate_agree_and_with_none_it_is_nothing():
    assert rate_limits.median_unbiased_rate(10**6, 10**6) == pytest.approx(1, rel=1e-6)
    assert rate_limits.median_unbiased_rate(0, 7.0) == 0


def test_the_median_unbiased_mean_is_too_large_as_often_as_too_small_where_the_usual_one_is_not():
    times = np.random.default_rng(1).exponential(size=(4000, 8))
    cutoff = -np.log(0.5)
    seen = times[:, :8] <= cutoff
    events, exposure = seen.sum(axis=1), np.minimum(times[:, :8], cutoff).sum(axis=1)
    some = events > 0
    usual = exposure[some] / events[some]
    assert usual.mean() > 1.1
    # Until the fourth event, where nothing is discrete.
    exposure = times[:, :4].sum(axis=1)
    rates = rate_limits.median_unbiased_rate(np.full(4000, 4), exposure, fixed_events=True)
    assert_consistent(float((rates < 1).mean()), 0.5, 0.5 / np.sqrt(4000))


def test_the_estimate_can_be_asked_for_and_stays_inside_its_interval():
    times = table([0.2, 0.5, 3.0, 3.0], 1.0)
    usual = survival.exponential_rate(times)
    middle = survival.exponential_rate(times, estimate="median_unbiased")
    assert usual.low < usual.rate < middle.rate < usual.high
    assert (middle.low, middle.high) == (usual.low, usual.high)
    with pytest.raises(InputError, match="median_unbiased"):
        survival.exponential_rate(times, estimate="mean")  # pyright: ignore[reportArgumentType]


def test_who_enters_later_gives_the_same_rate_because_escape_has_no_memory():
    g = np.random.default_rng(2)
    entry, time = g.uniform(0, 2, 20_000), g.exponential(size=20_000)
    there = time > entry  # the rest had gone before they were looked at
    times = table(time[there], 3.0)
    late = survival.exponential_rate(times, entry=entry[there])
    assert_consistent(np.log(late.rate), 0.0, 1 / np.sqrt(late.events))
    # Forgetting the entry counts time in which nothing could have happened.
    assert survival.exponential_rate(times).high < 1


def test_a_common_entry_is_a_shift_of_the_origin():
    time = 2.0 + np.random.default_rng(3).exponential(size=30)
    late = survival.exponential_rate(table(time, 4.0), entry=2.0)
    assert late.rate == pytest.approx(survival.exponential_rate(table(time - 2.0, 2.0)).rate)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=30))
def test_entry_at_the_start_changes_nothing(rows):
    time, seen = (np.array(column, float) for column in zip(*rows, strict=True))
    times = table(np.where(seen, time, 1e9), np.where(seen, 13.0, time))
    one, other = survival.kaplan_meier(times), survival.kaplan_meier(times, entry=0.0)
    np.testing.assert_allclose(other.survival, one.survival, atol=1e-14)
    np.testing.assert_allclose(other.low, one.low, atol=1e-12)
    np.testing.assert_allclose(other.high, one.high, atol=1e-12)


def test_survival_with_entry_is_conditional_on_having_got_there():
    g = np.random.default_rng(4)
    entry, time = g.uniform(0, 1, 4000), g.weibull(2.0, 4000) * 1.5
    entry[:400] = 0.0
    there = time > entry
    curve = survival.kaplan_meier(table(time[there], 9.0), entry=entry[there])
    at = np.searchsorted(curve.time, 1.0, side="right") - 1
    truth = float(np.exp(-((1 / 1.5) ** 2)))
    se = (curve.high[at] - curve.low[at]) / (2 * 1.96)
    assert_consistent(float(curve.survival[at]), truth, float(se))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (2.0, "enter before"),
        (1.0, "enter before"),
        (-1.0, "not negative"),
        (np.nan, "not negative"),
        ([0.0, 0.1], "shape"),
    ],
)
def test_entries_that_cannot_be_are_refused(entry, words):
    with pytest.raises(InputError, match=words):
        survival.exponential_rate(table([1.0, 1.0, 1.0], 5.0), entry=entry)


@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_the_unit_of_time_may_be_enormous_or_tiny(unit):
    times = table(unit * np.array([1.0, 2.0, 3.0, 3.0, 5.0, 8.0]), unit * 6.0)
    found = survival.exponential_rate(times, estimate="median_unbiased")
    assert np.isfinite([found.rate, found.low, found.high]).all()
    assert found.high * unit == pytest.approx(
        survival.exponential_rate(table([1, 2, 3, 3, 5, 8], 6.0)).high, rel=1e-9
    )


def test_times_without_a_rate_get_a_sentence():
    with pytest.raises(InputError, match="smaller unit"):
        survival.exponential_rate(table([1e-310], 1.0))
    with pytest.raises(InputError, match="not finite"):
        survival.exponential_rate(table([np.inf], np.inf))
