"""Rates that differ between data sets: the averaged likelihood, its limits, coverage."""

import numpy as np
import pytest
from helpers import assert_covers
from posteriors import table
from scipy import integrate, stats

from spinodal.errors import InputError
from spinodal.statistics.frailty import frail_log_likelihood, frail_rate
from spinodal.statistics.survival import exponential_rate

EVENTS, EXPOSURE = np.array([3.0, 0.0, 12.0]), np.array([2.0, 1.0, 30.0])


def nested(g: np.random.Generator, sd: float, datasets: int = 10, each: int = 5, cutoff=np.inf):
    dataset = np.repeat(np.arange(datasets), each)
    tau = np.exp(sd * g.standard_normal(datasets))[dataset]
    return table(tau * g.exponential(size=dataset.size), cutoff, dataset)


@pytest.mark.parametrize(("mu", "sd"), [(0.0, 0.5), (-1.0, 1.5), (0.5, 0.1), (0.0, 3.0)])
def test_the_likelihood_is_the_average_over_the_normal_law(mu, sd):
    def weighted(z: float, d: float, exposure: float) -> float:
        return stats.norm.pdf(z) * np.exp(d * (mu + sd * z) - exposure * np.exp(mu + sd * z))

    exact = sum(
        np.log(integrate.quad(weighted, -9, 9, args=row, points=[-1, 0, 1], limit=300)[0])
        for row in zip(EVENTS, EXPOSURE, strict=True)
    )
    found = frail_log_likelihood(mu, sd, EVENTS, EXPOSURE)
    assert float(found) == pytest.approx(exact, abs=1e-3 * sd**2)


def test_without_scatter_it_is_the_poisson_likelihood():
    found = frail_log_likelihood([-1.0, 0.0, 0.7], 0.0, EVENTS, EXPOSURE)
    mu = np.array([-1.0, 0.0, 0.7])
    np.testing.assert_allclose(found, EVENTS.sum() * mu - EXPOSURE.sum() * np.exp(mu))
    # And it is approached as sd^2.
    close = [frail_log_likelihood(0.0, sd, EVENTS, EXPOSURE) - found[1] for sd in (2e-3, 1e-3)]
    assert close[0] / close[1] == pytest.approx(4, rel=1e-3)


def test_data_sets_that_are_alike_have_no_scatter_and_the_usual_rate():
    time = np.tile(np.linspace(0.1, 2.5, 20), 12)
    times = table(time, 2.0, np.repeat(np.arange(12), 20))
    found, usual = frail_rate(times), exponential_rate(times)
    assert found.sd == found.sd_low == 0
    assert found.rate == pytest.approx(usual.rate, rel=1e-4)
    assert found.low < usual.low < usual.high < found.high


def test_well_known_data_sets_give_students_interval_of_their_logarithms():
    g = np.random.default_rng(0)
    times = nested(g, 0.8, datasets=10, each=2000)
    found = frail_rate(times)
    logs = [np.log(exponential_rate(times.select(times.dataset == k)).rate) for k in range(10)]
    t = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    np.testing.assert_allclose(
        np.log([found.low, found.high]), [float(t.low), float(t.high)], atol=0.02
    )
    assert found.sd == pytest.approx(np.std(logs, ddof=1), rel=0.03)


@pytest.mark.parametrize(("sd", "cutoff"), [(0.6, 1.0)])
def test_typical_rate_and_scatter_are_covered(sd, cutoff):
    g, rate, scatter = np.random.default_rng(1), 0, 0
    for _ in range(30):
        found = frail_rate(nested(g, sd, cutoff=cutoff))
        rate += found.low <= 1 <= found.high
        scatter += found.sd_low <= sd <= (found.sd_high or np.inf)
    assert_covers(rate, 30, 0.95)
    assert_covers(scatter, 30, 0.95)


def test_the_mean_rate_exceeds_the_typical_one_by_the_scatter():
    times = nested(np.random.default_rng(2), 1.0, datasets=40, each=50)
    typical, mean = frail_rate(times), frail_rate(times, average="mean")
    assert typical.sd is not None
    assert mean.rate / typical.rate == pytest.approx(np.exp(typical.sd**2 / 2), rel=0.03)
    assert mean.low < np.exp(0.5) < mean.high


@pytest.mark.parametrize("unit", [1e-270, 1e290])
def test_the_unit_of_time_does_not_matter(unit):
    time, dataset = np.random.default_rng(3).exponential(size=24), np.arange(24) % 4
    one = frail_rate(table(time, 1.0, dataset))
    other = frail_rate(table(unit * time, unit, dataset))
    assert other.high * unit == pytest.approx(one.high, rel=1e-3)
    assert other.sd == pytest.approx(one.sd)


def test_without_an_escape_there_is_a_bound_and_with_one_data_set_a_sentence():
    none = frail_rate(table(np.full(20, 9.0), 3.0, np.arange(20) % 5))
    assert (none.rate, none.low, none.sd, none.sd_high) == (0, 0, None, None)
    assert none.high == pytest.approx(np.log(20) / 60)
    assert "one-sided" in str(none)
    with pytest.raises(InputError, match="One data set"):
        frail_rate(table([1.0, 2.0], 3.0))
    with pytest.raises(InputError, match="average"):
        frail_rate(table([1.0], 3.0), average="median")  # pyright: ignore[reportArgumentType]
