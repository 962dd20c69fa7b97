"""Row 31: is the gradient noise proportional to loss times Hessian, as the correction takes it?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics import gradients
from spinodal.protocols.audit_rows.bench import Bench
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.settings import AuditSettings
from spinodal.protocols.audit_rows.tasks import gaussian_task
from spinodal.theory import gradient_noise, log_barrier, modes

STEP = 1e-30
"""Imaginary step of the derivative: gradients are polynomials, so it is exact to rounding."""


def balanced_layers(s: AuditSettings, strengths: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Layers that share these strengths equally, each on a unit of its own."""
    outputs, inputs = s.shape
    sizes = [inputs, *[s.width] * (s.depth - 1), outputs]
    layers = [np.zeros((rows, columns)) for columns, rows in pairwise(sizes)]
    for layer in layers:
        for i, strength in enumerate(strengths):
            layer[i, i] = strength ** (1 / s.depth)
    return layers


def data_hessian(
    layers: list[NDArray[np.float64]], xx: NDArray[np.float64], yx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Hessian of 1/2 E||y - W x||^2 in all weights: one imaginary step in each of them at once."""
    sizes = [layer.size for layer in layers]
    kicks: Any = 1j * STEP * np.eye(sum(sizes))
    moved: Any = [
        layer[..., None] + part.reshape(*layer.shape, -1)
        for layer, part in zip(layers, np.split(kicks, np.cumsum(sizes)[:-1]), strict=True)
    ]
    plain: Any = (xx[..., None] + 0j, yx[..., None] + 0j)
    slopes = gradients.gradients(moved, *plain)
    table = np.concatenate([g.reshape(-1, sum(sizes)) for g in slopes])
    return np.asarray(table.imag / STEP, dtype=float)


def check_premise(s: AuditSettings, rank: int) -> log_barrier.Premise | None:
    """The premise in the phase of this rank; None where there is none."""
    strengths = modes.stationary_points(
        depth=s.depth, signal=np.array(s.ordered), weight_decay=s.weight_decay
    ).learned[:rank]
    if not np.all(np.isfinite(strengths)) or rank > s.width:
        return None
    exact = gaussian_task(s, None).population()
    layers = balanced_layers(s, strengths)
    product = np.zeros(s.shape)
    product[range(rank), range(rank)] = strengths
    noise = gradient_noise.lifted(
        layers, gradient_noise.gaussian_covariance(product, exact.xx, exact.yx, exact.yy)
    )
    hessian = data_hessian(layers, exact.xx, exact.yx) + s.weight_decay * np.eye(len(noise))
    return log_barrier.premise(noise, hessian, float(exact.error(product)))


def noise_proportional_to_loss(bench: Bench) -> Finding:
    """Row 31: the premise in the states that are to be escaped from, and the law's slope."""
    s = bench.settings
    bench.note(log_barrier.premise, "covariance", "hessian", "loss")
    places = {rank: check_premise(s, rank) for rank in range(s.trap_rank + 1)}
    found = {rank: one for rank, one in places.items() if one is not None}
    misfits = {f"misfit at rank {rank}": one.misfit for rank, one in found.items()}
    holds = all(one.holds() for one in found.values())
    worst = max(found, key=lambda rank: found[rank].misfit)
    law = _slope(bench) if bench.has_saddle else None
    told = (
        ""
        if law is None
        else f" Taken all the same it gives ln tau a slope of {law:.2g} in B/lr, which is no loss "
        "difference: the fitted barrier would mean something else."
    )
    return bench.finding(
        misfits,
        "reproduces" if holds else "wrong",
        "The premise C = 2 Loss H holds, so the corrected law may be asked."
        if holds
        else f"Its premise, C = 2 Loss H per sample, fails: at rank {worst} {found[worst].blind} "
        f"curved directions have no noise (misfit {found[worst].misfit:.2f}, where 1 is no noise "
        f"at all).{told}",
        best_factor=[one.factor for one in found.values()],
        expected_factor=[one.expected for one in found.values()],
        curved_directions_without_noise=[one.blind for one in found.values()],
        slope_of_ln_tau_in_B_over_lr_by_the_law=law,
    )


def _slope(bench: Bench) -> float:
    """Slope that the law gives the escape of the next feature; h* = weight decay in the trap."""
    s = bench.settings
    exact = gaussian_task(s, None).population()
    strengths = modes.stationary_points(
        depth=s.depth, signal=np.array(s.ordered), weight_decay=s.weight_decay
    ).learned[: s.trap_rank]
    product = np.zeros(s.shape)
    product[range(s.trap_rank), range(s.trap_rank)] = strengths
    # The law's loss is the minimised one, weight decay included.
    price = 0.5 * s.depth * s.weight_decay * float(np.sum(strengths ** (2 / s.depth)))
    loss = float(exact.error(product)) + price
    barrier = float(bench.call(modes.barrier_out, **bench.mode()))
    slope = bench.call(
        log_barrier.slope, loss_minimum=loss, loss_saddle=loss + barrier, curvature=s.weight_decay
    )
    return float(slope)
