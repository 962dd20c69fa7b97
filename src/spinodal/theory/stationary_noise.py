"""How far minibatch noise spreads a network around a minimum, and the temperatures read off that.

Near a minimum with Hessian H, theta <- theta - lr (H theta + noise of covariance C / B) has the
stationary covariance S of (Mandt, Hoffman and Blei 2017, without and with the size of the step)

    H S + S H = (lr / B) C,        H S + S H - lr H S H = (lr / B) C.

Independent batches; C is the covariance of one sample's gradient (`gradient_noise`), and for
batches without replacement C / B is replaced by C times `gradient_noise.batch_covariance_factor`;
for shuffled epochs see `gradient_noise.reshuffling_ratio`. Only noise alike in all directions,
C = c times the identity, makes S = T / H, the cloud of a temperature T = lr c / (2 B). Anything
else is a temperature by name: by the trace, along a direction (both in `gradient_noise`), or by the
excess of the loss, and the three differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory.modes import checked
from spinodal.theory.roots import Array


def stationary_covariance(
    hessian: ArrayLike,
    covariance: ArrayLike,
    *,
    learning_rate: float,
    batch_size: float,
    discrete: bool = True,
) -> Array:
    """S, shape as `hessian`: of the discrete steps, or of their continuous limit.

    In the eigenbasis of H, S_ij = (lr / B) C_ij / (h_i + h_j - lr h_i h_j), the last term for
    discrete steps only; one mode has variance lr c / (B h (2 - lr h)). Directions without curvature
    must have no noise, or nothing is stationary; they stay where they are, S = 0.
    """
    h, c = (np.asarray(a, float) for a in (hessian, covariance))
    if h.ndim != 2 or h.shape != c.shape or h.shape[0] != h.shape[1]:
        raise InputError(
            f"Hessian and covariance must be square matrices of one size, got {h.shape} and "
            f"{c.shape}."
        )
    rate = float(checked("learning_rate", learning_rate, positive=True))
    size = float(checked("batch_size", batch_size, positive=True))
    values, vectors = np.linalg.eigh(0.5 * (h + h.T))
    flat = np.abs(values) <= 1e-12 * np.abs(values).max(initial=0.0)
    values = np.where(flat, 0.0, values)
    if values.min() < 0 or (discrete and rate * values.max() >= 2):
        raise InputError(
            f"Nothing is stationary with curvatures from {values.min():.3g} to {values.max():.3g} "
            f"at learning_rate {rate:g}: they must not be negative, and below 2 / learning_rate."
        )
    turned = vectors.T @ c @ vectors
    if flat.any() and np.abs(turned[flat]).max() > 1e-10 * max(float(np.abs(turned).max()), 1e-300):
        raise InputError(
            "A direction without curvature has noise and diffuses for ever: leave it out or add "
            "weight decay."
        )
    total = values[:, None] + values
    if discrete:
        total = total - rate * np.multiply.outer(values, values)
    spread = np.where(total > 0, turned / np.where(total > 0, total, 1.0), 0.0)
    return np.asarray(rate / size * vectors @ spread @ vectors.T)


def loss_excess(hessian: ArrayLike, spread: ArrayLike) -> float:
    """<E> - E_min = tr(H S) / 2 of the quadratic minimum."""
    return 0.5 * float(np.trace(np.asarray(hessian, float) @ np.asarray(spread, float)))


def excess_temperature(hessian: ArrayLike, spread: ArrayLike) -> float:
    """Temperature at which as many curved directions would have this excess, T / 2 each."""
    values = np.linalg.eigvalsh(np.asarray(hessian, float))
    curved = int((np.abs(values) > 1e-12 * np.abs(values).max(initial=0.0)).sum())
    if not curved:
        raise InputError("A flat loss has no excess to share among its directions.")
    return 2 * loss_excess(hessian, spread) / curved
