"""How sudden is a transition? Its 10-90 % width over its delay, for any arm of an experiment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spinodal.statistics.transitions import transitions

TICKS = 1_000_000
"""Ticks per unit in which `transitions`, which counts in whole steps, is given other times."""


@dataclass(frozen=True, kw_only=True)
class Abruptness:
    """Medians over the replicas whose transition was seen from end to end; None without any.

    `delay` and `width` in `unit`; `ratio_low` and `ratio_high` are the quartiles of width / delay.
    """

    arm: str
    unit: str
    transitions: int
    replicas: int
    delay: float | None
    width: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


def abruptness(
    series: ArrayLike,
    times: ArrayLike,
    *,
    plateau: ArrayLike,
    final: ArrayLike,
    arm: str,
    unit: str = "epochs",
    least_change: float = 0.02,
) -> Abruptness:
    """Delay and width of every replica's passage from `plateau` to `final`, shape (replicas, n)."""
    ticks = np.rint(np.asarray(times, dtype=float) * TICKS).astype(np.int64)
    found = transitions(
        series, steps=ticks, plateau=plateau, final=final, least_change=least_change
    )
    seen = found.complete & (found.delay > 0)
    if not seen.any():
        return Abruptness(
            arm=arm, unit=unit, transitions=0, replicas=len(seen), delay=None, width=None,
            ratio=None, ratio_low=None, ratio_high=None,
        )  # fmt: skip
    ratio = np.quantile(found.abruptness[seen], (0.25, 0.5, 0.75))
    return Abruptness(
        arm=arm,
        unit=unit,
        transitions=int(seen.sum()),
        replicas=len(seen),
        delay=float(np.median(found.delay[seen])) / TICKS,
        width=float(np.median(found.width[seen])) / TICKS,
        ratio=float(ratio[1]),
        ratio_low=float(ratio[0]),
        ratio_high=float(ratio[2]),
    )
