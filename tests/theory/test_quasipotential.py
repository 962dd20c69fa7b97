"""Exponents of rare jumps under minibatch noise: known numbers, limits, and where none exist."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import assert_consistent
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from spinodal.errors import InputError
from spinodal.theory import free_energy, minibatch_chain, modes, one_dimension
from spinodal.theory import quasipotential as q
from spinodal.theory.noisy_mode import NoisyMode

WEAK = NoisyMode(depth=3, signal=0.8, weight_decay=0.32)
STRONG = NoisyMode(depth=3, signal=0.9, weight_decay=0.32)


def near_spinodal(share: float, **mode) -> NoisyMode:
    return NoisyMode(
        weight_decay=float(share * modes.spinodal(mode["depth"], mode["signal"])), **mode
    )


@pytest.mark.parametrize(
    ("mode", "diffusion", "exact"),
    [
        (WEAK, 0.04977673847049612, 0.0536512288472),
        (STRONG, 0.2324281851346533, 0.292670607801),
    ],
)
def test_exponents_downwards_are_the_known_ones(mode, diffusion, exact):
    assert q.diffusion_exponent(mode) == pytest.approx(diffusion, rel=1e-13)
    assert q.exact_exponent(mode) == pytest.approx(exact, rel=2e-12)


@pytest.mark.parametrize(("noise", "time"), [(0.01, 2093.650082205), (0.02, 198.9917262888)])
def test_the_exact_passage_time_of_the_diffusion_is_the_known_one(noise, time):
    assert np.exp(q.log_passage_time(WEAK, noise=noise)) == pytest.approx(time, rel=1e-11)


def test_the_committor_is_the_known_one():
    found = q.committor(WEAK, noise=0.02, amplitude=0.4, low=0.1, high=0.65)
    assert found == pytest.approx(0.0817321099659, rel=1e-11)


def test_the_exact_slope_is_a_root_of_the_cumulant_equation_also_where_inputs_are_not_unit():
    mode = NoisyMode(depth=4, signal=0.7, weight_decay=0.1, input_variance=1.3, output_variance=0.9)
    a = np.array([0.3, 0.55, 0.75, 0.95])
    strength, slope = a**4, q.exact_slope(mode, a)
    assert np.all(slope * mode.drift(a) < 0)  # pushes against the drift
    theta = slope * a**3
    # E exp(-theta x (strength x - y)) over Gaussian x and y, as a determinant.
    joint = np.array([[1.3, 0.7], [0.7, 0.9]])
    for t, s, decay in zip(theta, strength, slope * 0.1 * a, strict=True):
        form = np.array([[s, -0.5], [-0.5, 0.0]])
        mean = np.linalg.det(np.eye(2) + 2 * t * joint @ form) ** -0.5
        assert mean * np.exp(-decay) == pytest.approx(1, abs=1e-11)


def test_spread_is_the_variance_of_a_sample_and_drift_the_loss_gradient():
    rng = np.random.default_rng(2)
    x = 1.2 * rng.standard_normal(200_000)
    y = 0.6 / 1.44 * x + 0.7 * rng.standard_normal(200_000)
    mode = NoisyMode(
        depth=3, signal=0.6, weight_decay=0.2, input_variance=1.44,
        output_variance=0.36 / 1.44 + 0.49,
    )  # fmt: skip
    g = 0.3 * x**2 - x * y
    squares = (g - g.mean()) ** 2
    se = squares.std() / np.sqrt(g.size)
    assert_consistent(squares.mean(), float(mode.spread(0.3)), se)
    assert_consistent(g.mean(), float(mode.slope(0.3)), g.std() / np.sqrt(g.size))
    a = np.array([0.2, 0.6, 0.9])
    gradient = modes.slope(a, depth=3, signal=0.6, weight_decay=0.2, input_variance=1.44)
    np.testing.assert_allclose(mode.drift(a), -gradient / 3, rtol=1e-13)


@settings(max_examples=20)
@given(depth=st.integers(3, 6), signal=st.floats(0.3, 0.95), share=st.floats(0.5, 0.9))
def test_sgd_is_rarer_than_its_diffusion_downwards_and_both_agree_near_the_spinodal(
    depth, signal, share
):
    mode = near_spinodal(share, depth=depth, signal=signal)
    assert q.exact_exponent(mode) > q.diffusion_exponent(mode)
    close = near_spinodal(0.9999, depth=depth, signal=signal)
    excess = q.exact_exponent(close) / q.diffusion_exponent(close) - 1
    assert abs(excess) < 0.01


def test_downhill_is_free_and_the_way_through_costs_the_climb_alone():
    assert q.exact_exponent(WEAK, start=WEAK.saddle, end=WEAK.learned) == 0
    through = q.diffusion_exponent(WEAK, start=0.9, end=0.2)
    assert through == pytest.approx(q.diffusion_exponent(WEAK), rel=1e-12)


def test_nothing_leaves_the_trivial_phase():
    assert q.diffusion_exponent(WEAK, start=0.0, end=WEAK.saddle) == np.inf
    assert q.exact_exponent(WEAK, start=0.0, end=WEAK.learned) == np.inf
    assert q.log_escape_probability(WEAK, noise=0.05, amplitude=0.0) == -np.inf
    # At depth 3 as 1/a for SGD (G = -signal there, theta small) and 1/a^2 for the diffusion.
    far, near = (q.diffusion_exponent(WEAK, start=a, end=WEAK.saddle) for a in (1e-3, 1e-4))
    assert near / far == pytest.approx(100, rel=0.02)
    assert near == pytest.approx(float(q.small_amplitude_exponent(WEAK, 1e-4)), rel=1e-3)
    far, near = (q.exact_exponent(WEAK, start=a, end=WEAK.saddle) for a in (1e-3, 1e-4))
    assert near / far == pytest.approx(10, rel=0.02)


def test_upward_escapes_are_defective():
    chance = [np.exp(q.log_escape_probability(WEAK, noise=0.05, amplitude=a)) for a in (0.2, 0.4)]
    assert 0 < chance[0] < chance[1] < 1
    low = q.log_escape_probability(WEAK, noise=0.05, amplitude=1e-3) * 0.05
    assert low == pytest.approx(-float(q.small_amplitude_exponent(WEAK, 1e-3)), rel=6e-3)


def test_temperature_alone_asks_for_the_loss_barrier_and_any_makes_the_way_up_finite():
    barrier = float(modes.barrier_out(depth=3, signal=0.8, weight_decay=0.32))
    up = {"start": 0.0, "end": WEAK.saddle}
    assert q.mixed_exponent(WEAK, noise=0.0, temperature=1e-3, **up) == pytest.approx(
        barrier / 1e-3, rel=1e-11
    )
    both = q.mixed_exponent(WEAK, noise=0.01, temperature=1e-3, **up)
    assert 0 < both < barrier / 1e-3
    assert q.mixed_exponent(WEAK, noise=0.01, temperature=0.0, **up) == np.inf
    assert q.mixed_exponent(WEAK, noise=0.02, temperature=0.0) == pytest.approx(
        q.diffusion_exponent(WEAK) / 0.02, rel=1e-12
    )


def test_many_samples_have_the_exponent_of_the_population():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(10):
        x = rng.standard_normal(300)
        y = 0.8 * x + 0.6 * rng.standard_normal(300)
        # Second moments as in the population, as for the training sets of the experiments.
        joint = np.array([x, y])
        sample = np.linalg.cholesky(joint @ joint.T / 300)
        target = np.linalg.cholesky(np.array([[1, 0.8], [0.8, 1]]))
        x, y = target @ np.linalg.solve(sample, joint)
        found.append(q.sample_exponent(x, y, depth=3, weight_decay=0.32))
    se = np.std(found, ddof=1) / np.sqrt(len(found))
    assert se < 0.004
    assert_consistent(float(np.mean(found)), q.exact_exponent(WEAK), se)


def test_samples_that_agree_cannot_climb():
    x = np.array([1.0, -1.0, 1.0])
    assert q.sample_exponent(x, 0.8 * x, depth=3, weight_decay=0.32) == np.inf


def test_passage_times_by_quadrature_agree_with_those_of_a_potential():
    # dx = -(x^3 - x) dt + sqrt(2T) dW: `free_energy` integrates the potential itself.
    known = free_energy.log_first_passage_time(
        lambda x: x**4 / 4 - x**2 / 2, start=-1.0, absorbing=1.0, temperature=0.03
    )
    found = one_dimension.log_mean_time(
        lambda x: x - x**3, lambda x: np.full_like(x, 0.06), start=-1.0, absorbing=1.0
    )
    assert found == pytest.approx(known, abs=1e-9)


def test_geometric_brownian_motion_leaves_in_its_known_time():
    # d ln x = (m - v/2) dt + sqrt(v) dW: ln(b/x) / (m - v/2) when that is positive.
    found = one_dimension.mean_time(
        lambda x: 0.3 * x, lambda x: 0.2 * x**2, start=1.0, absorbing=2.0, reflecting=0.2
    )
    wall = np.log(0.2)
    drift = 0.2
    exact = quad(lambda y: (1 - np.exp(-2 * drift / 0.2 * (y - wall))) / drift, 0, np.log(2))[0]
    assert found == pytest.approx(exact, rel=1e-9)


def test_the_chain_of_sgd_has_the_simulated_time():
    rng = np.random.default_rng(8)
    mode, rate, size = STRONG, 0.4, 4
    replicas = 400
    a, steps = np.full(replicas, mode.learned), np.zeros(replicas)
    left = np.arange(replicas)
    while left.size:
        x = rng.standard_normal((left.size, size))
        y = 0.9 * x + np.sqrt(1 - 0.81) * rng.standard_normal(x.shape)
        now = a[left]
        push = (x * (now[:, None] ** 3 * x - y)).mean(axis=1)
        a[left] = now - rate * (now**2 * push + 0.32 * now)
        steps[left] += 1
        left = left[a[left] >= 0.6 * mode.saddle]
    exact = minibatch_chain.mean_updates(mode, learning_rate=rate, batch_size=size)
    assert_consistent(steps.mean(), exact, steps.std() / np.sqrt(replicas))


def test_the_chain_tends_to_the_exact_exponent_and_not_to_the_diffusion():
    excess = []
    for size in (4, 8):
        noise = 0.2 / size
        updates = minibatch_chain.mean_updates(STRONG, learning_rate=0.2, batch_size=size)
        excess.append(np.log(0.2 * updates) - q.log_passage_time(STRONG, noise=noise))
    gained = q.exact_exponent(STRONG) - q.diffusion_exponent(STRONG)
    assert (excess[1] - excess[0]) / (8 / 0.2 - 4 / 0.2) == pytest.approx(gained, rel=0.03)


def test_where_barriers_are_low_the_chain_is_nearly_the_diffusion():
    mode = near_spinodal(0.97, depth=3, signal=0.8)
    updates = minibatch_chain.mean_updates(mode, learning_rate=0.02, batch_size=4)
    diffusion = np.exp(q.log_passage_time(mode, noise=0.005))
    rarer = np.exp((q.exact_exponent(mode) - q.diffusion_exponent(mode)) / 0.005)
    assert rarer < 1.1
    assert 0.02 * updates == pytest.approx(rarer * diffusion, rel=0.015)


def test_the_push_of_a_batch_has_the_moments_of_its_samples():
    push, probability = minibatch_chain.push_rule(
        WEAK, amplitude=np.array([0.7]), batch_size=3, order=12
    )
    strength = 0.7**3
    assert probability.sum() == pytest.approx(1)
    mean = push[0] @ probability
    assert mean == pytest.approx(float(WEAK.slope(strength)), rel=1e-12)
    assert (push[0] - mean) ** 2 @ probability == pytest.approx(
        float(WEAK.spread(strength)) / 3, rel=1e-12
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: NoisyMode(depth=1, signal=0.5, weight_decay=0.1),
        lambda: NoisyMode(depth=3, signal=1.2, weight_decay=0.1),
        lambda: q.diffusion_exponent(NoisyMode(depth=3, signal=0.8, weight_decay=0.5)),
        lambda: q.exact_exponent(WEAK, start=-0.1),
        lambda: q.sample_exponent([1.0, 2.0], [1.0], depth=3, weight_decay=0.1),
        lambda: q.mixed_exponent(WEAK, noise=0.0, temperature=0.0),
        lambda: q.log_passage_time(WEAK, noise=0.0),
        lambda: q.log_passage_time(WEAK, noise=0.01, start=0.3, end=0.4),
        lambda: q.committor(WEAK, noise=0.01, amplitude=0.9, low=0.1, high=0.8),
        lambda: q.log_escape_probability(WEAK, noise=0.01, amplitude=0.9),
        lambda: q.small_amplitude_exponent(NoisyMode(depth=2, signal=0.8, weight_decay=0.1), 0.1),
        lambda: minibatch_chain.mean_updates(WEAK, learning_rate=0.0, batch_size=4),
        lambda: minibatch_chain.mean_updates(WEAK, learning_rate=0.1, batch_size=0),
        lambda: minibatch_chain.mean_updates(WEAK, learning_rate=1e-5, batch_size=8),
        lambda: one_dimension.log_mean_time(
            lambda x: x, lambda x: 0 * x, start=0.0, absorbing=1.0, reflecting=0.0
        ),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()
