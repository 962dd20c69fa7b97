"""Rates and survival curves: exact values, coverage, an independent package, planted mistakes."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics import survival
from spinodal.statistics.bootstrap import rate_across_datasets

GRID = [(n, censored) for n in (10, 20, 50, 200) for censored in (0.0, 0.5, 0.9)]
REPEATS = 4000


def escape_times(time: ArrayLike, status: ArrayLike, dataset: ArrayLike = 0) -> EscapeTimes:
    """A table of escape times; `status` holds names, or True for escaped, False for censored."""
    time, status = np.asarray(time, dtype=float), np.asarray(status)
    if status.dtype.kind != "U":
        status = np.where(status.astype(bool), "escaped", "censored")
    return EscapeTimes(
        replica=np.arange(time.size),
        dataset=np.broadcast_to(np.asarray(dataset, dtype=np.int64), time.shape),
        steps=np.arange(time.size),
        time=time,
        status=status,
    )


def assert_covers(hits: int, trials: int, level: float, *, z_max: float = 4.0) -> None:
    """Intervals may over-cover (counts are discrete) but must not promise too much."""
    z = (hits / trials - level) / np.sqrt(level * (1 - level) / trials)
    assert z > -z_max, f"{hits / trials:.3f} covered, {level} promised: {z:+.1f} standard errors"


def sample(n: int, censored: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Exponential times of mean 1 cut off so that `censored` of them are not seen to escape."""
    cutoff = -np.log(censored) if censored else np.inf
    time = np.random.default_rng([n, round(100 * censored)]).exponential(size=(REPEATS, n))
    return np.minimum(time, cutoff), time <= cutoff


samples = st.lists(
    st.tuples(st.floats(1e-3, 1e3), st.sampled_from(["escaped", "censored", "escaped_elsewhere"])),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize(("n", "censored"), GRID)
def test_the_interval_keeps_its_promise_on_the_grid_of_sizes_and_censoring(n, censored):
    time, seen = sample(n, censored)
    low, high = survival.rate_interval(seen.sum(axis=1), time.sum(axis=1))
    hits = int(((low <= 1) & (high >= 1)).sum())
    assert_covers(hits, REPEATS, 0.95)
    if n * (1 - censored) >= 4.9:
        assert_covers(REPEATS - hits, REPEATS, 0.025)


@pytest.mark.parametrize(("n", "censored"), [case for case in GRID if case[1] > 0])
@pytest.mark.parametrize("mistake", ["censored dropped", "censored counted as escapes"])
def test_the_judge_of_coverage_convicts_the_two_classical_mistakes(n, censored, mistake):
    time, seen = sample(n, censored)
    if mistake == "censored dropped":
        events, exposure = seen.sum(axis=1), (time * seen).sum(axis=1)
        some = events > 0
        low, high = survival.rate_interval(events[some], exposure[some])
    else:
        low, high = survival.rate_interval(np.full(REPEATS, n), time.sum(axis=1))
    with pytest.raises(AssertionError, match="standard errors"):
        assert_covers(int(((low <= 1) & (high >= 1)).sum()), low.size, 0.95)


def test_the_estimate_itself_covers_and_not_only_its_formula():
    time, seen = sample(20, 0.5)
    rows = zip(time[:500], seen[:500], strict=True)
    estimates = [survival.exponential_rate(escape_times(*row)) for row in rows]
    assert_covers(sum(e.low <= 1 <= e.high for e in estimates), 500, 0.95)
    logs = np.log([e.rate for e in estimates if e.rate])
    assert abs(np.median(logs)) < 4 * 1.25 * logs.std() / np.sqrt(logs.size)


@pytest.mark.parametrize("events", [1, 5, 10, 100, 10**6, 10**9])
def test_the_likelihood_ratio_limits_lie_where_the_likelihood_has_fallen_enough(events):
    limits = survival.rate_interval(events, 7.0, method="likelihood_ratio", confidence=0.9)
    for limit in limits:
        excess = limit * 7.0 / events - 1
        fallen = 2 * events * (excess - np.log1p(excess))
        assert fallen == pytest.approx(stats.chi2.ppf(0.9, 1), rel=1e-6)


def test_exact_limits_invert_the_poisson_law_of_the_count():
    low, high = survival.rate_interval(3, 2.0, method="exact")
    assert stats.poisson.sf(2, low * 2.0) == pytest.approx(0.025, rel=1e-10)
    assert stats.poisson.cdf(3, high * 2.0) == pytest.approx(0.025, rel=1e-10)


def test_limits_after_a_fixed_number_of_events_cover_exactly():
    exposure = np.random.default_rng(5).gamma(3, size=20_000)
    low, high = survival.rate_interval(np.full(20_000, 3), exposure, method="fixed_events")
    hits = int(((low <= 1) & (high >= 1)).sum())
    assert_covers(hits, 20_000, 0.95)
    assert_covers(20_000 - hits, 20_000, 0.05)


def test_few_events_get_the_exact_interval_and_say_so():
    few = survival.exponential_rate(escape_times([1, 2, 3, 4, 9], [1, 1, 1, 1, 0]))
    more = survival.exponential_rate(escape_times([1, 2, 3, 4, 9], [1, 1, 1, 1, 1]))
    assert (few.method, more.method) == ("exact", "likelihood_ratio")
    assert (few.low, few.high) == survival.rate_interval(4, 19.0, method="exact")


def test_a_single_event_has_a_finite_interval_around_it():
    one = survival.exponential_rate(escape_times([2.0, 10.0], [True, False]))
    assert one.rate == pytest.approx(1 / 12)
    assert 0 < one.low < one.rate < one.high < 1


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_when_nothing_escaped_the_rate_has_a_one_sided_bound(confidence):
    none = survival.exponential_rate(
        escape_times([3.0] * 100, [False] * 100), confidence=confidence
    )
    assert (none.rate, none.low, none.events, none.method) == (0, 0, 0, "one_sided_bound")
    assert none.high == pytest.approx(-np.log(1 - confidence) / 300, rel=1e-14)
    # The bound is the rate at which a silence this long has probability 1 - confidence.
    assert np.exp(-none.high * none.exposure) == pytest.approx(1 - confidence)


@settings(deadline=None)
@given(rows=samples, factor=st.floats(1e-6, 1e6), method=st.sampled_from(["automatic", "exact"]))
def test_a_rate_scales_as_the_inverse_of_the_unit_of_time(rows, factor, method):
    time, status = zip(*rows, strict=True)
    here = survival.exponential_rate(escape_times(time, status), method=method)
    there = survival.exponential_rate(escape_times(factor * np.array(time), status), method=method)
    for name in ("rate", "low", "high"):
        assert getattr(there, name) * factor == pytest.approx(getattr(here, name), rel=1e-9)


@settings(deadline=None)
@given(rows=samples, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_replicas_does_not_matter(rows, shuffle):
    mixed = list(rows)
    shuffle.shuffle(mixed)
    one, other = (escape_times(*zip(*table, strict=True)) for table in (rows, mixed))
    first, second = survival.exponential_rate(one), survival.exponential_rate(other)
    assert second.high == pytest.approx(first.high, rel=1e-12)
    np.testing.assert_allclose(
        survival.kaplan_meier(one).low, survival.kaplan_meier(other).low, rtol=1e-12
    )


@settings(deadline=None)
@given(rows=samples, cut=st.integers(0, 40))
def test_merging_parts_gives_the_rate_of_the_whole(rows, cut):
    whole = escape_times(*zip(*rows, strict=True))
    parts = [
        EscapeTimes(
            **{
                name: getattr(whole, name)[piece]
                for name in ("replica", "dataset", "steps", "time", "status")
            }
        )
        for piece in (slice(cut), slice(cut, None))
    ]
    assert survival.exponential_rate(EscapeTimes.merge(parts)) == survival.exponential_rate(whole)
    assert sum(part.events for part in parts) == whole.events


@settings(deadline=None)
@given(rows=samples, longer=st.floats(1e-3, 1e3))
def test_watching_the_censored_for_longer_lowers_the_rate_and_its_limits(rows, longer):
    time, status = (np.array(column) for column in zip(*rows, strict=True))
    status = np.append(status, "censored")
    short = survival.exponential_rate(escape_times(np.append(time, 1.0), status))
    long = survival.exponential_rate(escape_times(np.append(time, 1.0 + longer), status))
    assert long.rate <= short.rate
    assert long.high < short.high


def test_competing_endings_count_as_exposure_and_not_as_escapes():
    status = ["escaped"] * 5 + ["escaped_elsewhere"] * 5 + ["censored"] * 190
    rate = survival.exponential_rate(escape_times(np.ones(200), status))
    assert (rate.events, rate.exposure, rate.rate) == (5, 200.0, 5 / 200)
    assert rate.status_counts["escaped_elsewhere"] == 5


def test_more_than_one_per_cent_diverged_is_worth_a_warning():
    two, three = (["diverged"] * k + ["escaped"] * (200 - k) for k in (2, 3))
    assert survival.exponential_rate(escape_times(np.ones(200), two)).events == 198
    with pytest.warns(survival.DivergedWarning, match="3 of 200 replicas diverged"):
        found = survival.exponential_rate(escape_times(np.ones(200), three))
    assert "197 of 197, 3 diverged and left out" in str(found)


@pytest.mark.filterwarnings("ignore::spinodal.statistics.survival.DivergedWarning")
def test_replicas_that_diverged_enter_no_estimate():
    time = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1e9, 7.0])
    status = np.array(["escaped"] * 4 + ["censored", "diverged", "diverged"])
    times, fine = escape_times(time, status, [0, 1, 0, 1, 0, 1, 2]), status != "diverged"
    without = times.select(fine)
    assert times.exposure == without.exposure == 15.0
    rate, other = survival.exponential_rate(times), survival.exponential_rate(without)
    assert (rate.events, rate.exposure, rate.rate) == (4, 15.0, 4 / 15)
    assert (rate.low, rate.high) == (other.low, other.high)
    assert (rate.replicas, rate.status_counts["diverged"]) == (7, 2)
    across, others = rate_across_datasets(times), rate_across_datasets(without)
    assert (across.exposure, across.high, across.datasets) == (15.0, others.high, 2)
    for curves in zip(
        vars(survival.kaplan_meier(times)).values(),
        vars(survival.kaplan_meier(without)).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(*curves)
    assert survival.log_rank(times, fast := escape_times([1.0], [True])) == survival.log_rank(
        without, fast
    )


def test_nothing_is_estimated_where_all_diverged():
    times = escape_times(np.ones(4), ["diverged"] * 4)
    for estimate in (survival.exponential_rate, survival.kaplan_meier, rate_across_datasets):
        with pytest.raises(InputError, match="All 4 replicas diverged"):
            estimate(times)


def test_kaplan_meier_by_hand():
    curve = survival.kaplan_meier(escape_times([1, 2, 2, 3, 4], [1, 1, 0, 1, 0]))
    np.testing.assert_array_equal(curve.time, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(curve.survival, [1, 4 / 5, 3 / 5, 3 / 10, 3 / 10])
    assert curve.median.value == 3


@pytest.mark.parametrize("ending", ["escaped_elsewhere", "censored"])
def test_whatever_is_not_an_escape_leaves_the_risk_set_without_a_step(ending):
    time = np.arange(1.0, 201)
    status = np.full(200, "escaped", dtype="<U17")
    status[9::100] = ending
    curve = survival.kaplan_meier(escape_times(time, status))
    assert curve.events == 198
    assert curve.survival[10] == curve.survival[9] == pytest.approx(191 / 200)
    assert curve.survival[11] == pytest.approx(191 / 200 * 189 / 190)


@pytest.mark.parametrize("seed", range(6))
def test_a_survival_curve_covers_the_truth_at_its_median_in_most_samples(seed):
    g, hits = np.random.default_rng(seed), 0
    for _ in range(100):
        time, cutoff = g.exponential(size=40), g.uniform(0.5, 2, size=40)
        curve = survival.kaplan_meier(escape_times(np.minimum(time, cutoff), time <= cutoff))
        at = np.searchsorted(curve.time, np.log(2), side="right") - 1
        hits += bool(curve.low[at] <= 0.5 <= curve.high[at])
    assert_covers(hits, 100, 0.95)


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_with_everything_censored_the_curve_stays_at_one_with_an_exact_lower_limit(n):
    curve = survival.kaplan_meier(escape_times(np.full(n, 8.0), np.zeros(n, bool)))
    np.testing.assert_array_equal(curve.survival, 1)
    np.testing.assert_array_equal(curve.high, 1)
    # n replicas all survive with probability s**n: that is 5 % at the limit.
    np.testing.assert_allclose(curve.low**n, 0.05)
    assert curve.median.value is None
    assert curve.median.low == (8.0 if n >= 5 else 0.0)
    assert "not reached" in str(curve.median)


def test_with_everything_escaped_no_limit_is_missing():
    curve = survival.kaplan_meier(escape_times([1.0, 2.0, 3.0, 4.0], [True] * 4))
    assert np.all((curve.low <= curve.survival) & (curve.survival <= curve.high))
    assert np.all(np.diff(curve.low) <= 0)
    assert np.all(np.diff(curve.high) <= 0)
    single = survival.kaplan_meier(escape_times([1.0], [True]))
    assert np.isfinite([single.low, single.high]).all()
    assert single.median.value == 1.0


@settings(deadline=None)
@given(rows=samples)
def test_limits_enclose_every_curve(rows):
    curve = survival.kaplan_meier(escape_times(*zip(*rows, strict=True)))
    assert np.all((0 <= curve.low) & (curve.low <= curve.survival + 1e-12))
    assert np.all((curve.survival <= curve.high + 1e-12) & (curve.high <= 1))
    assert curve.time[0] == 0
    assert curve.survival[0] == 1


def test_groups_without_escapes_do_not_differ_and_the_same_group_does_not_differ_from_itself():
    idle = escape_times(np.ones(5), np.zeros(5, bool))
    busy = escape_times(np.arange(1.0, 6), np.ones(5, bool))
    assert survival.log_rank(idle, idle).p_value == 1
    assert survival.log_rank(busy, busy).p_value == pytest.approx(1)


def test_groups_with_a_threefold_rate_differ():
    g = np.random.default_rng(1)
    slow, fast = (escape_times(g.exponential(tau, 100), np.ones(100, bool)) for tau in (3, 1))
    assert survival.log_rank(slow, fast).p_value < 1e-6


@pytest.mark.needs("lifelines")
@pytest.mark.parametrize("seed", range(40))
def test_an_independent_package_finds_the_same_curve_rate_and_log_rank(seed):
    lifelines = pytest.importorskip("lifelines")
    from lifelines.statistics import logrank_test

    g = np.random.default_rng(seed)
    groups = []
    for _ in range(2):
        n = int(g.integers(5, 120))
        time = np.ceil(10 * g.weibull(g.uniform(0.6, 2), n) * 10) / 10
        groups.append((time, g.random(n) < g.uniform(0.2, 1)))
    (time, seen), times = groups[0], escape_times(*groups[0])
    if not seen.any():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas and lifelines announce their own future
        theirs = lifelines.KaplanMeierFitter().fit(time, seen)
        # Its default search stops at a relative error of about 1e-5.
        fitter = lifelines.ExponentialFitter()
        fitter._scipy_fit_method = "Powell"
        fitter.fit(time, seen, fit_options={"xtol": 1e-12, "ftol": 1e-16})
        rate = 1 / fitter.params_.iloc[0]
        test = logrank_test(*(g[0] for g in groups), *(g[1] for g in groups))
        limits = theirs.confidence_interval_.to_numpy()
    ours = survival.kaplan_meier(times)
    np.testing.assert_array_equal(ours.time, theirs.survival_function_.index)
    np.testing.assert_allclose(
        ours.survival, theirs.survival_function_.iloc[:, 0], rtol=0, atol=1e-12
    )
    inner = (ours.survival > 0) & (ours.survival < 1)
    np.testing.assert_allclose(ours.low[inner], limits[inner, 0], rtol=1e-9)
    np.testing.assert_allclose(ours.high[inner], limits[inner, 1], rtol=1e-9)
    assert survival.exponential_rate(times).rate == pytest.approx(rate, rel=1e-6)
    compared = survival.log_rank(times, escape_times(*groups[1]))
    assert compared.statistic**2 == pytest.approx(test.test_statistic, rel=1e-6, abs=1e-9)
    assert compared.p_value == pytest.approx(test.p_value, rel=1e-6)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, float("nan"), 95.0])
def test_a_confidence_that_is_no_probability_is_refused(confidence):
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        survival.exponential_rate(escape_times([1.0], [True]), confidence=confidence)


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="Unknown method 'wald'"):
        survival.rate_interval(3, 1.0, method="wald")  # pyright: ignore[reportArgumentType]


def test_replicas_that_were_never_watched_are_refused():
    for time in ([], [0.0, 0.0]):
        with pytest.raises(InputError, match="watched for no time at all"):
            survival.exponential_rate(escape_times(time, np.zeros(len(time), bool)))
