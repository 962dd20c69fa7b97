"""Gradients of the loss, of linear networks from batch moments and of any network from samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics import elementary
from spinodal.dynamics.activations import activate
from spinodal.dynamics.networks import Activation, Layers, Real, contract, multiply
from spinodal.dynamics.updates import Loss

Array = NDArray[np.floating]


def gradients(layers: Layers, xx: Array, yx: Array) -> Layers:
    """Gradient of 1/2 <||y - W x||^2> in every layer from batch moments.

    With G = W <x x^T> - <y x^T>, A_l = W_L ... W_{l+1} and B_l = W_{l-1} ... W_1,
    dE/dW_l = A_l^T G B_l^T. Moments have shape (rows, columns, replicas or 1).
    """
    below = [layers[0]]  # W_l ... W_1
    for layer in layers[1:]:
        below.append(multiply(layer, below[-1]))
    flow = multiply(below[-1], xx) - yx  # A_l^T G, from the last layer to the first
    result: Layers = []
    for layer in range(len(layers) - 1, 0, -1):
        result.append(contract("ikr,jkr->ijr", flow, below[layer - 1]))
        flow = contract("kir,kjr->ijr", layers[layer], flow)
    return [flow, *result[::-1]]


def outputs(layers: Layers, x: Array, activation: Activation, *, biases: bool) -> Array:
    """Network outputs f (n, p, R) of samples x (n, d, R)."""
    return _forward(layers, x, activation, biases)[0][-1]


def sample_gradients(
    layers: Layers,
    x: Array,
    y: Array,
    *,
    activation: Activation,
    biases: bool,
    loss: Loss,
    weights: Array | None = None,
) -> Layers:
    """Mean gradient of the loss of samples x (n, d, R) with targets y (n, p, R), backpropagated.

    With delta_L = dE/df, delta_{l-1} = (W_l^T delta_l) slope_{l-1} and
    dE/dW_l = 1/n sum_n delta_l h_{l-1}^T. `weights` (n, R) stand in place of the 1/n.
    """
    units, slopes = _forward(layers, x, activation, biases)
    delta = loss_slope(units[-1], y, loss)
    if weights is not None:
        delta = delta * weights[:, None]
    result: Layers = []
    for layer in range(len(layers) - 1, -1, -1):
        slope = contract("nir,njr->ijr", delta, units[layer])
        result.append(slope if weights is not None else slope / len(x))
        if layer > 0:
            delta = contract("kir,nkr->nir", layers[layer], delta) * slopes[layer - 1]
    return result[::-1]


def _forward(
    layers: Layers, x: Array, activation: Activation, biases: bool
) -> tuple[list[Array], list[Array]]:
    """Units h_0 = x, ..., h_L = f of every sample, and the slopes of the hidden ones."""
    units, slopes = [x], []
    for layer in layers[:-1]:
        h, slope = activate(activation, contract("ikr,nkr->nir", layer, units[-1]))
        if biases:  # the constant unit, the last one, stays 1
            h[:, -1], slope[:, -1] = 1.0, 1.0
        units.append(h)
        slopes.append(slope)
    return [*units, contract("ikr,nkr->nir", layers[-1], units[-1])], slopes


def loss_slope(f: Array, y: Array, loss: Loss) -> Array:
    """dE/df of samples, (n, p, R): f - y, or softmax(f) - y."""
    if loss == "squared":
        return f - y
    exponentials = elementary.rounded(elementary.exp, f - _largest(f))
    return exponentials / _ascending_sum(exponentials) - y


def losses(f: Array, y: Array, loss: Loss) -> NDArray[np.float64]:
    """1/2 ||f - y||^2, or ln sum_j e^{f_j} - sum_j y_j f_j, of samples: (n, p, R) to (n, R)."""
    wide, target = f.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    if loss == "squared":
        return 0.5 * _ascending_sum((wide - target) * (wide - target))[:, 0]
    top = _largest(wide)
    total = elementary.log(_ascending_sum(elementary.exp(wide - top))) + top
    return (total - _ascending_sum(target * wide))[:, 0]


def _ascending_sum(terms: NDArray[Real]) -> NDArray[Real]:
    """Sum over the outputs, one after the other: (n, p, R) to (n, 1, R)."""
    total = np.zeros_like(terms[:, :1])
    for j in range(terms.shape[1]):
        total += terms[:, j : j + 1]
    return total


def _largest(f: NDArray[Real]) -> NDArray[Real]:
    """The largest output of every sample, (n, 1, R); NaN if the first is."""
    top = f[:, :1]
    for j in range(1, f.shape[1]):
        top = np.where(f[:, j : j + 1] > top, f[:, j : j + 1], top)
    return top
