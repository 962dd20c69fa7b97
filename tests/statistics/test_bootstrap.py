"""The data set as unit: what happens when replicas share one."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.bootstrap import cluster_interval, rate_across_datasets
from spinodal.statistics.survival import exponential_rate


def nested(
    generator: np.random.Generator, *, datasets: int, replicas: int, spread: float, cutoff: float
) -> EscapeTimes:
    """Replicas nested in data sets whose mean escape times are log-normal about 1."""
    tau = np.repeat(np.exp(spread * generator.standard_normal(datasets)), replicas)
    time = tau * generator.exponential(size=tau.size)
    return table(np.minimum(time, cutoff), time <= cutoff, np.repeat(np.arange(datasets), replicas))


def table(time: NDArray, escaped: NDArray, dataset: NDArray) -> EscapeTimes:
    return EscapeTimes(
        replica=np.arange(time.size),
        dataset=dataset.astype(np.int64),
        steps=np.arange(time.size),
        time=time.astype(float),
        status=np.where(escaped, "escaped", "censored"),
    )


def assert_covers(hits: int, trials: int, level: float, *, z_max: float = 4.0) -> None:
    """Intervals may over-cover (counts are discrete) but must not promise too much."""
    z = (hits / trials - level) / np.sqrt(level * (1 - level) / trials)
    assert z > -z_max, f"{hits / trials:.3f} covered, {level} promised: {z:+.1f} standard errors"


@pytest.mark.parametrize("spread", [0.0, 0.6])
@pytest.mark.parametrize("datasets", [5, 20])
def test_the_pooled_rate_covers_the_rate_of_the_task(datasets, spread):
    many = nested(np.random.default_rng(0), datasets=10**6, replicas=1, spread=spread, cutoff=1)
    truth, g, hits = many.events / many.exposure, np.random.default_rng(datasets), 0
    for _ in range(200):
        found = rate_across_datasets(
            nested(g, datasets=datasets, replicas=5, spread=spread, cutoff=1)
        )
        hits += found.low <= truth <= found.high
    assert_covers(hits, 200, 0.95)


@pytest.mark.parametrize("spread", [0.3, 0.6, 1.0])
def test_the_typical_rate_covers_where_replicas_taken_as_independent_do_not(spread):
    g, hits, naive = np.random.default_rng(7), 0, 0
    for _ in range(200):
        times = nested(g, datasets=10, replicas=5, spread=spread, cutoff=np.inf)
        found = rate_across_datasets(times, average="typical")
        hits += found.low <= 1 <= found.high
        one = nested(g, datasets=1, replicas=50, spread=spread, cutoff=np.inf)
        alone = exponential_rate(one)
        naive += alone.low <= 1 <= alone.high
    assert_covers(hits, 200, 0.95)
    # Fifty seeds on one sample measure that sample: coverage 60, 34 and 22 %.
    assert naive / 200 < 0.75


def test_data_sets_that_agree_give_nearly_the_interval_of_independent_replicas():
    g = np.random.default_rng(3)
    times = nested(g, datasets=200, replicas=5, spread=0.0, cutoff=1.0)
    found, plain = rate_across_datasets(times), exponential_rate(times)
    assert found.rate == pytest.approx(plain.rate, rel=1e-12)
    assert np.log(found.high / found.low) / np.log(plain.high / plain.low) == pytest.approx(
        1, abs=0.15
    )


def test_nothing_escaped_bounds_both_the_rate_and_the_data_sets_that_allow_it():
    times = table(np.full(200, 4.0), np.zeros(200, bool), np.arange(200) % 10)
    found = rate_across_datasets(times)
    assert (found.rate, found.low, found.events, found.datasets) == (0, 0, 0, 10)
    assert found.high == pytest.approx(-np.log(0.05) / 800)
    assert found.fraction.high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert "one-sided (escape in 0 of 10 data sets" in str(found)


def test_each_data_set_keeps_its_own_estimate():
    times = table(np.array([1.0, 2, 3, 4]), np.array([1, 0, 1, 1]), np.array([7, 7, 3, 3]))
    found = rate_across_datasets(times)
    assert [name for name, _ in found.by_dataset] == [3, 7]
    assert [rate.rate for _, rate in found.by_dataset] == pytest.approx([2 / 7, 1 / 3])
    assert found.fraction.events == 2


def test_the_names_of_data_sets_and_the_unit_of_time_do_not_matter():
    g = np.random.default_rng(4)
    times = nested(g, datasets=8, replicas=6, spread=0.5, cutoff=1.0)
    other = table(10 * times.time, times.escaped, 100 - times.dataset)
    here, there = rate_across_datasets(times), rate_across_datasets(other)
    assert 10 * there.rate == pytest.approx(here.rate)
    assert 10 * there.high == pytest.approx(here.high)


def test_a_typical_rate_has_students_interval_on_logarithms_free_of_bias():
    times = nested(np.random.default_rng(9), datasets=6, replicas=4, spread=1.0, cutoff=np.inf)
    found = rate_across_datasets(times, average="typical", confidence=0.9)
    # The time of four escapes at rate k is Gamma(4) / k, and E ln Gamma(4) = digamma(4).
    digamma = 1 + 1 / 2 + 1 / 3 - np.euler_gamma
    logs = digamma - np.log(times.time.reshape(6, 4).sum(axis=1))
    half = stats.t.ppf(0.95, 5) * stats.sem(logs)
    expected = [logs.mean() - half, logs.mean() + half]
    np.testing.assert_allclose(np.log([found.low, found.high]), expected, rtol=1e-10)
    assert np.log(found.rate) == pytest.approx(logs.mean())


def test_the_pooled_interval_is_students_on_the_linearised_ratio():
    times = nested(np.random.default_rng(10), datasets=7, replicas=30, spread=1.0, cutoff=1.0)
    found = rate_across_datasets(times)
    escaped = times.escaped.reshape(7, 30).sum(axis=1)
    exposure = times.time.reshape(7, 30).sum(axis=1)
    residual = 7 * (escaped - found.rate * exposure) / times.events
    half = stats.t.ppf(0.975, 6) * stats.sem(residual)
    assert np.log(found.high / found.rate) == pytest.approx(half, rel=1e-10)
    assert np.log(found.rate / found.low) == pytest.approx(half, rel=1e-10)


def test_data_sets_that_agree_by_luck_never_narrow_the_interval_below_counting_noise():
    times = table(np.ones(20), np.arange(20) % 2 == 0, np.arange(20) // 10)
    found = rate_across_datasets(times)
    assert np.log(found.high / found.rate) == pytest.approx(stats.norm.ppf(0.975) / np.sqrt(10))


def test_one_data_set_cannot_speak_for_the_task():
    with pytest.raises(InputError, match="at least two"):
        rate_across_datasets(table(np.ones(3), np.ones(3, bool), np.zeros(3)))


def test_a_typical_rate_needs_an_escape_in_every_data_set():
    times = table(np.ones(4), np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]))
    with pytest.raises(InputError, match="1 of 2 have none"):
        rate_across_datasets(times, average="typical")


def test_a_cluster_bootstrap_of_the_mean_is_as_wide_as_the_spread_of_cluster_means():
    g = np.random.default_rng(5)
    cluster = np.repeat(np.arange(60), 4)
    values = np.repeat(g.standard_normal(60), 4)
    found = cluster_interval(np.mean, [values], cluster, generator=np.random.default_rng(1))
    expected = 2 * stats.norm.ppf(0.975) * values.std() / np.sqrt(60)
    assert found.high - found.low == pytest.approx(expected, rel=0.1)
    assert found.low < found.value < found.high


def test_the_bootstrap_is_a_function_of_its_generator():
    g = np.random.default_rng(6)
    columns, cluster = [g.random(50), g.random(50)], np.arange(50) % 10
    draws = [
        cluster_interval(
            lambda a, b: a.sum() / b.sum(),
            columns,
            cluster,
            generator=np.random.default_rng(seed),
            resamples=200,
        )
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_clusters_are_drawn_whole():
    found = cluster_interval(
        lambda rows: float(rows.size),
        [np.ones(20)],
        np.arange(20) % 5,
        generator=np.random.default_rng(0),
        resamples=99,
    )
    assert (found.value, found.low, found.high) == (20, 20, 20)


def test_a_statistic_that_never_varies_has_an_interval_of_no_width():
    found = cluster_interval(
        np.mean, [np.ones(20)], np.arange(20) % 5, generator=np.random.default_rng(0), resamples=99
    )
    assert (found.value, found.low, found.high) == (1, 1, 1)


@pytest.mark.parametrize(
    ("cluster", "sentence"), [(np.zeros(4), "at least two clusters"), (np.arange(3), "one length")]
)
def test_a_bootstrap_without_clusters_is_refused(cluster, sentence):
    with pytest.raises(InputError, match=sentence):
        cluster_interval(np.mean, [np.ones(4)], cluster, generator=np.random.default_rng(0))
