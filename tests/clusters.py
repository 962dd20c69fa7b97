"""A Dask cluster of separate processes that talk over TCP, with workers that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 200.0
"""Seconds before a test gives up waiting: long, because a busy machine is not a failure."""

QUIET = ("--no-dashboard", "--host", "127.0.0.1")


class DaskCluster:
    """A scheduler in a process of its own, and workers that are added and killed by name."""

    def __init__(self, folder: Path) -> None:
        """Start the scheduler; `folder` takes its address file and everybody's log."""
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start("scheduler", "scheduler", *QUIET, "--port", "0", "--no-show")

    def add(self, name: str, *, threads: int = 1) -> None:
        """One more worker process."""
        self._start(
            name, "worker", *QUIET, "--no-nanny", "--name", name,
            "--nthreads", str(threads), "--local-directory", str(self.folder),
        )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL: the worker says good-bye to nobody."""
        self.processes[name].kill()
        self.processes[name].wait()

    def busy(self, client: Any, name: str) -> bool:
        """Is this worker at work, as far as the scheduler knows?"""
        workers = client.scheduler_info(n_workers=-1)["workers"]
        address = next((at for at, told in workers.items() if told["name"] == name), None)
        return bool(address and client.processing([address]).get(address))

    def close(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _start(self, name: str, *words: str) -> None:
        command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(self.file)]
        # Workers must find `stall` under its name.
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip


@contextmanager
def dask_cluster(folder: Path, *workers: str) -> Iterator[tuple[DaskCluster, Any]]:
    """A cluster with these workers, ready, and a client connected to it."""
    from distributed import Client

    cluster = DaskCluster(folder)
    try:
        for name in workers:
            cluster.add(name)
        with Client(scheduler_file=str(cluster.file), timeout=PATIENCE) as client:
            client.wait_for_workers(len(workers), timeout=PATIENCE)
            yield cluster, client
    finally:
        cluster.close()


def wait_until(what: Any, why: str) -> None:
    """Ask every few milliseconds until it is so."""
    begin = time.monotonic()
    while not what():
        assert time.monotonic() - begin < PATIENCE, f"{why} did not happen in {PATIENCE:g} s"
        time.sleep(0.005)


def stall(folder: str, work: Any, *arguments: Any, **options: Any) -> Any:
    """The first worker that gets this leaves its process number and hangs; the next one works.

    So a worker can be killed for certain while it is at work, however fast or slow the machine.
    """
    note = Path(folder) / "at-work"
    try:
        with note.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return work(*arguments, **options)
    time.sleep(PATIENCE)
    raise AssertionError("nobody killed this worker")
