"""Escape when the noise is proportional to the loss: the law with a logarithmic barrier.

Mori et al. (2105.09557) take the covariance of one sample's gradient near a minimum * as

    C = (2 Loss / 1) H*,       per batch (2 Loss / B) H*,

H* being the Hessian at the minimum. In the direction of escape the logarithm of the loss then takes
the part of the loss, with h* the Hessian at the minimum along that direction, h^s < 0 that at the
saddle along it, and n weights:

    rate = |h^s| / (2 pi) sqrt(det H* / |det H^s|) [Loss_s / Loss_*]^-(B/(lr h*) + 1 - n/2),

in one dimension rate = sqrt(h* |h^s|) / (2 pi) [Loss_s / Loss_*]^-(B/(lr h*) + 1/2), per unit of
time t = learning_rate * steps. So ln tau is a line in B / lr with slope ln[Loss_s / Loss_*] / h*:
Arrhenius's form, another slope. An lr/B sweep alone cannot tell it from a barrier over a
temperature.

It applies only where that premise holds, which `premise` checks. It does not where the Hessian is
the regulariser's: weight decay adds to the Hessian and to the loss, but makes no noise. In the
trivial phase of a network of depth 3 or more C = 0 while H = weight_decay times the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory.modes import checked
from spinodal.theory.roots import Array


@dataclass(frozen=True, kw_only=True)
class Premise:
    """How far C = 2 Loss H holds at one place.

    `factor` is the number f that fits C = f H best (least squares over all entries), `expected` is
    2 Loss, `misfit` = |C - 2 Loss H| / |2 Loss H| in Frobenius norm: 0 where the premise holds, 1
    where there is no noise at all. `blind` counts directions with curvature but without noise.
    """

    factor: float
    expected: float
    misfit: float
    blind: int

    def holds(self, tolerance: float = 0.25) -> bool:
        """Is the misfit below `tolerance`? The law's slope is then right to about as much."""
        return self.misfit < tolerance


def premise(covariance: ArrayLike, hessian: ArrayLike, loss: float) -> Premise:
    """Compare the covariance of one sample's gradient with 2 loss times the Hessian."""
    c, h = (np.asarray(a, float) for a in (covariance, hessian))
    if c.ndim != 2 or c.shape != h.shape or c.shape[0] != c.shape[1]:
        raise InputError(
            f"Covariance and Hessian must be square matrices of one size, got {c.shape} and "
            f"{h.shape}."
        )
    loss = float(checked("loss", loss, positive=True))
    square = float((h**2).sum())
    if not square > 0:
        raise InputError("The Hessian must not vanish: there is nothing to be proportional to.")
    values, vectors = np.linalg.eigh(0.5 * (h + h.T))
    noise = (vectors * (c @ vectors)).sum(axis=0)
    curved = np.abs(values) > 1e-9 * np.abs(values).max()
    silent = noise <= 1e-12 * max(float(np.trace(c)), 2 * loss * float(np.abs(values).max()))
    return Premise(
        factor=float((c * h).sum() / square),
        expected=2 * loss,
        misfit=float(np.linalg.norm(c - 2 * loss * h) / np.linalg.norm(2 * loss * h)),
        blind=int((curved & silent).sum()),
    )


def slope(*, loss_minimum: ArrayLike, loss_saddle: ArrayLike, curvature: ArrayLike) -> Array:
    """d ln tau / d(B / lr) = ln[Loss_s / Loss_*] / h*, elementwise.

    Losses are those in the noise: of the data, at the minimum and the saddle. `curvature` is h*.
    """
    low, high = _losses(loss_minimum, loss_saddle)
    return np.log(high / low) / checked("curvature", curvature, positive=True)


def log_rate(
    *,
    loss_minimum: float,
    loss_saddle: float,
    curvature: float,
    saddle_curvature: float,
    noise: float,
) -> float:
    """ln of the one-dimensional rate per unit time at `noise` = learning_rate / batch_size."""
    low, high = _losses(loss_minimum, loss_saddle)
    h, noise = _positive(curvature, noise)
    if not saddle_curvature < 0:
        raise InputError(f"The saddle's curvature must be negative, got {saddle_curvature:g}.")
    prefactor = 0.5 * np.log(h * -saddle_curvature) - np.log(2 * np.pi)
    return float(prefactor - (1 / (noise * h) + 0.5) * np.log(high / low))


def log_rate_many(
    *,
    loss_minimum: float,
    loss_saddle: float,
    minimum: ArrayLike,
    saddle: ArrayLike,
    escape_curvature: float,
    noise: float,
) -> float:
    """ln of the rate in n dimensions, from the Hessian's eigenvalues at the minimum and the saddle.

    `minimum` all positive, `saddle` with exactly one negative; `escape_curvature` is h*, the
    Hessian at the minimum along the direction of escape. Zero modes (hidden rotations) make the
    determinants meaningless: leave them out on both sides or do not use this law.
    """
    low, high = _losses(loss_minimum, loss_saddle)
    here, there = np.asarray(minimum, float), np.asarray(saddle, float)
    if here.shape != there.shape or here.ndim != 1:
        raise InputError(
            f"Both points need as many eigenvalues, got shapes {here.shape} and {there.shape}."
        )
    if not (np.all(here > 0) and (there < 0).sum() == 1 and np.all(there != 0)):
        raise InputError(
            "A minimum has positive eigenvalues only and a saddle exactly one negative, none zero; "
            f"got {int((here <= 0).sum())} and {int((there <= 0).sum())} that are not positive."
        )
    h, noise = _positive(escape_curvature, noise)
    prefactor = np.log(-there.min() / (2 * np.pi))
    prefactor += 0.5 * (np.log(here).sum() - np.log(np.abs(there)).sum())
    exponent = 1 / (noise * h) + 1 - here.size / 2
    return float(prefactor - exponent * np.log(high / low))


def _losses(minimum: ArrayLike, saddle: ArrayLike) -> tuple[Array, Array]:
    low = checked("loss_minimum", minimum, positive=True)
    high = checked("loss_saddle", saddle, positive=True)
    if not np.all(high > low):
        raise InputError("The loss at the saddle must exceed that at the minimum.")
    return low, high


def _positive(curvature: float, noise: float) -> tuple[float, float]:
    return (
        float(checked("curvature", curvature, positive=True)),
        float(checked("noise", noise, positive=True)),
    )
