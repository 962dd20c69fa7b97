"""Cumulative hazard and competing causes: identities with the survival curve, laws, an oracle."""

import numpy as np
import pytest
from helpers import assert_consistent, assert_covers
from hypothesis import given, settings
from hypothesis import strategies as st
from posteriors import table

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.competing import cause_specific_rates, cumulative_incidence
from spinodal.statistics.hazard import nelson_aalen
from spinodal.statistics.survival import exponential_rate, kaplan_meier

STATUSES = ["escaped", "escaped_elsewhere", "diverged", "censored"]

rows = st.lists(
    st.tuples(st.integers(1, 15), st.sampled_from(STATUSES)), min_size=1, max_size=40
)  # few different times: ties


def with_status(time, status) -> EscapeTimes:
    time = np.asarray(time, float)
    return EscapeTimes(
        replica=np.arange(time.size),
        dataset=np.zeros(time.size, dtype=np.int64),
        steps=np.arange(time.size),
        time=time,
        status=np.asarray(status),
    )


def test_without_censoring_the_hazard_is_the_sum_of_inverse_numbers_at_risk():
    curve = nelson_aalen(table([1.0, 2.0, 3.0, 4.0], 9.0))
    np.testing.assert_allclose(curve.hazard, [0, 1 / 4, 1 / 4 + 1 / 3, 13 / 12, 25 / 12])
    assert curve.time[0] == 0
    # Limits on the logarithm, from the variance 1/16 + 1/9 at the second escape.
    factor = np.exp(1.959964 * np.sqrt(1 / 16 + 1 / 9) / (7 / 12))
    np.testing.assert_allclose([curve.low[2], curve.high[2]], [7 / 12 / factor, 7 / 12 * factor])


def test_the_hazard_and_the_logarithm_of_survival_agree_where_many_are_at_risk():
    g = np.random.default_rng(0)
    times = table(g.exponential(size=2000), 1.0)
    hazard, survival = nelson_aalen(times), kaplan_meier(times)
    # -ln(1 - 1/n) = 1/n + 1/(2 n^2) + ...: survival is lower, by the sum of the second terms.
    np.testing.assert_array_less(hazard.hazard[1:-1], -np.log(survival.survival[1:-1]))
    np.testing.assert_allclose(-np.log(survival.survival), hazard.hazard, atol=1e-3)


def test_memoryless_escape_has_a_straight_hazard():
    curve = nelson_aalen(table(np.random.default_rng(1).exponential(0.5, 5000), 1.0))
    for t in (0.2, 0.5, 0.9):
        at = np.searchsorted(curve.time, t, side="right") - 1
        se = np.sqrt((np.exp(2 * t) - 1) / 5000)
        assert_consistent(float(curve.hazard[at]), 2 * t, float(se))


def test_the_hazards_limits_cover():
    g, hits = np.random.default_rng(2), 0
    for _ in range(250):
        curve = nelson_aalen(table(g.exponential(size=30), 1.0))
        at = np.searchsorted(curve.time, 0.7, side="right") - 1
        hits += bool(curve.low[at] <= 0.7 <= curve.high[at])
    assert_covers(hits, 250, 0.95)
    assert_covers(250 - hits, 250, 0.03)


@settings(deadline=None, max_examples=30)
@given(rows=rows)
def test_all_ways_out_and_staying_have_probability_one(rows):
    time, status = zip(*rows, strict=True)
    times = with_status(time, status)
    found = cumulative_incidence(times)
    left = sum(curve.probability for curve in found.values())
    anything = with_status(time, np.where(times.status == "censored", "censored", "escaped"))
    np.testing.assert_allclose(1 - left, kaplan_meier(anything).survival, atol=1e-12)
    for curve in found.values():
        assert np.all((curve.low >= 0) & (curve.low <= curve.probability + 1e-12))
        assert np.all((curve.high <= 1) & (curve.high >= curve.probability - 1e-12))


def test_with_one_cause_its_probability_is_one_minus_survival_and_with_its_limits():
    times = table(np.random.default_rng(3).exponential(size=80), 1.0)
    incidence, survival = cumulative_incidence(times)["escaped"], kaplan_meier(times)
    np.testing.assert_allclose(incidence.probability, 1 - survival.survival, atol=1e-12)
    np.testing.assert_allclose(incidence.low[5:], 1 - survival.high[5:], atol=1e-10)
    np.testing.assert_allclose(incidence.high[5:], 1 - survival.low[5:], atol=1e-10)


def two_causes(g: np.random.Generator, n: int) -> EscapeTimes:
    """Rates 1 and 3, watched until 1: shares of 1/4 and 3/4 of 1 - exp(-4 t)."""
    time = g.exponential(0.25, n)
    cause = np.where(g.random(n) < 0.25, "escaped", "escaped_elsewhere")
    return with_status(np.minimum(time, 1.0), np.where(time <= 1.0, cause, "censored"))


def test_a_competing_cause_is_not_censoring():
    times = two_causes(np.random.default_rng(4), 4000)
    curve = cumulative_incidence(times)["escaped"]
    at = np.searchsorted(curve.time, 0.3, side="right") - 1
    truth = 0.25 * (1 - np.exp(-1.2))
    assert_consistent(float(curve.probability[at]), truth, np.sqrt(truth * (1 - truth) / 4000))
    alone = kaplan_meier(times)  # in a world without the other cause
    assert 1 - alone.survival[at] > truth + 0.05


def test_the_limits_of_an_incidence_cover():
    g, hits, truth = np.random.default_rng(5), 0, 0.25 * (1 - np.exp(-1.2))
    for _ in range(250):
        curve = cumulative_incidence(two_causes(g, 60))["escaped"]
        at = np.searchsorted(curve.time, 0.3, side="right") - 1
        hits += bool(curve.low[at] <= truth <= curve.high[at])
    assert_covers(hits, 250, 0.95)
    assert_covers(250 - hits, 250, 0.03)


def test_rates_of_causes_add_up_to_that_of_leaving():
    times = two_causes(np.random.default_rng(6), 4000)
    found = cause_specific_rates(times)
    whole = with_status(times.time, np.where(times.status == "censored", "censored", "escaped"))
    total = sum(rate.rate for rate in found.values())
    assert total == pytest.approx(exponential_rate(whole).rate, rel=1e-12)
    assert found["escaped"].low < 1 < found["escaped"].high
    assert found["escaped_elsewhere"].low < 3 < found["escaped_elsewhere"].high
    assert found["diverged"].rate == 0
    assert "one-sided" in str(found["diverged"])


def test_divergence_is_a_way_out_and_all_may_take_it():
    found = cumulative_incidence(with_status([1.0, 2.0, 2.0], ["diverged"] * 3))
    np.testing.assert_allclose(found["diverged"].probability, [0, 1 / 3, 1])
    np.testing.assert_array_equal(found["escaped"].probability, 0)
    assert np.all(np.isfinite(found["escaped"].high))
    rates = cause_specific_rates(with_status([1.0, 2.0, 2.0], ["diverged"] * 3))
    assert rates["diverged"].rate == pytest.approx(3 / 5)


@pytest.mark.parametrize("n", [1, 3, 50])
def test_before_anything_happened_every_curve_has_an_exact_bound(n):
    times = with_status(np.full(n, 2.0), ["censored"] * n)
    hazard, causes = nelson_aalen(times), cumulative_incidence(times)
    np.testing.assert_array_equal(hazard.hazard, 0)
    np.testing.assert_allclose(np.exp(-n * hazard.high), 0.05)
    for curve in causes.values():
        np.testing.assert_array_equal(curve.probability, 0)
        np.testing.assert_allclose((1 - curve.high) ** n, 0.05)


@pytest.mark.needs("lifelines")
@pytest.mark.filterwarnings("ignore")  # pandas and lifelines announce their own future
@pytest.mark.parametrize("seed", range(5))
def test_an_independent_package_finds_the_same_hazard_incidence_and_entry(seed):
    lifelines = pytest.importorskip("lifelines")
    g = np.random.default_rng(seed)
    n = int(g.integers(10, 80))
    time = np.round(g.weibull(1.3, n), 2) + 0.01
    seen, entry = g.random(n) < 0.7, time * g.random(n) * (g.random(n) < 0.5)
    seen[0] = True
    times = with_status(time, np.where(seen, "escaped", "censored"))
    for began in (None, entry):
        ours, curve = nelson_aalen(times, entry=began), kaplan_meier(times, entry=began)
        theirs = lifelines.NelsonAalenFitter(nelson_aalen_smoothing=False)
        hazard = theirs.fit(time, seen, entry=began).cumulative_hazard_
        survival = lifelines.KaplanMeierFitter().fit(time, seen, entry=began).survival_function_
        for at, value, frame in (
            (ours.time, ours.hazard, hazard), (curve.time, curve.survival, survival)
        ):  # fmt: skip
            index = np.searchsorted(frame.index, at, side="right") - 1
            np.testing.assert_allclose(value, frame.iloc[:, 0].to_numpy()[index], atol=1e-12)
    time = time + 1e-4 * np.arange(n)  # it moves ties apart at random
    cause = np.where(seen, 1 + (g.random(n) < 0.4), 0)
    cause[0] = 1
    names = np.array(["censored", "escaped", "escaped_elsewhere"])
    ours = cumulative_incidence(with_status(time, names[cause]))["escaped"]
    fitter = lifelines.AalenJohansenFitter(calculate_variance=False)
    theirs = fitter.fit(time, cause, event_of_interest=1).cumulative_density_
    index = np.searchsorted(theirs.index, ours.time, side="right") - 1
    np.testing.assert_allclose(ours.probability, theirs.iloc[:, 0].to_numpy()[index], atol=1e-12)


def test_no_replicas_and_no_time_get_a_sentence():
    with pytest.raises(InputError, match="no replicas"):
        cumulative_incidence(with_status([], np.array([], dtype=str)))
    with pytest.raises(InputError, match="gives no rate"):
        cause_specific_rates(with_status([0.0], ["censored"]))
