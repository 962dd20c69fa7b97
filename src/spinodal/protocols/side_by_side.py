"""Several simulations at once: each is one job, and free workers take the longest one left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

from spinodal.dynamics import executors
from spinodal.dynamics.ensemble import Ensemble, simulate
from spinodal.dynamics.tasks import Data
from spinodal.seeding import generator

Progress = Callable[[float, str], None] | None


@dataclass(frozen=True, eq=False)
class Job:
    """A call of a pure function; `cost` orders the jobs and measures the progress."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    cost: float


def ensemble_job(
    ensemble: Ensemble, *, seed: int, replicas: int, data: Sequence[Data] | None = None
) -> Job:
    """All replicas of an ensemble as one job: long arrays cost less per replica than short ones."""
    overhead = 40  # replicas that cost as much as the fixed part of a step
    noisy = ensemble.update != ensemble.update.noiseless
    cost = ensemble.steps * (replicas + overhead) * (5 if noisy else 1)
    return Job(simulate, (ensemble, seed, range(replicas), data), float(cost))


def outcomes(
    jobs: Mapping[str, Job], *, workers: int = 1, progress: Progress = None
) -> dict[str, Any]:
    """The result of every job under its name; it does not depend on the number of workers."""
    tell = progress or (lambda fraction, text: None)
    order = sorted(jobs, key=lambda name: -jobs[name].cost)
    total, done = sum(job.cost for job in jobs.values()) or 1.0, 0.0
    results: dict[str, Any] = {}
    if workers <= 1:
        for name in order:
            tell(done / total, name)
            results[name] = jobs[name].function(*jobs[name].arguments)
            done += jobs[name].cost
    else:
        pool = executors.processes(workers)
        waiting = {pool.submit(jobs[n].function, *jobs[n].arguments): n for n in order}
        try:
            for future in as_completed(waiting):
                name = waiting[future]
                results[name] = future.result()
                done += jobs[name].cost
                tell(done / total, name)
        finally:
            for future in waiting:
                future.cancel()
    return {name: results[name] for name in jobs}


def own_seed(seed: int, *path: str | int) -> int:
    """A seed of its own for one arm, so that two arms never share their noise.

    Langevin replicas driven by one noise synchronise once they are in the same state, and
    their escape times would then be copies of each other.
    """
    return int(generator(seed, "arm", *path).integers(2**32))
