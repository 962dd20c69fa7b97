"""Who does the work: this thread, threads, processes, a cluster; anything with `submit`.

Shards are pure functions, so any executor with the interface of `concurrent.futures` gives the
same bytes. A Dask cluster comes as `dask.distributed.Client(...).get_executor()`, a SLURM cluster
through `Submitit`.
"""

from __future__ import annotations

import atexit
import importlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

from spinodal.errors import InputError


def default(workers: int) -> Executor:
    """Threads where the compiled engine is, or where one worker is enough; else processes."""
    return threads(workers) if workers == 1 or engine_is_here() else processes(workers)


def engine_is_here() -> bool:
    """Is there a compiled engine, and is it wanted?"""
    if os.environ.get("SPINODAL_ENGINE", "auto") == "off":
        return False
    try:
        importlib.import_module("spinodal.dynamics.compiled")
    except ImportError:
        return False
    return True


def capacity(executor: Executor, workers: int) -> int:
    """How many legs to have under way: enough that nobody waits while results are stored."""
    if isinstance(executor, ThreadPoolExecutor):
        return int(executor._max_workers) + 1
    return 2 * int(getattr(executor, "_max_workers", 0) or max(workers, 64))


def threads(workers: int) -> ThreadPoolExecutor:
    """Threads of this process, for the compiled engine, which lets them run side by side."""
    return ThreadPoolExecutor(workers, thread_name_prefix="spinodal")


def processes(workers: int) -> ProcessPoolExecutor:
    """One pool per size for the whole session, unless it broke: starting a process costs a second.

    Spawned, not forked: a fork copies locks of other threads in whatever state they are.
    """
    pool = _POOLS.get(workers)
    if pool is None or getattr(pool, "_broken", False):
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        atexit.register(pool.shutdown, wait=False, cancel_futures=True)
        _POOLS[workers] = pool
    return pool


_POOLS: dict[int, ProcessPoolExecutor] = {}


class Submitit(Executor):
    """SLURM jobs, or local processes, through an executor of the `submitit` package.

    `Submitit(submitit.AutoExecutor("logs"))`. What it returns are futures of this module's kind,
    filled by one thread that asks for finished jobs every `poll` seconds.
    """

    def __init__(self, inner: Any, *, poll: float = 0.2) -> None:
        """Wrap an executor whose `submit` returns jobs with `done`, `result` and `cancel`."""
        self._inner, self._poll = inner, poll
        self._jobs: dict[Future[Any], Any] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._watch = threading.Thread(target=self._wait, name="submitit", daemon=True)
        self._watch.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Send a job off."""
        if self._closed:
            raise InputError("This executor has been shut down; make a new one.")
        future: Future[Any] = Future()
        job = self._inner.submit(fn, *args, **kwargs)
        with self._changed:
            self._jobs[future] = job
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; cancel those that have not ended, or wait for them."""
        with self._changed:
            self._closed = True
            if cancel_futures:
                for future, job in self._jobs.items():
                    job.cancel()
                    future.cancel()
                self._jobs.clear()
            self._changed.notify()
        if wait:
            self._watch.join()

    def _wait(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if not self._jobs:
                    return
                jobs = dict(self._jobs)
            ended = []
            for future, job in jobs.items():
                over, problem = self._over(future, job)
                if over:
                    ended.append((future, job, problem))
            for future, job, problem in ended:
                with self._changed:
                    self._jobs.pop(future, None)
                _settle(future, job, problem)
            if not ended:
                threading.Event().wait(self._poll)

    @staticmethod
    def _over(future: Future[Any], job: Any) -> tuple[bool, Exception | None]:
        """Has it ended, and did asking fail? A scheduler that cannot be asked is an answer, too."""
        try:
            if future.cancelled():
                job.cancel()
                return True, None
            return bool(job.done()), None
        except Exception as problem:
            return True, problem


def _settle(future: Future[Any], job: Any, problem: Exception | None) -> None:
    """Hand the result of a job, or what went wrong, to its future."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        if problem is not None:
            raise problem
        future.set_result(job.result())
    except Exception as wrong:
        future.set_exception(wrong)
