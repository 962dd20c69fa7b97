"""Many replicas of one training run: shards, any executor, escape events, trajectories."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from spinodal.dynamics.checkpoints import Start, balanced, prepare
from spinodal.dynamics.networks import (
    Layers,
    Network,
    dead_amplitudes,
    effective_rank,
    end_to_end,
    singular_values,
)
from spinodal.dynamics.tasks import Data, GaussianTask, draw
from spinodal.dynamics.updates import Batches, Update, gradients, step
from spinodal.errors import InputError
from spinodal.records import EscapeTimes, Settings
from spinodal.seeding import Stream

LARGEST = 1e6
"""A replica with a weight beyond this, or with one that is no number, has diverged."""


class Event(Settings):
    """What counts as an escape, seen at a check and confirmed at the next `persistence` - 1.

    `strength`: strength number `mode` (1 is the strongest) beyond `threshold`. `test_error`: the
    paper's definition, test error beyond `threshold`; `midpoint` puts it halfway between
    the error at the start and that of the noise-free run from a start which has every feature.
    `direction` says which side of the threshold is the escaped one.
    """

    observable: Literal["strength", "test_error"] = "strength"
    mode: PositiveInt = 1
    threshold: float | Literal["midpoint"]
    direction: Literal["above", "below"] = "above"
    persistence: PositiveInt = 1

    @model_validator(mode="after")
    def _consistent(self) -> Event:
        if self.threshold == "midpoint" and self.observable != "test_error":
            raise InputError("The midpoint rule belongs to the test error, not to a strength.")
        return self


class Ensemble(Settings):
    """Settings of many replicas; with a seed and a range of replicas they fix every number.

    Replica i trains on data set i modulo `datasets`. Observables are looked at every
    `check_every` updates and recorded at the updates `record_at` (multiples of it). Training
    of a replica stops at its last event unless it is recorded.
    """

    task: GaussianTask
    network: Network = Network()
    update: Update
    start: Start = Start()
    events: tuple[Event, ...] = ()
    steps: PositiveInt
    check_every: PositiveInt = 1
    datasets: PositiveInt = 1
    record_at: tuple[NonNegativeInt, ...] = Field(default=())

    @model_validator(mode="after")
    def _consistent(self) -> Ensemble:
        off = [at for at in self.record_at if at % self.check_every or at > self.steps]
        if off:
            raise InputError(
                f"Updates to record must be multiples of check_every = {self.check_every} up to "
                f"{self.steps}, got {off[0]}."
            )
        if self.task.samples is None and self.update.sampling in (
            "shuffled",
            "replacement",
            "full",
        ):
            raise InputError(
                f"Sampling '{self.update.sampling}' needs a training set: give the task samples, "
                "or use sampling 'population' or 'fresh'."
            )
        return self

    def twin(self, **changes: object) -> Ensemble:
        """The same ensemble with some settings changed, validated again."""
        return Ensemble.model_validate({**dict(self), **changes})

    @property
    def noise_off(self) -> Ensemble:
        """The same starts and the same horizon, without any noise."""
        return self.twin(update=self.update.noiseless)


def logarithmic_grid(steps: int, check_every: int, per_decade: int = 12) -> tuple[int, ...]:
    """Updates to record: 0 and about `per_decade` a decade, multiples of `check_every`."""
    checks = steps // check_every
    count = max(2, int(per_decade * np.log10(max(checks, 2))) + 1)
    grid = np.unique(np.geomspace(1, max(checks, 1), count).round().astype(int))
    return (0, *(int(n) * check_every for n in grid))


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What an ensemble did. Arrays put the replica first.

    `passages` holds one `EscapeTimes` for each event. `strengths` (replicas, modes),
    `dead_amplitudes` (replicas, depth; singular value number rank + 1 of the layers at the
    start), `prepared_at` (the weight decay of the trap's preparation) and `thresholds`
    (replicas, events). Recorded: `recorded_steps` (records,), `recorded_strengths` (replicas,
    records, modes), `recorded_train_error` and `recorded_test_error` (replicas, records).
    """

    passages: tuple[EscapeTimes, ...]
    initial_strengths: NDArray[np.float64]
    dead_amplitudes: NDArray[np.float64]
    prepared_at: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    strengths: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_error: NDArray[np.float64]
    recorded_steps: NDArray[np.int64]
    recorded_strengths: NDArray[np.float64]
    recorded_train_error: NDArray[np.float64]
    recorded_test_error: NDArray[np.float64]

    @property
    def effective_rank(self) -> NDArray[np.float64]:
        """Effective rank of the final maps, shape (replicas,)."""
        return effective_rank(self.strengths.T)

    @staticmethod
    def merge(parts: Sequence[Outcome]) -> Outcome:
        """Concatenate shards in replica order."""
        events = range(len(parts[0].passages))
        merged = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Outcome.__dataclass_fields__
            if name not in ("passages", "recorded_steps")
        }
        passages = tuple(EscapeTimes.merge([part.passages[e] for part in parts]) for e in events)
        return Outcome(passages=passages, recorded_steps=parts[0].recorded_steps, **merged)


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


def simulate(
    ensemble: Ensemble, seed: int, replicas: range, data: Sequence[Data] | None = None
) -> Outcome:
    """One shard: a pure function of settings, seed and replica range."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return _Shard(ensemble, seed, replicas, data).run()


class _Shard:
    """The state of one shard. `alive` holds the positions of the replicas still simulated."""

    def __init__(
        self, ensemble: Ensemble, seed: int, replicas: range, data: Sequence[Data] | None
    ) -> None:
        self.asked = len(replicas)
        if self.asked == 1:  # NumPy sums a single lane in another order: simulate a second one
            replicas = range(replicas.start, replicas.start + 2)
        self.ensemble, self.replicas = ensemble, replicas
        sets = [i % (ensemble.datasets if data is None else len(data)) for i in replicas]
        names = sorted(set(sets))
        bare = [
            draw(ensemble.task, seed=seed, dataset=n) if data is None else data[n] for n in names
        ]
        self.outputs, self.inputs = bare[0].train.yx.shape
        self.bare = bare
        self.data = [d.with_constant_input() for d in bare] if ensemble.network.biases else bare
        self.dataset, self.dataset_of = np.array(sets), np.searchsorted(names, sets)
        network, update = ensemble.network, ensemble.update
        self.layers, self.prepared_at = prepare(
            ensemble.start, network, update, self.data, self.dataset_of,
            seed=seed, replicas=replicas,
        )  # fmt: skip
        self.trainable = network.trainable(self.outputs, self.inputs)
        self.batches = Batches(
            update, self.data, self.dataset_of, seed=seed, replicas=list(replicas),
            task=ensemble.task if data is None else None, dtype=network.precision,
        )  # fmt: skip
        self.kicks = None
        if update.temperature > 0:
            count = sum(layer[..., 0].size for layer in self.layers)
            self.kicks = Stream(seed, "Langevin noise", replicas, -(-count // 2))
        self.alive = np.arange(len(replicas))

    def run(self) -> Outcome:
        """Train to the horizon, looking at the events on the way."""
        ensemble = self.ensemble
        now = self._observe()
        ledger = _Ledger(ensemble, len(self.replicas), self._thresholds(now.test_error), now)
        start = ensemble.start
        rank = start.rank if start.kind == "trap" else len(start.strengths)
        dead = dead_amplitudes(self.layers, rank).T
        steps = 0
        while True:
            self._drop(ledger.look(steps, self.alive, now))
            if steps >= ensemble.steps or len(self.alive) == 0:
                break
            steps = self._advance(steps, min(ensemble.check_every, ensemble.steps - steps))
            now = self._observe()
        return ledger.outcome(self, dead)

    def _advance(self, at: int, count: int) -> int:
        """Make `count` updates and return the number of updates made so far."""
        for now in range(at, at + count):
            slopes = gradients(self.layers, *self.batches.moments(now))
            step(self.layers, slopes, self._noise(now), self.ensemble.update, self.trainable)
        return at + count

    def _noise(self, now: int) -> Layers | None:
        """Standard normals for every weight, in the order of the layers, rows first."""
        if self.kicks is None:
            return None
        draws = self.kicks.normals(now)
        shapes = [layer.shape[:2] for layer in self.layers]
        ends = np.cumsum([rows * columns for rows, columns in shapes])
        parts = np.split(draws[: ends[-1]], ends[:-1])
        return [part.reshape(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]

    def _observe(self) -> _Observation:
        """Observables of the replicas still simulated."""
        maps = np.moveaxis(end_to_end(self.layers), -1, 0).astype(np.float64)
        finite = np.isfinite(maps).all(axis=(1, 2)) & (np.abs(maps).max(axis=(1, 2)) < LARGEST)
        maps = np.where(finite[:, None, None], maps, 0.0)
        train, test = np.empty(len(maps)), np.empty(len(maps))
        for index, data in enumerate(self.data):
            mine = self.dataset_of[self.alive] == index
            train[mine], test[mine] = data.train.error(maps[mine]), data.test.error(maps[mine])
        return _Observation(singular_values(maps[:, :, : self.inputs]), train, test, finite)

    def _drop(self, finished: NDArray[np.bool_]) -> None:
        """Stop simulating replicas that are done; the others' numbers do not change."""
        left = int((~finished).sum())
        if left == 0:
            self.alive = self.alive[:0]
        # Copying costs more than a few idle lanes, and a single lane must not be left.
        elif 2 <= left < 0.7 * len(finished):
            keep = ~finished
            self.alive = self.alive[keep]
            self.layers = [np.ascontiguousarray(layer[..., keep]) for layer in self.layers]
            self.batches.keep(keep)
            if self.kicks is not None:
                self.kicks.keep(keep)

    def _thresholds(self, test_error: NDArray[np.float64]) -> NDArray[np.float64]:
        """Threshold of every replica for every event, shape (replicas, events)."""
        table = np.empty((len(self.replicas), len(self.ensemble.events)))
        for e, event in enumerate(self.ensemble.events):
            if event.threshold == "midpoint":
                learned = [
                    learned_error(d, self.ensemble.network, self.ensemble.update.weight_decay)
                    for d in self.bare
                ]
                table[:, e] = 0.5 * (test_error + np.array(learned)[self.dataset_of])
            else:
                table[:, e] = event.threshold
        return table


@dataclass(frozen=True, eq=False)
class _Observation:
    """Observables of the simulated replicas: strengths (replicas, modes), errors (replicas,)."""

    strengths: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_error: NDArray[np.float64]
    finite: NDArray[np.bool_]


class _Ledger:
    """Who has escaped when, and the last observables of every replica while it was watched."""

    def __init__(
        self, ensemble: Ensemble, total: int, thresholds: NDArray[np.float64], start: _Observation
    ) -> None:
        self.ensemble, self.thresholds, self.start = ensemble, thresholds, start
        self.last = _Observation(
            start.strengths.copy(), start.train_error.copy(), start.test_error.copy(), start.finite
        )
        self.beyond = np.zeros(thresholds.shape, dtype=np.int64)  # successive checks beyond
        self.hit = np.full(thresholds.shape, -1, dtype=np.int64)
        self.diverged = np.full(total, -1, dtype=np.int64)
        self.watched = np.zeros(total, dtype=np.int64)
        self.open = np.ones(total, dtype=bool)
        self.records: list[_Observation] = []

    def look(self, steps: int, alive: NDArray[np.int64], now: _Observation) -> NDArray[np.bool_]:
        """Enter one check; True where a replica of `alive` is done."""
        use = self.open[alive]
        at = alive[use]
        self.watched[at] = steps
        for name in ("strengths", "train_error", "test_error"):
            getattr(self.last, name)[at] = getattr(now, name)[use]
        self.diverged[at[~now.finite[use]]] = steps
        if steps > 0:
            for e, event in enumerate(self.ensemble.events):
                self._look_for(e, event, steps, at, now.finite[use])
        if steps in self.ensemble.record_at:
            self.records.append(
                _Observation(*(getattr(self.last, n).copy() for n in _Observation.__annotations__))
            )
        done = self.diverged[at] >= 0
        if self.ensemble.events and not self.ensemble.record_at:
            done |= (self.hit[at] >= 0).all(axis=1)
        self.open[at[done]] = False
        return ~self.open[alive]

    def _look_for(
        self, e: int, event: Event, steps: int, at: NDArray[np.int64], finite: NDArray[np.bool_]
    ) -> None:
        if event.observable == "strength":
            values = self.last.strengths[at, event.mode - 1]
        else:
            values = self.last.test_error[at]
        sign = 1.0 if event.direction == "above" else -1.0
        beyond = (sign * (values - self.thresholds[at, e]) > 0) & finite
        self.beyond[at, e] = np.where(beyond, self.beyond[at, e] + 1, 0)
        new = (self.beyond[at, e] >= event.persistence) & (self.hit[at, e] < 0)
        # The passage is the first of the persistent checks.
        self.hit[at[new], e] = steps - (event.persistence - 1) * self.ensemble.check_every

    def outcome(self, shard: _Shard, dead: NDArray[np.float64]) -> Outcome:
        """Everything seen, of the replicas that were asked for."""
        some = slice(shard.asked)
        rows = [r.strengths for r in self.records]
        return Outcome(
            passages=tuple(self._passage(e, shard) for e in range(self.hit.shape[1])),
            initial_strengths=self.start.strengths[some],
            dead_amplitudes=dead[some],
            prepared_at=shard.prepared_at[some],
            thresholds=self.thresholds[some],
            strengths=self.last.strengths[some],
            train_error=self.last.train_error[some],
            test_error=self.last.test_error[some],
            recorded_steps=np.array(self.ensemble.record_at[: len(rows)], dtype=np.int64),
            recorded_strengths=_records(rows, self.last.strengths.shape)[some],
            recorded_train_error=_records([r.train_error for r in self.records], self.open.shape)[
                some
            ],
            recorded_test_error=_records([r.test_error for r in self.records], self.open.shape)[
                some
            ],
        )

    def _passage(self, e: int, shard: _Shard) -> EscapeTimes:
        some = slice(shard.asked)
        hit, diverged = self.hit[some, e], self.diverged[some]
        status = np.where(hit >= 0, "escaped", np.where(diverged >= 0, "diverged", "censored"))
        steps = np.where(hit >= 0, hit, self.watched[some])
        return EscapeTimes(
            replica=np.array(shard.replicas)[some],
            dataset=shard.dataset[some],
            steps=steps,
            time=steps * self.ensemble.update.learning_rate,
            status=status,
        )


def _records(rows: list[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Records with the replica first and the record second, also when there are none."""
    return np.stack(rows, axis=1) if rows else np.empty((shape[0], 0, *shape[1:]))


def learned_error(data: Data, network: Network, weight_decay: float) -> float:
    """Test error of the noise-free run from a start which has every feature in full.

    What the paper calls the final value. If a feature cannot be held at this weight decay
    the run loses it, and the error says so.
    """
    outputs, inputs = data.train.yx.shape
    plain = network.model_copy(update={"biases": False, "precision": "float64"})
    layers = balanced(
        plain, [data], np.zeros(2, dtype=int), (1.0,) * min(outputs, inputs, *plain.hidden, outputs)
    )
    update = Update(learning_rate=0.05, weight_decay=weight_decay, sampling="full")
    for _ in range(4000):
        step(
            layers,
            gradients(layers, data.train.xx[..., None], data.train.yx[..., None]),
            None,
            update,
        )
    return float(data.test.error(end_to_end(layers)[..., 0]))
