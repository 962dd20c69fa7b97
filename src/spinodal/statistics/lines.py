"""A straight line through points whose errors are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class KnownErrorLine:
    """Its slope with the standard error, and the weighted mean of x, `centre`."""

    slope: float
    standard_error: float
    centre: float


def line_through(x: ArrayLike, y: ArrayLike, error: ArrayLike) -> KnownErrorLine:
    """Weighted least squares, with weights w = 1 / error^2 of points at two or more x.

    slope = sum w (x - centre) y / sum w (x - centre)^2, and its variance is one over that sum:
    the errors are taken at their word, not estimated from the scatter about the line.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weight = 1 / np.asarray(error, dtype=float) ** 2
    centre = (weight * x).sum() / weight.sum()
    spread = (weight * (x - centre) ** 2).sum()
    return KnownErrorLine(
        slope=float((weight * (x - centre) * y).sum() / spread),
        standard_error=float(1 / np.sqrt(spread)),
        centre=float(centre),
    )
