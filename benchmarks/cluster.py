"""What scale-out costs: threads, processes and a Dask cluster on this machine.

    python benchmarks/cluster.py [--quick]

writes results/cluster.json. The scheduler and both workers are processes of their own and talk
over TCP, as they would between machines; what a network adds is not in these numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Client
from distributed.deploy.subprocess import SubprocessCluster

from spinodal.dynamics.ensemble import Outcome, run, simulate
from spinodal.dynamics.executors import threads
from spinodal.dynamics.snapshots import pack
from spinodal.speed.core import machine
from spinodal.speed.scaling import sweep

RESULTS = Path(__file__).parent / "results"
WORKERS = 2
REPLICAS = 256
"""Of a shard; the default of an ensemble."""


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with ExitStack() as held:
        cluster = SubprocessCluster(
            n_workers=WORKERS, threads_per_worker=1, worker_kwargs={"dashboard": False}
        )
        client = held.enter_context(Client(held.enter_context(cluster)))
        client.wait_for_workers(WORKERS)
        pools: dict[str, Executor] = {
            "one thread": held.enter_context(threads(1)),
            "two threads": held.enter_context(threads(WORKERS)),
            "two processes": held.enter_context(
                ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"))
            ),
            "two Dask workers": client.get_executor(),
        }
        for pool in pools.values():  # imports, and caches
            _run(pool, steps=1, shards=4)
        found = {
            "machine": machine(),
            "shards_of_one_second": one_second(pools, shards=4 if quick else 10,
                                               repeats=2 if quick else 5),
            "overhead_ms_per_shard": overhead(pools, shards=40 if quick else 400),
            "scheduler": scheduler(client, tasks=400 if quick else 4000),
            "shard": one_shard(shards=50 if quick else 512),
        }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    (RESULTS / "cluster.json").write_text(text, encoding="utf-8")
    print(text)


def _run(pool: Executor, *, steps: int, shards: int, replicas: int = REPLICAS) -> float:
    """Seconds of a whole run."""
    begin = time.perf_counter()
    run(
        sweep(steps), seed=1, replicas=shards * replicas, shard_size=replicas, executor=pool,
        workers=WORKERS,
    )  # fmt: skip
    return time.perf_counter() - begin


def one_second(pools: dict[str, Executor], *, shards: int, repeats: int) -> dict[str, Any]:
    """Runs of shards that take one thread about a second each; all pools take turns."""
    trial = 2000
    per_step = _timed(lambda: simulate(sweep(trial), 1, range(REPLICAS))) / trial
    steps = round(1 / per_step)
    seconds: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(repeats):
        for name, pool in pools.items():
            seconds[name].append(_run(pool, steps=steps, shards=shards))
    quickest = {name: min(times) for name, times in seconds.items()}
    return {
        "shards": shards,
        "steps": steps,
        "seconds": quickest,
        "median_seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "two_threads_times_one": quickest["one thread"] / quickest["two threads"],
        "dask_over_two_threads": quickest["two Dask workers"] / quickest["two threads"],
    }


def overhead(pools: dict[str, Executor], *, shards: int) -> dict[str, float]:
    """Milliseconds per shard of one replica and one update, sent one by one to a pool."""
    return {
        name: min(_run(pool, steps=1, shards=shards, replicas=1) for _ in range(3)) / shards * 1e3
        for name, pool in pools.items()
    }


def scheduler(client: Any, *, tasks: int) -> dict[str, float]:
    """What a task costs the scheduler and the process that asked for it, in CPU time.

    The tasks are those of `run` with nothing to simulate: the same arguments go, an outcome of one
    shard comes back. A scheduler can do no more tasks a second than fit into a second of one core.
    """
    size = len(cloudpickle.dumps(simulate(sweep(1), 1, range(REPLICAS))))
    pool, job = client.get_executor(), (sweep(1), 1, range(REPLICAS))
    at, here, begin = client.run_on_scheduler(_cpu), _cpu(), time.perf_counter()
    waiting = [pool.submit(_hand_back, job, size) for _ in range(tasks)]
    for future in waiting:
        future.result()
    wall = time.perf_counter() - begin
    return {
        "tasks": tasks,
        "tasks_per_second_here": tasks / wall,
        "scheduler_cpu_ms_per_task": (client.run_on_scheduler(_cpu) - at) / tasks * 1e3,
        "client_cpu_ms_per_task": (_cpu() - here) / tasks * 1e3,
    }


def _hand_back(job: Any, size: int) -> bytes:
    """As many bytes as an outcome has, made at no cost."""
    return b"1" * size if job else b""


def _cpu() -> float:
    return time.process_time()


def one_shard(*, shards: int) -> dict[str, float]:
    """Bytes that travel and are stored per shard, and what storing and merging it takes.

    Storing means a file, synchronised with the disk, and an entry in the manifest, which is
    written anew: the more shards a directory has, the longer it takes.
    """
    outcome = simulate(sweep(1), 1, range(REPLICAS))
    many = [outcome] * 1000
    plain = partial(run, sweep(1), seed=1, replicas=shards, shard_size=1)
    with tempfile.TemporaryDirectory() as folder:
        written = _timed(lambda: plain(out=Path(folder) / "run")) - _timed(plain)
    return {
        "replicas": REPLICAS,
        "bytes_sent": len(cloudpickle.dumps((sweep(1), 1, range(REPLICAS)))),
        "bytes_returned": len(cloudpickle.dumps(outcome)),
        "bytes_stored": len(pack(outcome.as_arrays())),
        "stored_shards": shards,
        "ms_to_store": written / shards * 1e3,
        "ms_to_merge": _timed(lambda: Outcome.merge(many)) / len(many) * 1e3,
    }


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
