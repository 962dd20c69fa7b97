"""Escapes seen at looks: the exact likelihood, its limits, and the bias of ignoring it."""

import numpy as np
import pytest
from helpers import assert_consistent, assert_covers
from posteriors import table
from scipy import optimize, stats

from spinodal.errors import InputError
from spinodal.statistics.interval_censoring import look_bias, looked_at_rate
from spinodal.statistics.survival import exponential_rate


def looks(g: np.random.Generator, n: int, every: float, horizon: float):
    """Exponential escapes of mean 1, seen at the next multiple of `every`."""
    return table(np.ceil(g.exponential(size=n) / every) * every, horizon)


def test_frequent_looks_are_as_good_as_watching():
    times = table(np.random.default_rng(0).exponential(size=60) + 1e-3, 1.5)
    watched, looked = exponential_rate(times), looked_at_rate(times, check_every=1e-7)
    for name in ("rate", "low", "high"):
        assert getattr(looked, name) == pytest.approx(getattr(watched, name), rel=1e-6)
    assert looked.bias == pytest.approx(0, abs=1e-6)
    assert not looked.coarse


def test_equal_looks_are_a_series_of_trials_with_one_chance_of_escape():
    times = looks(np.random.default_rng(1), 80, 0.5, 2.0)
    found = looked_at_rate(times, check_every=0.5)
    trials = times.exposure / 0.5
    assert found.rate == pytest.approx(-np.log(1 - times.events / trials) / 0.5, rel=1e-12)
    # The look is taken for the escape: events / exposure falls short by look_bias.
    assert found.rate is not None
    assert found.naive / found.rate - 1 == pytest.approx(float(look_bias(0.5, found.rate)))


def test_unequal_looks_have_the_largest_likelihood_and_its_limits():
    g = np.random.default_rng(2)
    gap = g.choice([0.2, 0.5, 1.0], 40)
    times = table(np.ceil(g.exponential(size=40) / gap) * gap, 3.0)
    found = looked_at_rate(times, check_every=gap)

    def log_likelihood(k: float) -> float:
        t, seen = times.time, times.escaped
        left = np.where(seen, t - gap, t)
        return float(
            (np.log(np.exp(-k * left[seen]) - np.exp(-k * t[seen]))).sum() - k * t[~seen].sum()
        )

    best = optimize.minimize_scalar(lambda k: -log_likelihood(k), bounds=(0.1, 5), method="bounded")
    assert found.rate == pytest.approx(float(best.x), rel=1e-4)
    assert found.high is not None
    for limit in (found.low, found.high):
        fallen = 2 * (-float(best.fun) - log_likelihood(limit))
        assert fallen == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-5)


@pytest.mark.parametrize(("n", "every"), [(50, 0.1), (50, 1.0), (12, 0.5)])
def test_the_interval_covers_and_that_of_the_naive_rate_does_not(n, every):
    g, hits, naive = np.random.default_rng(3), 0, 0
    for _ in range(200):
        times = looks(g, n, every, 2.0)
        found, taken = looked_at_rate(times, check_every=every), exponential_rate(times)
        hits += found.low <= 1 and (found.high is None or found.high >= 1)
        naive += taken.low <= 1 <= taken.high
    assert_covers(hits, 200, 0.95)
    if every == 1.0:
        assert naive < 0.7 * 200


def test_the_bias_is_that_of_simulated_looks_whatever_the_horizon():
    assert float(look_bias(0.1, 1.0)) == pytest.approx(-0.0484, abs=1e-4)
    assert float(look_bias(1e-9, 1.0)) == pytest.approx(-5e-10, rel=1e-6)
    assert look_bias(0.0, 1.0) == 0
    for horizon in (1.0, 5.0):
        times = looks(np.random.default_rng(4), 40_000, 0.5, horizon)
        rate = exponential_rate(times).rate
        assert_consistent(rate - 1, float(look_bias(0.5, 1.0)), 1 / np.sqrt(times.events))


def test_a_coarse_grid_is_announced():
    coarse = looked_at_rate(looks(np.random.default_rng(5), 200, 0.5, 3.0), check_every=0.5)
    assert coarse.coarse
    assert "taking looks for escapes would give -2" in str(coarse)


def test_when_all_escaped_before_the_first_look_there_is_a_lower_bound_only():
    found = looked_at_rate(table(np.full(6, 2.0), 9.0), check_every=2.0)
    assert found.rate is found.high is None
    # At the bound, that all six escape has probability 5 %.
    assert (1 - np.exp(-2 * found.low)) ** 6 == pytest.approx(0.05, rel=1e-9)
    assert "> " in str(found)


def test_when_nothing_escaped_the_bound_is_the_usual_one():
    times = table(np.full(6, 9.0), 2.0)
    found = looked_at_rate(times, check_every=0.5)
    assert (found.rate, found.low) == (0, 0)
    assert found.high == pytest.approx(exponential_rate(times).high, rel=1e-12)
    assert "one-sided" in str(found)


@pytest.mark.parametrize("unit", [1e-270, 1e300])
def test_the_unit_of_time_does_not_matter(unit):
    time, gap = np.array([1.0, 2.0, 4.0, 4.0, 6.0, 3.0]), np.array([1, 1, 2, 1, 3, 1.0])
    one, other = (
        looked_at_rate(table(u * time, u * 5.0), check_every=u * gap) for u in (1.0, unit)
    )
    assert one.rate is not None
    assert other.rate is not None
    assert other.rate * unit == pytest.approx(one.rate, rel=1e-9)


@pytest.mark.parametrize("every", [0.0, -1.0, np.nan, np.inf])
def test_looks_that_cannot_be_are_refused(every):
    with pytest.raises(InputError, match="between looks"):
        looked_at_rate(table([1.0], 2.0), check_every=every)
    with pytest.raises(InputError, match="time 0"):
        looked_at_rate(table([0.0, 1.0], 2.0), check_every=1.0)
