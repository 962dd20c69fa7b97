"""One shard of an ensemble: a pure function of settings, seed and replica range."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from spinodal.dynamics.checkpoints import Start, balanced, prepare
from spinodal.dynamics.events import Event, Ledger
from spinodal.dynamics.machine import Machine, Trace, build
from spinodal.dynamics.networks import Layers, Network, dead_amplitudes
from spinodal.dynamics.observables import Gauge, Looks, Measured, Observation
from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.plan import make_plan
from spinodal.dynamics.tasks import Data, Task, draw
from spinodal.dynamics.together import check_together, noise_off
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.records import Settings

LOOKS = 16384
"""Looks times replicas in the largest block: enough that NumPy's overhead does not count."""

UPDATES = 2**20
"""Updates in the longest stretch of work, so that what is kept for each stays small."""

MEMORY = 4 * 2**20
"""Bytes of maps in the largest block: they should stay in the cache."""

PATIENCE = 0.1
"""Seconds after which stretches of work do not grow any more, so that a leg can end soon."""


SETTLING, SETTLED = 200.0, 1e-7
"""A noise-free run has come to rest when its error stays within this factor for so long."""

LEARNING, TRIES = 2_000_000, 4
"""Updates of a noise-free run until that is given up, and learning rates that are tried."""


class Ensemble(Settings):
    """Settings of many replicas; with a seed and a range of replicas they fix every number.

    Replica i trains on data set i modulo `datasets`. Observables are looked at every
    `check_every` updates and recorded at the updates `record_at` (multiples of it). Training
    of a replica stops at its last event unless it is recorded. With `competing` events the
    first one ends it, and it has escaped elsewhere for the others; who starts beyond a threshold
    was never at risk, and is censored after no time.
    """

    task: Task
    network: Network = Network()
    update: Update
    start: Start = Start()
    events: tuple[Event, ...] = ()
    competing: bool = False
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
        check_together(self.task, self.network, self.update, self.start)
        by_samples = not self.network.linear or self.update.loss != "squared"
        if by_samples and any(event.threshold == "midpoint" for event in self.events):
            raise InputError(
                "The midpoint rule needs the learned state of a linear network with the squared "
                f"loss, got activation '{self.network.activation}' and loss '{self.update.loss}': "
                "give the event's threshold as a number."
            )
        return self

    def twin(self, **changes: object) -> Ensemble:
        """The same ensemble with some settings changed, validated again."""
        return Ensemble.model_validate({**dict(self), **changes})

    @property
    def noise_off(self) -> Ensemble:
        """The same starts and the same horizon, without any noise."""
        return self.twin(update=noise_off(self.network, self.update))


def check_modes(ensemble: Ensemble, outputs: int, inputs: int) -> None:
    """Refuse an event at a strength that the network does not have on such data."""
    modes = ensemble.network.modes(outputs, inputs)
    for event in ensemble.events:
        if event.observable == "strength" and event.mode > modes:
            raise InputError(
                f"There are {modes} strengths, as many as the narrowest layer has units; "
                f"an event of mode {event.mode} cannot occur: use a mode from 1 to {modes}."
            )


def simulate(
    ensemble: Ensemble,
    seed: int,
    replicas: range,
    data: Sequence[Data] | None = None,
    *,
    checkpoints: bool = False,
) -> Outcome:
    """One shard from start to end."""
    shard = Shard(ensemble, seed, replicas, data, checkpoints=checkpoints)
    shard.advance()
    return shard.outcome()


class Shard:
    """Some replicas of an ensemble, which can be stopped, stored and taken up again.

    Nothing that it does depends on where it was stopped, nor on the sizes of its blocks of looks.
    `alive` holds the positions of the replicas still simulated.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        seed: int,
        replicas: range,
        data: Sequence[Data] | None = None,
        *,
        checkpoints: bool = False,
        state: Mapping[str, NDArray] | None = None,
    ) -> None:
        """A shard at its start, or where `state` was taken."""
        self.ensemble, self.replicas, self.checkpoints = ensemble, replicas, checkpoints
        sets = [i % (ensemble.datasets if data is None else len(data)) for i in replicas]
        names = sorted(set(sets))
        self._bare = [
            draw(ensemble.task, seed=seed, dataset=n) if data is None else data[n] for n in names
        ]
        self.dataset, self._dataset_of = np.array(sets), np.searchsorted(names, sets)
        with _quiet():
            self._build(seed, data is None, state)

    def _build(self, seed: int, own_task: bool, state: Mapping[str, NDArray] | None) -> None:
        ensemble, network = self.ensemble, self.ensemble.network
        outputs, inputs = self._bare[0].train.yx.shape
        check_modes(ensemble, outputs, inputs)
        data = [d.with_constant_input() for d in self._bare] if network.biases else self._bare
        self.alive = np.arange(len(self.replicas)) if state is None else state["alive"]
        sets = self._dataset_of[self.alive]
        if state is None:
            layers, self._prepared_at = prepare(
                ensemble.start, network, ensemble.update, data, sets,
                seed=seed, replicas=self.replicas,
            )  # fmt: skip
        else:  # only their shapes matter
            some = range(len(self.alive))
            layers = network.initial(outputs, inputs, seed=seed, replicas=some)
        plan = make_plan(
            network, ensemble.update, data, sets, seed=seed,
            replicas=[self.replicas[i] for i in self.alive],
            task=ensemble.task if own_task else None,
        )  # fmt: skip
        self._machine: Machine = build(plan, layers)
        self._gauge = Gauge(data, sets, inputs=inputs, linear=plan.path == "moments")
        # Never many more updates than so far, lest a quick escape, or a slow one, cost much.
        self._stretch = _first_stretch(self._machine, plan.samples if plan.path == "samples" else 1)
        self._rerun: tuple[int, dict[str, NDArray]] | None = None  # where the last look was
        if state is None:
            self._open(layers)
        else:
            self._restore(state)

    def _open(self, layers: Layers) -> None:
        """Look at the start."""
        start, total = self.ensemble.start, len(self.replicas)
        rank = start.rank if start.kind == "trap" else len(start.strengths)
        # Only a start of some rank has channels that are dead; wide layers would cost seconds.
        ranked = start.kind in ("trap", "balanced", "checkpoint")
        self._dead = dead_amplitudes(layers, rank).T if ranked else np.zeros((total, len(layers)))
        self._weights = np.empty((total, 0))
        looks = self._looks(self._machine.observe(), None)
        now = looks.pick(np.zeros(total, dtype=np.intp), np.arange(total))
        self._ledger = Ledger(
            self.ensemble.events, self.ensemble.record_at, self._thresholds(now), now,
            competing=self.ensemble.competing,
        )  # fmt: skip
        self._enter(looks, None)

    @property
    def step(self) -> int:
        """Updates made so far."""
        return int(self._machine.step)

    @property
    def finished(self) -> bool:
        """Has every replica ended, or the horizon been reached?"""
        return len(self.alive) == 0 or self.step >= self.ensemble.steps

    def advance(
        self,
        until: int | None = None,
        *,
        seconds: float = np.inf,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train up to `until` updates (a multiple of check_every), or for a while."""
        ensemble, deadline = self.ensemble, time.monotonic() + seconds
        until = ensemble.steps if until is None else min(until, ensemble.steps)
        with _quiet():
            while not self.finished and self.step < until:
                began = time.monotonic()
                self._work(until)
                now = time.monotonic()
                if now - began < PATIENCE:
                    self._stretch = min(2 * self._stretch, UPDATES)
                elif now - began > 4 * PATIENCE:
                    self._stretch = max(1, self._stretch // 4)
                if now >= deadline or stop():
                    break

    def _work(self, until: int) -> None:
        """A stretch of work: a block of looks, or a part of the way to the next look."""
        every = self.ensemble.check_every
        if self.checkpoints and self.ensemble.events and self._rerun is None:
            self._rerun = (self.step, self._machine.state())
        most = min(
            LOOKS // len(self.alive), MEMORY // self._now.maps.nbytes, self._stretch // every
        )
        if self.step % every == 0 and most > 0:
            count = min(most * every, until - self.step)
        else:
            look = min((self.step // every + 1) * every, until)
            count = min(self._stretch, look - self.step)
            if self.step + count < look:
                self._machine.advance(count, count)
                return
            every = count
        trace = self._machine.advance(count, every)
        rerun, self._rerun = self._rerun, None
        self._enter(self._looks(trace, self._now), rerun)

    def _looks(self, trace: Trace, before: Measured | None) -> Looks:
        seen = Measured(trace.maps, trace.norms, trace.train, trace.test)
        return Looks(np.asarray(trace.steps), seen, before or seen, self._gauge)

    def _enter(self, looks: Looks, rerun: tuple[int, dict[str, NDArray]] | None) -> None:
        """Enter a block of looks into the ledger and let go of who is done."""
        open_before = self._ledger.open[self.alive]
        well, finished = self._ledger.enter(looks, self.alive)
        self._now = looks.last
        if self.checkpoints and rerun is None:  # at the start
            self._store_weights(open_before & finished)
        if rerun is not None and (ended := open_before & finished).any():
            self._keep_weights(looks, *rerun, well, ended)
        self._drop(finished)

    def _keep_weights(
        self,
        looks: Looks,
        at: int,
        before: dict[str, NDArray],
        well: NDArray[np.intp],
        ended: NDArray[np.bool_],
    ) -> None:
        """The weights of replicas that ended, each at its own look: make the block once more."""
        self._machine.restore(at, before)
        for look, end in enumerate([at, *looks.steps.tolist()], start=-1):
            while end > self.step:
                count = min(self._stretch, end - self.step)
                self._machine.advance(count, count)
            self._store_weights(ended & (well == look))

    def _store_weights(self, lanes: NDArray[np.bool_]) -> None:
        weights = self._machine.state()["weights"]
        if not self._weights.size:
            self._weights = np.zeros((len(self.replicas), len(weights)), dtype=weights.dtype)
        self._weights[self.alive[lanes]] = weights[:, lanes].T

    def _drop(self, finished: NDArray[np.bool_]) -> None:
        """Stop simulating replicas that are done; the others' numbers do not change."""
        left = int((~finished).sum())
        # Copying costs more than a few idle lanes.
        if left == 0:
            self.alive = self.alive[:0]
        elif left < 0.7 * len(finished):
            self._keep(~finished)

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        self.alive = self.alive[mask]
        self._machine.keep(mask)
        self._gauge.keep(mask)
        self._now = self._now.keep(mask)

    def _thresholds(self, now: Observation) -> NDArray[np.float64]:
        """Threshold of every replica for every event, shape (replicas, events)."""
        table = np.empty((len(self.replicas), len(self.ensemble.events)))
        for e, event in enumerate(self.ensemble.events):
            if event.threshold == "midpoint":
                learned = [
                    learned_error(d, self.ensemble.network, self.ensemble.update.weight_decay)
                    for d in self._bare
                ]
                table[:, e] = 0.5 * (now.test_error + np.array(learned)[self._dataset_of])
            else:
                table[:, e] = event.threshold
        return table

    def state(self) -> dict[str, NDArray]:
        """Everything that `Shard(..., state=...)` needs to go on, as plain arrays."""
        ledger = self._ledger
        start = ledger.start
        return {
            "step": np.array(self.step),
            "alive": self.alive,
            "dead": self._dead,
            "prepared_at": self._prepared_at,
            "weights": self._weights,
            "thresholds": ledger.thresholds,
            "start.strengths": start.strengths,
            "start.errors": np.array([start.train_error, start.test_error]),
            **{f"machine.{name}": value for name, value in self._machine.state().items()},
            **{f"now.{name}": a for name, a in vars(self._now).items() if a is not None},
            **self._state_of_last_look(),
            **{f"ledger.{name}": getattr(ledger, name).copy() for name in Ledger.ARRAYS},
        }

    def _state_of_last_look(self) -> dict[str, NDArray]:
        """Between two looks, where the weights of the former are asked for: those."""
        if self._rerun is None:
            return {}
        at, state = self._rerun
        return {"looked": np.array(at), **{f"looked.{k}": v for k, v in state.items()}}

    def _restore(self, state: Mapping[str, NDArray]) -> None:
        self._dead, self._prepared_at = state["dead"], state["prepared_at"]
        self._weights = state["weights"].copy()
        start = Observation(state["start.strengths"], *state["start.errors"])
        self._ledger = Ledger(
            self.ensemble.events, self.ensemble.record_at, state["thresholds"], start,
            competing=self.ensemble.competing,
        )  # fmt: skip
        for name in Ledger.ARRAYS:
            setattr(self._ledger, name, state[f"ledger.{name}"].copy())
        self._machine.restore(int(state["step"]), _part(state, "machine."))
        self._now = Measured(**_part(state, "now."))
        if "looked" in state:
            self._rerun = (int(state["looked"]), _part(state, "looked."))

    def starts_beyond(self) -> list[tuple[float | None, float]]:
        """For every event a start value beyond it, None unless all replicas start beyond it.

        With the threshold it was compared with.
        """
        ledger, found = self._ledger, []
        start = ledger.start
        for e, event in enumerate(self.ensemble.events):
            by_strength = event.observable == "strength"
            values = start.strengths[:, event.mode - 1] if by_strength else start.test_error
            limits = ledger.thresholds[:, e]
            beyond = values > limits if event.direction == "above" else values < limits
            found.append((float(values[0]) if beyond.all() else None, float(limits[0])))
        return found

    def dates(self) -> NDArray[np.int64]:
        """Updates and replicas of the escapes of the first event so far, shape (2, escapes)."""
        if not self.ensemble.events:
            return np.empty((2, 0), dtype=np.int64)
        escaped = np.flatnonzero(self._ledger.hit[:, 0] >= 0)
        return np.stack([self._ledger.hit[escaped, 0], np.array(self.replicas)[escaped]])

    def outcome(self) -> Outcome:
        """Everything seen so far; who is still at large is censored."""
        ledger, ensemble = self._ledger, self.ensemble
        if len(self.alive):
            with _quiet():
                ledger.close(self._looks(self._machine.observe(), None), self.alive)
        else:
            ledger.fill(self.step)
        if self.checkpoints:
            self._store_weights(ledger.open[self.alive])
        passages = [
            ledger.passage(e, self.replicas, self.dataset, ensemble.update.time(ledger.ends(e)))
            for e in range(len(ensemble.events))
        ]
        return Outcome(
            passages=tuple(passages),
            initial_strengths=ledger.start.strengths,
            dead_amplitudes=self._dead,
            prepared_at=self._prepared_at,
            thresholds=ledger.thresholds,
            strengths=ledger.strengths,
            escape_strengths=ledger.escape_strengths,
            train_error=ledger.train_error,
            test_error=ledger.test_error,
            weight_norms=np.sqrt(ledger.norm),
            weights=self._weights,
            recorded_steps=np.array(ensemble.record_at, dtype=np.int64),
            recorded_strengths=ledger.recorded_strengths,
            recorded_train_error=ledger.recorded_train_error,
            recorded_test_error=ledger.recorded_test_error,
        )


def _quiet() -> Any:
    """A replica that diverges overflows, and that is data."""
    return np.errstate(over="ignore", invalid="ignore", under="ignore")


def _part(state: Mapping[str, NDArray], prefix: str) -> dict[str, NDArray]:
    """What begins with `prefix`, without it."""
    return {k[len(prefix) :]: v.copy() for k, v in state.items() if k.startswith(prefix)}


def _first_stretch(machine: Machine, samples: int) -> int:
    """Updates to begin with, a fraction of a second also for large networks."""
    weights = sum(layer.size for layer in machine.layers)
    return int(np.clip(10**9 // (weights * max(samples, 1)), 1, 256))


def learned_error(data: Data, network: Network, weight_decay: float) -> float:
    """Test error of the noise-free run from a start which has every feature in full.

    What the paper calls the final value. If a feature cannot be held at this weight decay
    the run loses it, and the error says so. A run that does not come to rest is refused.
    """
    outputs, inputs = data.train.yx.shape
    plain = network.model_copy(update={"biases": False, "precision": "float64"})
    full = (1.0,) * min(outputs, inputs, *plain.hidden)
    one = np.zeros(1, dtype=np.int64)
    # Along the steepest direction at that start depth layers share the curvature of the inputs.
    steepest = network.depth * float(np.abs(np.linalg.eigvalsh(data.train.xx)).max())
    rate = min(0.05, 0.5 / (steepest + weight_decay))
    for _ in range(TRIES):
        update = Update(learning_rate=rate, weight_decay=weight_decay, sampling="full")
        plan = make_plan(plain, update, [data], one, seed=0, replicas=[0])
        machine = build(plan, balanced(plain, [data], one, full))
        error, steps = np.inf, int(np.ceil(SETTLING / rate))
        while machine.step + steps <= LEARNING:
            with _quiet():
                before, error = error, float(data.test.error(_train(machine, steps)[..., 0]))
            if not np.isfinite(error):
                break
            if abs(error - before) <= SETTLED * max(
                abs(error), abs(float(data.test.error(0 * data.train.yx)))
            ):
                return before
        rate /= 4
    raise InputError(
        "The noise-free run that the midpoint rule compares with has not come to rest: give the "
        "event's threshold as a number, or bring inputs and outputs to a variance of about 1."
    )


def _train(machine: Machine, steps: int) -> NDArray[np.float64]:
    """The map after so many updates."""
    while steps:
        count = min(steps, 4000)
        maps, steps = machine.advance(count, count).maps[-1], steps - count
    return maps  # pyright: ignore[reportPossiblyUnboundVariable]
