"""Updates: exact gradients, batches that add up, and sets that plain SGD cannot leave."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinodal.dynamics.batches import Batches
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.networks import Network, end_to_end, project_to_rank, strengths
from spinodal.dynamics.optimisers import step
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError

TASK = GaussianTask(signals=(0.9, 0.8), samples=48)


def batches(update, replicas=(0, 1), datasets=1, task=TASK, seed=3):
    data = [draw(task, seed=seed, dataset=i) for i in range(datasets)]
    which = np.array([i % datasets for i in replicas])
    plan = make_plan(
        Network(depth=1), update, data, which, seed=seed, replicas=list(replicas), task=task
    )
    return data, Batches(plan)


@given(
    depth=st.integers(1, 5),
    width=st.integers(1, 4),
    inputs=st.integers(1, 3),
    seed=st.integers(0, 50),
)
def test_the_gradient_is_the_derivative_of_the_loss(depth, width, inputs, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((7, inputs)), rng.standard_normal((7, 2))
    xx, yx = (x.T @ x / 7)[..., None], (y.T @ x / 7)[..., None]
    layers = Network(depth=depth, width=width).initial(2, inputs, seed=seed, replicas=range(2))

    def loss(weights):
        # Complex steps differentiate without subtraction, to the last digit.
        product = weights[0]
        for weight in weights[1:]:
            product = weight @ product
        return 0.5 * ((y - x @ product.T) ** 2).sum() / 7

    layer = seed % depth
    row, column = seed % layers[layer].shape[0], seed % layers[layer].shape[1]
    shifted = [weight[..., 1].astype(complex) for weight in layers]
    shifted[layer][row, column] += 1e-30j
    derivative = loss(shifted).imag / 1e-30
    np.testing.assert_allclose(
        gradients(layers, xx, yx)[layer][row, column, 1], derivative, rtol=1e-10, atol=1e-13
    )


def test_a_step_is_gradient_decay_and_kick_with_their_own_factors():
    update = Update(learning_rate=0.1, weight_decay=0.3, sampling="population", temperature=0.02)
    weight, slope, kick = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 5.0), np.full((1, 1, 2), -1.5)
    step([weight], [slope], [kick], update)
    expected = 2 - 0.1 * (5 + 0.3 * 2) - 1.5 * np.sqrt(2 * 0.02 * 0.1)
    np.testing.assert_allclose(weight, expected, rtol=1e-15)


def test_an_epoch_of_shuffled_batches_is_the_training_set_once():
    data, source = batches(Update(learning_rate=0.1, weight_decay=0, batch_size=6))
    for epoch in range(3):
        parts = [source.moments(8 * epoch + at)[0] for at in range(8)]
        mean = np.mean(parts, axis=0)
        np.testing.assert_allclose(mean[..., 1], data[0].train.xx, rtol=1e-12)
        assert np.std(parts, axis=0).min() > 0.05


def test_batches_with_replacement_have_the_variance_of_independent_draws():
    update = Update(learning_rate=0.1, weight_decay=0, sampling="replacement", batch_size=6)
    data, source = batches(update, replicas=range(400))
    drawn = np.stack([source.moments(at)[1][0, 0] for at in range(20)]).ravel()
    products = data[0].products[:, 4]
    z = (drawn.mean() - products.mean()) / (products.std() / np.sqrt(6 * drawn.size))
    assert abs(z) < 4
    kurtosis = ((drawn - drawn.mean()) ** 4).mean() / drawn.var() ** 2
    z = (drawn.var() * 6 / products.var() - 1) / np.sqrt((kurtosis - 1) / drawn.size)
    assert abs(z) < 4


def test_fresh_batches_have_the_population_moments():
    update = Update(learning_rate=0.1, weight_decay=0, sampling="fresh", batch_size=5)
    _, source = batches(update, replicas=range(300))
    drawn = np.stack([source.moments(at)[1] for at in range(30)])
    mean, error = drawn.mean(axis=(0, 3)), drawn.std(axis=(0, 3)) / np.sqrt(9000)
    assert np.abs((mean - np.diag([0.9, 0.8])) / error).max() < 4


@pytest.mark.parametrize("sampling", ["shuffled", "replacement", "fresh"])
def test_sgd_never_leaves_the_low_rank_set_not_even_by_a_rounding_error(sampling):
    """Dead channels stay exactly dead under any batches: the noise is multiplicative."""
    update = Update(learning_rate=0.08, weight_decay=0.05, sampling=sampling, batch_size=4)
    _, source = batches(update, replicas=range(6))
    layers = project_to_rank(Network(width=5).initial(2, 2, seed=1, replicas=range(6)), 1)
    for now in range(600):
        step(layers, gradients(layers, *source.moments(now)), None, update)
    assert strengths(layers)[0].min() > 0.3
    assert strengths(layers)[1].max() < 1e-15
    assert not layers[1][1:].any()
    assert not layers[1][:, 1:].any()


def test_langevin_noise_leaves_the_low_rank_set_at_once():
    update = Update(learning_rate=0.08, weight_decay=0.05, sampling="population", temperature=1e-6)
    layers = project_to_rank(Network(width=5).initial(2, 2, seed=1, replicas=range(2)), 1)
    kicks = [np.random.default_rng(0).standard_normal(layer.shape) for layer in layers]
    step(layers, gradients(layers, np.eye(2)[..., None], np.eye(2)[..., None]), kicks, update)
    assert layers[1][1:].all()


def test_training_does_not_see_a_rotation_of_the_hidden_units():
    update = Update(learning_rate=0.08, weight_decay=0.1, batch_size=6)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0]
    plain = Network(width=5).initial(2, 2, seed=4, replicas=range(2))
    turned = [layer.copy() for layer in plain]
    turned[0] = np.einsum("ij,jkr->ikr", rotation, plain[0])
    turned[1] = np.einsum("ijr,kj->ikr", plain[1], rotation)
    _, source = batches(update)
    for now in range(200):
        for layers in (plain, turned):
            step(layers, gradients(layers, *source.moments(now)), None, update)
    np.testing.assert_allclose(end_to_end(turned), end_to_end(plain), atol=1e-12)


def test_tiny_weights_become_zero_instead_of_denormal():
    update = Update(learning_rate=0.1, weight_decay=0.5, sampling="population")
    layers = [np.full((1, 1, 2), 1e-90) for _ in range(3)]
    for _ in range(2000):
        step(layers, gradients(layers, np.ones((1, 1, 1)), np.ones((1, 1, 1))), None, update)
    assert all((layer == 0).all() for layer in layers)


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "steps"), [(64, True, 8), (100, True, 5), (100, False, 6)]
)
def test_an_epoch_has_as_many_steps_as_a_data_loader_gives(batch_size, drop_last, steps):
    update = Update(learning_rate=0.1, weight_decay=0, batch_size=batch_size, drop_last=drop_last)
    assert update.steps_per_epoch(512) == steps


def test_a_batch_larger_than_the_training_set_makes_no_step():
    update = Update(learning_rate=0.1, weight_decay=0, batch_size=64)
    with pytest.raises(InputError, match="an epoch has no steps"):
        update.steps_per_epoch(25)


def test_sampling_without_a_batch_size_is_refused():
    with pytest.raises(ValueError, match="needs a batch_size"):
        Update(learning_rate=0.1, weight_decay=0)
