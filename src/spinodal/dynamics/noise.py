"""Gaussian gradient noise with the covariance that independent batches have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.balanced import balanced
from spinodal.dynamics.data import Data
from spinodal.dynamics.networks import Network
from spinodal.errors import InputError
from spinodal.theory.gradient_noise import gaussian_covariance, jacobian, sample_covariance


def unique_products(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """x_i x_j for i <= j, row by row, then y_i x_j, of every sample: shape (samples, K).

    K = d (d + 1) / 2 + p d: all that the gradient of a linear network can see of a sample.
    """
    first, second = np.triu_indices(x.shape[1])
    yx = y[:, :, None] * x[:, None, :]
    return np.hstack([x[:, first] * x[:, second], yx.reshape(len(x), -1)])


def unpack(
    products: NDArray[np.floating], inputs: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """xx (d, d, R) and yx (p, d, R) from unique products (K, R)."""
    first, second = np.triu_indices(inputs)
    xx = np.empty((inputs, inputs, products.shape[-1]), dtype=products.dtype)
    xx[first, second] = xx[second, first] = products[: len(first)]
    return xx, products[len(first) :].reshape(-1, inputs, products.shape[-1])


def local_factor(data: Data, *, constant: bool) -> NDArray[np.float64]:
    """F (K, K) with F F^T the covariance of the unique products of one sample.

    The gradient of a linear network is a linear function of the products, so that products with
    this covariance, divided by the batch size, give the gradient the covariance of independent
    batches wherever the network is. Over the training samples, or in a population over joint
    Gaussian (x, y) of mean zero; `constant` says that the last input is 1.
    """
    if data.x is not None and data.y is not None:
        products = unique_products(data.x, data.y)
        with np.errstate(over="ignore", invalid="ignore"):
            products = products - products.mean(axis=0)
            covariance = products.T @ products / len(products)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            covariance = _product_covariance(data, constant=constant)
    return square_root(covariance)


def _product_covariance(data: Data, *, constant: bool) -> NDArray[np.float64]:
    """Isserlis: Cov(u_a u_b, u_c u_d) = C_ac M_bd + C_ad C_bc of Gaussian variables u = (x, y).

    C is their covariance and M their second moment. They differ for the constant input only, which
    as the last one is a or c in its own square only, and that does not vary.
    """
    m = data.train
    inputs, outputs = len(m.xx), len(m.yy)
    moment = np.block([[m.xx, m.yx.T], [m.yx, m.yy]])
    covariance = moment.copy()
    if constant:
        covariance[inputs - 1] = covariance[:, inputs - 1] = 0.0
    first, second = np.triu_indices(inputs)
    a = np.concatenate([first, np.repeat(inputs + np.arange(outputs), inputs)])[:, None]
    b = np.concatenate([second, np.tile(np.arange(inputs), outputs)])[:, None]
    return covariance[a, a.T] * moment[b, b.T] + covariance[a, b.T] * covariance[b, a.T]


def frozen_factor(
    data: Data, network: Network, strengths: tuple[float, ...]
) -> NDArray[np.float64]:
    """F (P, p d) with F F^T = J C_g J^T, the covariance of one sample's gradient.

    Taken at the balanced network of these strengths along the data's singular vectors.
    """
    exact = network.model_copy(update={"precision": "float64"})
    layers = [layer[..., 0] for layer in balanced(exact, [data], np.zeros(1, dtype=int), strengths)]
    product = layers[0]
    for layer in layers[1:]:
        product = layer @ product
    with np.errstate(over="ignore", invalid="ignore"):
        if data.x is not None and data.y is not None:
            covariance = sample_covariance(product, data.x, data.y)
        else:
            covariance = gaussian_covariance(product, data.train.xx, data.train.yx, data.train.yy)
    return jacobian(layers) @ square_root(covariance)


def square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """F = V sqrt(D) of a covariance V D V^T; directions of no variance are exactly zero."""
    if not np.isfinite(covariance).all():
        raise InputError(
            "The covariance of the gradient noise is not finite: scale the data down, its fourth "
            "powers must be finite numbers."
        )
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-10 * np.abs(values).max():
        raise InputError(
            f"The covariance of the gradient noise has the negative eigenvalue {values[0]:.3g} "
            f"beside {values[-1]:.3g}: no Gaussian data have these moments; use smaller signals or "
            "a larger output_covariance."
        )
    values = np.where(values > 1e-14 * max(values[-1], 0.0), values, 0.0)
    factor = vectors * np.sqrt(values)
    factor[np.diag(covariance) == 0] = 0.0
    return factor
