"""Rows on what the text leaves open: other activations, the Bayes floor, uncited references."""

from __future__ import annotations

import numpy as np

from spinodal.dynamics.tasks import GaussianTask
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.noise import gradient_noise
from spinodal.protocols.audit_rows.readings import Watched, trap_escapes
from spinodal.protocols.audit_rows.row import Finding


def activations(bench: Bench) -> Finding:
    """Row 44: nothing to compute yet."""
    return bench.finding(
        None,
        "not checked",
        "No number is given; sigmoid and tanh networks wait for protocols/activations.py. Where "
        "the activation of 0 is 0, as for tanh, unused units stay unused; sigmoid(0) is not 0.",
    )


def bayes_floor(bench: Bench) -> Finding:
    """Row 45: the floor for two output covariances that are both compatible with the signals."""
    s = bench.settings
    variance = max(1.0, max(s.signals) ** 2)
    floors = []
    for scale in (variance, 2 * variance):
        covariance = tuple(map(tuple, scale * np.eye(s.shape[0])))
        task = GaussianTask(
            signals=s.ordered, inputs=s.inputs, outputs=s.outputs, output_covariance=covariance
        )
        exact = bench.call(task.population)
        floors.append(float(exact.error(exact.yx)))
    given = floors[0] == floors[1]
    return bench.finding(
        {f"floor for output variance {variance:g}": floors[0]},
        "reproduces" if given else "cannot be derived",
        "The floor is half of what the signals leave of the output variance, which is not stated; "
        "calling the signals correlations implies variance 1.",
        floor_for_twice_that_variance=floors[1],
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
