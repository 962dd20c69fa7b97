"""What counts as an escape, and the ledger of who has escaped when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from spinodal.dynamics.observables import LARGEST, Looks, Observation
from spinodal.errors import InputError
from spinodal.records import EscapeTimes, Settings

__all__ = ["LARGEST", "Event", "Ledger"]


class Event(Settings):
    """What counts as an escape, seen at a check and confirmed at the next `persistence` - 1.

    `strength`: strength number `mode` (1 is the strongest) beyond `threshold`. `test_error`: the
    paper's definition, test error beyond `threshold`; `midpoint` puts it halfway between
    the error at the start and that of the noise-free run from a start which has every feature.
    `direction` says which side of the threshold is the escaped one.
    """

    observable: Literal["strength", "test_error"] = "strength"
    mode: int = Field(default=1, ge=1, le=10**6)
    threshold: float | Literal["midpoint"]
    direction: Literal["above", "below"] = "above"
    persistence: PositiveInt = 1

    @model_validator(mode="after")
    def _consistent(self) -> Event:
        if self.threshold == "midpoint" and self.observable != "test_error":
            raise InputError("The midpoint rule belongs to the test error, not to a strength.")
        if self.observable == "strength" and float(self.threshold) < 0:
            raise InputError(
                f"A strength is never negative, so a threshold of {self.threshold:g} says nothing: "
                "give a positive one."
            )
        return self


class Ledger:
    """Who has escaped when, and the last observables of every replica while it was watched.

    A replica is closed, and watched no more, at its last event (its first one if events compete)
    unless it is recorded, and in any case when it diverges. If events compete, a replica that
    starts beyond a threshold was never at risk: it is closed at the start, watched for no time.
    """

    def __init__(
        self,
        events: tuple[Event, ...],
        record_at: tuple[int, ...],
        thresholds: NDArray[np.float64],
        start: Observation,
        *,
        competing: bool = False,
    ) -> None:
        """A ledger for `thresholds` of shape (replicas, events), opened at the start."""
        self.events, self.competing = events, competing
        self.record_at = np.array(record_at, dtype=np.int64)
        self.thresholds, self.start = thresholds, start
        total, modes, records = len(thresholds), start.strengths.shape[1], len(record_at)
        self.streak = np.zeros(thresholds.shape, dtype=np.int64)  # successive looks beyond
        self.since = np.full(thresholds.shape, -1, dtype=np.int64)  # the first of them
        self.hit = np.full(thresholds.shape, -1, dtype=np.int64)
        self.diverged = np.full(total, -1, dtype=np.int64)
        self.watched = np.zeros(total, dtype=np.int64)
        self.open = np.ones(total, dtype=bool)
        self.norm = np.full(total, np.nan)  # the last one that is a number, squared
        self.strengths = start.strengths.copy()
        self.escape_strengths = start.strengths.copy()
        self.train_error = start.train_error.copy()
        self.test_error = start.test_error.copy()
        self.recorded_strengths = np.zeros((total, records, modes))
        self.recorded_train_error = np.zeros((total, records))
        self.recorded_test_error = np.zeros((total, records))

    ARRAYS = (
        "streak since hit diverged watched open norm strengths escape_strengths train_error "
        "test_error recorded_strengths recorded_train_error recorded_test_error"
    ).split()
    """What changes as looks are entered; all there is to save."""

    def enter(
        self, looks: Looks, alive: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Enter a block of looks at the replicas `alive`, as if look by look.

        Returns for each of them the last look at which it was watched and well (-1 for the look
        before the block) and whether it is closed.
        """
        n = len(looks.steps)
        end = np.where(looks.finite.all(axis=0), n, (~looks.finite).argmax(axis=0))
        lost = end < n
        confirmed = [self._confirm(e, looks, alive) for e in range(len(self.events))]
        if confirmed and not len(self.record_at):
            table = np.array(confirmed)
            last_event = table.min(axis=0) if self.competing else table.max(axis=0)
            lost &= end < last_event
            end = np.minimum(end, last_event)
        if self.competing and looks.steps[0] == 0:
            end = np.where(self.out_at_start(looks, alive).any(axis=1), 0, end)
            lost &= end > 0
        watching = self.open[alive]
        free = ~(self.hit[alive] >= 0).any(axis=1)
        for e, at in enumerate(confirmed):
            new = watching & (at < n) & (at <= end) & (self.hit[alive, e] < 0)
            if self.competing:  # a tie goes to the event that is named first
                new &= free & (np.argmin(confirmed, axis=0) == e)
            self.hit[alive[new], e] = self.since[alive[new], e]
            if new.any() and (e == 0 or self.competing):
                now = looks.pick(at[new], np.flatnonzero(new))
                self.escape_strengths[alive[new]] = now.strengths
        closing = watching & (end < n)
        until = np.minimum(end, n - 1)
        self.watched[alive[watching]] = looks.steps[until[watching]]
        self.diverged[alive[closing & lost]] = looks.steps[until[closing & lost]]
        self._note_norms(looks.seen.norms, until, alive, watching)
        well = np.where(lost, end - 1, until)
        self._record(looks, alive, watching, well)
        self._see(looks, alive, np.flatnonzero(closing), well[closing])
        self.open[alive[closing]] = False
        return well, ~self.open[alive]

    def out_at_start(self, looks: Looks, alive: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who starts beyond which event's threshold, shape (replicas, events)."""
        found = [self._beyond(e, looks, alive)[0] for e in range(len(self.events))]
        return np.array(found).reshape(len(found), -1).T & looks.finite[0][:, None]

    def close(self, looks: Looks, alive: NDArray[np.int64]) -> None:
        """Watching ends at the last look: enter what is still open, and fill what was asked for."""
        lanes = np.flatnonzero(self.open[alive])
        self._see(looks, alive, lanes, np.full(len(lanes), len(looks.steps) - 1))
        self.fill(int(looks.steps[-1]))

    def fill(self, step: int) -> None:
        """Records after `step` updates stay as last seen."""
        left = self.record_at > step
        for name in ("strengths", "train_error", "test_error"):
            getattr(self, f"recorded_{name}")[:, left] = getattr(self, name)[:, None]

    def passage(
        self,
        e: int,
        replicas: Sequence[int],
        datasets: NDArray[np.int64],
        time: NDArray[np.float64] | float,
    ) -> EscapeTimes:
        """Escape times of event `e`; of those that did not, how long they were watched.

        `time` is that after `ends(e)` updates.
        """
        hit, lost = self.hit[:, e], self.diverged >= 0
        status = np.where(hit >= 0, "escaped", np.where(lost, "diverged", "censored"))
        if self.competing:
            elsewhere = (hit < 0) & (self.hit >= 0).any(axis=1)
            status = np.where(elsewhere, "escaped_elsewhere", status)
        return EscapeTimes(
            replica=np.array(replicas),
            dataset=datasets,
            steps=self.ends(e),
            time=np.broadcast_to(time, hit.shape),
            status=status,
        )

    def ends(self, e: int) -> NDArray[np.int64]:
        """Updates until event `e`, or for as long as it was waited for."""
        hit = self.hit[:, e]
        waited = self.watched
        if self.competing:  # a rival that ended it is dated as that rival's escape is
            first = np.where(self.hit >= 0, self.hit, np.iinfo(np.int64).max).min(axis=1)
            waited = np.minimum(waited, first)
        return np.where(hit >= 0, hit, waited)

    def _beyond(self, e: int, looks: Looks, alive: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who is beyond the threshold of event `e`, (looks, replicas)."""
        event = self.events[e]
        if event.observable == "strength":
            values = looks.strengths[..., event.mode - 1]
        else:
            values = looks.test_error
        thresholds = self.thresholds[alive, e]
        return values > thresholds if event.direction == "above" else values < thresholds

    def _confirm(self, e: int, looks: Looks, alive: NDArray[np.int64]) -> NDArray[np.intp]:
        """The look that confirms event `e`, -1 if an earlier block had it, n if none does."""
        event, n = self.events[e], len(looks.steps)
        beyond = self._beyond(e, looks, alive) & looks.finite
        beyond[looks.steps == 0] = False
        found = np.where(self.hit[alive, e] >= 0, -1, n)
        some = np.flatnonzero((found == n) & self.open[alive] & beyond.any(axis=0))
        none = np.setdiff1d(np.arange(len(alive)), some)
        self.streak[alive[none], e] = 0
        if not len(some):
            return found
        streak, since = self.streak[alive[some], e], self.since[alive[some], e]
        waiting = np.ones(len(some), dtype=bool)
        for look, now in enumerate(beyond[:, some]):
            now, step = now & waiting, looks.steps[look]
            since[now & (streak == 0)] = step
            streak[waiting] = np.where(now, streak + 1, 0)[waiting]
            done = now & (streak >= event.persistence)
            found[some[done]] = look
            waiting &= ~done
            if not waiting.any():
                break
        # The passage is the first of the persistent looks.
        self.streak[alive[some], e], self.since[alive[some], e] = streak, since
        return found

    def _note_norms(
        self,
        norms: NDArray[np.float64],
        until: NDArray[np.intp],
        alive: NDArray[np.int64],
        watching: NDArray[np.bool_],
    ) -> None:
        """The last weight norm that is a number, at or before the last look that counts."""
        for lane in np.flatnonzero(watching & ~np.isfinite(norms).all(axis=0)):
            fine = np.flatnonzero(np.isfinite(norms[: until[lane] + 1, lane]))
            if len(fine):
                self.norm[alive[lane]] = norms[fine[-1], lane]
        fine = watching & np.isfinite(norms).all(axis=0)
        self.norm[alive[fine]] = norms[until[fine], np.flatnonzero(fine)]

    def _see(
        self,
        looks: Looks,
        alive: NDArray[np.int64],
        lanes: NDArray[np.intp],
        look: NDArray[np.intp],
    ) -> None:
        """Keep the observables of `lanes`, each at its own look."""
        if len(lanes):
            now, at = looks.pick(look, lanes), alive[lanes]
            self.strengths[at] = now.strengths
            self.train_error[at], self.test_error[at] = now.train_error, now.test_error

    def _record(
        self,
        looks: Looks,
        alive: NDArray[np.int64],
        watching: NDArray[np.bool_],
        well: NDArray[np.intp],
    ) -> None:
        """Records that fall into this block; replicas that have ended stay as last seen."""
        lanes = np.flatnonzero(watching)
        for record in np.flatnonzero(np.isin(self.record_at, looks.steps)):
            for name in ("strengths", "train_error", "test_error"):
                getattr(self, f"recorded_{name}")[:, record] = getattr(self, name)
            if not len(lanes):
                continue
            look = int(np.searchsorted(looks.steps, self.record_at[record]))
            now = looks.pick(np.minimum(look, well[lanes]), lanes)
            at = alive[lanes]
            self.recorded_strengths[at, record] = now.strengths
            self.recorded_train_error[at, record] = now.train_error
            self.recorded_test_error[at, record] = now.test_error
