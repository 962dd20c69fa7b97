"""Rows on what the text leaves open: other activations, the Bayes floor, uncited references."""

from __future__ import annotations

import numpy as np

from spinodal.dynamics.tasks import GaussianTask
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.noise import gradient_noise
from spinodal.protocols.audit_rows.readings import Watched, trap_escapes
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.unused_units import activations
from spinodal.theory import modes

REACHED = 0.01
"""A loss is at its floor if it exceeds it by less than this share."""


def bayes_floor(bench: Bench) -> Finding:
    """Row 45: the floor for two output variances, or for the one that the settings state.

    If it is stated, the test loss of the phase with every feature is compared with it, at the
    weight decays of figures 1a and 1b.
    """
    s = bench.settings
    stated = s.output_variance
    variance = max(1.0, max(s.signals) ** 2) if stated is None else stated
    floors, above = [], {}
    for scale in (variance, 2 * variance):
        covariance = tuple(map(tuple, scale * np.eye(s.shape[0])))
        task = GaussianTask(
            signals=s.ordered, inputs=s.inputs, outputs=s.outputs, output_covariance=covariance
        )
        exact = bench.call(task.population)
        floors.append(float(exact.error(exact.yx)))
    for decay in (s.weight_decay, s.sparse_weight_decay):
        learned = modes.stationary_points(
            depth=s.depth, signal=np.array(s.ordered), weight_decay=decay
        ).learned
        above[decay] = float(0.5 * np.sum((learned - np.array(s.ordered)) ** 2))
    recomputed = {f"floor for output variance {variance:g}": floors[0]}
    evidence = {
        "test_loss_above_the_floor_at_the_weight_decays_of_figures_1a_and_1b": list(above.values())
    }
    if stated is None:
        return bench.finding(
            recomputed,
            "cannot be derived",
            "The floor is half of what the signals leave of the output variance, which is not "
            "stated; calling the signals correlations implies variance 1.",
            floor_for_twice_that_variance=floors[1],
            **evidence,
        )
    reached = [decay for decay, excess in above.items() if excess < REACHED * floors[0]]
    told = " and ".join(
        f"{excess:.2g} above it at beta = {decay:g}"
        if np.isfinite(excess)
        else f"not defined at beta = {decay:g}, where a feature is lost"
        for decay, excess in above.items()
    )
    return bench.finding(
        recomputed,
        "reproduces" if reached else "wrong",
        f"With output variance {variance:g} the floor is {floors[0]:.4g}; the test loss of the "
        f"population phase with every feature is {told}.",
        **evidence,
    )


def uncited(bench: Bench) -> Finding:
    """Row 46: what the uncited theorem says about these networks, and what is seen."""
    s = bench.settings
    noise = gradient_noise(s, rank=s.trap_rank, seed=bench.seed)
    bench.note(gradient_noise, "settings", rank=str(s.trap_rank), seed=str(bench.seed))
    seen = trap_escapes(bench)
    if noise is None:
        return bench.without_saddle()
    holds = noise.dead == 0 and (seen is None or seen.escaped == 0)
    return bench.finding(
        {
            "gradient that could raise the rank": noise.dead,
            "escapes seen": None if seen is None else seen.escaped,
        },
        "inconsistent" if holds else "reproduces",
        "The listed theorem (rank never rises under SGD) contradicts the central claim and holds "
        "here" + (_here(seen) if holds else "not: unused units are pushed."),
        samples=noise.samples,
        **({} if seen is None else seen.evidence),
    )


def _here(seen: Watched | None) -> str:
    pushed = ": no sample pushes an unused unit"
    return f"{pushed}." if seen is None else f"{pushed}, and {seen} escaped."


ROWS: dict[str, Row] = {"row-44": activations, "row-45": bayes_floor, "row-46": uncited}
