"""What runs of other problems are read as: jumps, the barrier that escapes show, agreement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from spinodal.protocols.other_problems_records import EscapeRecord
from spinodal.records import EscapeTimes
from spinodal.statistics.escape_laws import arrhenius_fit

Array = NDArray[np.float64]


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


def ratio_z(one: EscapeRecord) -> float | None:
    """ln(splitting / waiting) in standard errors, from the 95 % limits that face each other."""
    if not (one.rate and one.split and one.low and one.high and one.split_low and one.split_high):
        return None
    apart = float(np.log(one.split / one.rate))
    if apart > 0:
        errors = np.log([one.high / one.rate, one.split / one.split_low])
    else:
        errors = np.log([one.rate / one.low, one.split_high / one.split])
    error = float(np.hypot(*errors)) / float(special.ndtri(0.975))
    return apart / error if np.isfinite(error) and error > 0 else None


def together(z: list[float]) -> float:
    """Probability that as many independent comparisons lie further apart by chance."""
    return float(special.chdtrc(len(z), float(np.sum(np.square(z)))))
