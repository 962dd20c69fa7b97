"""Escape times of any network: from a settings file to a table, and a rate with its interval."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from spinodal.dynamics import ensemble as ensembles
from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.events import Event
from spinodal.dynamics.files import LARGEST_FILE, save_checkpoint
from spinodal.dynamics.networks import Network
from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.shard import Ensemble, Shard, check_modes
from spinodal.dynamics.snapshots import Store
from spinodal.dynamics.tasks import Task
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols import escape_table, settings_file
from spinodal.records import STATUSES, EscapeTimes, Settings
from spinodal.statistics.survival import DivergedWarning, rate_from_counts
from spinodal.storage import RunDirectory
from spinodal.storage.files import explained

LARGEST_COUNT = 10**12
"""Updates or replicas; more would not end."""


LARGEST = {
    "inputs": 4096,
    "outputs": 4096,
    "classes": 4096,
    "samples": 10**7,
    "pool": 10**7,
    "test_samples": 10**7,
    "batch_size": 10**6,
}
"""The largest counts of a task and an update."""

COARSE = 10
"""With a mean time of fewer looks a rate says more about the looks than about the escapes."""

PROBED = 16
"""Replicas whose start is looked at before the run."""

DEEPEST = 1000
"""Layers of the deepest network."""

SHORTEST = 1e-150
"""The shortest time of one update, and one over the longest time of a run: rates are numbers."""


class RunSettings(Settings):
    """How many replicas are watched, for how long, and how they are counted.

    `steps` is the horizon in updates, `check_every` the updates between two looks. Replica i trains
    on data set i modulo `datasets`. With `stop_after_events` all are watched until that escape, in
    simulated time, which makes the interval exact with one data set. `rank_above` is the strength
    beyond which a feature counts in from_rank and to_rank: by default the threshold of the first
    strength event, or 0.1. Trajectories are recorded every `record_every` updates, or at
    `record_per_decade` logarithmically spaced updates a decade; recorded replicas are watched to
    the horizon. `checkpoints` keeps everyone's weights.
    """

    replicas: int = Field(ge=1, le=LARGEST_COUNT)
    steps: int = Field(ge=1, le=LARGEST_COUNT)
    check_every: int = Field(default=1, ge=1, le=LARGEST_COUNT)
    datasets: int = Field(default=1, ge=1, le=10**6)
    seed: int = Field(default=1, ge=0, lt=2**63)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    stop_after_events: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    rank_above: float | None = Field(default=None, gt=0)
    record_every: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    record_per_decade: int | None = Field(default=None, ge=1, le=1000)
    checkpoints: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> RunSettings:
        if self.stop_after_events is not None and self.stop_after_events > self.replicas:
            raise InputError(
                f"stop_after_events = {self.stop_after_events} needs at least as many replicas, "
                f"got {self.replicas}"
            )
        if self.record_every is not None and self.record_per_decade is not None:
            raise InputError("give record_every or record_per_decade, not both")
        if self.record_every is not None and self.record_every % self.check_every:
            raise InputError(
                f"record_every must be a multiple of check_every = {self.check_every}, "
                f"got {self.record_every}"
            )
        if self.record_every is not None and self.steps // self.record_every > 100_000:
            raise InputError(
                f"record_every = {self.record_every} asks for more than 100000 records of every "
                "replica: record less often, or use record_per_decade"
            )
        return self

    @property
    def record_at(self) -> tuple[int, ...]:
        """Updates to record."""
        if self.record_every is not None:
            return tuple(range(0, self.steps + 1, self.record_every))
        if self.record_per_decade is not None:
            return ensembles.logarithmic_grid(self.steps, self.check_every, self.record_per_decade)
        return ()


class EscapeSettings(Settings):
    """What `spinodal escape` does: one section of the file for each field.

    The first event is the escape; others, named in further [[event]] tables, are rivals: who meets
    one of them first has escaped elsewhere.
    """

    task: Task
    network: Network = Network()
    update: Update
    start: Start = Start()
    event: tuple[Event, ...] = Field(min_length=1, max_length=100)
    run: RunSettings

    @field_validator("event", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, dict) else value

    @field_validator("task", "update", mode="before")
    @classmethod
    def _not_beyond_memory(cls, values: object) -> object:
        if isinstance(values, dict):  # before anything is drawn or factorised
            for name, most in LARGEST.items():
                given = values.get(name)
                if isinstance(given, int) and given > most:
                    raise InputError(f"{name} must be at most {most}, got {str(given)[:30]}")
        return values

    @field_validator("network", mode="after")
    @classmethod
    def _not_too_deep(cls, network: Network) -> Network:
        if network.depth > DEEPEST:
            raise InputError(
                f"at most {DEEPEST} layers are simulated, got depth {network.depth}: use fewer"
            )
        return network

    @model_validator(mode="after")
    def _consistent(self) -> EscapeSettings:
        check_modes(self.ensemble, *self.task.shape)
        self._check_looks()
        if self.update.idle_batch_size:
            raise InputError(
                f"update.batch_size = {self.update.batch_size} has no effect with sampling "
                f"'{self.update.sampling}': use sampling 'shuffled' or 'replacement' (minibatches "
                "of samples), gaussian noise of such batches, or leave batch_size out"
            )
        modes = self.network.modes(*self.task.shape)
        if self.start.kind == "trap" and self.start.rank > modes:
            raise InputError(
                f"start.rank must be at most {modes}, the number of strengths, got "
                f"{self.start.rank}"
            )
        first, last = (float(t) for t in self.update.time(np.array([1, self.run.steps])))
        if not (SHORTEST < first and last * self.run.replicas < 1 / SHORTEST):
            raise InputError(
                f"time is learning_rate times updates, and from {first:g} to {last:g} of it are "
                f"outside {SHORTEST:g} ... {1 / SHORTEST:g}: use another learning_rate"
            )
        self._check_checkpoint()
        return self

    def _check_looks(self) -> None:
        """Refuse events that cannot be confirmed within the run."""
        for number, event in enumerate(self.event):
            if self.run.check_every * event.persistence > self.run.steps:
                raise InputError(
                    f"event[{number}] is confirmed after {event.persistence} looks, one every "
                    f"{self.run.check_every} updates, but the run has only {self.run.steps}: look "
                    "more often (check_every) or watch longer (steps)"
                )

    def _check_checkpoint(self) -> None:
        """Refuse weights of all replicas that would be too many to be read again."""
        blocks = self.network.blocks(*self.task.shape)
        each = sum(rows * columns for rows, columns in blocks)
        size = each * self.run.replicas * (8 if self.network.precision == "float64" else 4)
        size += 4096 * len(blocks)  # headers
        if self.run.checkpoints and size > LARGEST_FILE:
            raise InputError(
                f"checkpoints of {self.run.replicas:,} replicas would have {size:,} bytes, and "
                f"files of at most {LARGEST_FILE:,} are read again: use fewer replicas, several "
                "runs with other seeds, or checkpoints = false"
            )

    @property
    def ensemble(self) -> Ensemble:
        """The same settings as the simulator takes them."""
        return Ensemble(
            task=self.task, network=self.network, update=self.update, start=self.start,
            events=self.event, competing=True, steps=self.run.steps,
            check_every=self.run.check_every, datasets=self.run.datasets,
            record_at=self.run.record_at,
        )  # fmt: skip

    @property
    def digest(self) -> str:
        """The name of these settings, the seed left out."""
        unseeded = self.model_copy(update={"run": self.run.model_copy(update={"seed": 0})})
        return Settings.digest.fget(unseeded)  # pyright: ignore[reportOptionalCall]

    @property
    def rank_above(self) -> float:
        """The strength beyond which a feature counts as learned."""
        strengths = (
            float(event.threshold) for event in self.event if event.observable == "strength"
        )
        return self.run.rank_above or max(next(strengths, 0.1), 0.0)


class EscapeOptions(Settings):
    """What changes no number of the result, and the seed that may replace that of the file."""

    threads: int | None = Field(default=None, ge=1, le=10_000)
    shard_size: int | None = Field(default=None, ge=1, le=LARGEST_COUNT)
    seed: int | None = Field(default=None, ge=0, lt=2**63)


@dataclass(frozen=True, kw_only=True)
class EscapeSummary:
    """The escape rate per unit time, with its interval and what it rests on.

    Replicas that diverged are counted in `status_counts` only; `exposure` is without them. Where
    there is no estimate, `rate`, `low` and `high` are None; what is special stands in `note`.
    """

    rate: float | None
    low: float | None
    high: float | None
    confidence: float
    events: int
    exposure: float
    replicas: int
    status_counts: dict[str, int]
    method: str
    settings_digest: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, in this order; the note only where there is one."""
        plain = asdict(self)
        return plain if self.note else {k: v for k, v in plain.items() if k != "note"}


def load(path: str | Path) -> EscapeSettings:
    """Settings from a TOML file; whatever is wrong with it is one `InputError`."""
    return settings_file.load(path, EscapeSettings)


def escape(
    settings: EscapeSettings,
    *,
    out: str | os.PathLike[str],
    seed: int | None = None,
    workers: int = 1,
    shard_size: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[float, str], Any] | None = None,
    snapshot_every: float | None = None,
) -> EscapeSummary:
    """Simulate, store and estimate; the same call again goes on where it was interrupted.

    Writes `escapes.csv` and `summary.json` into `out`; where there is something to tell also
    `diverged.csv`, `trajectories.csv` and `checkpoint.npz`. Their bytes depend on the settings and
    the seed alone, not on workers, shard_size, executor or interruptions.
    """
    ensemble, run = settings.ensemble, settings.run
    seed = run.seed if seed is None else seed
    _refuse_escaped_start(ensemble, seed, run.replicas)
    about = {"replicas": run.replicas, "steps": run.steps}
    with RunDirectory(
        out, kind="escape", digest=settings.digest, seed=seed, about=about
    ) as directory:
        plain = json.dumps(settings.model_dump(mode="json"), indent=1) + "\n"
        directory.write_output("settings.json", plain.encode())
        store, tally = Store(directory), _Tally(settings)

        def parts() -> Iterator[Outcome]:  # what is finished is only read when asked for again
            return ensembles.stream(
                ensemble, seed=seed, replicas=run.replicas, workers=workers,
                shard_size=shard_size, executor=executor, store=store,
                stop_after_events=run.stop_after_events, checkpoints=run.checkpoints,
                progress=progress, snapshot_every=snapshot_every,
            )  # fmt: skip

        rows = escape_table.escapes(
            tally.watch(parts()), settings.update, seed=seed, rank_above=settings.rank_above
        )
        directory.write_output("escapes.csv", rows)
        if tally.diverged:
            directory.write_output("diverged.csv", escape_table.DIVERGED.encode() + tally.diverged)
        if run.record_at:
            rows = escape_table.trajectories(parts(), settings.update)
            directory.write_output("trajectories.csv", rows)
        if run.checkpoints:
            _save_weights(directory, ensemble, run.replicas, parts())
        summary = tally.summary()
        text = json.dumps(summary.as_dict(), indent=1, allow_nan=False) + "\n"
        directory.write_output("summary.json", text.encode())
    return summary


def _refuse_escaped_start(ensemble: Ensemble, seed: int, replicas: int) -> None:
    """Refuse a start that is an escape already; of random ones, only the few who are get lost."""
    if ensemble.start.kind not in ("balanced", "checkpoint", "zeros"):
        return
    shard = Shard(ensemble, seed, range(min(replicas, PROBED)))
    for number, (event, (value, threshold)) in enumerate(
        zip(ensemble.events, shard.starts_beyond(), strict=True)
    ):
        if value is not None:
            what = f"strength {event.mode}" if event.observable == "strength" else "test error"
            raise InputError(
                f"event[{number}]: the start has {what} = {value:.6g} already, which is "
                f"{event.direction} the threshold {threshold:.6g}: nobody would be at risk; move "
                "the threshold or the start."
            )


def _save_weights(
    directory: RunDirectory, ensemble: Ensemble, replicas: int, parts: Iterator[Outcome]
) -> None:
    """Everyone's last weights, as `[start] kind = "checkpoint"` reads them.

    The record `checkpoint.json` holds their checksum. Every shard goes to its place at once: there
    is one copy of all weights, and one packed.
    """
    network = ensemble.network
    blocks = network.blocks(*ensemble.task.shape)
    layers = [np.empty((*block, replicas), dtype=network.precision) for block in blocks]
    at = 0
    for outcome in parts:
        lanes = slice(at, at + outcome.replicas)
        parts_of = network.split_weights(outcome.weights, *ensemble.task.shape)
        for layer, part in zip(layers, parts_of, strict=True):
            layer[..., lanes] = part
        at = lanes.stop
    path = directory.path / "checkpoint.npz"
    save_checkpoint(path, layers, biases=network.biases)
    with explained(path, doing="read"), path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    about = json.dumps({"file": path.name, "bytes": path.stat().st_size, "sha256": found})
    directory.write_record("checkpoint.json", f"{about}\n".encode())


class _Tally:
    """Counts what passes by, shard after shard, so that no table has to be held."""

    def __init__(self, settings: EscapeSettings) -> None:
        self._settings = settings
        self._counts: Counter[str] = Counter()
        self._steps: list[NDArray[np.int64]] = []
        self._times: list[EscapeTimes] = []
        self._out_at_start = 0
        self.diverged = b""

    def watch(self, parts: Iterator[Outcome]) -> Iterator[Outcome]:
        """Hand the shards on."""
        for outcome in parts:
            times = outcome.passages[0]
            self._counts.update(times.status_counts)
            unwatched = (times.status == "censored") & (times.steps == 0)
            self._out_at_start += int(unwatched.sum())
            self._steps.append(times.estimable.steps)
            if self._settings.run.datasets > 1:
                self._times.append(times)
            self.diverged += escape_table.diverged(outcome)
            yield outcome

    def summary(self) -> EscapeSummary:
        """The rate of the first event."""
        settings, run = self._settings, self._settings.run
        counts = {status: self._counts[status] for status in STATUSES}
        events = counts["escaped"]
        time = settings.update.time
        exposure = math.fsum(t for steps in self._steps for t in time(steps).tolist())
        note = self._obstacle(counts, exposure)
        out = self._out_at_start
        if note:
            limits, method = (None, None, None), "none"
        else:
            limits, method = self._estimate(counts, exposure)
            if run.stop_after_events is not None and method == "across_datasets":
                note = (
                    f"conditional on the stop after {events} escapes: replicas that share a data "
                    "set are not independent, so the interval is not exact"
                )
            told = [note] if note else []
            if out:
                told.append(
                    f"{out} of {run.replicas} replicas start beyond a threshold: they were never "
                    "at risk, count as censored after no time, and do not enter the rate"
                )
            looks = sum(int(steps.sum()) for steps in self._steps) / run.check_every
            if events and looks < COARSE * events:
                told.append(
                    f"the mean time is {looks / events:.3g} looks: times are rounded up to looks, "
                    "which the interval does not know; use a smaller check_every, and ask whether "
                    "these are escapes or the relaxation of the start"
                )
            note = "; ".join(told)
        return EscapeSummary(
            rate=limits[0],
            low=limits[1],
            high=limits[2],
            confidence=run.confidence,
            events=events,
            exposure=exposure,
            replicas=run.replicas,
            status_counts=counts,
            method=method,
            settings_digest=settings.digest,
            note=note,
        )

    def _obstacle(self, counts: dict[str, int], exposure: float) -> str:
        """Why there is no rate, if there is none."""
        replicas = self._settings.run.replicas
        if counts["diverged"] == replicas:
            return f"all {replicas} replicas diverged: use a smaller learning rate"
        if exposure <= 0:
            return (
                "every replica starts beyond a threshold or diverged, so none was at risk: move "
                "the threshold or the start"
            )
        if self._settings.run.datasets > 1 and counts["escaped"]:
            left = {int(n) for times in self._times for n in np.unique(times.estimable.dataset)}
            if len(left) < 2:
                return (
                    f"of {self._settings.run.datasets} data sets one alone was watched without "
                    "divergence, which says nothing about how they differ: use more replicas or a "
                    "smaller learning rate"
                )
        return ""

    def _estimate(
        self, counts: dict[str, int], exposure: float
    ) -> tuple[tuple[float, float, float], str]:
        """Rate, low and high, and the method."""
        run, events = self._settings.run, counts["escaped"]
        stopped = run.stop_after_events == events and run.datasets == 1
        estimate = rate_from_counts(
            events, exposure, counts, confidence=run.confidence,
            method="fixed_events" if stopped else "automatic",
        )  # fmt: skip
        if run.datasets > 1 and events > 0:
            from spinodal.statistics.bootstrap import rate_across_datasets

            # Replicas that share a data set are not independent: data sets are the unit.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DivergedWarning)  # told above
                times = EscapeTimes.merge(self._times)
                across = rate_across_datasets(times, confidence=run.confidence)
            return (estimate.rate, across.low, across.high), "across_datasets"
        return (estimate.rate, estimate.low, estimate.high), estimate.method
