"""Gaussian gradient noise and label noise: covariances against theory, entry by entry."""

import numpy as np
import pytest
from helpers import assert_covariance

from spinodal.dynamics.balanced import balanced
from spinodal.dynamics.data import Data, Moments, from_arrays
from spinodal.dynamics.gradients import gradients, sample_gradients
from spinodal.dynamics.networks import Network, strengths
from spinodal.dynamics.noise import (
    frozen_factor,
    local_factor,
    square_root,
    unique_products,
    unpack,
)
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.twin import Twin, cholesky
from spinodal.dynamics.updates import Stage, Update
from spinodal.errors import InputError
from spinodal.theory import gradient_noise, modes

SXX, SYX = np.array([[1, 0.3], [0.3, 0.8]]), np.array([[0.7, 0.2], [0.1, 0.6]])
SYY, W = np.array([[1.2, 0.1], [0.1, 0.9]]), np.array([[0.4, -0.1], [0.2, 0.3]])
EXAMPLE = Data(train=Moments(xx=SXX, yx=SYX, yy=SYY), test=Moments(xx=SXX, yx=SYX, yy=SYY))
UNIT = draw(GaussianTask(signals=(0.9, 0.8)), seed=1, dataset=0)
STRENGTH = float(modes.learned(depth=3, signal=0.9, weight_decay=0.32))
TRAP = Network(depth=3, width=10)


def gradient_factor(layers, factor, inputs):
    """Columns of F as gradients of all weights: the gradient is linear in the products."""
    xx, yx = unpack(factor, inputs)
    lanes = [np.repeat(layer[..., :1], factor.shape[1], axis=-1) for layer in layers]
    return np.concatenate([g.reshape(-1, g.shape[-1]) for g in gradients(lanes, xx, yx)])


def test_local_noise_has_the_isserlis_covariance_of_the_example():
    factor = gradient_factor([W[..., None]], local_factor(EXAMPLE, constant=False), 2)
    covariance = factor @ factor.T
    assert np.trace(covariance) == pytest.approx(2.9102, abs=1e-13)
    assert covariance[1, 2] == pytest.approx(0.1008, abs=1e-14)
    expected = gradient_noise.gaussian_covariance(W, SXX, SYX, SYY)
    np.testing.assert_allclose(covariance, expected, atol=1e-13)


def test_local_noise_of_a_training_set_is_the_covariance_of_its_samples():
    data = draw(GaussianTask(signals=(0.9, 0.8), samples=30), seed=2, dataset=0)
    layers = TRAP.initial(2, 2, seed=1, replicas=range(1))
    factor = gradient_factor(layers, local_factor(data, constant=False), 2)
    weights = [layer[..., 0] for layer in layers]
    product = weights[2] @ weights[1] @ weights[0]
    assert data.x is not None
    assert data.y is not None
    expected = gradient_noise.lifted(
        weights, gradient_noise.sample_covariance(product, data.x, data.y)
    )
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-10)


def test_noise_at_the_rank_one_state_has_the_known_trace_and_no_part_that_raises_the_rank():
    layers = balanced(TRAP, [UNIT], np.zeros(1, dtype=int), (STRENGTH,))
    weights = [layer[..., 0] for layer in layers]
    raising = gradient_noise.rank_raising_directions(weights, 1)
    radial = gradient_noise.radial_direction(weights)
    local = gradient_factor(layers, local_factor(UNIT, constant=False), 2)
    frozen = frozen_factor(UNIT, TRAP, (STRENGTH,))
    for factor in (local, frozen):
        assert (factor**2).sum() == pytest.approx(1.1392964037914, abs=1e-12)
        assert ((radial @ factor) ** 2).sum() == pytest.approx(0.6083829060137924, abs=1e-12)
        assert np.abs(raising @ factor).max() < 1e-15


def test_a_constant_input_has_no_variance_and_the_covariance_of_its_partners():
    data = EXAMPLE.with_constant_input()
    factor = local_factor(data, constant=True)
    rng = np.random.default_rng(3)
    lower = np.linalg.cholesky(np.block([[SXX, SYX.T], [SYX, SYY]]))
    u = rng.standard_normal((40_000, 4)) @ lower.T
    x = np.hstack([u[:, :2], np.ones((len(u), 1))])
    rows = unique_products(x, u[:, 2:])
    exact = np.concatenate([data.train.xx[np.triu_indices(3)], data.train.yx.ravel()])
    assert_covariance(rows, exact, factor @ factor.T)
    assert not factor[5].any()  # the product of the constant with itself


def test_a_square_root_of_a_singular_covariance_has_no_rounding_in_empty_directions():
    rng = np.random.default_rng(0)
    for _ in range(20):  # some of these have negative eigenvalues by rounding
        direction = np.vstack([rng.standard_normal((5, 1)), [[0.0]]])
        factor = square_root(direction @ direction.T)
        np.testing.assert_allclose(factor @ factor.T, direction @ direction.T, atol=1e-13)
        assert not factor[5].any()
        assert np.count_nonzero(factor.any(axis=0)) == 1


def kicks(network, update, data, layers, steps, replicas=300):
    """Changes of all weights by single updates from the same state, one row per draw."""
    of = np.zeros(replicas, dtype=int)
    plan = make_plan(network, update, [data], of, seed=4, replicas=range(replicas))
    machine = Twin(plan, [np.repeat(layer[..., :1], replicas, axis=-1) for layer in layers])
    start, rows = machine.state(), []
    for step in steps:
        machine.restore(step, start)
        machine.advance(1, 1)
        rows.append((machine.state()["weights"] - start["weights"]).T)
    return np.concatenate(rows) / update.learning_rate


@pytest.mark.parametrize("gaussian", ["local", "frozen"])
def test_simulated_noise_has_the_covariance_over_the_batch_size(gaussian):
    network = Network(depth=2, width=2)
    data = draw(GaussianTask(signals=(0.9, 0.8), samples=30), seed=2, dataset=0)
    layers = balanced(network, [data], np.zeros(1, dtype=int), (0.7, 0.4))
    update = Update(
        learning_rate=0.5, weight_decay=0, sampling="full", batch_size=6, gaussian=gaussian,
        frozen_strengths=(0.5,) if gaussian == "frozen" else (),
    )  # fmt: skip
    if gaussian == "local":
        factor = gradient_factor(layers, local_factor(data, constant=False), 2)
    else:
        factor = frozen_factor(data, network, (0.5,))
    exact = gradients(layers, data.train.xx[..., None], data.train.yx[..., None])
    mean = -np.concatenate([g.ravel().astype(float) for g in exact])
    rows = kicks(network, update, data, layers, range(60))
    assert_covariance(rows, mean, factor @ factor.T / 6)


def test_a_stage_changes_the_batch_size_that_the_noise_stands_for():
    data = draw(GaussianTask(signals=(0.9,), samples=30), seed=2, dataset=0)
    network = Network(depth=1)
    update = Update(
        learning_rate=0.5, weight_decay=0, sampling="full", batch_size=2, gaussian="local",
        schedule=(Stage(at=30, batch_size=50),),
    )  # fmt: skip
    layers = [np.full((1, 1, 1), 0.2)]
    variance = [
        kicks(network, update, data, layers, steps).var() for steps in (range(30), range(30, 60))
    ]
    # The variance of 9,000 normals is known to 1.5 %.
    assert variance[0] / variance[1] == pytest.approx(25, rel=0.1)


def test_local_noise_of_a_nonlinear_network_has_the_covariance_of_its_samples():
    network = Network(depth=2, width=2, activation="tanh")
    task = GaussianTask(signals=(0.9, 0.8), samples=12)
    data = draw(task, seed=2, dataset=0)
    layers = network.initial(2, 2, seed=3, replicas=range(2))
    assert data.x is not None
    assert data.y is not None
    x, y = data.x[..., None].repeat(2, axis=-1), data.y[..., None].repeat(2, axis=-1)
    singles = np.array(
        [
            np.concatenate(
                [
                    g[..., 0].ravel()
                    for g in sample_gradients(
                        layers, x[n : n + 1], y[n : n + 1], activation="tanh", biases=False,
                        loss="squared",
                    )
                ]
            )
            for n in range(12)
        ]
    )  # fmt: skip
    update = Update(
        learning_rate=0.5, weight_decay=0, sampling="full", batch_size=3, gaussian="local"
    )
    rows = kicks(network, update, data, layers, range(40))
    expected = np.asarray(np.cov(singles.T, bias=True) / 3, dtype=np.float64)
    assert_covariance(rows, -singles.mean(axis=0), expected)


@pytest.mark.parametrize("sampling", ["full", "replacement"])
@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_label_noise_moves_the_gradient_by_its_own_covariance(activation, sampling):
    """A single layer: noise s on n targets has Cov(g_ij, g_kl) = s^2 delta_ik <x_j x_l> / n.

    A network of one layer is linear whatever its activation, but is run sample by sample.
    """
    rng = np.random.default_rng(6)
    x = rng.standard_normal((8, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])
    w = np.array([[0.3, -0.2], [0.1, 0.4]])
    data = from_arrays(x, x @ w.T)  # no other gradient than that of the noise
    update = Update(
        learning_rate=0.5, weight_decay=0, sampling=sampling, batch_size=4, label_noise=0.6
    )
    network = Network(depth=1, activation=activation)
    rows = kicks(network, update, data, [w[..., None]], range(40))
    size = 8 if sampling == "full" else 4
    expected = np.asarray(0.36 / size * np.kron(np.eye(2), data.train.xx), dtype=np.float64)
    assert_covariance(rows, np.zeros(4), expected)


def test_the_factor_of_a_batch_smaller_than_its_inputs_has_zero_columns():
    x = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    xx = (x.T @ x)[..., None].repeat(2, axis=-1)
    xx[2, 2] = np.nextafter(xx[2, 2], 0)  # rounding may leave a negative pivot
    lower = cholesky(xx)[..., 0]
    np.testing.assert_allclose(lower @ lower.T, xx[..., 0], atol=1e-7)
    regular = SXX[..., None]
    np.testing.assert_allclose(cholesky(regular)[..., 0], np.linalg.cholesky(SXX), rtol=1e-14)
    assert not cholesky(np.zeros((2, 2, 1))).any()
    without = cholesky(np.array([[0.0, 1.0], [1.0, 2.0]])[..., None])[..., 0]
    np.testing.assert_allclose(without, [[0, 0], [0, np.sqrt(2)]])


@pytest.mark.parametrize(("gaussian", "leaves"), [("local", False), ("frozen", True)])
def test_only_noise_that_does_not_see_the_network_leaves_the_low_rank_set(gaussian, leaves):
    network = Network(depth=3, width=4)
    layers = balanced(network, [UNIT], np.zeros(3, dtype=int), (STRENGTH,))
    update = Update(
        learning_rate=0.05, weight_decay=0.32, sampling="population", batch_size=2,
        gaussian=gaussian, frozen_strengths=(0.8, 0.5) if leaves else (),
    )  # fmt: skip
    plan = make_plan(network, update, [UNIT], np.zeros(3, dtype=int), seed=2, replicas=range(3))
    machine = Twin(plan, layers)
    machine.advance(300, 300)
    second = strengths(machine.layers)[1]
    assert (second > 1e-6).all() if leaves else (second < 1e-16).all()


def test_no_noise_has_an_impossible_covariance():
    with pytest.raises(InputError, match="negative eigenvalue -1"):
        square_root(np.diag([2.0, -1.0]))
    with pytest.raises(InputError, match="not finite: scale the data"):
        square_root(np.full((2, 2), np.inf))
    impossible = draw(GaussianTask(signals=(3.0, 0.8)), seed=0, dataset=0)
    with pytest.raises(InputError, match="no Gaussian data have these moments"):
        local_factor(impossible, constant=False)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="fourth powers"):
        local_factor(from_arrays(*(1e100 * rng.standard_normal((2, 9, 2)))), constant=False)
