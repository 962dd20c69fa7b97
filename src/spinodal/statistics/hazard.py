"""The cumulative hazard, a straight line where escape has no memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.risk import checked_entry, risk_table
from spinodal.statistics.survival import check_watched


@dataclass(frozen=True, kw_only=True, eq=False)
class HazardCurve:
    """Expected escapes of one replica kept at risk, constant from each `time` to the next.

    Arrays of one length, in order of time, from (0, 0) on; `low` and `high` are pointwise limits.
    Its slope is the escape rate: straight means memoryless, bent upwards a wait that ages.
    """

    time: NDArray[np.float64]
    hazard: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float
    events: int
    replicas: int


def nelson_aalen(
    times: EscapeTimes, *, confidence: float = 0.95, entry: ArrayLike | None = None
) -> HazardCurve:
    """Cumulative hazard H(t) = sum over escapes up to t of escapes / at risk.

    Variance sum escapes / at risk^2, limits on the logarithm: H exp(+-z sd / H). Where nothing has
    escaped yet H = 0, with the exact one-sided limit -ln(1 - confidence) / n for n at risk; past
    the first escape the upper limit never falls below it. What escaped elsewhere leaves the risk
    set, what diverged is left out, and `entry` is when watching began, all as in
    `survival.kaplan_meier`, whose curve is below exp(-H) and close to it while many are at risk.
    """
    check_confidence(confidence)
    check_watched(times)
    kept = times.status != "diverged"
    late = None if entry is None else checked_entry(times, entry)[kept]
    times = times.estimable
    table = risk_table(times, late)
    at, d, n = table.time, table.escaped, np.maximum(table.at_risk, 1)
    hazard, variance = np.cumsum(d / n), np.cumsum(d / n**2)
    some = hazard > 0
    spread = np.divide(np.sqrt(variance), hazard, out=np.zeros_like(hazard), where=some)
    factor = np.exp(special.ndtri((1 + confidence) / 2) * spread)
    none = -np.log1p(-confidence) / n
    low, high = hazard / factor, np.where(some, hazard * factor, none)
    if at[0] > 0:
        first = none[0]
        at, hazard, low, high = (
            np.append(value, column)
            for value, column in ((0.0, at), (0.0, hazard), (0.0, low), (first, high))
        )
    return HazardCurve(
        time=at,
        hazard=hazard,
        low=low,
        high=np.maximum.accumulate(high) if late is None else high,
        confidence=confidence,
        events=times.events,
        replicas=times.status.size,
    )
