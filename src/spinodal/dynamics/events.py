"""What counts as an escape, and the ledger of who has escaped when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.records import EscapeTimes, Settings

LARGEST = 1e6
"""A map with an entry beyond this, or with one that is no number, has diverged."""


class Event(Settings):
    """What counts as an escape, seen at a check and confirmed at the next `persistence` - 1.

    `strength`: strength number `mode` (1 is the strongest) beyond `threshold`. `test_error`: the
    paper's definition, test error beyond `threshold`; `midpoint` puts it halfway between
    the error at the start and that of the noise-free run from a start which has every feature.
    `direction` says which side of the threshold is the escaped one.
    """

    observable: Literal["strength", "test_error"] = "strength"
    mode: PositiveInt = 1
    threshold: float | Literal["midpoint"]
    direction: Literal["above", "below"] = "above"
    persistence: PositiveInt = 1

    @model_validator(mode="after")
    def _consistent(self) -> Event:
        if self.threshold == "midpoint" and self.observable != "test_error":
            raise InputError("The midpoint rule belongs to the test error, not to a strength.")
        return self


@dataclass(frozen=True, eq=False)
class Observation:
    """Observables of the simulated replicas: strengths (replicas, modes), errors (replicas,)."""

    strengths: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_error: NDArray[np.float64]
    finite: NDArray[np.bool_]


class Ledger:
    """Who has escaped when, and the last observables of every replica while it was watched."""

    def __init__(
        self,
        events: tuple[Event, ...],
        record_at: tuple[int, ...],
        check_every: int,
        thresholds: NDArray[np.float64],
        start: Observation,
    ) -> None:
        """A ledger for `thresholds` of shape (replicas, events), opened at the start."""
        self.events, self.record_at, self.check_every = events, record_at, check_every
        self.thresholds, self.start = thresholds, start
        total = len(thresholds)
        self.last = Observation(
            start.strengths.copy(), start.train_error.copy(), start.test_error.copy(), start.finite
        )
        self.beyond = np.zeros(thresholds.shape, dtype=np.int64)  # successive checks beyond
        self.hit = np.full(thresholds.shape, -1, dtype=np.int64)
        self.diverged = np.full(total, -1, dtype=np.int64)
        self.watched = np.zeros(total, dtype=np.int64)
        self.open = np.ones(total, dtype=bool)
        self.records: list[Observation] = []

    def look(self, steps: int, alive: NDArray[np.int64], now: Observation) -> NDArray[np.bool_]:
        """Enter one check; True where a replica of `alive` is done."""
        use = self.open[alive]
        at = alive[use]
        self.watched[at] = steps
        for name in ("strengths", "train_error", "test_error"):
            getattr(self.last, name)[at] = getattr(now, name)[use]
        self.diverged[at[~now.finite[use]]] = steps
        if steps > 0:
            for e, event in enumerate(self.events):
                self._look_for(e, event, steps, at, now.finite[use])
        if steps in self.record_at:
            self.record()
        done = self.diverged[at] >= 0
        if self.events and not self.record_at:
            done |= (self.hit[at] >= 0).all(axis=1)
        self.open[at[done]] = False
        return ~self.open[alive]

    def record(self) -> None:
        """Keep a copy of the last observables."""
        names = ("strengths", "train_error", "test_error", "finite")
        self.records.append(Observation(*(getattr(self.last, name).copy() for name in names)))

    def close(self) -> None:
        """Replicas that ended early stay as they were last seen."""
        while len(self.records) < len(self.record_at):
            self.record()

    def recorded(self, name: str) -> NDArray[np.float64]:
        """All records of one observable: replica first, record second, also when there are none."""
        rows = [getattr(r, name) for r in self.records]
        shape = getattr(self.last, name).shape
        return np.stack(rows, axis=1) if rows else np.empty((shape[0], 0, *shape[1:]))

    def passage(
        self, e: int, replicas: Sequence[int], datasets: NDArray[np.int64], learning_rate: float
    ) -> EscapeTimes:
        """Escape times of event `e`; of those that did not, how long they were watched."""
        hit, lost = self.hit[:, e], self.diverged >= 0
        status = np.where(hit >= 0, "escaped", np.where(lost, "diverged", "censored"))
        steps = np.where(hit >= 0, hit, self.watched)
        return EscapeTimes(
            replica=np.array(replicas),
            dataset=datasets,
            steps=steps,
            time=steps * learning_rate,
            status=status,
        )

    def _look_for(
        self, e: int, event: Event, steps: int, at: NDArray[np.int64], finite: NDArray[np.bool_]
    ) -> None:
        if event.observable == "strength":
            values = self.last.strengths[at, event.mode - 1]
        else:
            values = self.last.test_error[at]
        sign = 1.0 if event.direction == "above" else -1.0
        beyond = (sign * (values - self.thresholds[at, e]) > 0) & finite
        self.beyond[at, e] = np.where(beyond, self.beyond[at, e] + 1, 0)
        new = (self.beyond[at, e] >= event.persistence) & (self.hit[at, e] < 0)
        # The passage is the first of the persistent checks.
        self.hit[at[new], e] = steps - (event.persistence - 1) * self.check_every
