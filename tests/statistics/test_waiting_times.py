"""Does the test of memorylessness keep its size, and does it see what it should?"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.waiting_times import anderson_darling, memorylessness


def table(time: NDArray, cutoff: float = np.inf, dataset: NDArray | int = 0) -> EscapeTimes:
    return EscapeTimes(
        replica=np.arange(time.size),
        dataset=np.broadcast_to(np.asarray(dataset, dtype=np.int64), time.shape),
        steps=np.arange(time.size),
        time=np.minimum(time, cutoff),
        status=np.where(time <= cutoff, "escaped", "censored"),
    )


def rejections(law, trials: int, seed: int, **options) -> float:
    """How often `law(generator)` is rejected at 5 %."""
    g = np.random.default_rng(seed)
    found = [memorylessness(law(g), generator=g, resamples=199, **options) for _ in range(trials)]
    return float(np.mean([f.p_value is not None and f.p_value <= 0.05 for f in found]))


def erlang(g: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Two exponential stages of mean 1/2: the least memory that a two-step escape has."""
    return g.exponential(0.5, (2, n)).sum(axis=0)


@pytest.mark.parametrize("cutoff", [np.inf, 1.0, 0.3])
def test_memoryless_escapes_are_rejected_as_often_as_promised(cutoff):
    share = rejections(lambda g: table(g.exponential(size=120), cutoff), 1000, 1)
    z = (share - 0.05) / np.sqrt(0.05 * 0.95 / 1000)
    assert abs(z) < 4, f"{share:.3f} rejected, 0.05 promised: {z:+.1f} standard errors"


@pytest.mark.parametrize(
    ("law", "power"),
    [
        (lambda g: table(erlang(g, 50)), 0.85),
        (lambda g: table(erlang(g, 100), 1.0), 0.90),
        (lambda g: table(g.weibull(1.3, 100)), 0.75),
        (lambda g: table(0.3 + 0.7 * g.exponential(size=100), 1.0), 0.95),
    ],
    ids=["erlang", "erlang, censored", "weibull", "lag, censored"],
)
def test_escapes_with_memory_are_rejected(law, power):
    share = rejections(law, 200, 2)
    z = (share - power) / np.sqrt(power * (1 - power) / 200)
    assert z > -4, f"power {share:.3f}, expected {power}: {z:+.1f} standard errors"


def test_a_deterministic_delay_is_rejected_outright():
    g = np.random.default_rng(0)
    found = memorylessness(table(g.normal(10, 0.5, 150)), generator=g)
    assert found.verdict == "rejected"
    assert found.p_value == 1 / 1000


def test_below_a_hundred_events_the_verdict_is_untested_whatever_the_p_value():
    g = np.random.default_rng(0)
    few = memorylessness(table(g.normal(10, 0.5, 99)), generator=g)
    assert (few.verdict, few.events) == ("untested", 99)
    assert few.p_value is not None
    assert few.p_value < 0.05


@pytest.mark.parametrize("events", [0, 1, 4])
def test_with_next_to_no_events_there_is_no_p_value(events):
    time = np.concatenate([np.linspace(0.1, 0.5, events), np.full(20, 9.0)])
    found = memorylessness(table(time, 1.0), generator=np.random.default_rng(0))
    assert (found.verdict, found.p_value, found.events) == ("untested", None, events)


def test_the_statistic_is_that_of_scipy():
    u = np.random.default_rng(3).random(80)
    theirs = stats.goodness_of_fit(
        stats.uniform,
        u,
        known_params={"loc": 0, "scale": 1},
        statistic="ad",
        n_mc_samples=1,
        rng=np.random.default_rng(0),
    ).statistic
    assert float(anderson_darling(u)) == pytest.approx(theirs, rel=1e-12)


def test_without_censoring_the_p_value_is_that_of_scipy():
    time = np.random.default_rng(4).weibull(1.15, 100)
    theirs = stats.goodness_of_fit(
        stats.expon,
        time,
        known_params={"loc": 0},
        statistic="ad",
        n_mc_samples=1999,
        rng=np.random.default_rng(0),
    )
    ours = memorylessness(table(time), generator=np.random.default_rng(1), resamples=1999)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert ours.p_value is not None
    se = np.sqrt(2 * theirs.pvalue * (1 - theirs.pvalue) / 1999)
    assert abs(ours.p_value - theirs.pvalue) < 4 * se


def test_the_result_depends_on_the_generator_only_and_not_on_the_unit_of_time():
    time = np.random.default_rng(5).exponential(size=150)
    first, second, scaled = (
        memorylessness(table(scale * time, scale), generator=np.random.default_rng(9))
        for scale in (1.0, 1.0, 1024.0)
    )
    assert first == second
    assert (scaled.p_value, scaled.events) == (first.p_value, first.events)
    assert scaled.statistic == pytest.approx(first.statistic, rel=1e-9)


def test_data_sets_with_rates_of_their_own_are_memoryless_only_data_set_by_data_set():
    dataset = np.arange(200) % 10

    def law(g: np.random.Generator) -> EscapeTimes:
        tau = np.exp(1.5 * g.standard_normal(10))[dataset]
        return table(tau * g.exponential(size=200), 2.0, dataset)

    assert rejections(law, 40, 6) > 0.9
    share = rejections(law, 300, 7, by_dataset=True)
    assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 300)


def test_coarse_checks_look_like_memory_unless_the_test_is_told_about_them():
    def law(g: np.random.Generator) -> EscapeTimes:
        return table(np.ceil(g.exponential(size=200) / 0.2) * 0.2, 2.0)

    assert rejections(law, 50, 8) > 0.9
    share = rejections(law, 400, 9, check_every=0.2)
    assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)


def test_only_events_before_an_earlier_cut_off_are_tested():
    time = np.random.default_rng(10).exponential(size=300)
    found = memorylessness(table(time, 2.0), generator=np.random.default_rng(0), cutoff=0.5)
    assert found.events == int((time <= 0.5).sum())
    assert found.cutoff == 0.5


def test_a_single_escape_seen_at_the_first_check_says_nothing():
    one = EscapeTimes(
        replica=np.arange(1),
        dataset=np.zeros(1, dtype=np.int64),
        steps=np.array([1]),
        time=np.array([0.5]),
        status=np.array(["escaped"]),
    )
    found = memorylessness(one, generator=np.random.default_rng(0), check_every=1.0)
    assert found.verdict == "untested"
    assert found.p_value is None


@pytest.mark.parametrize(
    "options", [{"cutoff": 3.0}, {"cutoff": 0.0}, {"resamples": 3}, {"level": 2.0}]
)
def test_impossible_requests_are_refused(options):
    time = np.random.default_rng(11).exponential(size=300)
    with pytest.raises(InputError, match="got"):
        memorylessness(table(time, 2.0), generator=np.random.default_rng(0), **options)
