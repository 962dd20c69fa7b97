"""One shard of an ensemble: a pure function of settings, seed and replica range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from spinodal.dynamics.checkpoints import Start, balanced, prepare
from spinodal.dynamics.events import LARGEST, Event, Ledger, Observation
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
        ledger = Ledger(
            ensemble.events, ensemble.record_at, ensemble.check_every,
            self._thresholds(now.test_error), now,
        )  # fmt: skip
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
        ledger.close()
        return self._outcome(ledger, dead)

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

    def _observe(self) -> Observation:
        """Observables of the replicas still simulated."""
        maps = np.moveaxis(end_to_end(self.layers), -1, 0).astype(np.float64)
        finite = np.isfinite(maps).all(axis=(1, 2)) & (np.abs(maps).max(axis=(1, 2)) < LARGEST)
        maps = np.where(finite[:, None, None], maps, 0.0)
        train, test = np.empty(len(maps)), np.empty(len(maps))
        for index, data in enumerate(self.data):
            mine = self.dataset_of[self.alive] == index
            train[mine], test[mine] = data.train.error(maps[mine]), data.test.error(maps[mine])
        return Observation(singular_values(maps[:, :, : self.inputs]), train, test, finite)

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

    def _outcome(self, ledger: Ledger, dead: NDArray[np.float64]) -> Outcome:
        """Everything seen, of the replicas that were asked for."""
        some, ensemble = slice(self.asked), self.ensemble
        rate = ensemble.update.learning_rate
        passages = [
            ledger.passage(e, self.replicas, self.dataset, rate).select(some)
            for e in range(len(ensemble.events))
        ]
        return Outcome(
            passages=tuple(passages),
            initial_strengths=ledger.start.strengths[some],
            dead_amplitudes=dead[some],
            prepared_at=self.prepared_at[some],
            thresholds=ledger.thresholds[some],
            strengths=ledger.last.strengths[some],
            train_error=ledger.last.train_error[some],
            test_error=ledger.last.test_error[some],
            recorded_steps=np.array(ensemble.record_at, dtype=np.int64),
            recorded_strengths=ledger.recorded("strengths")[some],
            recorded_train_error=ledger.recorded("train_error")[some],
            recorded_test_error=ledger.recorded("test_error")[some],
        )


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
