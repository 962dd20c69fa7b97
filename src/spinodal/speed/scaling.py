"""What more threads, more shards and more replicas cost."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from spinodal.dynamics.ensemble import Ensemble, Event, run, stream
from spinodal.dynamics.executors import threads as pool_of_threads
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.speed.case import SEED
from spinodal.speed.measure import alternate

QUICK_REPLICAS: tuple[int, ...] = (2_000, 10_000)
SHARD = 64
"""Replicas of a shard where threads are compared."""


def sweep(steps: int) -> Ensemble:
    """An escape experiment on the paper's network, looked at after every ten updates.

    The event is out of reach, so that all replicas cost the same.
    """
    return Ensemble(
        task=GaussianTask(signals=(0.9, 0.8), samples=512),
        update=Update(learning_rate=0.05, weight_decay=0.2, batch_size=64, sampling="replacement"),
        events=(Event(threshold=1e3),),
        steps=steps,
        check_every=min(10, steps),
    )


def measure(*, quick: bool, threads: int) -> dict[str, Any]:
    """Rows for the benchmark."""
    counts = QUICK_REPLICAS if quick else (10_000, 100_000, 1_000_000)
    return {
        "threads": thread_rows(threads, seconds=1.0 if quick else 4.0, repeats=3 if quick else 5),
        "shards": shard_rows(10 if quick else 200),
        "memory": [memory_row(count) for count in counts],
    }


def thread_rows(most: int, *, seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Replica-steps a second of whole runs, settings to merged outcome, on 1, 2, 4 ... threads.

    The same run for all, four shards for every thread of the largest pool; one thread alone takes
    about `seconds`. Turns alternate between the numbers of threads.
    """
    counts = sorted({most, *(2**n for n in range(most.bit_length()) if 2**n <= most)})
    replicas = 4 * most * SHARD
    trial = sweep(100)
    ensemble = sweep(max(100, round(100 * seconds / _timed(partial(_share, trial, replicas, 1)))))
    works = {str(n): partial(_repeat, partial(_share, ensemble, replicas, n)) for n in counts}
    timings = alternate(works, seconds=1e-3, repeats=repeats)
    alone = timings["1"].quickest
    return [
        {
            "threads": count,
            "shards": 4 * most,
            "seconds": timings[str(count)].quickest,
            "replica_steps_per_second": replicas * ensemble.steps / timings[str(count)].quickest,
            "times_one_thread": alone / timings[str(count)].quickest,
        }
        for count in counts
    ]


def shard_rows(count: int) -> list[dict[str, Any]]:
    """Milliseconds that a shard costs beside its updates: its data, plan, start and outcome.

    Shards of one replica and one update, on this thread: in memory, and stored in a run directory
    (every file synchronised with the disk).
    """
    rows = []
    for kind in ("in memory", "in a run directory"):
        with tempfile.TemporaryDirectory() as folder:
            out = None if kind == "in memory" else Path(folder) / "run"
            work = partial(run, sweep(1), seed=SEED, replicas=count, shard_size=1, out=out)
            rows.append({"shards": kind, "ms_per_shard": _timed(work) / count * 1e3})
    return rows


def memory_row(replicas: int) -> dict[str, Any]:
    """Most memory that a process needs to stream so many replicas, shard by shard."""
    program = f"from spinodal.speed.scaling import stream_all; stream_all({replicas})"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return json.loads(said.stdout)


def stream_all(replicas: int) -> None:
    """Run ten updates of every replica, keep none of them, and print what that took."""
    escaped, begin = 0, time.perf_counter()
    for part in stream(sweep(10), seed=SEED, replicas=replicas, shard_size=256):
        escaped += part.passages[0].events
    most = _peak_memory() / 2**20
    seconds = time.perf_counter() - begin
    print(json.dumps({"replicas": replicas, "peak_mib": round(most, 1), "seconds": seconds}))


def _peak_memory() -> int:
    """Most bytes of memory that this program has held.

    From /proc where there is one: the system's other record, `ru_maxrss`, goes on from that of
    the process which started this one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 2**10 * int(status.partition("VmHWM:")[2].split()[0])


def _share(ensemble: Ensemble, replicas: int, threads: int) -> None:
    with pool_of_threads(threads) as pool:
        run(ensemble, seed=SEED, replicas=replicas, shard_size=SHARD, executor=pool)


def _repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
