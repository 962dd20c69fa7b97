"""What runs of other problems are read as: jumps, the barrier that escapes show, a verdict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.protocols.other_problems_records import EscapeRecord, PathRecord, Verdict
from spinodal.records import EscapeTimes
from spinodal.statistics.escape_laws import arrhenius_fit

Array = NDArray[np.float64]

SEVERAL = 2.5
"""Barriers of fewer temperatures than this are not called barriers."""


def jump(decays: Array, scores: Array) -> float | None:
    """Middle of the step in which the score falls by more than a third of its range, if any."""
    falls = -np.diff(scores)
    where = int(np.argmax(falls))
    if falls[where] <= np.ptp(scores) / 3 or np.ptp(scores) < 1e-3 * max(1.0, scores.max()):
        return None
    return float(0.5 * (decays[where] + decays[where + 1]))


def waiting_slope(
    waited: list[tuple[float, EscapeTimes]], zeros: int
) -> tuple[float | None, float | None, float | None]:
    """The barrier that waiting times show, with its 95 % interval."""
    if len(waited) < 2 or not all(times.events for _, times in waited):
        return None, None, None
    heat = np.concatenate([np.full(len(times.time), heat) for heat, times in waited])
    law = arrhenius_fit(
        np.concatenate([times.time for _, times in waited]),
        np.concatenate([times.status for _, times in waited]),
        1 / heat,
        offset=0.5 * zeros * np.log(heat),
    )
    return law.slope, law.low, law.high


def cold_slope(
    escapes: tuple[EscapeRecord, ...], zeros: int
) -> tuple[float | None, float | None, float | None]:
    """The same between the two coldest temperatures of splitting, from its rates alone."""
    split = sorted((e for e in escapes if e.split), key=lambda e: e.temperature)[:2]
    if len(split) < 2:
        return None, None, None
    rates, heat, spread = np.ones(2), np.ones(2), 0.0
    for i, one in enumerate(split):
        rates[i], heat[i] = one.split or np.nan, one.temperature
        spread += (0.5 * np.log((one.split_high or np.nan) / (one.split_low or np.nan))) ** 2
    lift = np.log(rates[1] / rates[0]) - 0.5 * zeros * np.log(heat[0] / heat[1])
    span = 1 / heat[0] - 1 / heat[1]
    found, half = float(lift / span), float(np.sqrt(spread) / span)
    return (found, found - half, found + half) if np.isfinite(half) else (None, None, None)


def verdict(path: PathRecord | None, escapes: tuple[EscapeRecord, ...]) -> Verdict:
    """Of the coldest temperature waited for."""
    if path is None:
        return "no_barrier"
    waited = [one for one in escapes if one.rate is not None]
    if not waited:
        return "cannot_tell"
    coldest = max(waited, key=lambda one: one.barrier_over_t)
    barrier = coldest.barrier_over_t if coldest.free_barrier is None else coldest.free_barrier
    if barrier < SEVERAL:
        return "noise_drift"
    quiet = coldest.cooled_trapped > 0 and coldest.cooled_escapes == 0
    return "noise_activated" if quiet and coldest.memoryless == "consistent" else "cannot_tell"
