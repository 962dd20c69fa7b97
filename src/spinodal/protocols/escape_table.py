"""Escape times and trajectories as CSV, a shard at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.outcome import Outcome
from spinodal.dynamics.updates import Update

ESCAPES = (
    "replica,dataset,seed,learning_rate,batch_size,weight_decay,temperature,"
    "from_rank,to_rank,steps,time,status\n"
)
DIVERGED = "replica,dataset,steps,time,last_weight_norm\n"


def escapes(
    parts: Iterator[Outcome], update: Update, *, seed: int, rank_above: float
) -> Iterator[bytes]:
    """One row per replica: what became of it until the first event, or while it was watched.

    learning_rate ... temperature are those of the last update made. Ranks count strengths beyond
    `rank_above`, at the start and at the escape; who did not escape has not left its rank.
    """
    header = ESCAPES
    for outcome in parts:
        times = outcome.passages[0]
        before = (outcome.initial_strengths > rank_above).sum(axis=1)
        after = (outcome.escape_strengths > rank_above).sum(axis=1)
        left = np.isin(times.status, ("escaped", "escaped_elsewhere"))
        columns = [
            times.replica,
            times.dataset,
            np.full(len(before), seed, dtype=object),
            *(in_force(update, name, times.steps) for name in COEFFICIENTS),
            before,
            np.where(left, after, before),
            times.steps,
            times.time,
            times.status,
        ]
        yield (header + _rows(columns)).encode()
        header = ""


COEFFICIENTS = ("learning_rate", "batch_size", "weight_decay", "temperature")


def in_force(update: Update, name: str, steps: NDArray[np.int64]) -> NDArray[np.object_]:
    """A coefficient of the update number `steps` (from 1) under the schedule, elementwise."""
    first = getattr(update, name)
    values = np.full(steps.shape, "" if first is None else first, dtype=object)
    for stage in update.schedule:
        changed = getattr(stage, name)
        if changed is not None:
            values[steps > stage.at] = changed
    return values


def diverged(outcome: Outcome) -> bytes:
    """Rows of replicas that diverged, with the last norm of all weights that was a number."""
    times = outcome.passages[0]
    some = times.status == "diverged"
    columns = (times.replica, times.dataset, times.steps, times.time, outcome.weight_norms)
    return _rows([column[some] for column in columns]).encode()


def trajectories(parts: Iterator[Outcome], update: Update) -> Iterator[bytes]:
    """One row per replica and record while it was watched: strengths and errors along the way."""
    header = True
    for outcome in parts:
        replicas, records, modes = outcome.recorded_strengths.shape
        if header:
            names = "".join(f"strength_{mode + 1}," for mode in range(modes))
            yield f"replica,dataset,steps,time,{names}train_error,test_error\n".encode()
            header = False
        steps = np.tile(outcome.recorded_steps, replicas)
        strengths = outcome.recorded_strengths.reshape(-1, modes)
        times = outcome.passages[0]
        columns = [
            np.repeat(times.replica, records),
            np.repeat(times.dataset, records),
            steps,
            update.time(steps),
            *strengths.T,
            outcome.recorded_train_error.ravel(),
            outcome.recorded_test_error.ravel(),
        ]
        # Who escaped is watched on; with whoever diverged or was cut off, watching ended then.
        left = np.isin(times.status, ("escaped", "escaped_elsewhere"))
        watched = left[:, None] | (outcome.recorded_steps <= times.steps[:, None])
        watched &= (times.status != "diverged")[:, None] | (
            outcome.recorded_steps < times.steps[:, None]
        )
        watched &= np.isfinite(outcome.recorded_train_error)
        yield _rows([column[watched.ravel()] for column in columns]).encode()


def _rows(columns: list[NDArray]) -> str:
    """Numbers in their shortest form that reads back to the same bits."""
    texts = [[str(value) for value in column.tolist()] for column in columns]
    return "".join(",".join(row) + "\n" for row in zip(*texts, strict=True))
