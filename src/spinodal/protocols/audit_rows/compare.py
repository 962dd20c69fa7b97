"""How a stated value is compared with a recomputed one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

SAME = 1e-9
"""Two formulas are the same if they differ by less than this, relatively, on random settings."""


def last_digit(stated: float) -> float:
    """One unit of the last digit with which `stated` is printed: 0.01 for 0.41, 1 for 140."""
    exponent = Decimal(repr(stated)).as_tuple().exponent
    return 10.0 ** int(exponent) if isinstance(stated, float) else 1.0


def agrees(stated: float, found: float | None, *, error: float | None = None) -> bool:
    """Whether `found` rounds to `stated`, or lies within its stated `error` if it has one."""
    if found is None or not np.isfinite(found):
        return False
    room = 0.5 * last_digit(stated) if error is None else error
    return bool(abs(found - stated) <= room * (1 + SAME))


def difference(printed: Any, computed: Any) -> float:
    """Largest difference between two arrays relative to the larger value of each pair."""
    a, b = np.broadcast_arrays(np.asarray(printed, dtype=float), np.asarray(computed, dtype=float))
    scale = np.maximum(np.abs(a), np.abs(b))
    return float(np.max(np.abs(a - b) / np.where(scale > 0, scale, 1)))


def within_factor(stated: float, found: float | None, factor: float) -> bool:
    """Whether `found` lies between stated / factor and stated * factor."""
    return found is not None and stated / factor <= found <= stated * factor
