"""Elementary functions: within a few units in the last place of the exact value, everywhere."""

import hashlib

import numpy as np
import pytest
from helpers import import_or_skip
from hypothesis import given
from hypothesis import strategies as st

from spinodal.dynamics import elementary

mp = import_or_skip("mpmath")
mp.mp.prec = 120


def cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def softplus(x):
    return mp.log1p(mp.exp(x)) if x < 700 else x + mp.exp(-x)


EXACT = {
    "exp": mp.exp,
    "expm1": mp.expm1,
    "tanh": mp.tanh,
    "sigmoid": lambda x: mp.exp(x) / (1 + mp.exp(x)),
    "softplus": softplus,
    "normal_cdf": cdf,
    "gelu": lambda x: x * cdf(x),
    "log": mp.log,
    "log1p": mp.log1p,
}


def arguments(name):
    """Numbers of every size, dense where the function bends and where it under- and overflows."""
    rng = np.random.default_rng(1)
    tiny = rng.choice([-1, 1], 300) * 10.0 ** rng.uniform(-320, -3, 300)
    if name == "log":
        parts = (10.0 ** rng.uniform(-323, 308, 300), rng.uniform(0.4, 2.5, 700), 1 + tiny)
    elif name == "log1p":
        parts = (tiny, rng.uniform(-1, 2, 700), 10.0 ** rng.uniform(-3, 308, 200))
    else:
        near, middle, far = (rng.uniform(-a, a, 500) for a in (2, 40, 760))
        parts = (tiny, near, middle, far[far < 709.7])
    x = np.concatenate(parts)
    # Where Phi is denormal, its product with x cannot be better than that.
    return x[x > -37.5] if name == "gelu" else x


@pytest.mark.parametrize("name", EXACT)
def test_errors_stay_below_four_units_in_the_last_place(name):
    x = arguments(name)
    found = getattr(elementary, name)(x)
    for at, value in zip(x, found, strict=True):
        exact = EXACT[name](mp.mpf(float(at)))
        unit = float(np.spacing(abs(float(exact))))
        assert abs(mp.mpf(float(value)) - exact) < 4 * unit, f"{name}({at!r}) = {value!r}"


def test_the_slope_of_gelu_is_as_accurate_as_its_two_terms_allow():
    x = arguments("gelu")
    for at, value in zip(x, elementary.gelu_slope(x), strict=True):
        here = mp.mpf(float(at))
        exact = cdf(here) + here * mp.npdf(here)
        scale = cdf(here) + abs(here) * mp.npdf(here)
        assert abs(mp.mpf(float(value)) - exact) < 6 * mp.mpf(2) ** -52 * scale + 1e-320


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exp", [1, 1, np.inf, 0, np.nan]),
        ("expm1", [0.0, -0.0, np.inf, -1, np.nan]),
        ("log", [-np.inf, -np.inf, np.inf, np.nan, np.nan]),
        ("log1p", [0.0, -0.0, np.inf, np.nan, np.nan]),
        ("tanh", [0.0, -0.0, 1, -1, np.nan]),
        ("sigmoid", [0.5, 0.5, 1, 0, np.nan]),
        ("softplus", [np.log(2), np.log(2), np.inf, 0, np.nan]),
        ("normal_cdf", [0.5, 0.5, 1, 0, np.nan]),
        ("gelu", [0.0, -0.0, np.inf, -0.0, np.nan]),
        ("gelu_slope", [0.5, 0.5, 1, 0, np.nan]),
    ],
)
def test_infinities_zeros_and_nan_go_where_they_should(name, expected):
    found = getattr(elementary, name)(SPECIAL)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


def test_the_ends_of_the_range_are_reached():
    largest = np.log(np.finfo(float).max)
    assert np.isfinite(elementary.exp(np.array([largest - 1e-10])))[0]
    assert np.isfinite(elementary.expm1(np.array([largest - 1e-10])))[0]
    assert elementary.exp(np.array([largest + 1e-10, -745.1, -745.2])).tolist() == [
        np.inf, 5e-324, 0.0,
    ]  # fmt: skip
    assert elementary.log(np.array([5e-324]))[0] == pytest.approx(-744.4400719213812, rel=1e-15)
    assert np.isnan(elementary.log(np.array([-1.0]))[0])
    assert elementary.log1p(np.array([-1.0]))[0] == -np.inf
    assert 0 < elementary.normal_cdf(np.array([-38.4]))[0] < 1e-321


@given(st.floats(-750, 750))
def test_symmetries(x):
    a = np.array([x])
    assert elementary.tanh(-a)[0] == -elementary.tanh(a)[0]
    total = elementary.sigmoid(a)[0] + elementary.sigmoid(-a)[0]
    assert abs(total - 1) < 4e-16
    total = elementary.normal_cdf(a)[0] + elementary.normal_cdf(-a)[0]
    assert abs(total - 1) < 8e-16


def test_single_precision_is_rounded_once_from_double():
    x = np.linspace(-20, 20, 4001, dtype=np.float32)
    found = elementary.rounded(elementary.tanh, x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.tanh(x.astype(float)).astype(np.float32))


def test_the_bits_are_pinned():
    """Only exactly rounded operations are used, so these digits hold on every machine."""
    x = np.arange(-2880, 2881) / 64
    digest = hashlib.sha256()
    for name in sorted({*EXACT, "gelu_slope"}):
        digest.update(getattr(elementary, name)(np.abs(x) if "log" in name else x).tobytes())
    assert digest.hexdigest()[:16] == "7b7b9f3d467edcbb"
