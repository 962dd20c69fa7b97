"""How long did a series wait, and how abruptly did it then move?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.statistics.passage import checked_series, first_passage


@dataclass(frozen=True, kw_only=True, eq=False)
class Transitions:
    """How long each series waited and how quickly it then moved, in steps.

    `delay` runs from the first check to the crossing of the midpoint, `width` from 10 % to 90 %
    of the way; `abruptness = width / delay` is small for a sudden transition. Where the passage
    is not `complete` (never passed, or one of its ends was not seen) they are NaN.
    """

    delay: NDArray[np.float64]
    width: NDArray[np.float64]
    complete: NDArray[np.bool_]

    @property
    def abruptness(self) -> NDArray[np.float64]:
        """Width over delay, NaN where the transition is not complete or began at once."""
        ratio = np.full(self.delay.shape, np.nan)
        return np.divide(self.width, self.delay, out=ratio, where=self.delay > 0)


def transitions(
    series: ArrayLike,
    *,
    steps: ArrayLike,
    plateau: ArrayLike,
    final: ArrayLike,
    least_change: float = 0.0,
    persistence: int = 1,
) -> Transitions:
    """Delay and 10-90 % width of each passage from `plateau` to `final`, shape (..., checks).

    Crossings are interpolated linearly between checks. The width begins at the last check before
    the passage that had come at most 10 % of the way and ends at the first one after it that had
    come 90 %, so that noise on the plateau does not widen it. Rising and falling series alike;
    levels closer than `least_change` are no transition.
    """
    values, at = checked_series(series, steps)
    start, end = np.broadcast_arrays(
        np.asarray(plateau, dtype=float), np.asarray(final, dtype=float)
    )
    moved = np.broadcast_to(np.abs(end - start) > least_change, values.shape[:-1])
    span = np.where(end == start, 1.0, end - start)[..., np.newaxis]
    done = np.where(moved[..., np.newaxis], (values - start[..., np.newaxis]) / span, 0.0)
    passage = first_passage(done, 0.5, steps=at, direction="up", persistence=persistence)

    check, here = np.arange(at.size), passage.index[..., np.newaxis]
    left = np.where((done <= 0.1) & (check < here), check, -1).max(axis=-1)
    arrived = np.where((done >= 0.9) & (check >= here), check, at.size).min(axis=-1)
    complete = passage.passed & (left >= 0) & (arrived < at.size)
    tenth = _crossing(done, at, left, 0.1)
    half = _crossing(done, at, passage.index - 1, 0.5)
    nine_tenths = _crossing(done, at, arrived - 1, 0.9)
    return Transitions(
        delay=np.where(complete, half - at[0], np.nan),
        width=np.where(complete, nine_tenths - tenth, np.nan),
        complete=complete,
    )


def _crossing(
    done: NDArray[np.float64], at: NDArray[np.int64], left: NDArray[np.int64], level: float
) -> NDArray[np.float64]:
    """Step at which the line between checks `left` and `left + 1` meets `level`."""
    before = np.clip(left, 0, at.size - 2) if at.size > 1 else np.zeros_like(left)
    after = np.minimum(before + 1, at.size - 1)
    low = np.take_along_axis(done, before[..., np.newaxis], axis=-1)[..., 0]
    high = np.take_along_axis(done, after[..., np.newaxis], axis=-1)[..., 0]
    rise = high - low
    share = np.divide(level - low, rise, out=np.zeros_like(rise), where=rise != 0)
    return at[before].astype(np.float64) + share * (at[after] - at[before])
