"""Stopping at a number of events: all replicas are watched until the same moment.

The moment is that of the D-th escape in simulated time. Shards advance in rounds of a common
horizon until it is certain; the cut itself is made when they are merged, so that it depends on no
partition, and the exposure until then is a gamma variable of shape D whatever the rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.shard import Ensemble
from spinodal.records import EscapeTimes

FIRST_ROUND, GROWTH = 256, 1.25
"""The first round is this part of the horizon, and each next one longer by this factor."""


def rounds(ensemble: Ensemble) -> Iterator[int]:
    """Numbers of updates at which all shards wait for each other; the last is the horizon."""
    every, at = ensemble.check_every, ensemble.steps / FIRST_ROUND
    last = 0
    while at < ensemble.steps:
        step = -(-int(at) // every) * every
        if last < step < ensemble.steps:
            yield step
            last = step
        at *= GROWTH
    yield ensemble.steps


@dataclass(frozen=True)
class Cut:
    """Watching ends after `step` updates; of escapes at that step those up to `replica` count."""

    ensemble: Ensemble
    step: int
    replica: int

    def apply(self, outcome: Outcome) -> Outcome:
        """The outcome as it was known at the cut; observables stay those of the last look.

        Records after the cut are no numbers: some shards were watched longer, others were not.
        """
        after, records = outcome.recorded_steps > self.step, {}
        for name in ("recorded_strengths", "recorded_train_error", "recorded_test_error"):
            records[name] = getattr(outcome, name).copy()
            records[name][:, after] = np.nan
        passages = tuple(self._passage(p) for p in outcome.passages)
        return replace(outcome, passages=passages, **records)

    def _passage(self, times: EscapeTimes) -> EscapeTimes:
        tied = times.escaped & (times.replica > self.replica)
        after = (times.steps > self.step) | ((times.steps == self.step) & tied)
        steps = np.where(after, self.step, times.steps)
        return EscapeTimes(
            replica=times.replica,
            dataset=times.dataset,
            steps=steps,
            time=self.ensemble.update.time(steps),
            status=np.where(after, "censored", times.status),
        )


def find_cut(ensemble: Ensemble, dates: NDArray[np.int64], events: int, horizon: int) -> Cut | None:
    """The cut at escape number `events`, or None while an earlier one may still turn up.

    `dates` (2, escapes) holds updates and replicas of the escapes known when all replicas have
    been watched up to `horizon`. An escape is confirmed only some looks after its date.
    """
    slowest = max(event.persistence for event in ensemble.events)
    certain = horizon - (slowest - 1) * ensemble.check_every
    if horizon >= ensemble.steps:
        certain = horizon
    steps, replicas = dates[:, dates[0] <= certain]
    if len(steps) < events:
        return None
    last = np.lexsort((replicas, steps))[events - 1]
    return Cut(ensemble, int(steps[last]), int(replicas[last]))
