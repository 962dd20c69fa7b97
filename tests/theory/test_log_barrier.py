"""The law with a logarithmic barrier: right where its premise holds, and it says where not."""

from __future__ import annotations

import numpy as np
import pytest

from spinodal.errors import InputError
from spinodal.theory import gradient_noise, log_barrier, one_dimension


def test_noise_proportional_to_the_loss_gives_the_law():
    # dx = -V' dt + sqrt(2 eps V h*) dW has the weight V^-(1/(eps h*) + 1): the law's own model.
    depth, base = 0.2, 0.5

    def slope(x):
        return 4 * depth * x * (x**2 - 1)

    def loss(x):
        return base + depth * (x**2 - 1) ** 2

    curvature, top = 8 * depth, -4 * depth
    found, noises = [], (0.03, 0.015)
    for noise in noises:
        exact = one_dimension.log_mean_time(
            lambda x: -slope(x), lambda x, e=noise: 2 * e * loss(x) * curvature,
            start=-1.0, absorbing=1.0, reflecting=-2.5,
        )  # fmt: skip
        law = log_barrier.log_rate(
            loss_minimum=base, loss_saddle=base + depth, curvature=curvature,
            saddle_curvature=top, noise=noise,
        )  # fmt: skip
        found.append(exact + law)
    assert abs(found[1]) < 0.05
    assert abs(found[1]) < 0.7 * abs(found[0])  # an error that shrinks with the noise


def test_the_slope_is_that_of_the_rate_and_not_of_the_loss_difference():
    given = {"loss_minimum": 0.3, "loss_saddle": 0.4}
    rates = [
        log_barrier.log_rate(**given, curvature=0.7, saddle_curvature=-0.2, noise=e)
        for e in (0.01, 0.02)
    ]
    slope = (rates[1] - rates[0]) / (1 / 0.01 - 1 / 0.02)
    assert slope == pytest.approx(float(log_barrier.slope(**given, curvature=0.7)), rel=1e-12)
    # For nearly equal losses the logarithm is the difference: a temperature loss h* / B.
    near = float(log_barrier.slope(loss_minimum=1.0, loss_saddle=1.001, curvature=0.5))
    assert near == pytest.approx(0.001 / (1.0 * 0.5), rel=1e-3)


def test_one_dimension_is_the_case_n_equals_one():
    given = {"loss_minimum": 0.3, "loss_saddle": 0.4, "noise": 0.02}
    one = log_barrier.log_rate(**given, curvature=0.7, saddle_curvature=-0.2)
    many = log_barrier.log_rate_many(**given, minimum=[0.7], saddle=[-0.2], escape_curvature=0.7)
    assert many == pytest.approx(one, rel=1e-12)
    flat = log_barrier.log_rate_many(
        **given, minimum=[0.7, 1.0], saddle=[-0.2, 1.0], escape_curvature=0.7
    )
    assert flat - many == pytest.approx(0.5 * np.log(0.4 / 0.3), rel=1e-12)


def test_linear_regression_fulfils_the_premise_and_a_regulariser_breaks_it():
    # y = w x + noise of unit variance at the minimum: C = 2 Loss E[x x^T].
    sxx = np.array([[1.0, 0.4], [0.4, 2.0]])
    w = np.array([[0.3, -0.2]])
    c = gradient_noise.gaussian_covariance(w, sxx, w @ sxx, w @ sxx @ w.T + np.eye(1))
    good = log_barrier.premise(c, sxx, 0.5)
    assert good.misfit == pytest.approx(0, abs=1e-14)
    assert good.factor == pytest.approx(1)
    assert good.holds()
    assert good.blind == 0
    ridge = log_barrier.premise(c, sxx + 3 * np.eye(2), 0.5)
    assert not ridge.holds()


def test_without_noise_the_premise_fails_entirely():
    found = log_barrier.premise(np.zeros((4, 4)), 0.32 * np.eye(4), 1.0)
    assert found.misfit == 1
    assert found.factor == 0
    assert found.blind == 4
    assert not found.holds()


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_barrier.premise(np.eye(2), np.eye(3), 1.0),
        lambda: log_barrier.premise(np.eye(2), np.zeros((2, 2)), 1.0),
        lambda: log_barrier.slope(loss_minimum=0.4, loss_saddle=0.3, curvature=1.0),
        lambda: log_barrier.slope(loss_minimum=0.0, loss_saddle=0.3, curvature=1.0),
        lambda: log_barrier.log_rate(
            loss_minimum=0.3, loss_saddle=0.4, curvature=1.0, saddle_curvature=0.1, noise=0.1
        ),
        lambda: log_barrier.log_rate_many(
            loss_minimum=0.3, loss_saddle=0.4, minimum=[1.0, 0.0], saddle=[-1.0, 1.0],
            escape_curvature=1.0, noise=0.1,
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()
