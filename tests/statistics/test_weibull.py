"""Weibull times with censoring and a covariate: identities, coverage, two independent packages."""

import numpy as np
import pytest
from helpers import assert_covers
from posteriors import table
from scipy import stats

from spinodal.errors import InputError
from spinodal.statistics.escape_laws import arrhenius_fit
from spinodal.statistics.survival import censored_data
from spinodal.statistics.weibull import weibull_fit, weibull_log_likelihood


def sample(seed: int, n: int = 80, shape: float = 1.4):
    return table(2 * np.random.default_rng(seed).weibull(shape, n), 2.5)


def test_no_other_shape_and_scale_is_more_likely_and_the_limits_are_where_it_has_fallen():
    times = sample(0)
    found = weibull_fit(times)
    shapes, scales = np.linspace(0.8, 2.2, 141), np.linspace(0.2, 1.4, 241)
    grid = weibull_log_likelihood(shapes[:, None, None], scales[:, None], times)
    assert grid.max() <= found.log_likelihood + 1e-12
    assert grid.max() > found.log_likelihood - 0.01
    inside = shapes[2 * (found.log_likelihood - grid.max(axis=1)) <= stats.chi2.ppf(0.95, 1)]
    np.testing.assert_allclose([found.low, found.high], inside[[0, -1]], atol=0.011)


def test_scipy_finds_the_same_fit():
    times = sample(1)
    shape, _, scale = stats.weibull_min.fit(censored_data(times), floc=0)
    found = weibull_fit(times)
    assert found.shape == pytest.approx(shape, rel=1e-3)
    assert np.exp(found.log_scale) == pytest.approx(scale, rel=1e-3)


def test_times_to_a_power_have_the_shape_divided_by_it():
    time = np.random.default_rng(2).exponential(size=50)
    one, other = weibull_fit(table(time, 1.5)), weibull_fit(table(time**2, 1.5**2))
    for name in ("shape", "low", "high"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) / 2, rel=1e-6)
    assert other.log_scale == pytest.approx(2 * one.log_scale, abs=1e-6)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_the_unit_of_time_does_not_matter(unit):
    time, x = np.random.default_rng(3).exponential(size=30), np.arange(30) % 3
    one = weibull_fit(table(time, 2.0), x=x)
    other = weibull_fit(table(unit * time, unit * 2.0), x=x)
    assert other.shape == pytest.approx(one.shape, rel=1e-6)
    assert other.slope == pytest.approx(one.slope, rel=1e-5)
    assert other.log_scale == pytest.approx(one.log_scale + np.log(unit), rel=1e-6)


def test_the_shape_is_covered():
    g = np.random.default_rng(4)
    found = [weibull_fit(table(g.weibull(1.3, 60), 1.5)) for _ in range(120)]
    assert_covers(sum(f.low <= 1.3 <= f.high for f in found), 120, 0.95)


def test_at_shape_one_the_slope_is_that_of_the_exponential_law():
    x = np.repeat([0.0, 1.0, 2.0], 4000)
    times = table(np.random.default_rng(5).exponential(np.exp(0.7 * x)), 4.0)
    found, law = weibull_fit(times, x=x), arrhenius_fit(times.time, times.status, x)
    assert found.low < 1 < found.high
    assert law.slope is not None
    assert found.slope == pytest.approx(law.slope, abs=0.02)
    assert found.log_scale == pytest.approx(law.intercept, abs=0.03)


@pytest.mark.needs("lifelines")
@pytest.mark.filterwarnings("ignore")  # pandas and lifelines announce their own future
@pytest.mark.parametrize("seed", range(3))
def test_an_independent_package_finds_the_same_accelerated_failure_model(seed):
    lifelines, pd = pytest.importorskip("lifelines"), pytest.importorskip("pandas")
    g = np.random.default_rng(seed)
    x = g.random(60)
    times = table(np.exp(x) * g.weibull(g.uniform(0.7, 2), 60), 2.5)
    frame = pd.DataFrame({"t": times.time, "seen": times.escaped, "x": x})
    fitter = lifelines.WeibullAFTFitter()
    fitter._scipy_fit_method = "BFGS"  # its default stops at 1e-5
    fitter.fit(frame, "t", "seen", fit_options={"gtol": 2e-8})
    found = weibull_fit(times, x=x)
    assert found.shape == pytest.approx(np.exp(fitter.params_["rho_", "Intercept"]), rel=1e-6)
    assert found.slope == pytest.approx(fitter.params_["lambda_", "x"], abs=1e-6)
    assert found.log_scale == pytest.approx(fitter.params_["lambda_", "Intercept"], abs=1e-6)
    assert found.log_likelihood == pytest.approx(fitter.log_likelihood_, rel=1e-9)


def test_shapes_that_do_not_exist_get_a_sentence():
    for time in ([1.0, 9.0], [2.0, 2.0, 2.0], [9.0, 9.0]):
        with pytest.raises(InputError, match="two escapes or more"):
            weibull_fit(table(time, 5.0))
    with pytest.raises(InputError, match="one end"):
        weibull_fit(table([1.0, 2.0, 9.0, 9.0], 5.0), x=[0, 0, 1, 1])
    with pytest.raises(InputError, match="no finite estimate"):
        weibull_fit(table([2.0, 2.0, 9.0], [3.0, 3.0, 1.0]))
