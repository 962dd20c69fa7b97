"""Gradients are derivatives: of every network, every loss, with and without biases."""

import numpy as np
import pytest

from spinodal.dynamics.activations import activate
from spinodal.dynamics.gradients import gradients, losses, outputs, sample_gradients
from spinodal.dynamics.networks import Network

ACTIVATIONS = ("identity", "tanh", "sigmoid", "softplus", "relu", "gelu")
SAMPLES, INPUTS, OUTPUTS, REPLICAS = 9, 3, 4, 2


def case(activation, loss, biases, depth=3):
    """A network with non-zero biases, its samples and targets, replicas last."""
    rng = np.random.default_rng(5)
    network = Network(depth=depth, width=5, activation=activation, biases=biases)
    layers = network.initial(OUTPUTS, INPUTS, seed=2, replicas=range(REPLICAS))
    if biases:
        for layer in layers:
            layer[:, -1] = rng.standard_normal(layer[:, -1].shape)
        for layer in layers[:-1]:
            layer[-1], layer[-1, -1] = 0.0, 1.0
    x = rng.standard_normal((SAMPLES, INPUTS, REPLICAS))
    y = rng.standard_normal((SAMPLES, OUTPUTS, REPLICAS))
    if loss == "cross_entropy":  # class probabilities, one-hot or not
        y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
        y[::2] = np.eye(OUTPUTS)[rng.integers(OUTPUTS, size=len(y[::2]))][..., None]
    if biases:
        x = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
    return network, layers, x, y


def parts(network, layers, gradient):
    """Trained entries of a gradient of replica 1, flat."""
    masks = network.trainable(OUTPUTS, INPUTS)
    if masks is None:
        return np.concatenate([g[..., 1].ravel() for g in gradient])
    return np.concatenate([g[..., 1][m[..., 0]] for g, m in zip(gradient, masks, strict=True)])


COMBINATIONS = pytest.mark.parametrize(
    ("activation", "loss", "biases"),
    [(a, e, b) for a in ACTIVATIONS for e in ("squared", "cross_entropy") for b in (False, True)],
)


@COMBINATIONS
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_gradient_is_the_slope_of_the_mean_loss(activation, loss, biases, depth):
    network, layers, x, y = case(activation, loss, biases, depth)
    found = sample_gradients(layers, x, y, activation=activation, biases=biases, loss=loss)
    masks = network.trainable(OUTPUTS, INPUTS)

    def mean_loss():
        f = outputs(layers, x, activation, biases=biases)
        return losses(f, y, loss)[:, 1].mean()

    rng = np.random.default_rng(depth)
    for number, layer in enumerate(layers):
        free = np.argwhere(np.ones(layer.shape[:2]) if masks is None else masks[number][..., 0])
        for row, column in rng.permutation(free)[:6]:
            value, h = layer[row, column, 1], 1e-4
            slope = 0.0
            # Fourth-order differences: truncation and rounding are both near 1e-12.
            for shift, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                layer[row, column, 1] = value + shift * h
                slope += weight * mean_loss() / (12 * h)
            layer[row, column, 1] = value
            assert abs(found[number][row, column, 1] - slope) < 1e-10 * max(1, abs(slope))


@pytest.mark.needs("torch")
@COMBINATIONS
def test_gradients_are_those_of_torch_autograd(activation, loss, biases):
    import torch

    network, layers, x, y = case(activation, loss, biases)
    functions = {
        "identity": lambda a: a,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": torch.nn.functional.softplus,
        "relu": torch.relu,
        "gelu": torch.nn.functional.gelu,
    }
    weights = [torch.tensor(layer[..., 1], requires_grad=True) for layer in layers]
    h = torch.tensor(x[..., 1])
    for number, weight in enumerate(weights):
        h = h @ weight.T
        if number < len(weights) - 1:
            h = functions[activation](h)
            if biases:
                h = torch.cat([h[:, :-1], torch.ones(SAMPLES, 1, dtype=h.dtype)], dim=1)
    target = torch.tensor(y[..., 1])
    if loss == "squared":
        value = 0.5 * ((h - target) ** 2).sum(dim=1).mean()
    else:
        value = torch.nn.functional.cross_entropy(h, target)
    value.backward()
    theirs = [np.asarray(weight.grad)[..., None].repeat(2, axis=-1) for weight in weights]
    ours = sample_gradients(layers, x, y, activation=activation, biases=biases, loss=loss)
    np.testing.assert_allclose(
        parts(network, layers, ours), parts(network, layers, theirs), rtol=1e-10, atol=1e-13
    )
    f = outputs(layers, x, activation, biases=biases)
    np.testing.assert_allclose(losses(f, y, loss)[:, 1].mean(), value.item(), rtol=1e-12)


def test_moments_and_samples_give_the_gradient_of_a_linear_network_alike():
    _, layers, x, y = case("identity", "squared", biases=True, depth=4)
    xx = np.einsum("nir,njr->ijr", x, x) / SAMPLES
    yx = np.einsum("nir,njr->ijr", y, x) / SAMPLES
    by_moments = gradients(layers, xx, yx)
    by_samples = sample_gradients(layers, x, y, activation="identity", biases=True, loss="squared")
    for a, b in zip(by_moments, by_samples, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_weights_of_samples_stand_in_place_of_the_mean():
    _, layers, x, y = case("tanh", "squared", biases=False)
    weights = np.random.default_rng(1).standard_normal((SAMPLES, REPLICAS))
    found = sample_gradients(
        layers, x, y, activation="tanh", biases=False, loss="squared", weights=weights
    )
    single = [
        sample_gradients(
            layers, x[n : n + 1], y[n : n + 1], activation="tanh", biases=False, loss="squared"
        )
        for n in range(SAMPLES)
    ]
    for layer, total in enumerate(found):
        expected = sum(weights[n] * single[n][layer] for n in range(SAMPLES))
        np.testing.assert_allclose(total, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_have_the_slopes_they_claim(activation):
    x = np.linspace(-6, 6, 1202)  # without zero, where relu has none
    h = 1e-3
    values = [activate(activation, x + shift * h)[0] for shift in (-2, -1, 1, 2)]
    slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    away = np.abs(x) > 3 * h
    np.testing.assert_allclose(activate(activation, x)[1][away], slope[away], atol=1e-10)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_number_that_is_none_stays_none(activation):
    assert np.isnan(activate(activation, np.array([np.nan]))[0][0])


def test_large_outputs_do_not_overflow_the_softmax():
    f = np.array([[[1e4], [0.0], [-1e4]]]).repeat(2, axis=-1)
    y = np.array([[[0.0], [1.0], [0.0]]]).repeat(2, axis=-1)
    assert losses(f, y, "cross_entropy")[0, 0] == 1e4
