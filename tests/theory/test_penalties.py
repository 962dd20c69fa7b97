"""One penalised coefficient: its stationary points, spinodals and barriers are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from spinodal.errors import InputError
from spinodal.theory import penalties

scales = st.floats(0.01, 5)
stretches = st.floats(5.3, 200)
fractions = st.floats(0.02, 0.98)


@given(scale=scales, stretch=stretches, fraction=fractions)
def test_between_the_spinodals_a_saddle_parts_two_minima(scale, stretch, fraction):
    signal = stretch * scale
    lower, upper = penalties.log_penalty_spinodals(signal=signal, scale=scale)
    assert 0 < lower < upper
    given_ = {"weight_decay": lower + fraction * (upper - lower), "scale": scale}
    points = np.array(penalties.log_penalty_points(signal=signal, **given_))
    assert np.all(np.diff(points) > 0)
    assert points[0] > 0
    assert points[2] < signal
    slopes = penalties.log_penalty_slope(points, signal=signal, **given_)
    np.testing.assert_allclose(slopes, 0, atol=1e-11 * signal)
    bent = penalties.log_penalty_curvature(points, **given_)
    assert np.all(np.sign(bent) == [1, -1, 1])
    out, back = penalties.log_penalty_barriers(signal=signal, **given_)
    for found, start in ((out, points[0]), (back, points[2])):
        climbed, _ = quad(
            lambda w: float(penalties.log_penalty_slope(w, signal=signal, **given_)),
            start, points[1], epsabs=1e-14 * signal**2,
        )  # fmt: skip
        assert found == pytest.approx(climbed, rel=1e-6, abs=1e-12 * signal**2)


@given(scale=scales, stretch=stretches)
def test_at_each_spinodal_two_points_merge_and_one_is_left_beyond(scale, stretch):
    signal = stretch * scale
    lower, upper = penalties.log_penalty_spinodals(signal=signal, scale=scale)
    for decay, left in ((lower * (1 - 1e-6), "on"), (upper * (1 + 1e-6), "off")):
        points = penalties.log_penalty_points(signal=signal, weight_decay=decay, scale=scale)
        assert [name for name in points._fields if np.isfinite(getattr(points, name))] == [left]
    inside = (lower * (1 + 1e-9), upper * (1 - 1e-9))
    off, saddle, on = penalties.log_penalty_points(
        signal=signal, weight_decay=np.array(inside), scale=scale
    )
    assert saddle[0] == pytest.approx(off[0], rel=1e-2)
    assert saddle[1] == pytest.approx(on[1], rel=1e-2)
    merged = np.array([saddle[0], on[1]])
    bent = penalties.log_penalty_curvature(merged, weight_decay=np.array(inside), scale=scale)
    np.testing.assert_allclose(bent, 0, atol=1e-3 * float(lower))


@given(scale=scales, stretch=st.floats(0, 5.19), decay=st.floats(0, 50))
def test_weak_signals_switch_on_smoothly(scale, stretch, decay):
    given_ = {"signal": stretch * scale, "scale": scale}
    assert np.isnan(penalties.log_penalty_spinodals(**given_)).all()
    points = np.array(penalties.log_penalty_points(weight_decay=decay, **given_))
    there = points[np.isfinite(points)]
    assert there.size == 1
    slope = penalties.log_penalty_slope(there, weight_decay=decay, **given_)
    np.testing.assert_allclose(slope, 0, atol=1e-9 * scale * (1 + decay))


def test_the_limits_are_least_squares_and_ridge_regression():
    free = penalties.log_penalty_points(signal=0.8, weight_decay=0.0, scale=0.1)
    assert free.on == pytest.approx(0.8, rel=1e-12)
    ridge = penalties.log_penalty_points(signal=0.8, weight_decay=3.0, scale=1e4)
    assert ridge.off == pytest.approx(0.2, rel=1e-6)
    loss = penalties.log_penalty_loss(0.2, signal=0.8, weight_decay=3.0, scale=1e4)
    assert loss == pytest.approx(0.5 * 0.6**2 + 1.5 * 0.2**2, rel=1e-6)


def test_what_is_no_problem_is_refused():
    with pytest.raises(InputError, match="scale must be finite and positive"):
        penalties.log_penalty_points(signal=1.0, weight_decay=1.0, scale=0.0)
    with pytest.raises(InputError, match="weight_decay must be finite"):
        penalties.log_penalty_points(signal=1.0, weight_decay=-1.0, scale=1.0)
