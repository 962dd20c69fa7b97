"""When has a series escaped? Thresholds, persistence and recrossings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import Proportion, escape_probability

Direction = Literal["up", "down"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Passages:
    """The first passage of each series; every array has the leading shape of the series.

    `index` is the check at which the passage was seen, -1 where there is none. `step` is the
    step of that check, or the last step at which a passage could still have been confirmed.
    `diverged` marks series that met a number that is not finite before any passage.
    """

    index: NDArray[np.int64]
    step: NDArray[np.int64]
    diverged: NDArray[np.bool_]

    @property
    def passed(self) -> NDArray[np.bool_]:
        """True where a passage was seen."""
        return self.index >= 0

    def escape_times(self, learning_rate: float, *, dataset: ArrayLike = 0) -> EscapeTimes:
        """The same passages as escape times, replicas numbered in order; time = rate * step.

        `dataset` is one number or one per series.
        """
        status = np.where(self.passed, "escaped", np.where(self.diverged, "diverged", "censored"))
        return EscapeTimes(
            replica=np.arange(self.step.size),
            dataset=np.broadcast_to(np.asarray(dataset, dtype=np.int64), self.step.shape).ravel(),
            steps=self.step.ravel(),
            time=np.asarray(learning_rate * self.step.ravel(), dtype=np.float64),
            status=status.ravel(),
        )


def first_passage(
    series: ArrayLike,
    threshold: ArrayLike,
    *,
    steps: ArrayLike,
    direction: Direction,
    persistence: int = 1,
) -> Passages:
    """First check at which `series` lies beyond `threshold` and stays so for `persistence` checks.

    `series` has shape (..., checks), `steps` shape (checks,), `threshold` is a scalar or has the
    leading shape. Beyond means strictly above ('up') or strictly below ('down'). The passage is
    dated at the first check of the run. A run that begins in the last `persistence - 1` checks
    cannot be confirmed, so watching ends `persistence - 1` checks early for every series alike:
    ending it only where a run has begun would make the censoring informative.

    Everything from the first NaN or infinity on is void: an overflow is a divergence, not an
    escape, and the series was at risk until its last finite check.
    """
    values, at = checked_series(series, steps)
    beyond = _beyond(values, threshold, direction)
    if not 1 <= persistence <= at.size:
        raise InputError(
            f"Persistence must lie between 1 and the number of checks ({at.size}), "
            f"got {persistence}; lower it or check more often."
        )
    finite = np.logical_and.accumulate(np.isfinite(values), axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(beyond & finite, persistence, axis=-1)
    confirmed = windows.all(axis=-1)
    passed = confirmed.any(axis=-1)
    index = np.where(passed, confirmed.argmax(axis=-1), -1)
    diverged = ~passed & ~finite[..., -1]
    last_finite = np.maximum(finite.sum(axis=-1) - 1, 0)
    last = np.where(diverged, last_finite, at.size - persistence)
    return Passages(index=index, step=at[np.where(passed, index, last)], diverged=diverged)


def midpoint_threshold(plateau: ArrayLike, final: ArrayLike) -> NDArray[np.float64]:
    """Half-way between the plateau and the final value, elementwise."""
    return (np.asarray(plateau, dtype=float) + np.asarray(final, dtype=float)) / 2


def plateau_and_final(
    series: ArrayLike, *, checks: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians of the first and of the last `checks` values of each series."""
    values = np.asarray(series, dtype=float)
    if not 1 <= checks <= values.shape[-1] // 2:
        raise InputError(
            f"Levels need between 1 and {values.shape[-1] // 2} checks at each end of a series of "
            f"{values.shape[-1]}, got {checks}."
        )
    return np.median(values[..., :checks], axis=-1), np.median(values[..., -checks:], axis=-1)


def midpoint_passage(
    error: ArrayLike,
    *,
    steps: ArrayLike,
    plateau: ArrayLike,
    final: ArrayLike,
    least_drop: float = 0.0,
    persistence: int = 1,
) -> Passages:
    """First check at which the test error falls below the midpoint of plateau and final value.

    This is the definition of arXiv 2606.17120. Taken literally it finds an escape in every noisy
    series that stays on its plateau, because plateau and final value then differ by noise only;
    a series whose `plateau - final` is not above `least_drop` therefore counts as not escaped.
    """
    drop = np.asarray(plateau, dtype=float) - np.asarray(final, dtype=float)
    # A level that no error can fall below: such a series is watched to its end.
    level = np.where(drop > least_drop, midpoint_threshold(plateau, final), -np.inf)
    return first_passage(error, level, steps=steps, direction="down", persistence=persistence)


def recrossings(
    series: ArrayLike,
    passages: Passages,
    *,
    back_to: ArrayLike,
    direction: Direction,
    confidence: float = 0.95,
) -> Proportion:
    """Fraction of passed series that later return behind `back_to`, with its exact interval.

    `direction` is that of the passage. Give the passage threshold to count every recrossing, or
    a level on the near side of it (a core set) to count only true returns.
    """
    values = np.asarray(series, dtype=float)
    opposite: Direction = "down" if direction == "up" else "up"
    after = np.arange(values.shape[-1]) > passages.index[..., np.newaxis]
    returned = (_beyond(values, back_to, opposite) & after).any(axis=-1) & passages.passed
    return escape_probability(
        int(returned.sum()), int(passages.passed.sum()), confidence=confidence
    )


@dataclass(frozen=True, kw_only=True)
class ThresholdCheck:
    """What one choice of threshold finds; `exposure` in steps, all series together."""

    threshold: float
    passed: int
    exposure: int
    recrossed: Proportion


def threshold_sensitivity(
    series: ArrayLike,
    threshold: float,
    *,
    steps: ArrayLike,
    direction: Direction,
    persistence: int = 1,
    factors: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5),
) -> tuple[ThresholdCheck, ...]:
    """Passages, exposure and recrossings with the threshold moved by each of `factors`.

    A count of escapes that depends on the threshold is a statement about the threshold.
    """
    table = []
    for level in (factor * threshold for factor in factors):
        found = first_passage(
            series, level, steps=steps, direction=direction, persistence=persistence
        )
        table.append(
            ThresholdCheck(
                threshold=level,
                passed=int(found.passed.sum()),
                exposure=int(found.step.sum()),
                recrossed=recrossings(series, found, back_to=level, direction=direction),
            )
        )
    return tuple(table)


def checked_series(
    series: ArrayLike, steps: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Both as arrays, or the sentence that says why they do not belong together."""
    values, at = np.asarray(series, dtype=float), np.asarray(steps, dtype=np.int64)
    if at.ndim != 1 or at.size == 0 or values.ndim == 0 or values.shape[-1] != at.size:
        raise InputError(
            f"The last axis of a series must run over its checks: got shape {values.shape} "
            f"with steps of shape {at.shape}; give one step per check."
        )
    if at[0] < 0 or np.any(np.diff(at) <= 0):
        raise InputError("The steps of the checks must be non-negative and increase strictly.")
    return values, at


def _beyond(
    values: NDArray[np.float64], threshold: ArrayLike, direction: Direction
) -> NDArray[np.bool_]:
    """True where a value lies strictly beyond its threshold; NaN never does."""
    level = np.asarray(threshold, dtype=float)[..., np.newaxis]
    if np.isnan(level).any():
        raise InputError("A threshold is NaN; give a number for every series.")
    if direction == "up":
        return values > level
    if direction == "down":
        return values < level
    raise InputError(f"Direction must be 'up' or 'down', got {direction!r}.")
