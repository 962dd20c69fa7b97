"""Who was at risk when something happened, entry after the start included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.errors import InputError
from spinodal.records import EscapeTimes


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskTable:
    """At each different time, in order: how many were at risk, and what happened to how many.

    At risk at t are those with entry < t <= time; an entry of 0 means from the very start, so that
    what happens at time 0 counts. Arrays of shape (times,).
    """

    time: NDArray[np.float64]
    at_risk: NDArray[np.float64]
    escaped: NDArray[np.float64]
    escaped_elsewhere: NDArray[np.float64]
    diverged: NDArray[np.float64]

    @property
    def events(self) -> NDArray[np.float64]:
        """Whatever ended a replica, censoring aside."""
        return self.escaped + self.escaped_elsewhere + self.diverged


def risk_table(times: EscapeTimes, entry: NDArray[np.float64] | None = None) -> RiskTable:
    """The table of these replicas; `entry` as `checked_entry` returns it."""
    at, index = np.unique(times.time, return_inverse=True)
    happened = {
        status: np.bincount(index, weights=times.status == status, minlength=at.size).astype(float)
        for status in ("escaped", "escaped_elsewhere", "diverged")
    }
    at_risk = times.time.size - np.searchsorted(np.sort(times.time), at, side="left")
    if entry is not None:
        late = np.sort(entry[entry > 0])
        at_risk = at_risk - (late.size - np.searchsorted(late, at, side="left"))
    return RiskTable(time=at, at_risk=at_risk.astype(float), **happened)


def checked_entry(times: EscapeTimes, entry: ArrayLike) -> NDArray[np.float64]:
    """When each replica came under observation, shape (replicas,), or the reason why not."""
    try:
        began = np.broadcast_to(np.asarray(entry, dtype=float), times.time.shape)
    except ValueError:
        raise InputError(
            f"Entries must be one number or one for each of {times.time.size} replicas, got shape "
            f"{np.shape(entry)}."
        ) from None
    if not np.all((began >= 0) & np.isfinite(began)):
        raise InputError("Entries must be finite times that are not negative; found others.")
    ended = times.status != "censored"
    wrong = (began > times.time) | ((began == times.time) & ended & (began > 0))
    if np.any(wrong):
        first = int(np.argmax(wrong))
        raise InputError(
            f"A replica must enter before anything happens to it, but {int(wrong.sum())} do not, "
            f"the first with entry {began[first]:g} and time {times.time[first]:g}; leave those "
            "out: they were never at risk."
        )
    return began
