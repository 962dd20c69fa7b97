"""Threads, processes, a Dask cluster that loses and gains workers, submitit: the same bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from clusters import PATIENCE, dask_cluster, stall, wait_until

from spinodal.dynamics import executors
from spinodal.dynamics.ensemble import Ensemble, Event, Outcome, run
from spinodal.dynamics.networks import Network
from spinodal.dynamics.snapshots import pack
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update

REPLICAS, SHARD = 44, 4

ENSEMBLE = Ensemble(
    task=GaussianTask(signals=(0.9, 0.8), samples=64),
    network=Network(width=4),
    update=Update(learning_rate=0.05, weight_decay=0.3, batch_size=8, temperature=1e-3),
    events=(Event(threshold=0.5),),
    steps=400,
    check_every=20,
    datasets=3,
    record_at=(0, 200, 400),
)


def merged(outcome: Outcome) -> str:
    """SHA-256 of everything that came out, in the form in which it is stored."""
    return hashlib.sha256(pack(outcome.as_arrays())).hexdigest()


def stored(folder: Path) -> dict[str, str]:
    """Name and SHA-256 of every record of a run directory."""
    files = sorted((folder / "records").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Alone:
    """The run of one thread, to which all others are compared."""

    def __init__(self, folder: Path) -> None:
        outcome = run(ENSEMBLE, seed=7, replicas=REPLICAS, shard_size=SHARD, out=folder)
        self.merged, self.stored = merged(outcome), stored(folder)

    def assert_equals_run(self, folder: Path, **how: Any) -> None:
        outcome = run(
            ENSEMBLE, seed=7, replicas=REPLICAS, shard_size=SHARD, out=folder / "run", **how
        )
        assert merged(outcome) == self.merged
        assert stored(folder / "run") == self.stored


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"))


def test_escapes_and_survivors_take_part_in_the_comparison():
    counts = run(ENSEMBLE, seed=7, replicas=REPLICAS).passages[0].status_counts
    assert counts["escaped"] > 0
    assert counts["censored"] > 0


def test_threads_write_the_bytes_of_one_thread(alone: Alone, tmp_path: Path):
    with executors.threads(3) as pool:
        alone.assert_equals_run(tmp_path, executor=pool)


def test_processes_write_the_bytes_of_one_thread(alone: Alone, tmp_path: Path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        alone.assert_equals_run(tmp_path, executor=pool)


@pytest.mark.needs("distributed")
def test_a_dask_cluster_that_loses_a_worker_and_gains_one_writes_the_same_bytes(
    alone: Alone, tmp_path: Path
):
    note = tmp_path / "at-work"
    with dask_cluster(tmp_path, "one", "two") as (cluster, client):

        def misfortune() -> None:
            wait_until(lambda: note.exists() and note.read_text(), "a worker at work")
            os.kill(int(note.read_text()), signal.SIGKILL)
            cluster.add("three")

        fate = threading.Thread(target=misfortune, daemon=True)
        fate.start()
        executor = client.get_executor()
        ordinary = executor.submit
        newcomer = client.get_executor(workers=["three"], allow_other_workers=False)
        sent: list[Any] = []

        def submit(work: Any, *arguments: Any, **options: Any) -> Future[Any]:
            sent.append(work)
            if len(sent) == 3:  # whoever gets it is killed over it
                return ordinary(stall, str(tmp_path), work, *arguments, **options)
            if len(sent) == 6:  # waits for the worker that comes after that
                return newcomer.submit(work, *arguments, **options)
            return ordinary(work, *arguments, **options)

        executor.submit = submit
        alone.assert_equals_run(tmp_path, executor=executor)
        fate.join()  # it has added the third worker, which all have waited for
        left = {told["name"] for told in client.scheduler_info(n_workers=-1)["workers"].values()}
    assert len(sent) >= REPLICAS // SHARD
    assert "three" in left
    assert len(left) == 2


@pytest.mark.needs("submitit")
def test_jobs_of_submitit_write_the_bytes_of_one_thread(alone: Alone, tmp_path: Path):
    import submitit

    inner = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    inner.update_parameters(timeout_min=10)
    with executors.Submitit(inner) as pool:  # every job is a new process: two will do
        outcome = run(ENSEMBLE, seed=7, replicas=REPLICAS, shard_size=REPLICAS // 2, executor=pool)
    assert len(list((tmp_path / "jobs").glob("*_result.pkl"))) == 2
    assert merged(outcome) == alone.merged


class Backwards(Executor):
    """Hands out what it did last first: as unordered as a cluster can be."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        threading.Timer(0.01, self._work).start()
        return future

    def _work(self) -> None:
        future, work = self.waiting.pop()
        try:
            future.set_result(work())
        except Exception as problem:
            future.set_exception(problem)


def test_shards_that_come_back_in_any_order_are_merged_in_the_order_of_replicas(
    alone: Alone, tmp_path: Path
):
    alone.assert_equals_run(tmp_path, executor=Backwards())


# The guide

ROOT = Path(__file__).parent.parent
GUIDE, NODES = ROOT / "docs" / "scaling.md", ROOT / "benchmarks" / "thousand_nodes.py"


def files_of_the_guide(folder: Path) -> set[str]:
    """Write down the examples that name a file in their first line."""
    blocks = re.findall(r"```\w+\n# (\S+\.\w+)\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text, encoding="utf-8")
    return {name for name, _ in blocks}


def start(folder: Path, *words: str, log: str = "log") -> subprocess.Popen[bytes]:
    """A program of the guide, which finds `dask` and `python` as its reader would."""
    binaries = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": os.pathsep.join([binaries, os.environ["PATH"]])}
    with (folder / log).open("wb") as file:
        return subprocess.Popen(
            words, cwd=folder, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip


@pytest.mark.needs("distributed")
@pytest.mark.needs("submitit")
def test_the_programs_of_the_guide_run_and_agree(tmp_path: Path):
    names = files_of_the_guide(tmp_path)
    assert names >= {"laptop.py", "on_dask.py", "on_slurm.py", "array.sh", "scheduler.sh"}
    helpers = [
        start(tmp_path, "sh", name, log=f"{name}.log") for name in ("scheduler.sh", "array.sh")
    ]
    try:
        said = {}
        for name in ("laptop.py", "on_dask.py", "on_slurm.py"):
            assert start(tmp_path, "python", name, log=name + ".log").wait(PATIENCE) == 0, (
                tmp_path / (name + ".log")
            ).read_text()
            said[name] = (tmp_path / (name + ".log")).read_text().splitlines()[-1]
    finally:
        for helper in helpers:
            os.killpg(helper.pid, signal.SIGKILL)
            helper.wait()
    assert len(set(said.values())) == 1
    assert re.match(r"\d.* from \d+ of 400", said["laptop.py"])
    assert stored(tmp_path / "on-a-laptop") == stored(tmp_path / "on-dask")


def test_the_laptop_example_runs_without_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files_of_the_guide(tmp_path)
    few = tmp_path / "my_ensemble.py"
    text = few.read_text("utf-8").replace("REPLICAS, SHARD = 400, 50", "REPLICAS, SHARD = 8, 4")
    few.write_text(text.replace("steps=10_000", "steps=200"), encoding="utf-8")
    monkeypatch.setenv("SPINODAL_ENGINE", "off")
    ended = start(tmp_path, "python", "laptop.py").wait(PATIENCE)
    said = (tmp_path / "log").read_text()
    assert ended == 0, said
    assert "of 8" in said


def test_the_example_of_the_guide_waits_before_it_escapes(tmp_path: Path):
    files_of_the_guide(tmp_path)
    found: dict[str, Any] = {}
    exec((tmp_path / "my_ensemble.py").read_text("utf-8"), found)
    ensemble = found["ENSEMBLE"]
    times = run(ensemble, seed=1, replicas=100).passages[0]
    assert times.steps[times.escaped].min() > 2 * ensemble.check_every
    assert 50 < times.events < 100
    assert run(ensemble.noise_off, seed=1, replicas=4).passages[0].events == 0


def test_the_measured_part_of_the_guide_is_what_the_stored_results_say():
    spec = importlib.util.spec_from_file_location("thousand_nodes", NODES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    guide = GUIDE.read_text(encoding="utf-8")
    assert module.replaced(guide, module.measured_part()) == guide
