"""Minibatch noise of deep linear networks: its covariance, where it is zero, and temperatures.

One sample has the end-to-end gradient g = e x^T with e = W x - y. The gradient of layer l is
A_l^T g B_l^T with A_l = W_L ... W_{l+1} and B_l = W_{l-1} ... W_1, so that with the Jacobian
J = vstack_l(kron(A_l^T, B_l)) the covariance over all weights is

    C = J Cov(g) J^T.

Matrices are flattened row by row, layers one after the other, first layer first. Weight decay is
the same for every sample and makes no noise. A batch of B independent samples has the covariance
C / B; `batch_covariance_factor` has the other schemes.

J knows only the directions that the layers pass on. A hidden direction that is neither excited from
below nor read from above is in no column of J, so its weights receive no noise from any sample, and
C has rank r (inputs + outputs - r) at a balanced state of rank r: none at rank 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory.roots import Array


def gaussian_covariance(
    matrix: ArrayLike, sigma_xx: ArrayLike, sigma_yx: ArrayLike, sigma_yy: ArrayLike
) -> Array:
    """Covariance of g = (W x - y) x^T for joint Gaussian (x, y) of mean zero, by Isserlis.

    Cov(g_ij, g_kl) = (S_ee)_ik (S_xx)_jl + G_il G_kj,   G = W S_xx - S_yx,
    S_ee = W S_xx W^T - W S_xy - S_yx W^T + S_yy;  shape (outputs inputs, outputs inputs).
    """
    w, sxx, syx, syy = (np.asarray(a, float) for a in (matrix, sigma_xx, sigma_yx, sigma_yy))
    outputs, inputs = _checked(w, sxx, syx, syy)
    slope = w @ sxx - syx
    errors = w @ sxx @ w.T - w @ syx.T - syx @ w.T + syy
    table = np.einsum("ik,jl->ijkl", errors, sxx) + np.einsum("il,kj->ijkl", slope, slope)
    return np.asarray(table.reshape(outputs * inputs, outputs * inputs))


def sample_covariance(matrix: ArrayLike, x: ArrayLike, y: ArrayLike) -> Array:
    """Covariance of g over the rows of x (samples, inputs) and y (samples, outputs).

    Divided by the number of samples: the samples are the population that batches are drawn from.
    """
    w, x, y = (np.asarray(a, float) for a in (matrix, x, y))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or w.shape != (y.shape[1], x.shape[1]):
        raise InputError(
            f"Samples x and y must be matrices with as many rows, and W must map one to the other; "
            f"got shapes {x.shape}, {y.shape} and {w.shape}."
        )
    g = np.einsum("ni,nj->nij", x @ w.T - y, x).reshape(len(x), -1)
    g -= g.mean(axis=0)
    return np.asarray(g.T @ g / len(x))


def jacobian(layers: Sequence[ArrayLike]) -> Array:
    """J of shape (weights, outputs inputs): layer gradients are J vec(g)."""
    weights = [np.asarray(layer, float) for layer in layers]
    for below, above in pairwise(weights):
        if above.shape[1] != below.shape[0]:
            raise InputError(f"Layers of shapes {below.shape} and {above.shape} do not fit.")
    rows = []
    for layer in range(len(weights)):
        above = reduce(lambda p, w: w @ p, weights[layer + 1 :], np.eye(weights[layer].shape[0]))
        below = reduce(lambda p, w: w @ p, weights[:layer], np.eye(weights[0].shape[1]))
        rows.append(np.kron(above.T, below))
    return np.vstack(rows)


def lifted(layers: Sequence[ArrayLike], covariance: ArrayLike) -> Array:
    """C = J Cov(g) J^T of all weights, from the covariance of the end-to-end gradient."""
    j = jacobian(layers)
    return np.asarray(j @ np.asarray(covariance, float) @ j.T)


def along(covariance: ArrayLike, direction: ArrayLike) -> float:
    """n^T C n for the unit vector n along `direction`."""
    n = np.asarray(direction, float)
    square = n @ n
    if not square > 0:
        raise InputError("A direction must not be the zero vector.")
    return float(n @ np.asarray(covariance, float) @ n / square)


def mode_trace(
    strength: float, *, depth: int, signals: Sequence[float], output_variance: float = 1.0
) -> float:
    """tr C with the first of `signals` learned to `strength`, balanced layers, unit inputs.

    p signals, p inputs and p outputs. With amplitude a the first and the last layer each pass on
    the row or column of g in which the mode lies, the others its element g_11 alone:

        a^(2L-2) (2 sum_j Var(g_1j) + (L - 2) Var(g_11)), outputs and inputs being alike.
    """
    eta = np.asarray(signals, float)
    w = np.zeros((eta.size, eta.size))
    w[0, 0] = strength
    variances = np.diag(
        gaussian_covariance(w, np.eye(eta.size), np.diag(eta), output_variance * np.eye(eta.size))
    ).reshape(eta.size, eta.size)
    shared = variances[0].sum() + variances[:, 0].sum()
    return float(strength ** (2 - 2 / depth) * (shared + (depth - 2) * variances[0, 0]))


def radial_direction(layers: Sequence[ArrayLike], mode: int = 1) -> Array:
    """The unit vector along which all layers grow alike in mode number `mode` (1 is strongest).

    For balanced layers: dW_l = h_l h_{l-1}^T / sqrt(L), h_l the direction in which the mode passes
    hidden layer l. The strength must not be zero: such a mode has no direction.
    """
    weights = [np.asarray(layer, float) for layer in layers]
    _, values, rows = np.linalg.svd(reduce(lambda p, w: w @ p, weights))
    if not 1 <= mode <= len(values) or values[mode - 1] == 0:
        raise InputError(f"Mode {mode} has no strength here, hence no radial direction.")
    here, parts = rows[mode - 1], []
    for weight in weights:
        there = weight @ here
        there = there / np.linalg.norm(there)
        parts.append(np.outer(there, here).ravel())
        here = there
    return np.concatenate(parts) / np.sqrt(len(weights))


def rank_raising_directions(layers: Sequence[ArrayLike], rank: int) -> Array:
    """Orthonormal rows that span all weights into or out of unused hidden directions.

    Used are the `rank` directions of a hidden layer that are excited from below; unused ones are
    orthogonal to them. A network in which no such weight moves keeps its rank. Balanced layers
    read exactly what is excited, so that both meanings of 'used' agree.
    """
    weights = [np.asarray(layer, float) for layer in layers]
    inputs, outputs = weights[0].shape[1], weights[-1].shape[0]
    used = [np.eye(inputs)]
    for end in range(1, len(weights)):
        reach = reduce(lambda p, w: w @ p, weights[:end])
        used.append(np.linalg.svd(reach)[0])
    used.append(np.eye(outputs))
    sizes = [w.size for w in weights]
    rows = []
    for layer, weight in enumerate(weights):
        into, out = used[layer + 1], used[layer]
        first = rank if layer < len(weights) - 1 else outputs
        second = rank if layer > 0 else inputs
        for i in range(weight.shape[0]):
            for j in range(weight.shape[1]):
                if i < first and j < second:
                    continue
                row = np.zeros(sum(sizes))
                start = sum(sizes[:layer])
                row[start : start + sizes[layer]] = np.outer(into[:, i], out[:, j]).ravel()
                rows.append(row)
    return np.array(rows).reshape(len(rows), sum(sizes))


def trace_temperature(
    trace: ArrayLike, *, learning_rate: ArrayLike, batch_size: ArrayLike, weights: int
) -> Array:
    """T_tr = lr tr C / (2 B D): isotropic noise of this temperature has the same trace.

    Batches with independent samples. The noise itself is not isotropic: this is a way to match
    two experiments, not a temperature that the network has.
    """
    return np.asarray(np.multiply(learning_rate, trace) / (2 * np.multiply(batch_size, weights)))


def direction_temperature(
    noise: ArrayLike, *, learning_rate: ArrayLike, batch_size: ArrayLike
) -> Array:
    """T_n = lr n^T C n / (2 B): temperature along one direction n, from `noise` = n^T C n."""
    return np.asarray(np.multiply(learning_rate, noise) / (2 * np.asarray(batch_size, float)))


def batch_covariance_factor(
    scheme: Literal["fresh", "replacement", "without"], *, batch_size: int, samples: int | None
) -> float:
    """Covariance of a batch mean over that of one sample: 1/B, or (N - B) / (B (N - 1)).

    'without' is one batch drawn without replacement from N samples. Shuffled epochs are such
    batches, but they are not independent: see `reshuffling_ratio`.
    """
    if scheme != "without":
        return 1 / batch_size
    if samples is None or not batch_size <= samples or samples < 2:
        raise InputError(
            f"Drawing {batch_size} without replacement needs as many samples and at least 2, "
            f"got {samples}."
        )
    return (samples - batch_size) / (batch_size * (samples - 1))


def reshuffling_ratio(rate: float, *, samples: int, batch_size: int) -> tuple[float, float]:
    """Variance with shuffled epochs over that with independent batches, in one linear mode.

    The mode follows theta <- q theta - lr g_batch with q = 1 - rate, rate = lr * curvature < 1.
    Within an epoch of m = N/B batches Cov(g_i, g_j) = -C/(N-1), so the sum over an epoch is exact
    and an epoch adds lr^2 C m^2 / (N-1) Var_k(q^k), k = 0 ... m-1. Returned: the ratio at the ends
    of epochs, ~ rate^2 (m^2-1)/12 for small rate, and averaged over the batches of an epoch,
    ~ rate m/3. Both reach one only for rate m >> 1.
    """
    if batch_size < 1 or samples % batch_size or not 0 < rate < 1:
        raise InputError(
            f"Batches must divide the samples and 0 < rate < 1; got {batch_size} of {samples} "
            f"and {rate:g}."
        )
    m = samples // batch_size
    q = (1 - rate) ** np.arange(m)
    # In units of lr^2 C / (N - 1), after 1 ... m batches of an epoch that started from zero.
    within = m * np.cumsum(q**2) - np.cumsum(q) ** 2
    end = within[-1] / -np.expm1(2 * m * np.log1p(-rate))
    average = np.mean(within + end * (1 - rate) ** (2 * np.arange(1, m + 1)))
    independent = (samples - 1) / (batch_size * rate * (2 - rate))
    return float(end / independent), float(average / independent)


def _checked(w: Array, sxx: Array, syx: Array, syy: Array) -> tuple[int, int]:
    """(outputs, inputs), or an InputError where the shapes do not belong together."""
    outputs, inputs = syx.shape if syx.ndim == 2 else (0, 0)
    if (w.shape, sxx.shape, syy.shape) != (
        (outputs, inputs),
        (inputs, inputs),
        (outputs, outputs),
    ):
        raise InputError(
            f"W and sigma_yx must have one shape (outputs, inputs), sigma_xx and sigma_yy must "
            f"be square; got {w.shape}, {syx.shape}, {sxx.shape} and {syy.shape}."
        )
    return outputs, inputs
