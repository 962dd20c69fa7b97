"""Adaptive multilevel splitting: probabilities and rates that brute force cannot reach.

Trajectories that come far are copied, those that do not are given up, and the estimate accounts for
it exactly: it is unbiased whatever the score, only its variance depends on that. The score should
rise along the way; the best one is the committor (`spinodal.rare.committor` estimates it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from spinodal.errors import InputError
from spinodal.rare.estimates import Repetition, SplittingRate, spread
from spinodal.rare.excursions import Paths, Rules, excursions
from spinodal.rare.flux import Basin, Crossings, Numbers, explore, watch
from spinodal.rare.population import Population
from spinodal.rare.swarms import States, Swarm
from spinodal.records import Settings
from spinodal.seeding import check_seed, generator

LANES = 2048
"""About how many copies move side by side when repetitions are put together."""

Progress = Callable[[float, str], None]

T = TypeVar("T")


class SplittingSettings(Settings):
    """How much splitting is done, and between which scores.

    `copies` trajectories per repetition, of which `kill_fraction` are given up in a round (few
    lanes of a vector machine then stand idle). `watchers` copies per repetition watch the basin
    until about `crossings` (default: `copies`) crossings of the first level. `floor` (the basin's
    edge, default the median score) and `first_level` (default the `quantile` of the score) are
    found by a pilot where they are not given, as is `burn_in` (moves). `resolution` rounds the
    rank, so that fewer states must be kept; `memory` bounds these in MiB, shared
    evenly by the repetitions that one worker may hold side by side; `longest` bounds the
    moves of an excursion.
    """

    repetitions: PositiveInt = 20
    copies: int = Field(default=256, ge=2)
    kill_fraction: float = Field(default=0.25, gt=0, lt=1)
    watchers: int = Field(default=32, ge=2)
    crossings: PositiveInt | None = None
    floor: float | None = None
    first_level: float | None = None
    quantile: float = Field(default=0.9, gt=0.5, lt=1)
    burn_in: NonNegativeInt | None = None
    resolution: NonNegativeFloat = 0.0
    memory: PositiveFloat = 2048.0
    longest: PositiveInt = 10**7
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @property
    def kill(self) -> int:
        """How many are given up in a round, at least; ties come on top."""
        return max(1, min(self.copies - 1, round(self.kill_fraction * self.copies)))

    @property
    def together(self) -> int:
        """Repetitions that are put side by side at most, by however many workers."""
        return max(1, min(LANES // max(self.kill, self.watchers), self.repetitions))

    def rules(self, floor: float, target: float) -> Rules:
        """Where excursions end."""
        return Rules(
            floor=floor,
            target=target,
            resolution=self.resolution,
            memory=self.memory * 2**20 / self.together,
            longest=self.longest,
        )


@dataclass(frozen=True, kw_only=True)
class SplittingProbability:
    """The probability to arrive before returning, from independent repetitions."""

    probability: float
    low: float
    high: float
    confidence: float
    values: tuple[float, ...]
    extinctions: int
    steps: int
    relative_error: float
    heavy_tails: bool
    warning: str


def probability(
    swarm: Swarm,
    entrances: States,
    *,
    floor: float,
    target: float,
    seed: int,
    settings: SplittingSettings | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> SplittingProbability:
    """P(score >= target before score <= floor) from the states `entrances`, one drawn at a time.

    `entrances` are rows of states as the swarm has them (`swarm.start(seed, numbers)` gives the
    start's). Every repetition distributes its copies over them as evenly as it can.
    """
    settings = settings or SplittingSettings()
    _check_order(floor, target)
    if len(entrances) == 0:
        raise InputError("Splitting needs at least one state to start from.")
    gone = Event()
    rules = replace(settings.rules(floor, target), stop=gone.is_set)

    def work(fork: Swarm, group: Sequence[int]) -> tuple[list[Population], int]:
        numbers = [Numbers(one) for one in group]
        draws = [generator(seed, "splitting", one) for one in group]
        return split(fork, [entrances] * len(group), rules, settings, seed, numbers, draws)

    found, moves = _groups(swarm, work, settings, workers, progress, gone)
    values = tuple(math.exp(one.log_probability) for one in found)
    extinct = sum(one.extinct for one in found)
    arrived = sum(len(np.unique(one.ancestor[np.isinf(one.top)])) for one in found)
    said = spread(
        values, settings.confidence, extinct=extinct, ancestors=arrived, copies=settings.copies
    )
    return SplittingProbability(
        probability=said.mean,
        low=said.low,
        high=min(said.high, 1.0),  # a probability, whoever arrived
        confidence=settings.confidence,
        values=values,
        extinctions=extinct,
        steps=moves * swarm.every,
        relative_error=said.relative_error,
        heavy_tails=said.heavy_tails,
        warning=said.warning,
    )


def rate(
    swarm: Swarm,
    *,
    target: float,
    seed: int,
    settings: SplittingSettings | None = None,
    time_per_step: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> SplittingRate:
    """1 / (mean first-passage time from the start to a score of at least `target`).

    rate = crossings of the first level per time x probability to arrive before returning, each
    repetition with its own watchers, crossings and trajectories (see `spinodal.rare.flux`). The
    relation is exact also where the barrier is low: the time is that from the swarm's start, the
    first relaxation included. Time is in units of `time_per_step` per step: by default the
    swarm's own (a diffusion's step), else 1. No number depends on `workers`.
    `progress(fraction, text)` is told how far the work is.
    """
    if not hasattr(swarm, "launch"):
        raise InputError(
            f"Splitting takes a swarm of copies, got {type(swarm).__name__}: wrap a `Process` in "
            "ProcessSwarm(make), a `Diffusion` in DiffusionSwarm(diffusion, start), an Ensemble in "
            "TrainingSwarm(ensemble, seed=...)."
        )
    settings = settings or SplittingSettings()
    if time_per_step is None:
        time_per_step = float(getattr(swarm, "time_per_step", 1.0))
    check_seed(seed)
    basin = find_basin(swarm, target, settings, seed)
    gone = Event()
    rules = replace(settings.rules(basin.floor, target), stop=gone.is_set)
    moves = watching(basin, settings)

    def work(fork: Swarm, group: Sequence[int]) -> tuple[list[tuple[Crossings, Population]], int]:
        numbers = [Numbers(one) for one in group]
        draws = [generator(seed, "splitting", one) for one in group]
        seen = watch(
            fork, rules, basin, seed=seed, numbers=numbers, copies=settings.watchers, moves=moves
        )
        entrances = [one.states for one in seen]
        found, made = split(fork, entrances, rules, settings, seed, numbers, draws)
        watched = len(group) * settings.watchers * (moves + basin.burn_in)
        return list(zip(seen, found, strict=True)), made + watched

    pairs, made = _groups(swarm, work, settings, workers, progress, gone)
    per_move = swarm.every * time_per_step
    parts = tuple(_repetition(seen, found, per_move) for seen, found in pairs)
    extinct = sum(part.extinct for part in parts)
    said = spread(
        [part.rate for part in parts], settings.confidence, extinct=extinct,
        ancestors=sum(part.ancestors for part in parts), copies=settings.copies,
    )  # fmt: skip
    fluxes = np.array([part.flux for part in parts])
    flux, count = float(fluxes.mean()), len(fluxes)
    scatter = float(fluxes.std(ddof=1)) if count > 1 else math.inf
    return SplittingRate(
        rate=said.mean,
        low=said.low,
        high=said.high,
        confidence=settings.confidence,
        flux=flux,
        flux_error=scatter / math.sqrt(count) / flux if flux > 0 else math.inf,
        probability=said.mean / flux if flux > 0 else 0.0,
        relative_error=said.relative_error,
        relative_variance=said.relative_variance,
        largest_share=said.largest_share,
        repetitions=parts,
        copies=settings.copies,
        extinctions=extinct,
        steps=(made + basin.moves) * swarm.every,
        time_per_step=time_per_step,
        floor=basin.floor,
        first_level=basin.first_level,
        burn_in=basin.burn_in,
        heavy_tails=said.heavy_tails,
        warning=said.warning,
    )


def find_basin(swarm: Swarm, target: float, settings: SplittingSettings, seed: int) -> Basin:
    """The basin's edge and first level, given or by a pilot, checked against the target."""
    if math.isnan(target):
        raise InputError("The target is no number; give the score at which the process arrived.")
    for what, level in (("floor", settings.floor), ("first level", settings.first_level)):
        if level is not None and not level < target:
            raise InputError(
                f"The {what} is {level:g}, but the target is {target:g}: it must lie below."
            )
    floor, first = settings.floor, settings.first_level
    if floor is not None and first is not None and first < floor:
        raise InputError(
            f"The first level {first:g} lies below the floor {floor:g}: "
            "a crossing must leave the basin; raise the one or lower the other."
        )
    basin = explore(
        swarm,
        target=target,
        floor=settings.floor,
        first_level=settings.first_level,
        burn_in=settings.burn_in,
        copies=settings.watchers,
        quantile=settings.quantile,
        seed=seed,
    )
    _check_order(basin.floor, target)
    return basin


def watching(basin: Basin, settings: SplittingSettings) -> int:
    """Moves of watching until about as many crossings as are wanted."""
    wanted = settings.crossings or settings.copies
    return max(basin.burn_in, 1, math.ceil(wanted / (basin.flux * settings.watchers)))


def _repetition(seen: Crossings, found: Population, per_move: float) -> Repetition:
    p = math.exp(found.log_probability)
    arrived = np.isinf(found.top)
    return Repetition(
        rate=seen.flux * p / per_move,
        flux=seen.flux / per_move,
        probability=p,
        crossings=seen.count,
        arrivals=seen.arrivals,
        rounds=found.rounds,
        ancestors=len(np.unique(found.ancestor[arrived])),
        extinct=found.extinct,
    )


def _check_order(floor: float, target: float) -> None:
    if not floor < target:
        raise InputError(
            f"The target {target:g} must lie above the basin, whose edge is at a score of "
            f"{floor:g}: give a larger target, or turn the score round."
        )


def split(
    swarm: Swarm,
    entrances: Sequence[States | None],
    rules: Rules,
    settings: SplittingSettings,
    seed: int,
    numbers: Sequence[Numbers],
    draws: Sequence[np.random.Generator],
    observe: Callable[[Paths], None] = lambda paths: None,
) -> tuple[list[Population], int]:
    """Populations from these entrances, all of them moved in the same batches; and the moves.

    `observe` is shown every batch of excursions.
    """
    populations = [Population(settings.copies, settings.kill, draw) for draw in draws]
    waiting: list[tuple[int, NDArray[np.intp], States]] = []
    for one, (population, states) in enumerate(zip(populations, entrances, strict=True)):
        if states is None:
            population.extinct = True
            population.log_weight = -math.inf
            continue
        chosen = _spread_over(len(states), settings.copies, draws[one])
        waiting.append((one, np.arange(settings.copies), states[chosen]))
    moves = 0
    while waiting:
        fresh = [number for one, slots, _ in waiting for number in numbers[one].take(len(slots))]
        states = np.concatenate([part for _, _, part in waiting])
        parts = [len(slots) for _, slots, _ in waiting]
        paths = excursions(swarm, states, seed=seed, numbers=fresh, rules=rules, parts=parts)
        observe(paths)
        moves += paths.moves
        first, again = 0, []
        for one, slots, _ in waiting:
            population = populations[one]
            population.absorb(slots, _part(paths, first, first + len(slots)))
            first += len(slots)
            born = population.branch()
            if born is not None:
                again.append((one, *born))
        waiting = again
    return populations, moves


def _part(paths: Paths, first: int, last: int) -> Paths:
    """Excursions number `first` to `last` - 1 of a batch."""
    a, b = np.searchsorted(paths.owner, [first, last])
    return Paths(
        owner=paths.owner[a:b] - first,
        level=paths.level[a:b],
        states=paths.states[a:b],
        top=paths.top[first:last],
        moves=0,
    )


def _spread_over(entrances: int, copies: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Which entrance each copy starts from: each as often as any other, give or take one."""
    rounds = -(-copies // entrances)
    return np.concatenate([draw.permutation(entrances) for _ in range(rounds)])[:copies]


def _groups(
    swarm: Swarm,
    work: Callable[[Swarm, Sequence[int]], tuple[list[T], int]],
    settings: SplittingSettings,
    workers: int,
    progress: Progress | None,
    gone: Event,
) -> tuple[list[T], int]:
    """All repetitions, some side by side in one swarm, the groups shared by threads.

    `gone` is set when nobody waits for them any more.
    """
    if workers < 1:
        raise InputError(f"Workers must be at least 1, got {workers}.")
    total = settings.repetitions
    size = min(settings.together, -(-total // workers))
    groups = [range(first, min(first + size, total)) for first in range(0, total, size)]
    found: dict[int, tuple[list[T], int]] = {}

    def enter(group: range, result: tuple[list[T], int]) -> None:
        found[group.start] = result
        if progress is not None:
            done = sum(len(part) for part, _ in found.values())
            progress(done / total, f"{done} of {total} repetitions of splitting")

    if workers == 1:
        for group in groups:
            enter(group, work(swarm.fork(), group))
    else:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            jobs = {pool.submit(work, swarm.fork(), group): group for group in groups}
            try:
                for job in as_completed(jobs):
                    enter(jobs[job], job.result())
            except BaseException:
                gone.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    ordered = [found[first] for first in sorted(found)]
    return [one for part, _ in ordered for one in part], sum(moves for _, moves in ordered)
