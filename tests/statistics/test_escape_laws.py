"""Laws fitted to individual times: exact cases, an independent fit, coverage, the null law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from spinodal.errors import InputError
from spinodal.statistics import escape_laws

RATES = [5e-4, 1e-3, 2e-3, 3e-3, 5e-3]
INVERSE_T = np.repeat([1.0, 1.5, 2.0, 2.5], 50)


def sweep(
    generator: np.random.Generator, slope: float, *, cutoff: float = np.inf
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Exponential times with ln tau = 1 + slope * INVERSE_T, cut off at `cutoff`."""
    time = np.exp(1 + slope * INVERSE_T) * generator.exponential(size=INVERSE_T.size)
    return np.minimum(time, cutoff), np.where(time <= cutoff, "escaped", "censored")


def log_likelihood(parameters, time, status, x, offset) -> float:
    """The censored exponential likelihood, written down once more."""
    log_tau = parameters[0] + parameters[1] * x + offset
    return float(-(log_tau[status == "escaped"].sum() + (time * np.exp(-log_tau)).sum()))


def test_with_two_temperatures_the_slope_is_the_difference_of_the_two_logarithmic_means():
    time = np.array([1.0, 3, 5, 10, 20, 30])
    status = np.array(["escaped", "escaped", "censored", "escaped", "escaped", "escaped"])
    law = escape_laws.arrhenius_fit(time, status, [1.0, 1, 1, 4, 4, 4])
    assert law.slope == pytest.approx(np.log(20 / 4.5) / 3, rel=1e-12)
    np.testing.assert_allclose(law.mean_time([1, 4]), [4.5, 20], rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_general_optimiser_finds_the_same_fit_and_the_same_limits(seed):
    g = np.random.default_rng(seed)
    time, status = sweep(g, 2.0, cutoff=60.0)
    offset = g.normal(size=time.size)
    law = escape_laws.arrhenius_fit(time, status, INVERSE_T, offset=offset)
    assert law.slope is not None
    assert law.low is not None
    assert law.high is not None
    assert law.intercept is not None
    data = (time, status, INVERSE_T, offset)
    best = optimize.minimize(lambda p: -log_likelihood(p, *data), [0, 1], tol=1e-10)
    np.testing.assert_allclose([law.intercept, law.slope], best.x, rtol=1e-6, atol=1e-6)
    assert law.log_likelihood == pytest.approx(-best.fun, rel=1e-12)
    for limit in (law.low, law.high):
        profile = optimize.minimize_scalar(
            lambda a, b=limit: -log_likelihood([a, b], *data), bracket=(-3, 3), tol=1e-10
        )
        fallen = 2 * (law.log_likelihood + profile.fun)
        assert fallen == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-6)


@pytest.mark.parametrize("cutoff", [np.inf, 80.0, 15.0])
def test_the_slope_is_covered_whatever_the_censoring(cutoff):
    g, hits, trials = np.random.default_rng(11), 0, 500
    for _ in range(trials):
        law = escape_laws.arrhenius_fit(*sweep(g, 2.0, cutoff=cutoff), INVERSE_T)
        low = -np.inf if law.low is None else law.low
        high = np.inf if law.high is None else law.high
        hits += low <= 2.0 <= high
    z = (hits / trials - 0.95) / np.sqrt(0.95 * 0.05 / trials)
    assert abs(z) < 4, f"{hits / trials:.3f} covered: {z:+.1f} standard errors"


def test_dropping_the_censored_or_counting_them_as_escapes_flattens_the_line():
    time, status = sweep(np.random.default_rng(1), 2.0, cutoff=30.0)
    right = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    seen = status == "escaped"
    dropped = escape_laws.arrhenius_fit(time[seen], status[seen], INVERSE_T[seen])
    counted = escape_laws.arrhenius_fit(time, np.full(time.size, "escaped"), INVERSE_T)
    assert right.low is not None
    assert right.high is not None
    assert right.low < 2.0 < right.high
    for wrong in (dropped, counted):
        assert wrong.high is not None
        assert wrong.high < 2.0


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    unit=st.floats(1e-6, 1e6),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-5, 5),
)
def test_units_of_time_and_temperature_change_the_law_as_they_must(seed, unit, scale, shift):
    time, status = sweep(np.random.default_rng(seed), 1.0, cutoff=60.0)
    here = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    there = escape_laws.arrhenius_fit(unit * time, status, scale * (INVERSE_T + shift))
    for name in ("slope", "low", "high"):
        assert scale * getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-6)
    assert here.slope is not None
    assert here.intercept is not None
    assert there.intercept == pytest.approx(
        here.intercept + np.log(unit) - here.slope * shift, abs=1e-6
    )


@settings(deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_replicas_does_not_matter(seed):
    g = np.random.default_rng(seed)
    time, status = sweep(g, 1.0, cutoff=60.0)
    order = g.permutation(time.size)
    here = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    there = escape_laws.arrhenius_fit(time[order], status[order], INVERSE_T[order])
    assert there.slope == pytest.approx(here.slope, rel=1e-9)
    assert there.aic == pytest.approx(here.aic, rel=1e-12)


def test_a_known_offset_is_taken_out_exactly():
    time, status = sweep(np.random.default_rng(2), 2.0, cutoff=60.0)
    plain = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    given_ = escape_laws.arrhenius_fit(time, status, INVERSE_T, offset=0.7 * INVERSE_T + 3)
    assert plain.slope is not None
    assert plain.intercept is not None
    assert given_.slope == pytest.approx(plain.slope - 0.7, rel=1e-9)
    assert given_.intercept == pytest.approx(plain.intercept - 3, rel=1e-9)
    assert given_.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("end", [1.0, 2.5])
def test_escapes_at_one_end_only_leave_the_slope_without_a_limit_on_that_side(end):
    time = np.full(INVERSE_T.size, 5.0)
    status = np.where(INVERSE_T == end, "escaped", "censored")
    law = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    closed, open_side = (law.low, law.high) if end == 1.0 else (law.high, law.low)
    assert law.slope is None
    assert open_side is None
    assert closed is not None
    assert (closed > 0) == (end == 1.0)
    assert "unbounded" in str(law)
    # 50 events, none of 150 elsewhere: the profile has fallen by ln(1 + sum exp(-b dx)) per event.
    fallen = 2 * 50 * np.log1p(np.exp(-abs(closed) * np.array([0.5, 1.0, 1.5])).sum())
    assert fallen == pytest.approx(stats.norm.ppf(0.95) ** 2, rel=1e-9)
    with pytest.raises(InputError, match="no finite slope"):
        law.mean_time(1.0)


def test_a_single_event_still_gives_limits():
    time, status = np.full(200, 5.0), np.full(200, "censored", dtype="<U16")
    status[60] = "escaped"
    law = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    assert law.low is not None
    assert law.high is not None
    assert law.low < 0 < law.high


def test_escapes_elsewhere_count_as_time_at_risk_and_divergence_does_not_count():
    time, status = sweep(np.random.default_rng(3), 1.0, cutoff=20.0)
    usual = escape_laws.arrhenius_fit(time, status, INVERSE_T)
    elsewhere = np.where(status == "censored", "escaped_elsewhere", status)
    assert escape_laws.arrhenius_fit(time, elsewhere, INVERSE_T) == usual
    some = np.arange(time.size) % 7 == 0
    lost = np.where(some, "diverged", status)
    assert escape_laws.arrhenius_fit(time, lost, INVERSE_T) == escape_laws.arrhenius_fit(
        time[~some], status[~some], np.broadcast_to(INVERSE_T, time.shape)[~some]
    )


def test_drift_is_recognised_as_drift_and_activation_as_activation():
    g = np.random.default_rng(8)
    rates = np.repeat(RATES, 40)
    for truth, log_time in (("drift", np.log(30 / rates)), ("arrhenius", 2 + 2e-3 / rates)):
        steps = np.exp(log_time) * g.exponential(size=rates.size)
        status = np.full(rates.size, "escaped")
        laws = [
            escape_laws.arrhenius_fit(steps, status, 1 / rates),
            escape_laws.drift_law(steps, status, rates),
        ]
        assert min(laws, key=lambda law: law.aic).name == truth


def test_the_drift_constant_is_total_time_over_escapes_and_lies_on_the_law():
    steps, rates = np.array([100.0, 300.0, 400.0]), np.array([0.1, 0.02, 0.01])
    status = np.array(["escaped", "escaped", "censored"])
    constant, low, high = escape_laws.drift_constant(steps, status, rates)
    assert constant == pytest.approx(20 / 2)
    assert low < constant < high
    law = escape_laws.drift_law(steps, status, rates)
    np.testing.assert_allclose(law.mean_time(0, -np.log(rates)) * rates, constant)
    assert law.log_likelihood == pytest.approx(
        log_likelihood([law.intercept, 0.0], steps, status, rates, -np.log(rates)), rel=1e-12
    )


def test_pure_drift_on_the_papers_learning_rates_already_looks_like_an_arrhenius_line():
    assert escape_laws.drift_r_squared(RATES) == pytest.approx(0.9099352406108, rel=1e-12)
    assert escape_laws.drift_slope(RATES) == pytest.approx(1.18e-3, abs=5e-6)


@settings(deadline=None)
@given(unit=st.floats(1e-3, 1e3), order=st.permutations(RATES))
def test_the_r_squared_of_drift_depends_on_ratios_of_rates_only(unit, order):
    assert escape_laws.drift_r_squared(unit * np.array(order)) == pytest.approx(
        0.9099352406108, rel=1e-9
    )


def test_a_run_of_given_length_admits_only_so_steep_a_line():
    slope = escape_laws.steepest_slope(RATES, longest_time=2e4, shortest_time=1)
    assert slope == pytest.approx(np.log(2e4) / 1800, rel=1e-12)
    assert slope / 5e-3 == pytest.approx(1.1, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"status": ["censored"] * 3}, "None of 3 replicas escaped"),
        ({"status": ["gone"] * 3}, "Unknown statuses"),
        ({"inverse_temperature": [1, 1, 1]}, "two inverse temperatures"),
        ({"inverse_temperature": [1, 2]}, "one length"),
        ({"times": [1, np.nan, 2]}, "non-negative"),
        ({"times": [1, -1.0, 2]}, "non-negative"),
        ({"times": [1, 2, 0.0]}, "escaped at time 0"),
        ({"offset": [0, np.inf, 0]}, "finite"),
    ],
)
def test_a_fit_without_information_says_what_is_missing(arguments, sentence):
    given_ = {
        "times": [1.0, 2, 3],
        "status": ["escaped"] * 3,
        "inverse_temperature": [1, 2, 3],
    } | arguments
    with pytest.raises(InputError, match=sentence):
        escape_laws.arrhenius_fit(**given_)


def test_two_learning_rates_make_any_line_perfect():
    with pytest.raises(InputError, match="three different learning rates"):
        escape_laws.drift_r_squared([1e-3, 2e-3])
    with pytest.raises(InputError, match="positive"):
        escape_laws.drift_r_squared([1e-3, 2e-3, 0])
