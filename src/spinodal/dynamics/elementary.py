"""Exponential, logarithm and their kin from operations that IEEE 754 rounds exactly.

Additions, multiplications, divisions, selections and bit patterns only, so that the bits are the
same on every machine; a compiled engine repeats them one by one. Arguments are float64 arrays.
Errors stay below 4 units in the last place over the whole range (of gelu where Phi is a normal
number, down to x = -37.5); infinities, NaN and the sign of zero are as they should be. The
polynomials are Chebyshev fits in 40 digits, the coefficient of the highest power first, evaluated
as (c0 x + c1) x + c2 ...
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.6931471803691238  # the last 21 bits are zero: whole multiples are exact
_LN2_LOW = 1.9082149292705877e-10
_MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to whole numbers
_ROOT_2_PI = 2.5066282746310002

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2
_EXP = (
    2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06,
    2.4801521295954376e-05, 0.00019841269863053618, 0.0013888888917213717,
    0.008333333333330062, 0.04166666666662413, 0.16666666666666669, 0.5000000000000001,
)  # fmt: skip
# (ln((1 + s) / (1 - s)) - 2 s) / s^3 as a function of s^2, for m = (1 + s) / (1 - s) in
# [sqrt(1/2), sqrt(2)]
_LOG = (
    0.1461929179633784, 0.15331491423923274, 0.18182896057222123, 0.22222211039553197,
    0.2857142862655954, 0.39999999999898217, 0.666666666666667,
)  # fmt: skip
# (1 + z / 2) Phi(-z) e^(z^2 / 2) as a function of (z - 5) / (z + 5), for 0 <= z <= 39
_TAIL = (
    1.0889380934880663e-09, 1.5244704858559764e-09, -1.119437840894321e-08,
    -1.633228034396084e-08, 7.722325398378076e-08, 1.0006159151343131e-07,
    -5.313255910805055e-07, -3.71151543484626e-07, 3.894635789957239e-06,
    -1.6264748469964017e-06, -2.6323090824614653e-05, 6.095349674626802e-05,
    7.103421523313722e-05, -0.0007282608302095371, 0.002071578155854031,
    -0.0030895224234491554, 0.0005615313779803553, 0.010727154658810011,
    -0.035440762439448374, 0.07354959015598576, -0.11750491854901052, 0.269217567412522,
)  # fmt: skip

_quiet = np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


@_quiet
def rounded(function: Callable[[Array], Array], x: NDArray[np.floating]) -> NDArray[np.floating]:
    """`function` of x, evaluated in float64 and rounded to the precision of x."""
    return function(x.astype(np.float64, copy=False)).astype(x.dtype, copy=False)


def _horner(x: Array, coefficients: tuple[float, ...]) -> Array:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _power_of_two(n: NDArray[np.int64]) -> Array:
    """2^n for -1022 <= n <= 1023."""
    return ((n + 1023) << 52).view(np.float64)


def _reduce(x: Array) -> tuple[NDArray[np.int64], Array]:
    """n and p with x = n ln 2 + r, |r| <= ln(2) / 2 and p = e^r - 1."""
    shifted = x * _LOG2_E + _MAGIC
    n = shifted - _MAGIC
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    return shifted.view(np.int64) - np.array(_MAGIC).view(np.int64), r + r * r * _horner(r, _EXP)


@_quiet
def exp(x: Array) -> Array:
    """e^x."""
    x = np.where(x > 800.0, 800.0, x)
    x = np.where(x < -800.0, -800.0, x)
    n, p = _reduce(x)
    half = n >> 1
    # Two factors: the second rounds where the result is denormal, or overflows.
    return (1.0 + p) * _power_of_two(half) * _power_of_two(n - half)


@_quiet
def expm1(x: Array) -> Array:
    """e^x - 1, accurate also near zero."""
    y = np.where(x > 710.0, 710.0, x)
    y = np.where(y < -60.0, -60.0, y)
    n, p = _reduce(y)
    # Half the result, because 2^1024 overflows a little before e^x does.
    scale = _power_of_two(n - 1)
    result = 2.0 * (p * scale + (scale - 0.5))
    return np.where(np.abs(x) < 2.0**-54, x, result)


@_quiet
def log(x: Array) -> Array:
    """ln x.

    x = 2^e m with m in [sqrt(1/2), sqrt(2)) and f = m - 1; s = f / (2 + f) and
    ln m = f - (f^2 / 2 - s (f^2 / 2 + R)), R = ln((1 + s) / (1 - s)) / s - 2.
    """
    denormal = x < 2.0**-1022
    y = np.where(denormal, x * 2.0**54, x)
    # Adding the distance from sqrt(1/2) to 1 in the bit pattern carries into the exponent
    # exactly when the mantissa exceeds sqrt(2).
    bits = y.view(np.int64) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    exponent = ((bits >> 52) - 1023).astype(np.float64) - np.where(denormal, 54.0, 0.0)
    f = ((bits & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    inner = s * (half + z * _horner(z, _LOG)) + exponent * _LN2_LOW
    result = exponent * _LN2_HIGH - ((half - inner) - f)
    result = np.where(x == 0.0, -np.inf, result)
    result = np.where(x == np.inf, np.inf, result)
    return np.where(x >= 0.0, result, np.nan)


@_quiet
def log1p(x: Array) -> Array:
    """ln(1 + x), accurate also near zero."""
    u = 1.0 + x
    # What the sum lost, to first order.
    result = log(u) + (x - (u - 1.0)) / u
    result = np.where(u == 0.0, -np.inf, result)
    result = np.where(u == np.inf, np.inf, result)
    return np.where(np.abs(x) < 2.0**-54, x, result)


@_quiet
def tanh(x: Array) -> Array:
    """tanh x = t / (t + 2) with t = e^{2 |x|} - 1, and the sign of x."""
    size = np.abs(x)
    t = expm1(2.0 * np.where(size > 20.0, 20.0, size))
    return np.copysign(t / (t + 2.0), x)


@_quiet
def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), accurate in both tails."""
    e = exp(-np.abs(x))
    return np.where(x < 0.0, e, 1.0) / (1.0 + e)


@_quiet
def softplus(x: Array) -> Array:
    """ln(1 + e^x)."""
    return np.where(x > 0.0, x, 0.0) + log1p(exp(-np.abs(x)))


@_quiet
def _bell(x: Array) -> Array:
    """e^(-x^2 / 2) for |x| <= 39.

    The square of the leading 26 bits is exact; what is missing goes into a factor of its own.
    """
    lead = (x.view(np.int64) & ~0x7FFFFFF).view(np.float64)
    d = 0.5 * (x - lead) * (x + lead)
    return exp(-0.5 * lead * lead) * (1.0 - d * (1.0 - d * (0.5 - d * 0.16666666666666666)))


@_quiet
def _bell_and_cdf(x: Array) -> tuple[Array, Array]:
    """e^(-x^2 / 2) and Phi(x); beyond 39 as at 39."""
    z = np.abs(x)
    z = np.where(z > 39.0, 39.0, z)
    bell = _bell(z)
    tail = bell * (_horner((z - 5.0) / (z + 5.0), _TAIL) / (1.0 + 0.5 * z))
    return bell, np.where(x > 0.0, 1.0 - tail, tail)


def normal_cdf(x: Array) -> Array:
    """Phi(x), the standard normal distribution function, accurate in the lower tail."""
    return _bell_and_cdf(x)[1]


@_quiet
def gelu(x: Array) -> Array:
    """x Phi(x); -0 at minus infinity."""
    return np.where(x < -39.0, -0.0, x * normal_cdf(x))


@_quiet
def gelu_slope(x: Array) -> Array:
    """Phi(x) + x phi(x), whose error is relative to Phi near its zero at -0.75."""
    y = np.where(x > 39.0, 39.0, x)
    y = np.where(y < -39.0, -39.0, y)
    bell, cdf = _bell_and_cdf(y)
    return cdf + y * bell / _ROOT_2_PI
