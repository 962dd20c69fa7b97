"""Splitting of training runs: clones of a network with its optimiser, and the rate of an escape.

A clone takes over weights, momentum and second moments, and gets a number, and with it random
streams, of its own. Its sampler is where the parent's is: nothing is left to copy where batches are
drawn without memory, and shuffled batches are cloned between two epochs only, where the next order
is drawn anew. What depends on the age of a run is refused, or waited for: schedules are refused,
Adam's corrections are left to fade until they are exactly 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.checkpoints import prepare
from spinodal.dynamics.data import Data
from spinodal.dynamics.events import Event
from spinodal.dynamics.machine import Machine, Trace, build
from spinodal.dynamics.networks import Layers, as_layers
from spinodal.dynamics.observables import Gauge, Measured
from spinodal.dynamics.plan import Plan, make_plan
from spinodal.dynamics.schedule import adam_corrections
from spinodal.dynamics.shard import Ensemble, check_modes, learned_error
from spinodal.dynamics.tasks import draw
from spinodal.errors import InputError
from spinodal.rare.estimates import SplittingRate
from spinodal.rare.splitting import Progress, SplittingSettings, rate
from spinodal.rare.swarms import Look, Mask, Ranked, States, Swarm
from spinodal.seeding import check_seed

Score = Callable[[NDArray[np.float64], Layers], NDArray[np.float64]]
"""A user's score: strengths (modes, copies) and layers (rows, columns, copies) to (copies,)."""

Rank = Callable[[NDArray[np.float64]], NDArray[np.float64]]

LOOKS = 5
"""Looks for branching between two looks of the ensemble, about."""

OLDEST = 2**22
"""Updates after which Adam's corrections must have become 1."""


class TrainingSwarm:
    """Copies of a training run on the engine, looked at every `check_every` updates.

    The score is the amplitude strength**(1 / depth) of the event's mode (turned round for an event
    below its threshold) or the test error; a `score` of one's own replaces it. Copies have arrived
    when they are beyond the event's threshold, exactly as brute force has it; their score is then
    infinite for the sake of order. A state is a row of weights, where there are any momenta and
    second moments, and the updates made since the ensemble's last look.
    """

    def __init__(
        self, ensemble: Ensemble, *, seed: int, dataset: int = 0, score: Score | None = None,
        look_every: int | None = None,
    ) -> None:  # fmt: skip
        """Clones for the one event of `ensemble`, on data set number `dataset` under `seed`.

        `look_every` divides `check_every`: copies are branched at these looks too, while they
        arrive at the ensemble's own looks only. Default: about a fifth of `check_every`.
        """
        self._event = checked_event(ensemble)
        self.ensemble, self._score = ensemble, score
        self._seed = check_seed(seed)
        self.dataset = dataset
        network, task = ensemble.network, ensemble.task
        self._bare = draw(task, seed=seed, dataset=dataset)
        outputs, inputs = self._bare.train.yx.shape
        check_modes(ensemble, outputs, inputs)
        self._data = self._bare.with_constant_input() if network.biases else self._bare
        self._inputs = inputs
        self._plan = make_plan(
            network, ensemble.update, [self._data], np.zeros(1, dtype=np.int64), seed=seed,
            replicas=[0], task=task,
        )  # fmt: skip
        self.birth = _birth(self._plan, ensemble)
        self.every = _look_every(self._plan, ensemble.check_every, look_every)
        self._phase = np.zeros(1, dtype=np.int64)  # updates since the ensemble's last look
        self._threshold = self._resolve(self._bare)
        self._machine: Machine | None = None

    def fork(self) -> TrainingSwarm:
        """Another swarm of the same training run."""
        return TrainingSwarm(
            self.ensemble, seed=self._seed, dataset=self.dataset, score=self._score,
            look_every=self.every,
        )  # fmt: skip

    def start(self, seed: int, numbers: Sequence[int]) -> States:
        """The ensemble's start for replicas of these numbers; momenta begin at zero."""
        layers, _ = prepare(
            self.ensemble.start, self.ensemble.network, self.ensemble.update, [self._data],
            np.zeros(len(numbers), dtype=np.int64), seed=seed,
            replicas=numbers,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
        flat = np.concatenate([layer.reshape(-1, len(numbers)) for layer in layers])
        rows = np.zeros((len(numbers), len(flat) * self._parts + 1), dtype=self._plan.precision)
        rows[:, : len(flat)] = flat.T
        return rows

    def launch(self, states: States, seed: int, numbers: Sequence[int]) -> Look:
        """See `Swarm`."""
        lanes = np.zeros(len(numbers), dtype=np.int64)
        self._plan = replace(
            self._plan, seed=seed, replicas=tuple(int(n) for n in numbers), dataset_of=lanes
        )
        columns = np.ascontiguousarray(states[:, :-1].T).reshape(self._parts, -1, len(numbers))
        self._phase = states[:, -1].astype(np.int64)
        machine = build(self._plan, as_layers(columns[0], self._plan.shapes))
        if self.birth or self._parts > 1:
            state = {**machine.state(), **dict(zip(NAMES, columns, strict=False))}
            machine.restore(self.birth, state)
        self._machine = machine
        self._gauge = Gauge(
            [self._data], lanes, inputs=self._inputs, linear=self._plan.path == "moments"
        )
        return self._look(machine.observe(), machine.layers)

    def replace(self, lanes: NDArray[np.intp], states: States, numbers: Sequence[int]) -> Look:
        """See `Swarm`; the streams go on, whose later numbers are independent of all before."""
        machine = self._running
        state = machine.state()
        columns = states[:, :-1].T.reshape(self._parts, -1, len(lanes))
        self._phase[lanes] = states[:, -1].astype(np.int64)
        for name, column in zip(NAMES, columns, strict=False):
            state[name][:, lanes] = column
        machine.restore(machine.step, state)
        look = self._look(machine.observe(), machine.layers)
        return Look(
            score=look.score[lanes],
            arrived=None if look.arrived is None else look.arrived[lanes],
        )

    def advance(self) -> Look:
        """See `Swarm`."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            trace = self._running.advance(self.every, self.every)
        self._phase = (self._phase + self.every) % self.ensemble.check_every
        return self._look(trace, self._running.layers)

    def states(self, lanes: NDArray[np.intp]) -> States:
        """See `Swarm`."""
        state = self._running.state() if self._parts > 1 else None
        if state is None:
            parts = [layer.reshape(-1, layer.shape[-1])[:, lanes] for layer in self._running.layers]
        else:
            parts = [state[name][:, lanes] for name in NAMES[: self._parts]]
        return np.ascontiguousarray(np.concatenate([*parts, self._phase[None, lanes]]).T).astype(
            self._plan.precision, copy=False
        )

    def features(self) -> NDArray[np.float64]:
        """Amplitudes of all modes, the event's test error too, and the norm of every layer."""
        layers = self._running.layers
        norms = [np.sqrt(np.square(layer, dtype=np.float64).sum(axis=(0, 1))) for layer in layers]
        amplitudes = self._strengths ** (1 / self.ensemble.network.depth)
        columns = [*amplitudes, *norms]
        if self._event.observable == "test_error":
            columns.insert(0, self._errors)
        return np.stack(columns, axis=1)

    def keep(self, mask: Mask) -> None:
        """See `Swarm`."""
        self._running.keep(mask)
        self._gauge.keep(mask)
        self._phase = self._phase[mask]
        self._strengths, self._errors = self._strengths[:, mask], self._errors[mask]

    @property
    def threshold(self) -> float:
        """The event's threshold, as a strength or a test error."""
        return self._threshold

    @property
    def _parts(self) -> int:
        """Arrays of a state: weights, and what the optimiser remembers."""
        return {"sgd": 1, "momentum": 2}.get(self._plan.optimizer, 3)

    @property
    def _running(self) -> Machine:
        if self._machine is None:
            raise InputError("No copy runs yet: launch the swarm first.")
        return self._machine

    def _look(self, trace: Trace, layers: Layers) -> Look:
        seen = Measured(trace.maps, trace.norms, trace.train, trace.test)
        if not self._gauge.finite(seen).all():
            raise InputError(
                "A copy diverged: its weights or losses are no finite numbers any more; lower the "
                "learning rate or the temperature."
            )
        lanes = np.arange(trace.maps.shape[-1])
        self._strengths = self._gauge.strengths(seen, lanes)[0].T
        event, sign = self._event, 1.0 if self._event.direction == "above" else -1.0
        if event.observable == "test_error":
            self._errors = self._gauge.errors(seen, lanes)[1][0]
            values = self._errors
            score = sign * values
        else:
            self._errors = np.zeros(len(lanes))
            values = self._strengths[event.mode - 1]
            score = sign * values ** (1 / self.ensemble.network.depth)
        if self._score is not None:
            score = np.asarray(self._score(self._strengths, layers), dtype=float)
            if score.shape != values.shape:
                raise InputError(
                    f"The score must be one number per copy, shape {values.shape}, got shape "
                    f"{score.shape}."
                )
        beyond = sign * values > sign * self._threshold
        return Look(score=score, arrived=beyond & (self._phase == 0))

    def _resolve(self, data: Data) -> float:
        """The threshold as a number."""
        given = self._event.threshold
        if given != "midpoint":
            return float(given)
        update = self.ensemble.update
        self._threshold = math.inf
        self.launch(self.start(self._seed, [0]), self._seed, [0])
        learned = learned_error(data, self.ensemble.network, update.weight_decay)
        return 0.5 * (float(self._errors[0]) + learned)


NAMES = ("weights", "momentum", "second")


def checked_event(ensemble: Ensemble) -> Event:
    """The one event whose rate is asked for, or why there is none to be had by splitting."""
    if len(ensemble.events) != 1:
        raise InputError(
            f"Splitting estimates the rate of one event, got {len(ensemble.events)}: give the "
            "ensemble exactly one."
        )
    event = ensemble.events[0]
    if event.persistence != 1:
        raise InputError(
            f"The event has persistence {event.persistence}, but splitting ends a copy at its "
            "first look beyond the threshold: use persistence 1 and a threshold well beyond the "
            "saddle."
        )
    if ensemble.update.schedule:
        raise InputError(
            "The schedule changes the update while training goes on, so there is no one rate: "
            "leave the schedule out."
        )
    return event


def _birth(plan: Plan, ensemble: Ensemble) -> int:
    """The update at which every copy begins, so that what depends on the age is exact."""
    stretch = plan.stretches[0]
    if plan.sampling == "shuffled" and ensemble.check_every % stretch.per_epoch:
        raise InputError(
            f"Shuffled batches can be cloned between epochs only, but check_every is "
            f"{ensemble.check_every} and an epoch has {stretch.per_epoch} updates: make "
            f"check_every a multiple of {stretch.per_epoch}, or use sampling 'replacement'."
        )
    if plan.optimizer not in ("adam", "adamw"):
        return 0
    step = stretch.per_epoch
    while step < OLDEST:
        first, second = adam_corrections(plan.momentum, plan.second_momentum, step, 1)
        if first[0] == 1 and second[0] == 1:
            return step
        step *= 2
    raise InputError(
        f"Adam's corrections with second_momentum {plan.second_momentum:g} take more than "
        f"{OLDEST:,} updates to fade, and copies of different ages cannot be cloned: lower it."
    )


def _look_every(plan: Plan, check_every: int, wanted: int | None) -> int:
    """Updates between two looks at which copies may be branched: a divisor of `check_every`."""
    epoch = plan.stretches[0].per_epoch if plan.sampling == "shuffled" else 1
    allowed = [n for n in range(epoch, check_every + 1, epoch) if check_every % n == 0]
    if wanted is not None and wanted not in allowed:
        raise InputError(
            f"look_every must divide check_every = {check_every} and hold whole epochs, got "
            f"{wanted}: use one of {', '.join(map(str, allowed[:12]))}."
        )
    few = [n for n in allowed if n <= max(check_every // LOOKS, allowed[0])]
    return few[-1] if wanted is None else wanted


def training_rate(
    ensemble: Ensemble,
    *,
    seed: int,
    repetitions: int = 20,
    copies: int = 512,
    dataset: int = 0,
    look_every: int | None = None,
    score: Score | None = None,
    rank: Rank | None = None,
    settings: SplittingSettings | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> SplittingRate:
    """Rate of the ensemble's one event, per unit of training time, by splitting.

    The same number as that of brute force, 1 / (mean time from the ensemble's start until the event
    is seen at a look, every `check_every` updates), on data set number `dataset`; `steps` of the
    ensemble is not used. `look_every` is that of `TrainingSwarm`. `score` replaces the amplitude of
    the event's mode, `rank` (an estimated committor of the features) only the order in which copies
    are given up. `settings` replaces `repetitions` and `copies` and says more. With Adam the rate
    is that of a run whose corrections have faded. No number depends on `workers`, which share the
    repetitions as threads.
    """
    settings = settings or SplittingSettings(
        repetitions=repetitions, copies=copies, watchers=64, resolution=_resolution(ensemble, score)
    )
    swarm: Swarm = TrainingSwarm(
        ensemble, seed=seed, dataset=dataset, score=score, look_every=look_every
    )
    if rank is not None:
        swarm = Ranked(swarm, rank)
    per_step = float(ensemble.update.time(1))
    return rate(
        swarm, target=math.inf, seed=seed, settings=settings, time_per_step=per_step,
        workers=workers, progress=progress,
    )  # fmt: skip


def _resolution(ensemble: Ensemble, score: Score | None) -> float:
    """A thousandth of the amplitude at the threshold: it bounds how many states are kept."""
    event = checked_event(ensemble)
    if score is not None or event.observable != "strength" or event.threshold == "midpoint":
        return 0.0
    return max(float(event.threshold) ** (1 / ensemble.network.depth), 1e-3) / 1000
