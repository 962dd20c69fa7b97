"""The package's own machines as contestants: the compiled engine, build by build, and its twin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.machine import Machine, build
from spinodal.dynamics.networks import Layers
from spinodal.dynamics.plan import Plan, make_plan
from spinodal.seeding import Stream, indices, permutations
from spinodal.speed.case import SEED, Case

TWIN = "off"
"""What the environment variable SPINODAL_ENGINE calls the NumPy twin."""


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Machines made here are those of this build: `off`, `auto`, `generic`, `avx2`, `avx512`."""
    before = os.environ.get("SPINODAL_ENGINE")
    os.environ["SPINODAL_ENGINE"] = name
    try:
        yield
    finally:
        del os.environ["SPINODAL_ENGINE"]
        if before is not None:
            os.environ["SPINODAL_ENGINE"] = before


class Own:
    """A machine that trains the first replicas of a case."""

    def __init__(self, case: Case, replicas: int, name: str) -> None:
        """Made by the build called `name`."""
        self.case, self.replicas = case, replicas
        with engine(name):
            self.machine: Machine = build(plan(case, replicas), case.start(replicas))

    def run(self, steps: int) -> Layers:
        """Make updates, look once at the end, and hand out the layers."""
        self.machine.advance(steps, steps)
        return self.machine.layers


def plan(case: Case, replicas: int) -> Plan:
    """What a machine needs to know to train the first replicas of a case."""
    return make_plan(
        case.network,
        case.update,
        [case.data],
        np.zeros(replicas, dtype=np.int64),
        seed=SEED,
        replicas=range(replicas),
        task=case.task,
    )


def batches(case: Case, replicas: int, steps: int) -> NDArray[np.int64]:
    """The samples of every batch that our machines draw, (steps, batch, replicas).

    Worked out from the streams alone, so that a rival that follows them checks the machines'
    batches as well as their steps.
    """
    size, samples = case.batch_size, case.samples
    if case.sampling == "replacement":
        stream = Stream(SEED, "batches with replacement", range(replicas), -(-size // 2))
        return np.stack([indices(stream.words(step), samples, size) for step in range(steps)])
    per_epoch = samples // size
    stream = Stream(SEED, "shuffled batches", range(replicas), samples)
    orders = [permutations(stream.words(epoch)) for epoch in range(-(-steps // per_epoch))]
    usable = np.concatenate([order[: per_epoch * size] for order in orders])
    return usable.reshape(-1, size, replicas)[:steps]
