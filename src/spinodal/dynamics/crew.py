"""Shards in the hands of workers: who works on what, what is stored when, how far it is."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics import executors
from spinodal.dynamics.legs import Job, Leg, State, walk, walk_here
from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.shard import Shard
from spinodal.dynamics.snapshots import Store
from spinodal.errors import DamagedFileError, InputError

Progress = Callable[[float, str], Any]

BREATH = 0.5
"""Seconds of a leg in this process: as often is progress told and an interruption heard."""

GRACE = 0.7
"""Seconds that workers get to come to rest when the command is interrupted."""

TELL_EVERY = 0.2
"""Seconds between two words about progress."""

IN_HAND = 256 * 2**20
"""Bytes of shards at rest that are held in memory; the others go into the store."""

TRIES = 3
"""A worker elsewhere may be lost; its leg is walked again, to the same bits."""


class Crew:
    """Works on shards with an executor, a bounded number at a time; a context manager."""

    def __init__(
        self,
        executor: Executor | None,
        workers: int,
        *,
        store: Store | None,
        progress: Progress | None,
        snapshot_every: float,
        goal: int | None,
    ) -> None:
        """A crew for one ensemble; `goal` is a number of escapes that ends the work."""
        self._own = executor is None
        self._executor = executors.default(workers) if executor is None else executor
        self._here = isinstance(self._executor, ThreadPoolExecutor)
        self._window = executors.capacity(self._executor, workers)
        self._store, self._progress, self._goal = store, progress, goal
        self._snapshot_every = snapshot_every
        self._stop = threading.Event()
        self._work: dict[Future[Leg], tuple[Job, int]] = {}
        self._rest: dict[range, Shard | State] = {}  # shards between two legs
        self._in_hand = 0
        self._saved: dict[range, float] = {}  # when a shard at work was last stored, or begun
        self._failures: Counter[range] = Counter()
        self._steps: dict[range, int] = {}  # updates made
        self._dates: dict[range, NDArray[np.int64]] = {}  # of escapes, where they are counted
        self._escaped: dict[range, int] = {}
        self._told = -np.inf
        self._ended: dict[range, Outcome | None] = {}  # None where the outcome is in store

    def __enter__(self) -> Crew:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Send everybody home; when that is before time, keep what they have done."""
        self._stop.set()
        if kind is not None:
            with suppress(InputError, DamagedFileError):  # whatever ended it is told, not this
                self._rescue()
        for future in self._work:
            future.cancel()
        if self._own and self._here:
            self._executor.shutdown(wait=kind is None, cancel_futures=True)

    @property
    def dates(self) -> NDArray[np.int64]:
        """Updates and replicas of all escapes known, shape (2, escapes)."""
        return np.concatenate([np.empty((2, 0), np.int64), *self._dates.values()], axis=1)

    def advance(self, jobs: list[Job], until: int) -> None:
        """Bring all shards to `until` updates, or to their end."""
        for _ in self._bring(jobs, until):
            pass

    def finish(self, jobs: list[Job], *, as_they_are: bool = False) -> Iterator[Outcome]:
        """Bring all shards to their end, or take them as they are, and hand them out in order."""
        if as_they_are:
            for job in jobs:
                if job.part not in self._ended:
                    shard = self._take(job.part)
                    shard = shard if isinstance(shard, Shard) else job.shard(shard)
                    self._end(job.part, shard.outcome())
        waiting = deque(jobs)
        for _ in self._bring(jobs, jobs[0].ensemble.steps):
            while self._store is None and waiting and waiting[0].part in self._ended:
                part = waiting.popleft().part
                outcome, self._ended[part] = self._ended[part], None
                assert outcome is not None
                yield outcome
        if self._store is not None:
            for job in waiting:
                yield self._store.read(job.part)

    def _bring(self, jobs: list[Job], until: int) -> Iterator[None]:
        """Work until all have made `until` updates; pauses whenever some shard gets there."""
        self._look_into_store(jobs)
        todo = deque(job for job in jobs if not self._there(job.part, until))
        self._tell(jobs)
        yield
        while todo or self._work:
            while todo and (not self._work or len(self._work) + self._held() < self._window):
                self._send(todo.popleft(), until)
            for future in wait(self._work, timeout=1.0, return_when=FIRST_COMPLETED).done:
                job, _ = self._work[future]
                leg = self._result(future)
                del self._work[future]
                if leg is not None:
                    self._receive(job.part, leg, pause=leg.step >= until)
                if self._there(job.part, until):
                    yield
                else:
                    self._send(job, until)
            self._tell(jobs)

    def _held(self) -> int:
        """Outcomes that wait in memory for their turn, beyond what is usual."""
        held = sum(outcome is not None for outcome in self._ended.values())
        return max(0, held - 4 * self._window)

    def _there(self, part: range, until: int) -> bool:
        return part in self._ended or self._steps.get(part, 0) >= until

    def _look_into_store(self, jobs: list[Job]) -> None:
        """What an earlier process has done need not be done again."""
        if self._store is None or self._steps:
            return
        finished, begun = set(self._store.finished), set(self._store.begun)
        for job in jobs:
            part = job.part
            if part in finished:
                self._ended[part] = None
                if self._goal is not None:
                    first = self._store.read(part).passages[0]
                    escaped = first.escaped
                    dates = np.stack([first.steps[escaped], first.replica[escaped]])
                    self._note(part, job.ensemble.steps, dates)
            elif part in begun:
                shard = job.shard(self._store.read_state(part))
                self._note(part, shard.step, shard.dates())

    def _send(self, job: Job, until: int) -> None:
        shard = self._take(job.part)
        self._saved.setdefault(job.part, time.monotonic())
        if self._here:
            future = self._executor.submit(walk_here, job, shard, until, BREATH, self._stop.is_set)
        else:
            assert not isinstance(shard, Shard)
            future = self._executor.submit(walk, job, shard, until, self._snapshot_every)
        self._work[future] = (job, until)

    def _result(self, future: Future[Leg]) -> Leg | None:
        """What came of a leg; None if it has to be walked again."""
        try:
            return future.result()
        except (InputError, DamagedFileError):
            raise
        except BrokenExecutor as problem:
            if self._own:
                raise InputError(
                    "A worker process ended before its time, perhaps for want of memory; what is "
                    "finished is kept: repeat the command with fewer threads or a smaller "
                    "shard_size."
                ) from problem
            return self._again(future)
        except Exception:
            return self._again(future)

    def _again(self, future: Future[Leg]) -> None:
        """Note a failure; raises what it was once it has happened too often."""
        part = self._work[future][0].part
        self._failures[part] += 1
        if self._own or self._failures[part] >= TRIES:
            raise

    def _receive(self, part: range, leg: Leg, *, pause: bool) -> None:
        self._note(part, leg.step, leg.dates)
        if leg.outcome is not None:
            self._end(part, leg.outcome)
            return
        shard = leg.live if leg.live is not None else leg.state
        assert shard is not None
        if isinstance(shard, Shard) and pause:
            shard = shard.state()
        due = time.monotonic() - self._saved[part] >= self._snapshot_every
        size = 0 if isinstance(shard, Shard) else sum(a.nbytes for a in shard.values())
        if self._store is not None and (due or (pause and self._in_hand + size > IN_HAND)):
            self._save(part, shard)
            if pause:
                return
        self._rest[part] = shard
        self._in_hand += size

    def _note(self, part: range, step: int, dates: NDArray[np.int64]) -> None:
        self._steps[part], self._escaped[part] = step, dates.shape[1]
        if self._goal is not None:
            self._dates[part] = dates

    def _take(self, part: range) -> Shard | State | None:
        """A shard where it was left: at hand, in store, or not begun."""
        shard = self._rest.pop(part, None)
        if shard is None and self._store is not None and self._steps.get(part, 0) > 0:
            return self._store.read_state(part)
        if shard is not None and not isinstance(shard, Shard):
            self._in_hand -= sum(array.nbytes for array in shard.values())
        return shard

    def _save(self, part: range, shard: Shard | State) -> None:
        assert self._store is not None
        self._store.write_state(part, shard.state() if isinstance(shard, Shard) else shard)
        self._saved[part] = time.monotonic()

    def _end(self, part: range, outcome: Outcome) -> None:
        if self._store is not None:
            self._store.write(part, outcome)
        self._ended[part] = None if self._store is not None else outcome
        self._saved.pop(part, None)

    def _rescue(self) -> None:
        """Store what is in hand, then what those in this process bring within their grace."""
        if self._store is None:
            return
        end = time.monotonic() + (GRACE if self._here else 0.0)
        while True:
            for part in list(self._rest):
                self._save(part, self._rest.pop(part))
            left = max(0.0, end - time.monotonic())
            ended = wait(self._work, timeout=left, return_when=FIRST_COMPLETED).done
            if not ended:
                return
            for future in ended:
                (job, until), leg = self._work.pop(future), None
                with suppress(Exception):
                    leg = future.result()
                if leg is not None:
                    self._receive(job.part, leg, pause=leg.step >= until)

    def _tell(self, jobs: list[Job]) -> None:
        if self._progress is None or time.monotonic() - self._told < TELL_EVERY:
            return
        self._told = time.monotonic()
        steps, total = jobs[0].ensemble.steps, sum(len(job.part) for job in jobs)
        done = sum(len(part) for part in self._ended)
        work = sum(len(p) * s / steps for p, s in self._steps.items() if p not in self._ended)
        escaped = sum(self._escaped.values())
        fraction = (done + work) / total
        if self._goal is not None:
            fraction = max(fraction, min(1.0, escaped / self._goal))
        self._progress(min(fraction, 1.0), f"{escaped:,} of {total:,} replicas escaped")
