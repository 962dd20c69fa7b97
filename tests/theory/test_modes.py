"""One mode: laws, limits and symmetries, and roots against sixty-digit arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import modes, roots

depths = st.integers(3, 12) | st.sampled_from([20, 50])
signals = st.floats(-6, 6).map(lambda power: 10**power)
fractions = st.floats(1e-6, 0.999)
EPS = np.finfo(float).eps


def _bisect(f: Callable[[Decimal], Decimal], low: Decimal, high: Decimal) -> Decimal:
    """Root of a function negative at `low` and positive at `high`."""
    for _ in range(230):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return low


def sixty_digits(depth: int, signal: float, weight_decay: float) -> dict[str, Decimal]:
    """Strengths, barriers and gap of a mode by bisection, from the literal loss."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 75, -99999, 99999
        eta, beta, n = Decimal(signal), Decimal(weight_decay), depth

        def equation(log_a: Decimal) -> Decimal:
            a = log_a.exp()
            return eta * a ** (n - 2) - a ** (2 * n - 2) - beta

        def loss(a: Decimal) -> Decimal:
            return (a**n - eta) ** 2 / 2 + n * beta * a**2 / 2

        turn = (eta * (n - 2) / (2 * (n - 1))).ln() / n
        floor = (beta / eta).ln() / (n - 2) - 1
        saddle = _bisect(equation, floor, turn).exp()
        learned = _bisect(lambda x: -equation(x), turn, eta.ln() / n).exp()
        return {
            "saddle": saddle**n,
            "learned": learned**n,
            "barrier_out": loss(saddle) - loss(Decimal(0)),
            "barrier_back": loss(saddle) - loss(learned),
            "gap": loss(learned) - loss(Decimal(0)),
        }


def relative_error(value: ArrayLike, truth: Decimal) -> float:
    return float(abs(Decimal(float(np.asarray(value))) / truth - 1))


@pytest.mark.parametrize("depth", [3, 4, 5, 6, 10, 50])
@pytest.mark.parametrize("signal", [1e-6, 0.8, 1e6])
@pytest.mark.parametrize("fraction", [1e-12, 1e-3, 0.5, 0.9, 0.999, 1 - 1e-6])
def test_roots_and_barriers_have_every_digit_that_conditioning_allows(depth, signal, fraction):
    decay = float(fraction * modes.spinodal(depth, signal))
    truth = sixty_digits(depth, signal, decay)
    mode = {"depth": depth, "signal": signal, "weight_decay": decay}
    found = {name: getattr(modes, name)(**mode) for name in truth}
    # A relative error eps of the spinodal is an error eps/(1 - fraction) of the distance to it:
    # strengths feel its square root, the barrier back its power 3/2.
    distance = 1 - fraction
    allowed = {
        "saddle": 1e-12 + 8 * EPS / distance**0.5,
        "learned": 1e-12 + 8 * EPS / distance**0.5,
        "barrier_out": 1e-12,
        "barrier_back": 1e-12 + 8 * EPS / distance,
        "gap": 1e-12 + 8 * EPS / distance**0.5,
    }
    errors = {name: relative_error(found[name], truth[name]) for name in truth}
    assert all(errors[name] <= allowed[name] for name in truth), errors


@pytest.mark.parametrize("depth", [3, 4, 5, 50])
@pytest.mark.parametrize("signal", [1e-6, 0.8, 1e6])
def test_spinodal_and_coexistence_against_sixty_digits(depth, signal):
    with localcontext() as context:
        context.prec = 70
        eta, n = Decimal(signal), Decimal(depth)
        merged = eta * (n - 2) / (2 * (n - 1))
        power = (n - 2) / n
        limit = eta * n / (2 * (n - 1)) * merged**power
        equal = eta / (n - 1) * (2 * merged) ** power
    assert relative_error(modes.spinodal(depth, signal), limit) < 4 * EPS
    assert relative_error(modes.coexistence(depth, signal), equal) < 4 * EPS


@given(depth=depths, value=signals)
def test_depth_root_inverts_the_power(depth, value):
    assert relative_error(roots.depth_root(value, depth), _decimal_root(value, depth)) < 2 * EPS


def _decimal_root(value: float, depth: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return Decimal(value) ** (1 / Decimal(depth))


@given(depth=depths, signal=signals, fraction=fractions)
def test_below_the_spinodal_there_is_a_saddle_and_then_a_minimum(depth, signal, fraction):
    decay = fraction * modes.spinodal(depth, signal)
    mode = {"depth": depth, "signal": signal, "weight_decay": decay}
    trivial, saddle, learned = modes.stationary_points(**mode)
    merged = modes.spinodal_strength(depth, signal)
    assert 0 == trivial < saddle < merged < learned < signal
    amplitudes = roots.depth_root([saddle, learned], depth)
    bends = modes.curvature(amplitudes, **mode)
    assert bends[0] < 0 < bends[1]
    pull = depth * amplitudes ** (depth - 1) * signal
    np.testing.assert_allclose(modes.slope(amplitudes, **mode) / pull, 0, atol=1e-11)


@given(depth=depths, signal=signals, excess=st.floats(1e-12, 10))
def test_above_the_spinodal_only_the_trivial_point_is_left(depth, signal, excess):
    mode = {
        "depth": depth,
        "signal": signal,
        "weight_decay": (1 + excess) * modes.spinodal(depth, signal),
    }
    trivial, saddle, learned = modes.stationary_points(**mode)
    assert trivial == 0
    assert np.isnan([saddle, learned, modes.barrier_out(**mode), modes.gap(**mode)]).all()
    for ask in (modes.saddle, modes.learned):
        with pytest.raises(InputError, match=re.escape(f"{modes.spinodal(depth, signal):.6g}")):
            ask(**mode)


@given(depth=depths, signal=signals, fraction=fractions, scale=signals)
def test_scaling_the_signal_scales_everything(depth, signal, fraction, scale):
    power = 2 - 2 / depth
    decay = fraction * modes.spinodal(depth, signal)
    small = {"depth": depth, "signal": signal, "weight_decay": decay}
    large = {"depth": depth, "signal": scale * signal, "weight_decay": scale**power * decay}
    close = 1e-9  # exponents and products are rounded; at fraction .999 that costs a factor 1e3
    for name, unit in (("saddle", 1), ("learned", 1), ("barrier_out", 2), ("barrier_back", 2)):
        value, scaled = getattr(modes, name)(**small), getattr(modes, name)(**large)
        assert scaled == pytest.approx(scale**unit * value, rel=close, abs=0)


@given(
    depth=st.integers(1, 12),
    signal=st.floats(0.1, 10),
    variance=st.floats(0.1, 10),
    decay=st.floats(0.01, 2),
    strength=st.floats(0, 5),
)
def test_input_variance_is_a_unit_problem_times_the_variance(
    depth, signal, variance, decay, strength
):
    own = {"depth": depth, "signal": signal, "weight_decay": decay, "input_variance": variance}
    unit = {"depth": depth, "signal": signal / variance, "weight_decay": decay / variance}
    assert modes.loss(strength, **own) == pytest.approx(variance * modes.loss(strength, **unit))
    np.testing.assert_allclose(
        modes.stationary_points(**own), modes.stationary_points(**unit), rtol=1e-6
    )
    for name in ("barrier_out", "barrier_back", "gap"):
        np.testing.assert_allclose(
            getattr(modes, name)(**own), variance * getattr(modes, name)(**unit), rtol=1e-6
        )
    limit = variance * modes.spinodal(depth, signal / variance)
    assert modes.spinodal(depth, signal, input_variance=variance) == pytest.approx(limit)


@given(depth=depths, signal=signals)
def test_the_gap_vanishes_at_coexistence(depth, signal):
    decay = modes.coexistence(depth, signal)
    mode = {"depth": depth, "signal": signal, "weight_decay": decay}
    assert abs(modes.gap(**mode)) < 1e-12 * signal**2 * depth
    assert modes.learned(**mode) == pytest.approx(modes.coexistence_strength(depth, signal))
    assert modes.barrier_out(**mode) == pytest.approx(modes.barrier_back(**mode), rel=1e-9)
    assert decay < modes.spinodal(depth, signal)


@given(depth=depths, signal=signals, fraction=st.floats(1e-3, 0.99))
def test_barriers_are_differences_of_the_loss(depth, signal, fraction):
    mode = {
        "depth": depth,
        "signal": signal,
        "weight_decay": fraction * modes.spinodal(depth, signal),
    }
    height = modes.loss(np.array(modes.stationary_points(**mode)), **mode)
    close = {"rel": 1e-9, "abs": 1e-12 * signal**2 * depth}
    assert modes.barrier_out(**mode) == pytest.approx(height[1] - height[0], **close)
    assert modes.barrier_back(**mode) == pytest.approx(height[1] - height[2], **close)
    assert modes.gap(**mode) == pytest.approx(height[2] - height[0], **close)


@given(depth=depths, signal=st.floats(0.1, 10), fraction=st.floats(0.01, 0.95))
def test_barriers_change_with_weight_decay_as_the_price_of_the_strengths(depth, signal, fraction):
    # Hellmann-Feynman: d(loss)/d(weight_decay) = (L/2) strength**(2/L) at a stationary point.
    limit = modes.spinodal(depth, signal)
    decay, step = fraction * limit, 1e-4 * min(fraction, 1 - fraction) * limit
    mode = {"depth": depth, "signal": signal}
    points = modes.stationary_points(**mode, weight_decay=decay)
    price = 0.5 * depth * roots.depth_root([points.saddle, points.learned], depth) ** 2
    for barrier, slope in (
        (modes.barrier_out, price[0]),
        (modes.barrier_back, price[0] - price[1]),
    ):
        low, high = barrier(**mode, weight_decay=np.array([decay - step, decay + step]))
        assert (high - low) / (2 * step) == pytest.approx(slope, rel=1e-5)


@given(depth=depths, signal=signals)
def test_weight_decay_raises_the_barrier_out_and_lowers_the_barrier_back(depth, signal):
    decay = np.linspace(0.001, 0.999, 200) * modes.spinodal(depth, signal)
    mode = {"depth": depth, "signal": signal, "weight_decay": decay}
    out, back = modes.barrier_out(**mode), modes.barrier_back(**mode)
    assert np.all(np.diff(out) > 0)
    assert np.all(np.diff(back) < 0)
    assert np.all(out < modes.maximal_barrier(depth, signal))


@pytest.mark.parametrize("depth", [3, 4, 7, 50])
def test_at_the_spinodal_the_barrier_out_is_maximal_and_the_barrier_back_vanishes_as_its_cube(
    depth,
):
    signal, distance = 0.8, np.array([1e-4, 1e-6, 1e-8])
    limit, merged = modes.spinodal(depth, signal), modes.spinodal_strength(depth, signal)
    mode = {"depth": depth, "signal": signal, "weight_decay": limit * (1 - distance)}
    short = modes.barrier_out(**mode) / modes.maximal_barrier(depth, signal) - 1
    np.testing.assert_allclose(short / distance, short[-1] / distance[-1], rtol=1e-2)
    power = 2 / depth
    bend = (2 - power) / (2 * merged)
    width = np.sqrt(limit * distance * merged ** (power - 1) / bend)
    error = np.abs(modes.barrier_back(**mode) / (4 / 3 * bend * width**3) - 1)
    assert error[0] < 20 * 1e-4
    assert error[1] < 20 * 1e-6


def test_barrier_back_near_the_spinodal_has_its_known_value():
    decay = modes.spinodal(3, 0.8) - 1e-4
    back = modes.barrier_back(depth=3, signal=0.8, weight_decay=decay)
    assert back == pytest.approx(1.632974e-6, rel=1e-6)


@given(depth=depths, signal=st.floats(0.1, 10))
def test_at_small_weight_decay_the_saddle_follows_its_power_law(depth, signal):
    ratio = np.array([1e-6, 1e-7])
    decay = ratio ** ((depth - 2) / depth) * signal ** (2 - 2 / depth)
    mode = {"depth": depth, "signal": signal, "weight_decay": decay}
    leading = (decay / signal) ** (depth / (depth - 2))
    saddle, out = modes.saddle(**mode), modes.barrier_out(**mode)
    error = saddle / leading - 1, out / (0.5 * (depth - 2) * signal * leading) - 1
    # Both corrections are of relative order strength / signal.
    np.testing.assert_allclose(np.abs(error) / ratio < 20, True)


def test_depth_two_is_continuous_and_has_no_barrier():
    signal, decay = 0.8, np.array([0.0, 0.3, 0.8 - 1e-9, 0.8, 1.0])
    mode = {"depth": 2, "signal": signal, "weight_decay": decay}
    points = modes.stationary_points(**mode)
    np.testing.assert_allclose(points.learned, [0.8, 0.5, 1e-9, np.nan, np.nan], rtol=1e-7)
    np.testing.assert_allclose(modes.gap(**mode)[:3], -0.5 * (signal - decay[:3]) ** 2, rtol=1e-12)
    assert np.isnan([points.saddle, modes.barrier_out(**mode), modes.barrier_back(**mode)]).all()
    assert modes.spinodal(2, signal) == modes.coexistence(2, signal) == signal
    assert modes.spinodal_strength(2, signal) == 0
    with pytest.raises(InputError, match="depth >= 3"):
        modes.saddle(depth=2, signal=0.8, weight_decay=0.1)


def test_depth_one_is_ridge_regression_without_a_spinodal():
    mode = {"depth": 1, "signal": 0.9, "weight_decay": 0.5, "input_variance": 1.5}
    points = modes.stationary_points(**mode)
    assert points.learned == pytest.approx(0.9 / 2.0)
    assert np.isnan([points.trivial, points.saddle, modes.barrier_out(**mode)]).all()
    assert modes.gap(**mode) == pytest.approx(-(0.9**2) / (2 * 2.0))
    assert modes.spinodal(1, 0.9) == modes.coexistence(1, 0.9) == np.inf
    assert np.isnan(modes.spinodal_strength(1, 0.9))


def test_without_weight_decay_the_saddle_is_the_trivial_point():
    mode = {"depth": 3, "signal": [0.8, 0.0], "weight_decay": 0.0}
    points = modes.stationary_points(**mode)
    np.testing.assert_array_equal(points.saddle, [0.0, np.nan])
    np.testing.assert_array_equal(points.learned, [0.8, np.nan])
    np.testing.assert_allclose(modes.barrier_back(**mode), [0.32, np.nan])


def test_the_literal_convention_divides_weight_decay_by_depth():
    # Without the factor `depth` the regulariser is (weight_decay/2) strength**(2/depth).
    literal = 3 * modes.spinodal(3, [0.8, 0.9]), 3 * modes.coexistence(3, [0.8, 0.9])
    np.testing.assert_allclose(literal, [[1.0526, 1.2316], [0.8842, 1.0345]], atol=5e-5)
    saddle = modes.saddle(depth=3, signal=0.8, weight_decay=0.32 / 3)
    assert saddle == pytest.approx(0.00239, abs=5e-6)


def test_slope_and_curvature_are_derivatives_of_the_loss():
    mode = {"depth": 4, "signal": 0.9, "weight_decay": 0.2, "input_variance": 1.3}
    a, h = np.linspace(0.1, 1.2, 12), 1e-4
    low, middle, high = (modes.loss_along_amplitude(a + s * h, **mode) for s in (-1, 0, 1))
    np.testing.assert_allclose(modes.slope(a, **mode), (high - low) / (2 * h), atol=1e-6)
    second = (high - 2 * middle + low) / h**2 / 4
    np.testing.assert_allclose(modes.curvature(a, **mode), second, atol=1e-5)


def test_functions_broadcast():
    mode = {"depth": 5, "signal": np.ones((4, 1)), "weight_decay": np.full(3, 0.1)}
    assert all(points.shape == (4, 3) for points in modes.stationary_points(**mode))
    assert modes.gap(**mode).shape == modes.barrier_back(**mode).shape == (4, 3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"depth": 0}, "depth"),
        ({"depth": 2.5}, "depth"),
        ({"depth": True}, "depth"),
        ({"signal": -0.1}, "signal must be finite and non-negative, got -0.1"),
        ({"signal": [0.1, np.nan]}, "signal"),
        ({"weight_decay": np.inf}, "weight_decay"),
        ({"input_variance": 0.0}, "input_variance must be finite and positive"),
    ],
)
def test_impossible_arguments_are_refused_by_name(change, complaint):
    with pytest.raises(InputError, match=complaint):
        modes.stationary_points(**({"depth": 3, "signal": 0.8, "weight_decay": 0.3} | change))
