"""Many replicas of one training run: shards shared over any executor, merged in replica order."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from itertools import pairwise
from multiprocessing import get_context

import numpy as np

from spinodal.dynamics.events import Event
from spinodal.dynamics.shard import Ensemble, Outcome, learned_error, simulate
from spinodal.dynamics.tasks import Data
from spinodal.errors import InputError

__all__ = ["Ensemble", "Event", "Outcome", "learned_error", "logarithmic_grid", "run", "simulate"]


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
    executor: Executor | None = None,
    data: Sequence[Data] | None = None,
) -> Outcome:
    """Simulate `replicas` replicas; the result does not depend on workers or executor.

    `executor` is anything with the `concurrent.futures` interface; by default `workers`
    processes share the shards. `data` replaces the task's data sets by the user's own.
    """
    if replicas < 1:
        raise InputError(f"An ensemble needs at least one replica, got {replicas}.")
    shards = min(replicas, max(workers, -(-replicas // 256)))
    edges = [round(replicas * i / shards) for i in range(shards + 1)]
    ranges = [range(a, b) for a, b in pairwise(edges)]
    if executor is None and workers > 1 and shards > 1:
        executor = _processes(workers)
    if executor is None:
        return Outcome.merge([simulate(ensemble, seed, part, data) for part in ranges])
    waiting = [executor.submit(simulate, ensemble, seed, part, data) for part in ranges]
    try:
        return Outcome.merge([future.result() for future in waiting])
    finally:
        for future in waiting:
            future.cancel()


@cache
def _processes(workers: int) -> ProcessPoolExecutor:
    """One pool per size for the whole session: starting a process costs a second.

    Spawned, not forked: a fork copies locks of other threads in whatever state they are.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    atexit.register(pool.shutdown, wait=False, cancel_futures=True)
    return pool
