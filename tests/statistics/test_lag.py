"""A lag before memoryless escape: exact laws of the first escape, coverage, size."""

import math

import numpy as np
import pytest
from helpers import assert_consistent, assert_covers
from posteriors import table
from scipy import special

from spinodal.errors import InputError
from spinodal.statistics.lag import (
    chance_of_lag,
    first_after,
    lagged_log_likelihood,
    lagged_rate,
    log_irwin_hall,
)


def irwin_hall(y: float, d: int) -> float:
    """The textbook sum, whose terms cancel: good for few terms only."""
    j = np.arange(math.floor(y) + 1)
    return float(
        ((-1.0) ** j * special.comb(d, j) * (y - j) ** (d - 1)).sum() / math.factorial(d - 1)
    )


@pytest.mark.parametrize(("y", "d"), [(0.3, 2), (1.2, 3), (3.3, 8), (6.1, 8), (5.0, 15)])
def test_the_density_of_a_sum_of_uniform_numbers_is_the_textbooks(y, d):
    assert log_irwin_hall(y, d) == pytest.approx(math.log(irwin_hall(y, d)), rel=1e-9)


def test_the_density_keeps_its_digits_far_out_and_tends_to_the_normal_one():
    # Below 1 it is y^(d-1) / (d-1)!, however small.
    assert log_irwin_hall(0.5, 400) == pytest.approx(399 * math.log(0.5) - math.lgamma(400))
    # In the middle of many: normal, with a correction of order 1/d.
    normal = -0.5 * math.log(2 * math.pi * 900 / 12)
    assert log_irwin_hall(450.0, 900) == pytest.approx(normal, abs=1e-3)
    assert log_irwin_hall(100.0, 900) == pytest.approx(log_irwin_hall(800.0, 900), rel=1e-10)


@pytest.mark.parametrize("cutoff", [1.0, np.inf])
def test_the_chance_of_a_late_first_escape_is_that_of_rejection_sampling(cutoff):
    g = np.random.default_rng(0)
    times = g.exponential(size=(400_000, 3))
    total = times.sum(axis=1)
    kept = times[(times.max(axis=1) < cutoff) & (np.abs(total - 1.2) < 0.02)]
    seen = np.array([0.2, 0.5, 0.5])
    share = float((kept.min(axis=1) > 0.2).mean())
    assert kept.shape[0] > 1000
    se = np.sqrt(share * (1 - share) / kept.shape[0])
    assert_consistent(first_after(0.2, seen, cutoff), share, se + 0.004)


@pytest.mark.parametrize(("n", "cutoff"), [(8, np.inf), (30, 0.7), (60, 0.2)])
def test_memoryless_escapes_without_a_lag_are_rejected_as_often_as_promised(n, cutoff):
    g, p = np.random.default_rng(1), []
    for _ in range(1000):
        times = table(g.exponential(size=n), cutoff)
        if times.events > 1:
            p.append(chance_of_lag(times, 0.0))
    p = np.array(p)
    for level in (0.05, 0.3):
        assert_consistent(float((p <= level).mean()), level, np.sqrt(level * (1 - level) / p.size))


def test_random_censoring_does_not_spoil_the_test():
    g, rejected = np.random.default_rng(2), 0
    for _ in range(1000):
        rejected += (
            chance_of_lag(table(g.exponential(size=25), g.exponential(1.5, 25)), 0.0) <= 0.05
        )
    assert_consistent(rejected / 1000, 0.05, np.sqrt(0.05 * 0.95 / 1000))


def test_without_censoring_the_likelihood_ratio_has_its_exact_law():
    times = table([0.5, 0.8, 1.4, 2.0], 9.0)
    found = lagged_rate(times)
    # (1 - n t1 / sum)^(n - 1) in terms of 2 n ln(sum / (sum - n t1)).
    assert found.p_value == pytest.approx(math.exp(-found.statistic * 3 / 8), rel=1e-12)


@pytest.mark.parametrize(("n", "cutoff"), [(10, np.inf), (25, 1.0)])
def test_intervals_of_lag_and_rate_cover_and_the_lag_is_not_biased(n, cutoff):
    g, lags, rates, middle = np.random.default_rng(3), 0, 0, []
    for _ in range(250):
        found = lagged_rate(table(0.4 + g.exponential(size=n), 0.4 + cutoff))
        lags += found.lag_low <= 0.4 <= found.lag_high
        rates += found.low <= 1 <= found.high
        middle.append(found.lag)
    assert_covers(lags, 250, 0.95)
    assert_covers(250 - lags, 250, 0.04)
    assert_covers(rates, 250, 0.95)
    assert_consistent(float(np.mean(middle)), 0.4, float(np.std(middle)) / np.sqrt(250))


def test_the_maximum_of_the_likelihood_is_at_the_first_escape():
    times = table(0.4 + np.random.default_rng(4).exponential(size=30), 1.5)
    found = lagged_rate(times)
    lags, rates = np.linspace(0, 0.8, 161)[:, None], np.linspace(0.1, 4, 400)
    grid = lagged_log_likelihood(lags, rates, times)
    assert grid.max() <= found.log_likelihood + 1e-12
    assert grid.max() > found.log_likelihood - 0.5
    assert np.all(np.isneginf(grid[lags[:, 0] > found.lag_high]))


def test_a_lag_is_found_where_there_is_one():
    found = lagged_rate(table(1 + np.random.default_rng(5).exponential(size=60), 3.0))
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert 0.9 < found.lag_low < 1 < found.lag_high < 1.1
    assert "for no lag" in str(found)


@pytest.mark.parametrize("unit", [1e-280, 1e290])
def test_the_unit_of_time_does_not_matter(unit):
    time = np.array([0.5, 0.8, 1.4, 2.0, 2.2])
    one, other = (lagged_rate(table(u * time, u * 2.1)) for u in (1.0, unit))
    assert other.lag_low / unit == pytest.approx(one.lag_low, rel=1e-6)
    assert other.rate * unit == pytest.approx(one.rate, rel=1e-9)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)


def test_one_escape_bounds_lag_and_rate():
    found = lagged_rate(table([1.0, 5.0], 3.0))
    assert (found.lag_low, found.lag_high, found.rate, found.p_value) == (0, 1, 0, None)
    assert found.high == pytest.approx(math.log(20) / 2)


def test_nothing_to_say_is_said():
    with pytest.raises(InputError, match="None of 3 replicas escaped"):
        lagged_rate(table([4.0, 5.0, 6.0], 3.0))
    with pytest.raises(InputError, match="beyond the first escape"):
        lagged_rate(table([2.0, 2.0], 3.0))
