"""Individual times over several settings, and the few sums that a likelihood needs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.errors import InputError
from spinodal.records import STATUSES

COVARIATES = (
    "learning_rate",
    "batch_size",
    "temperature",
    "weight_decay",
    "loss_ratio",
    "curvature",
)
"""What a setting may consist of. `loss_ratio` is loss at the saddle over loss at the minimum and
`curvature` that of the loss at the minimum: only Mori's law asks for them."""

BINS = 1024
"""Times that differ by less than one part in this many may be pooled by `compressed`."""

LARGEST_NUMBER = 1e100
"""Times and covariates beyond this, or below its inverse, would leave the range of numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Times at risk, one row per replica (or per `weight` equal ones), over several settings.

    Vectors of one length: `time` is when watching ended, `entry` when it began (0 but for delayed
    entry), `escaped` whether by an escape, `weight` how many replicas the row stands for,
    `setting` an index into the vectors of `settings` (covariate -> one value per setting), and
    `dataset` an index below `datasets`. Replicas that diverged are not in here.
    """

    time: NDArray[np.float64]
    entry: NDArray[np.float64]
    escaped: NDArray[np.bool_]
    weight: NDArray[np.float64]
    setting: NDArray[np.int64]
    dataset: NDArray[np.int64]
    settings: Mapping[str, NDArray[np.float64]]
    datasets: int
    count: int

    @property
    def events(self) -> NDArray[np.float64]:
        """Number of escapes, shape (datasets, settings)."""
        return self._sum(np.where(self.escaped, self.weight, 0.0))

    @property
    def exposure(self) -> NDArray[np.float64]:
        """Time at risk, shape (datasets, settings)."""
        return self._sum(self.weight * (self.time - self.entry))

    def exposure_after(self, lag: float) -> NDArray[np.float64]:
        """Time at risk later than `lag` after the start, shape (datasets, settings)."""
        return self._sum(self.weight * np.maximum(self.time - np.maximum(self.entry, lag), 0.0))

    def powers(self, shape: float, scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of (time / scale)**shape - (entry / scale)**shape, shape (datasets, settings).

        `scale` holds one time per setting and keeps high powers within the range of numbers.
        """
        own = scale[self.setting]
        upto = _power(self.time / own, shape) - _power(self.entry / own, shape)
        return self._sum(self.weight * upto)

    def select(self, which: NDArray[np.bool_]) -> Design:
        """The settings where `which`, one boolean per setting, says so; others leave no trace."""
        rows = which[self.setting]
        renumbered = np.cumsum(which) - 1
        return Design(
            time=self.time[rows],
            entry=self.entry[rows],
            escaped=self.escaped[rows],
            weight=self.weight[rows],
            setting=renumbered[self.setting[rows]],
            dataset=self.dataset[rows],
            settings={name: values[which] for name, values in self.settings.items()},
            datasets=self.datasets,
            count=int(which.sum()),
        )

    def compressed(self) -> Design:
        """The same with replicas of nearly equal times in one row, at their mean time.

        All counts and times at risk are kept exactly, a power k of time to (k / BINS)**2 / 24.
        """
        with np.errstate(divide="ignore"):
            bins = np.round(np.log(self.time) * BINS)
        bins = np.where(np.isfinite(bins), bins, np.iinfo(np.int32).min).astype(np.int64)
        entries, entry = np.unique(self.entry, return_inverse=True)
        bins -= bins.min(initial=0)
        wide = int(bins.max(initial=0)) + 1
        key = (self.dataset * self.count + self.setting) * entries.size + entry
        _, key = np.unique(key, return_inverse=True)
        found, row = np.unique((key * 2 + self.escaped) * wide + bins, return_inverse=True)
        weight = np.bincount(row, weights=self.weight).astype(float)
        first = np.zeros(found.size, dtype=np.int64)
        first[row] = np.arange(row.size)
        return Design(
            time=np.bincount(row, weights=self.weight * self.time) / weight,
            entry=self.entry[first],
            escaped=self.escaped[first],
            weight=weight,
            setting=self.setting[first],
            dataset=self.dataset[first],
            settings=self.settings,
            datasets=self.datasets,
            count=self.count,
        )

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        cell = self.dataset * self.count + self.setting
        total = np.bincount(cell, weights=values, minlength=self.datasets * self.count)
        return total.astype(float).reshape(self.datasets, self.count)


def _power(ratio: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
    if shape == 1:
        return ratio
    with np.errstate(divide="ignore"):
        return np.exp(np.minimum(shape * np.log(ratio), 600.0))


def design(
    time: ArrayLike,
    status: ArrayLike,
    *,
    entry: ArrayLike = 0.0,
    dataset: ArrayLike | None = None,
    **covariates: ArrayLike,
) -> Design:
    """A design from columns: one row per replica, one keyword per covariate (see COVARIATES).

    `status` holds the words of `records.STATUSES`; an escape elsewhere is time at risk, and rows
    that diverged are left out. A covariate may be one number for all rows.
    """
    unknown = sorted(set(covariates) - set(COVARIATES))
    if unknown:
        raise InputError(f"Unknown covariates {unknown}; allowed are {list(COVARIATES)}.")
    t, names = np.asarray(time, dtype=float), np.asarray(status)
    try:
        begun = np.broadcast_to(np.asarray(entry, dtype=float), t.shape)
        of = np.broadcast_to(np.asarray(0 if dataset is None else dataset), t.shape)
        columns = {
            name: np.broadcast_to(np.asarray(values, dtype=float), t.shape)
            for name, values in covariates.items()
        }
    except ValueError:
        columns, begun, of = {}, np.empty(0), np.empty(0)
    if t.ndim != 1 or names.shape != t.shape or begun.shape != t.shape:
        raise InputError("Times, statuses and covariates must be vectors of one length.")
    strange = sorted(set(names.tolist()) - set(STATUSES))
    if strange:
        raise InputError(f"Unknown statuses {strange}; allowed are {list(STATUSES)}.")
    if not (np.all(in_range(t)) and np.all(in_range(begun)) and np.all(t >= begun)):
        raise InputError(
            f"Times must be finite, 0 or between {1 / LARGEST_NUMBER:g} and {LARGEST_NUMBER:g}, "
            "and 0 <= entry <= time; found otherwise."
        )
    for name, values in columns.items():
        check_covariate(name, values)
    kept = names != "diverged"
    table = np.stack([values[kept] for values in columns.values()], axis=1) if columns else None
    if table is None or not kept.any():
        settings, index = {}, np.zeros(int(kept.sum()), dtype=np.int64)
        count = 1
    else:
        distinct, index = np.unique(table, axis=0, return_inverse=True)
        settings, count = dict(zip(columns, distinct.T, strict=True)), len(distinct)
    sets, member = np.unique(of[kept], return_inverse=True)
    return Design(
        time=t[kept],
        entry=begun[kept],
        escaped=names[kept] == "escaped",
        weight=np.ones(int(kept.sum())),
        setting=index.reshape(-1).astype(np.int64),
        dataset=member.reshape(-1).astype(np.int64),
        settings=settings,
        datasets=max(1, sets.size),
        count=count,
    )


def in_range(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which times are 0 or within the range of numbers in which rates can be computed."""
    return (times == 0) | ((times > 1 / LARGEST_NUMBER) & (times < LARGEST_NUMBER))


def check_covariate(name: str, values: NDArray[np.float64]) -> None:
    """Refuse values that a covariate of this name cannot have."""
    may_be_zero = name in ("temperature", "weight_decay")
    low = 1.0 if name == "loss_ratio" else 1 / LARGEST_NUMBER
    allowed = (values > low) | (may_be_zero & (values == 0))
    allowed &= values < LARGEST_NUMBER
    if not np.all(allowed):
        words = f"between {low:g} and {LARGEST_NUMBER:g}" + (", or be 0" if may_be_zero else "")
        raise InputError(f"Values of {name} must lie {words}, got {values[~allowed][0]:g}.")
