"""Laws over a design: exact cases, identities, invariances, planted laws found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import assert_consistent, assert_covers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from spinodal.errors import InputError
from spinodal.statistics import escape_laws
from spinodal.statistics.designs import Design, design
from spinodal.statistics.fitted_laws import FittedLaw, LawFits
from spinodal.statistics.law_choice import choose
from spinodal.statistics.laws import fit_laws
from spinodal.statistics.memoryless_settings import memoryless_in_settings

RATES = np.repeat(np.geomspace(0.01, 0.1, 8), 30)
ALL = np.full(RATES.size, "escaped")


def cut(times, share: float = 0.85):
    """Times and statuses when watching ends after this share has escaped."""
    end = np.quantile(times, share)
    return np.minimum(times, end), np.where(times <= end, "escaped", "censored")


def planted(kind: str, seed: int):
    waits = np.random.default_rng([seed, 1]).exponential(size=RATES.size)
    means = {
        "arrhenius": np.exp(1 + 0.06 / RATES),
        "power": 0.01 * RATES**-2.5,
        "drift": np.full(RATES.size, 30.0),
    }
    if kind == "lag":
        return cut(30 + 20 * waits)
    if kind == "narrow drift":
        return cut(30 * (1 + 0.08 * np.random.default_rng(seed).normal(size=RATES.size)))
    return cut(means[kind] * waits)


def values(law: FittedLaw) -> list[float]:
    return [float(v.estimate or 0) for v in law.parameters.values()]


def slope(fits: LawFits, law: str = "arrhenius", name: str = "barrier") -> Any:
    return fits[law].parameters[name]


# Exact cases and identities


def test_with_two_temperatures_every_sloped_law_has_the_likelihood_of_separate_rates():
    g = np.random.default_rng(1)
    temperature = np.repeat([0.5, 1.0], 20)
    time, status = cut(g.exponential(size=40) * np.exp(2 / temperature))
    fits = fit_laws(design(time, status, temperature=temperature), names=["arrhenius", "power"])
    separate = 0.0
    for t in (0.5, 1.0):
        own = temperature == t
        events = (status[own] == "escaped").sum()
        separate += events * (np.log(events / time[own].sum()) - 1)
    for law in fits.laws:
        assert law.log_likelihood == pytest.approx(separate, rel=1e-12)
        assert law.misfit is None


def test_the_arrhenius_law_is_that_of_the_older_fit_with_its_limits():
    time, status = planted("arrhenius", 3)
    known = np.log(RATES)
    old = escape_laws.arrhenius_fit(time, status, 1 / RATES, offset=known)
    new = fit_laws(design(time, status, learning_rate=RATES), attempts="step")
    law = new["arrhenius"]
    assert law.shape is None
    assert law.log_likelihood == pytest.approx(old.log_likelihood, rel=1e-12)
    assert values(law) == pytest.approx([old.intercept, old.slope], rel=1e-8)
    barrier = law.parameters["barrier"]
    assert (barrier.low, barrier.high) == pytest.approx((old.low, old.high), rel=1e-7)


def test_rotations_add_half_their_number_times_the_logarithm_of_temperature():
    temperature = np.array([0.5, 1.0, 2.0])
    means = np.exp(1 + 3 / temperature) * temperature**2
    time = np.concatenate([0.3 * means, 1.7 * means])
    sweep = design(time, ["escaped"] * 6, temperature=np.tile(temperature, 2))
    law = fit_laws(sweep, rotations=4, names=["arrhenius"])["arrhenius"]
    assert values(law) == pytest.approx([1, 3], abs=1e-9)


@pytest.mark.parametrize(
    ("covariates", "exponent"),
    [({"temperature": RATES}, -1.0), ({"learning_rate": RATES}, 0.0),
     ({"learning_rate": RATES, "temperature": RATES}, 0.0)],
)  # fmt: skip
def test_drift_is_power_with_a_fixed_exponent(covariates, exponent):
    time, status = planted("power", 0)
    fits = fit_laws(design(time, status, **covariates))
    x = np.log(RATES)

    def loss(log_prefactor: float) -> float:
        log_tau = log_prefactor + exponent * x
        return float(log_tau[status == "escaped"].sum() + (time * np.exp(-log_tau)).sum())

    best = optimize.minimize_scalar(loss, bracket=(-5, 10), tol=1e-12)
    assert fits["drift"].log_likelihood == pytest.approx(-best.fun, rel=1e-10)
    assert "drift" in fits["power"].contains
    assert fits["power"].log_likelihood > fits["drift"].log_likelihood


def test_a_constant_time_is_contained_in_the_arrhenius_law_but_one_over_t_is_not():
    time, status = planted("drift", 0)
    by_rate = fit_laws(design(time, status, learning_rate=RATES))
    by_temperature = fit_laws(design(time, status, temperature=RATES))
    assert "drift" in by_rate["arrhenius"].contains
    assert by_temperature["arrhenius"].contains == ()


def test_the_lag_is_the_first_escape_and_the_rest_waits_exponentially():
    time = np.array([30.0, 31.0, 33.0, 35.0, 36.0])
    status = np.array(["escaped"] * 4 + ["censored"])
    law = fit_laws(design(time, status, temperature=[1.0, 1, 2, 2, 1]), names=["lag"])["lag"]
    waited = 0 + 1 + 3 + 5 + 6
    assert values(law) == pytest.approx([np.log(waited / 4), 30.0], rel=1e-12)
    assert law.log_likelihood == pytest.approx(4 * (np.log(4 / waited) - 1), rel=1e-12)
    low = law.parameters["lag"].low
    assert low is not None
    shifted = np.maximum(time - low, 0).sum()
    assert shifted == pytest.approx(waited * 0.05 ** (-1 / 3), rel=1e-9)


def test_mori_is_the_arrhenius_law_with_the_barrier_of_loss_ratio_and_curvature():
    g, batch, curvature, ratio = np.random.default_rng(5), 4.0, 0.5, 1.02
    exponent = (batch / (RATES * curvature) + 0.5) * np.log(ratio)
    time = g.exponential(size=RATES.size) * np.exp(1 + exponent)
    given = {"learning_rate": RATES, "batch_size": batch}
    fits = fit_laws(design(time, ALL, **given, loss_ratio=ratio, curvature=curvature))
    assert "mori" in fits["arrhenius"].contains
    barrier = slope(fits)
    assert barrier.low < np.log(ratio) / curvature < barrier.high
    gain = fits["arrhenius"].log_likelihood - fits["mori"].log_likelihood
    assert 0 <= 2 * gain < stats.chi2.ppf(0.9999, 1)
    with pytest.raises(KeyError):
        fit_laws(design(time, ALL, **given))["mori"]


def test_with_one_shape_common_to_all_a_general_optimiser_finds_the_same_weibull_law():
    time, status = planted("narrow drift", 2)
    law = fit_laws(design(time, status, learning_rate=RATES))["power"]
    assert law.shape is not None
    x, seen = np.log(RATES), status == "escaped"

    def loss(p) -> float:
        shape = np.exp(p[2])
        scale = np.exp(p[0] + p[1] * x) / special.gamma(1 + 1 / shape)
        log_hazard = np.log(shape / scale) + (shape - 1) * np.log(time / scale)
        return float(((time / scale) ** shape).sum() - log_hazard[seen].sum())

    best = optimize.minimize(loss, [3.4, 0.0, 2.5], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000})  # fmt: skip
    assert law.log_likelihood == pytest.approx(-best.fun, abs=1e-6)
    assert [*values(law), np.log(law.shape)] == pytest.approx(best.x.tolist(), abs=1e-4)
    exponent = law.parameters["exponent"]
    edge = optimize.minimize(
        lambda p: loss([p[0], exponent.high, p[1]]), best.x[[0, 2]], method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-10},
    )  # fmt: skip
    assert 2 * (edge.fun - best.fun) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-3)


def test_escapes_at_one_end_leave_a_one_sided_limit_and_no_estimate():
    temperature = np.repeat([0.5, 1.0], 10)
    status = np.where(temperature == 1.0, "escaped", "censored")
    fits = fit_laws(design(np.full(20, 2.0), status, temperature=temperature))
    barrier = slope(fits)
    assert barrier.estimate is None
    assert barrier.high is None
    old = escape_laws.arrhenius_fit(np.full(20, 2.0), status, 1 / temperature)
    assert barrier.low == pytest.approx(old.low, rel=1e-9)
    assert fits["arrhenius"].log_likelihood == pytest.approx(old.log_likelihood, rel=1e-12)
    assert choose(fits).law == "undecided"


def test_nothing_escaped_is_no_law_and_one_strength_no_slope():
    nothing = fit_laws(design([1.0, 2.0], ["censored"] * 2, temperature=[0.1, 0.2]))
    assert nothing.laws == ()
    assert choose(nothing).law == "undecided"
    one = fit_laws(design([1.0, 2.0, 5.0], ["escaped"] * 3, temperature=0.1))
    assert [law.name for law in one.laws] == ["drift", "lag"]
    assert choose(one).law == "undecided"


def test_each_weight_decay_has_parameters_of_its_own():
    time, status = planted("arrhenius", 4)
    decay = np.tile([0.1, 0.2], RATES.size // 2)
    both = fit_laws(design(time, status, learning_rate=RATES, weight_decay=decay))["arrhenius"]
    parts = []
    for value in (0.1, 0.2):
        own = decay == value
        alone = fit_laws(design(time[own], status[own], learning_rate=RATES[own]))["arrhenius"]
        parts.append(alone.log_likelihood)
        named = both.parameters[f"barrier[weight_decay={value}]"].estimate
        assert named == pytest.approx(alone.parameters["barrier"].estimate, rel=1e-6)
    assert both.log_likelihood == pytest.approx(sum(parts), rel=1e-10)


# Invariances


@settings(max_examples=5, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1e-3, 1e3), st.sampled_from(["arrhenius", "power"]))
def test_units_of_time_and_temperature_change_only_what_carries_them(unit, degree, kind):
    time, status = planted(kind, 6)
    plain = fit_laws(design(time, status, temperature=RATES))
    scaled = fit_laws(design(unit * time, status, temperature=degree * RATES))
    events = (status == "escaped").sum()
    for name in ("arrhenius", "power", "drift", "lag"):
        moved = plain[name].log_likelihood - events * np.log(unit)
        assert scaled[name].log_likelihood == pytest.approx(moved, abs=1e-6 * events)
    assert slope(scaled).estimate == pytest.approx(degree * slope(plain).estimate, rel=1e-6)
    exponents = [slope(fits, "power", "exponent").estimate for fits in (plain, scaled)]
    assert exponents[0] == pytest.approx(exponents[1], rel=1e-6)
    assert choose(scaled).law == choose(plain).law


def test_learning_rate_over_batch_size_is_one_axis():
    time, status = planted("arrhenius", 7)
    alone = fit_laws(design(time, status, learning_rate=RATES))
    batch = np.where(np.arange(RATES.size) % 2, 2.0, 8.0)
    ratio = fit_laws(design(time, status, learning_rate=RATES * batch, batch_size=batch))
    assert slope(ratio).estimate == pytest.approx(slope(alone).estimate, rel=1e-9)


def test_pooling_nearly_equal_times_keeps_counts_and_times_at_risk():
    time, status = planted("narrow drift", 8)
    many = design(np.tile(time, 30), np.tile(status, 30), learning_rate=np.tile(RATES, 30))
    pooled = many.compressed()
    assert pooled.time.size < many.time.size / 10
    np.testing.assert_array_equal(pooled.events, many.events)
    np.testing.assert_allclose(pooled.exposure, many.exposure, rtol=1e-12)
    exact, close = fit_laws(many, names=["power"]), fit_laws(pooled, names=["power"])
    assert values(close["power"]) == pytest.approx(values(exact["power"]), abs=1e-4)


def test_watching_from_a_later_entry_on_gives_the_same_rate_in_the_mean():
    g = np.random.default_rng(9)
    time, entry = g.exponential(size=RATES.size) * np.exp(1 + 0.03 / RATES), 3.0
    late = time > entry
    law = fit_laws(design(time[late], ALL[late], entry=entry, learning_rate=RATES[late]))
    barrier = slope(law)
    assert_consistent(barrier.estimate, 0.03, (barrier.high - barrier.low) / 3.92)
    shifted = fit_laws(design(time[late] - entry, ALL[late], learning_rate=RATES[late]))
    assert barrier.estimate == pytest.approx(slope(shifted).estimate, rel=1e-9)


# Planted laws


@pytest.mark.parametrize("law", ["arrhenius", "power"])
def test_intervals_of_planted_parameters_cover(law):
    truth = {"arrhenius": (1.0, 0.06), "power": (np.log(0.01), -2.5)}[law]
    hits, trials = np.zeros(2), 40
    for seed in range(trials):
        time, status = planted(law, seed)
        fitted = fit_laws(design(time, status, learning_rate=RATES), names=[law])[law]
        for j, (value, true) in enumerate(zip(fitted.parameters.values(), truth, strict=True)):
            assert value.low is not None
            assert value.high is not None
            hits[j] += value.low <= true <= value.high
    for count in hits:
        assert_covers(int(count), trials, 0.95)


def test_the_lag_interval_covers_and_ends_at_the_first_escape():
    hits, trials = 0, 100
    for seed in range(trials):
        time, status = planted("lag", seed)
        fits = fit_laws(design(time, status, learning_rate=RATES), names=["lag"])
        lag = slope(fits, "lag", "lag")
        assert lag.high == time[status == "escaped"].min()
        hits += lag.low <= 30 <= lag.high
    assert_covers(hits, trials, 0.95)


@pytest.mark.parametrize("kind", ["arrhenius", "power", "drift", "lag", "narrow drift"])
def test_the_law_that_was_planted_is_chosen(kind):
    found = []
    for seed in range(4):
        time, status = planted(kind, seed)
        found.append(choose(fit_laws(design(time, status, learning_rate=RATES))).law)
    assert found.count(kind.split()[-1]) >= 3
    assert set(found) <= {kind.split()[-1], "undecided"}


def test_one_over_temperature_is_drift_and_no_barrier():
    waits = np.random.default_rng(11).exponential(size=RATES.size)
    fits = fit_laws(design(5 / RATES * waits, ALL, temperature=RATES))
    assert choose(fits).law == "drift"


def test_few_replicas_decide_nothing_not_even_for_drift():
    waits = np.random.default_rng(12).exponential(size=8)
    rates = np.geomspace(0.01, 0.02, 8)
    assert choose(fit_laws(design(30 * waits, ["escaped"] * 8, learning_rate=rates))).law == (
        "undecided"
    )


def test_a_time_that_no_law_describes_is_undecided_however_many_replicas():
    strengths = np.repeat(np.geomspace(1, 10, 8), 200)
    means = np.exp(4 * np.cos(3 * np.log(strengths)))
    waits = np.random.default_rng(13).exponential(size=strengths.size)
    found = choose(fit_laws(design(means * waits, np.full(1600, "escaped"), temperature=strengths)))
    assert found.law == "undecided"
    assert "does not describe" in found.reason or "do not decide" in found.reason


# Data sets


def nested(seed: int, *, crossed: bool) -> tuple[Design, np.ndarray]:
    g = np.random.default_rng([seed, 2])
    factor = np.exp(0.8 * g.normal(size=8))
    dataset = np.tile(np.arange(8), 30) if crossed else np.repeat(np.arange(8), 30)
    time = np.exp(1 + 0.03 / RATES) * factor[dataset] * g.exponential(size=RATES.size)
    return design(time, ALL, learning_rate=RATES, dataset=dataset), dataset


def test_limits_with_the_data_set_as_unit_cover_where_independent_ones_do_not():
    hits, naive, trials = 0, 0, 16
    for seed in range(trials):
        sweep, _ = nested(seed, crossed=False)
        g = np.random.default_rng(seed)
        honest = slope(fit_laws(sweep, names=["arrhenius"], generator=g))
        independent = slope(fit_laws(sweep, names=["arrhenius"]))
        hits += honest.low <= 0.03 <= honest.high
        naive += independent.low <= 0.03 <= independent.high
    assert hits > naive
    # A bootstrap of eight data sets is somewhat short.
    assert_covers(hits, trials, 0.9)
    assert naive < 0.75 * trials


def test_shared_data_sets_weigh_against_a_choice():
    sweep, _ = nested(1, crossed=False)
    fits = fit_laws(sweep, generator=np.random.default_rng(0))
    assert fits["arrhenius"].design_effect > 1.5
    assert "8 data sets" in fits.interval_method


# Memorylessness over settings


def test_settings_of_very_different_rates_are_memoryless_together():
    rejected, trials = 0, 80
    for seed in range(trials):
        time, status = planted("arrhenius", seed)
        test = memoryless_in_settings(
            design(time, status, learning_rate=RATES),
            generator=np.random.default_rng(seed),
            resamples=99,
        )
        assert test.p_value is not None
        rejected += test.p_value <= 0.05
    assert_consistent(rejected / trials, 0.05, np.sqrt(0.05 * 0.95 / trials))


@pytest.mark.parametrize("kind", ["lag", "narrow drift"])
def test_a_lag_is_not_memoryless(kind):
    time, status = planted(kind, 0)
    sweep = design(time, status, learning_rate=RATES)
    test = memoryless_in_settings(sweep, generator=np.random.default_rng(0), resamples=199)
    assert test.p_value == 1 / 200


def test_four_events_are_not_tested():
    test = memoryless_in_settings(
        design([1.0, 2, 3, 4], ["escaped"] * 4, temperature=1.0),
        generator=np.random.default_rng(0),
    )
    assert (test.p_value, test.statistic, test.events) == (None, None, 4)


# Refusals


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time": [-1.0], "status": ["escaped"]}, "0 <= entry <= time"),
        ({"time": [float("nan")], "status": ["escaped"]}, "finite"),
        ({"time": [1.0], "status": ["done"]}, "Unknown statuses"),
        ({"time": [1.0], "status": ["escaped"], "noise": 1.0}, "Unknown covariates"),
        ({"time": [1.0], "status": ["escaped"], "learning_rate": 0.0}, "learning_rate"),
        ({"time": [1.0], "status": ["escaped"], "temperature": [1.0, 2.0]}, "one length"),
    ],
)
def test_what_is_no_design_is_refused(columns, words):
    with pytest.raises(InputError, match=words):
        design(**columns)


def test_weight_decays_with_one_temperature_each_allow_no_slope_and_it_says_so():
    columns = {"temperature": [0.1, 0.1, 0.2, 0.2], "weight_decay": [1.0, 1.0, 2.0, 2.0]}
    found = fit_laws(design([1.0, 2.0, 1.5, 3.0], ["escaped"] * 4, **columns))
    assert "No weight decay has escapes and two strengths" in found.missing
    assert choose(found).reason == found.missing
    either = fit_laws(design([1.0, 2.0, 1.5, 3.0], ["escaped"] * 4, temperature=[1, 1, 2, 2]))
    assert either.missing == ""
    asked = fit_laws(
        design([1.0, 2.0], ["escaped"] * 2, temperature=[1.0, 2.0]), names=["drift", "lag"]
    )
    assert "asked for" in asked.missing
