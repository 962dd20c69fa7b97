"""A leg of work on a shard: from where it stopped to a number of updates, or for some seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.shard import Ensemble, Shard
from spinodal.dynamics.tasks import Data

State = dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class Job:
    """The shard that a leg works on; small, plain, and all that a worker is sent beside a state."""

    ensemble: Ensemble
    seed: int
    part: range
    data: Sequence[Data] | None
    checkpoints: bool

    def shard(self, state: State | None) -> Shard:
        """The shard at its start, or where `state` was taken."""
        return Shard(
            self.ensemble, self.seed, self.part, self.data,
            checkpoints=self.checkpoints, state=state,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Leg:
    """What came of a leg: the outcome of a shard that is finished, else how to go on.

    `dates` are the updates and replicas of the escapes (of the first event) known so far. `live`
    is the shard itself where it did not have to travel, otherwise `state` describes it.
    """

    step: int
    dates: NDArray[np.int64]
    outcome: Outcome | None
    state: State | None
    live: Shard | None


def walk(job: Job, state: State | None, until: int, seconds: float) -> Leg:
    """A leg for a worker elsewhere."""
    return _leg(job.shard(state), until, seconds, lambda: False, travels=True)


def walk_here(
    job: Job,
    shard: Shard | State | None,
    until: int,
    seconds: float,
    stop: Callable[[], bool],
) -> Leg:
    """A leg for a worker in this process, who may be asked to stop."""
    if not isinstance(shard, Shard):
        shard = job.shard(shard)
    return _leg(shard, until, seconds, stop, travels=False)


def _leg(
    shard: Shard, until: int, seconds: float, stop: Callable[[], bool], *, travels: bool
) -> Leg:
    shard.advance(until, seconds=seconds, stop=stop)
    outcome = shard.outcome() if shard.finished else None
    return Leg(
        step=shard.step,
        dates=shard.dates(),
        outcome=outcome,
        state=shard.state() if travels and outcome is None else None,
        live=None if travels or outcome is not None else shard,
    )
