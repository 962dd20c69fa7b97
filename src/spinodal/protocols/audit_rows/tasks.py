"""What the rows on noise share: the task of the settings, and weights of unused units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.tasks import GaussianTask
from spinodal.protocols.audit_rows.settings import AuditSettings


def gaussian_task(s: AuditSettings, samples: int | None) -> GaussianTask:
    """The task; signals of 1 and more need outputs of more than unit variance."""
    variance = s.output_variance
    if variance is None:
        variance = 1.0 if max(s.signals) < 1 else 1.25 * max(s.signals) ** 2
    outputs = s.shape[0]
    covariance = None if variance == 1 else tuple(map(tuple, variance * np.eye(outputs)))
    return GaussianTask(
        signals=s.ordered,
        inputs=s.inputs,
        outputs=s.outputs,
        output_covariance=covariance,
        samples=samples,
    )


def largest_of_unused(gradient: list[NDArray[np.floating]], rank: int) -> float:
    """Largest entry that belongs to a hidden unit beyond the first `rank`, into it or out of it."""
    largest = 0.0
    for number, layer in enumerate(gradient):
        size = np.abs(layer).max(axis=-1)
        into = size[rank:] if number < len(gradient) - 1 else size[:0]
        out = size[:, rank:] if number > 0 else size[:, :0]
        largest = max(largest, float(into.max(initial=0)), float(out.max(initial=0)))
    return largest
