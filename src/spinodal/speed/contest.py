"""Rivals and our machines on the same update: first compared, then timed in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from spinodal.dynamics.networks import Layers
from spinodal.speed import ours
from spinodal.speed.case import Case
from spinodal.speed.flops import flops_per_step
from spinodal.speed.measure import Timing, Work, alternate, one_core
from spinodal.speed.rivals.rival import Maker, rivals

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
"""Largest difference of a weight, the weights being of order one."""

ENGINE = "engine"
Say = Callable[[str], object]


Contestant = Callable[[Case, int], Any]
"""Makes something with `replicas` and `run(steps)`: a rival, or a machine of ours."""


class DisagreementError(AssertionError):
    """A contestant does not make the update that it is timed for."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Seconds of a turn, turns of everyone, numbers of replicas that a rival may try, sizes."""

    seconds: float
    repeats: int
    tune: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One contestant on one case; `replicas` is the number at which it is at its best."""

    name: str
    case: Case
    replicas: int
    timing: Timing

    @property
    def us_per_replica_step(self) -> float:
        """Microseconds for one update of one replica, in the quickest repeat."""
        return self.timing.quickest / self.replicas * 1e6

    @property
    def us_median(self) -> float:
        """The same in the median repeat."""
        return self.timing.median / self.replicas * 1e6


def contest(case: Case, *, builds: tuple[str, ...], effort: Effort, say: Say) -> list[Entry]:
    """Time the rivals of a case, the twin and the builds of the engine, one core for all.

    Every rival and every build has first followed the twin on the same batches. Each rival then
    chooses its number of replicas.
    """
    found, seconds, tune = rivals(case), effort.seconds, effort.tune
    with one_core():
        agree(case, found, builds)
        works: dict[str, tuple[int, Work]] = {}
        for name, (make, sizes) in found.items():
            say(f"{case.activation} {case.sampling}: {name} chooses its number of replicas")
            works[name] = _best(make, case, _some(sizes, tune), seconds)
        works["twin"] = _best(_own(ours.TWIN), case, _some(_for_twin(case), tune), seconds)
        for name in builds:
            label = f"{ENGINE} {name}"
            works[label] = _best(_own(name), case, (_fitting(case),), seconds)
        say(f"{case.activation} {case.sampling}: all take turns")
        timings = alternate(
            {name: work for name, (_, work) in works.items()},
            seconds=seconds,
            repeats=effort.repeats,
        )
    return [
        Entry(name=name, case=case, replicas=works[name][0], timing=timing)
        for name, timing in timings.items()
    ]


def time_engine(case: Case, builds: tuple[str, ...], *, effort: Effort, say: Say) -> list[Entry]:
    """Time builds of the engine on a case without rivals; their first step must be the twin's."""
    say(f"engine: {case.activation} {case.width} wide, {case.depth} deep, batch {case.batch_size}")
    with one_core():
        agree(case, {}, builds, steps=1)
        replicas = _fitting(case)
        works = {f"{ENGINE} {name}": _own(name)(case, replicas) for name in builds}
        timings = alternate(
            {name: own.run for name, own in works.items()}, seconds=effort.seconds, repeats=3
        )
    return [Entry(name=n, case=case, replicas=replicas, timing=t) for n, t in timings.items()]


def agree(
    case: Case,
    found: dict[str, tuple[Maker, tuple[int, ...]]],
    builds: tuple[str, ...],
    *,
    replicas: int = 9,
    steps: int = 20,
) -> None:
    """Let everyone make the twin's updates, or raise DisagreementError.

    The builds of the engine must agree to the last bit, rivals to rounding.
    """
    twin = ours.Own(case, replicas, ours.TWIN).run(steps)
    for name in builds:
        engine = ours.Own(case, replicas, name).run(steps)
        if not all(np.array_equal(a, b) for a, b in zip(engine, twin, strict=True)):
            raise DisagreementError(f"The {name} build does not repeat the twin's bits on {case}.")
    if not found:
        return
    chosen = ours.batches(case, replicas, steps)
    for name, (make, _) in found.items():
        difference = _largest(make(case, replicas).follow(case.start(replicas), chosen), twin)
        if not difference <= TOLERANCE[case.precision]:
            raise DisagreementError(f"{name} departs from the twin by {difference:.2g} on {case}.")


def _fitting(case: Case) -> int:
    """Replicas of the engine: 256, or as many as fit into 64 MiB, whole vectors at least."""
    weights = sum(rows * columns for rows, columns in case.shapes)
    return max(16, min(256, 2 ** ((2**23 // weights).bit_length() - 1)))


def _for_twin(case: Case) -> tuple[int, ...]:
    """Numbers of replicas among which the twin chooses: steps of a tenth of a second at most."""
    most = max(16, round(1e8 / flops_per_step(case)))
    return tuple(size for size in (16, 64, 256, 1024) if size <= most)


def _largest(one: Layers, other: Layers) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def _own(name: str) -> Contestant:
    return partial(ours.Own, name=name)


def _some(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
    """At most `count` of the sizes; the second, the usual best, is the last to go."""
    middle = sorted(sizes, key=lambda size: abs(sizes.index(size) - min(1, len(sizes) - 1)))
    return tuple(middle[:count])


def _best(
    make: Contestant,
    case: Case,
    sizes: tuple[int, ...],
    seconds: float,
) -> tuple[int, Work]:
    """The number of replicas with the least time per replica, and the contestant with it."""
    made = {size: make(case, size) for size in sizes}
    works = {str(size): one.run for size, one in made.items()}
    if len(sizes) == 1:
        return made[sizes[0]].replicas, made[sizes[0]].run
    times = alternate(works, seconds=seconds / 2, repeats=2)
    best = min(sizes, key=lambda size: times[str(size)].quickest / size)
    return best, made[best].run
