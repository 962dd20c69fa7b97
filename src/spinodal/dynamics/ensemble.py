"""Many replicas of one training run: shards shared over any executor, merged in replica order.

A shard is worked on in legs, each a pure function of where the last one stopped. Only this
process writes: it takes a snapshot between two legs, so that workers need neither a common disk
nor a second copy of anything, and the same command again goes on from there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from spinodal.dynamics.crew import Crew, Progress
from spinodal.dynamics.cut import Cut, find_cut, rounds
from spinodal.dynamics.events import Event
from spinodal.dynamics.legs import Job
from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.plan import bytes_per_replica
from spinodal.dynamics.shard import Ensemble, learned_error, simulate
from spinodal.dynamics.snapshots import Store
from spinodal.dynamics.tasks import Data
from spinodal.errors import InputError
from spinodal.storage import RunDirectory

__all__ = [
    "Ensemble",
    "Event",
    "Outcome",
    "learned_error",
    "logarithmic_grid",
    "run",
    "simulate",
    "stream",
]

SNAPSHOT_EVERY = 20.0
"""Seconds between two snapshots of a shard at work; with the time of a leg, at most 30."""

LARGEST_SHARD, MOST_SHARDS = 256, 512
"""Shards are small until there would be too many of them."""

SHARD_MEMORY, SHARDS = 2**28, 200_000
"""The largest default shard in bytes, and the most shards that are kept account of."""


def logarithmic_grid(steps: int, check_every: int, per_decade: int = 12) -> tuple[int, ...]:
    """Updates to record: 0 and about `per_decade` a decade, multiples of `check_every`."""
    checks = steps // check_every
    count = max(2, int(per_decade * np.log10(max(checks, 2))) + 1)
    grid = np.unique(np.geomspace(1, max(checks, 1), count).round().astype(int))
    return (0, *(int(n) * check_every for n in grid))


def run(
    ensemble: Ensemble,
    *,
    seed: int,
    replicas: int,
    workers: int = 1,
    shard_size: int | None = None,
    executor: Executor | None = None,
    data: Sequence[Data] | None = None,
    out: str | os.PathLike[str] | None = None,
    stop_after_events: int | None = None,
    checkpoints: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Simulate `replicas` replicas; no number depends on workers, shards or executor.

    `executor` is anything with the `concurrent.futures` interface; by default `workers` threads
    share the shards, or processes where there is no compiled engine. `data` replaces the task's
    data sets by the user's own. In the directory `out` every finished shard is stored, and from
    time to time those at work; the same call again goes on. With `stop_after_events` D watching
    ends for all replicas together at the D-th escape (of the first event), in simulated time:
    `exponential_rate(..., method="fixed_events")` then has an exact interval. `checkpoints` keeps
    every replica's weights. `progress(fraction, text)` is told how far the work is.
    """
    with ExitStack() as held:
        store = None
        if out is not None:
            about = _about(replicas, stop_after_events, checkpoints, data)
            store = Store(
                held.enter_context(
                    RunDirectory(
                        Path(out), kind="ensemble", digest=ensemble.digest, seed=seed, about=about
                    )
                )
            )
        parts = stream(
            ensemble, seed=seed, replicas=replicas, workers=workers, shard_size=shard_size,
            executor=executor, data=data, store=store, stop_after_events=stop_after_events,
            checkpoints=checkpoints, progress=progress,
        )  # fmt: skip
        return Outcome.merge(list(parts))


def stream(
    ensemble: Ensemble,
    *,
    seed: int,
    replicas: int,
    workers: int = 1,
    shard_size: int | None = None,
    executor: Executor | None = None,
    data: Sequence[Data] | None = None,
    store: Store | None = None,
    stop_after_events: int | None = None,
    checkpoints: bool = False,
    progress: Progress | None = None,
    snapshot_every: float | None = None,
) -> Iterator[Outcome]:
    """The shards of `run` one after another, in replica order: never all of them in memory.

    With a `store` all are finished before the first is handed out; without, a bounded number
    waits for its turn. The arguments are those of `run`.
    """
    if replicas < 1:
        raise InputError(f"An ensemble needs at least one replica, got {replicas}.")
    if workers < 1 or (shard_size is not None and shard_size < 1):
        raise InputError(
            f"Workers and shard_size must be at least 1, got {workers} and {shard_size}."
        )
    if stop_after_events is not None and not ensemble.events:
        raise InputError("stop_after_events counts escapes: give the ensemble an event.")
    if stop_after_events is not None and not 1 <= stop_after_events <= replicas:
        raise InputError(
            f"stop_after_events must lie between 1 and the {replicas} replicas, "
            f"got {stop_after_events}."
        )
    parts = _parts(replicas, shard_size or _size(ensemble, replicas, workers), store)
    snapshot_every = SNAPSHOT_EVERY if snapshot_every is None else snapshot_every
    with Crew(
        executor, workers if len(parts) > 1 else 1, store=store, progress=progress,
        snapshot_every=snapshot_every, goal=stop_after_events,
    ) as crew:  # fmt: skip
        jobs = [Job(ensemble, seed, part, data, checkpoints) for part in parts]
        if stop_after_events is None:
            yield from crew.finish(jobs)
            return
        cut: Cut | None = None
        for horizon in rounds(ensemble):
            crew.advance(jobs, horizon)
            cut = find_cut(ensemble, crew.dates, stop_after_events, horizon)
            if cut is not None:
                break
        for outcome in crew.finish(jobs, as_they_are=cut is not None):
            yield outcome if cut is None else cut.apply(outcome)


def _size(ensemble: Ensemble, replicas: int, workers: int) -> int:
    """Replicas of a shard by default: some work for everybody, and never too much memory."""
    outputs, inputs = ensemble.task.shape
    each = bytes_per_replica(ensemble.network, ensemble.update, outputs, inputs)
    each += 8 * len(ensemble.record_at) * (min(outputs, inputs) + 2)
    wanted = max(min(LARGEST_SHARD, -(-replicas // workers)), -(-replicas // MOST_SHARDS))
    return max(1, min(wanted, SHARD_MEMORY // each))


def _parts(replicas: int, size: int, store: Store | None) -> list[range]:
    """Replica ranges of all shards: those in store as they are, the gaps cut on an even grid."""
    shards = -(-replicas // size)
    if shards > SHARDS:
        raise InputError(
            f"{replicas:,} replicas would be {shards:,} shards of {size:,}, and at most {SHARDS:,} "
            "are kept account of: simulate fewer replicas, or give a larger shard_size."
        )
    known = [] if store is None else store.known(replicas)
    inside = {edge for part in known for edge in part[1:]}
    edges = {replicas * i // shards for i in range(shards + 1)} - inside
    edges |= {edge for part in known for edge in (part.start, part.stop)}
    return [range(a, b) for a, b in pairwise(sorted(edges))]


def _about(
    replicas: int, stop: int | None, checkpoints: bool, data: Sequence[Data] | None
) -> dict[str, Any]:
    """What else tells one run from another."""
    about: dict[str, Any] = {"replicas": replicas}
    if stop is not None:
        about["stop_after_events"] = stop
    if checkpoints:
        about["checkpoints"] = "yes"
    if data is not None:
        found = hashlib.sha256()
        for part in data:
            for moments in (part.train, part.test):
                for array in (moments.xx, moments.yx, moments.yy):
                    found.update(np.ascontiguousarray(array).tobytes())
            for array in (part.x, part.y):
                if array is not None:
                    found.update(np.ascontiguousarray(array).tobytes())
        about["data"] = found.hexdigest()[:12]
    return about
