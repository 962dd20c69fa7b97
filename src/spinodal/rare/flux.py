"""Watching the basin: how often copies leave it for the first level, and in which states.

A copy that has been in the basin and then comes above the first level makes a crossing. Who arrives
at the target starts again where it started, so that the watched copies settle into a stationary
state with a source and a sink. There the Hill relation is exact: the mean first-passage time is

    tau = 1 / (crossings per step and copy * probability to arrive before returning),

where all time counts, in the basin and outside, and the probability is that of the states in which
crossings happen. When arrivals are rare the state is the quasi-stationary one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.rare.excursions import Rules, check_scores
from spinodal.rare.swarms import Look, Mask, States, Swarm

CYCLES = 4
"""Times that a watched copy must have left and come back, on average, to count as settled."""

SETTLED = 3.0
"""Standard errors that the mean score may still move between the last two quarters."""

FIRST_MOVES, MOST_MOVES, STILL = 32, 2**18, 4096
"""Moves of the first pilot and of the longest, and moves after which a constant score is told."""

NUMBERS = 2**40
"""Copies that a repetition can number: their streams are those of no other repetition."""


class Numbers:
    """Numbers for the copies of one repetition, each given once.

    They begin at `NUMBERS`, so that replicas of brute force under the same seed share no stream.
    """

    def __init__(self, repetition: int) -> None:
        """From the first number of this repetition on."""
        self._next = (repetition + 1) * NUMBERS

    def take(self, count: int) -> list[int]:
        """So many new ones."""
        first = self._next
        self._next += count
        return list(range(first, self._next))


@dataclass(frozen=True, kw_only=True)
class Basin:
    """How the basin is watched: its edge, the first level, and for how many moves."""

    floor: float
    first_level: float
    burn_in: int
    flux: float
    """Crossings per move and copy, as the pilot saw them."""
    moves: int
    """Moves of the pilot, of all copies together."""


@dataclass(frozen=True, eq=False)
class Crossings:
    """What watching gave: the states at crossings, and per move and copy how many they were."""

    states: States | None
    count: int
    arrivals: int
    flux: float


class Watch:
    """Copies in the basin, for several repetitions side by side; see the module's text."""

    def __init__(
        self, swarm: Swarm, rules: Rules, first_level: float, *, seed: int,
        numbers: Sequence[Numbers], copies: int,
    ) -> None:  # fmt: skip
        """`copies` for each repetition's `numbers`, at their starts."""
        self._swarm, self._rules, self._first = swarm, rules, first_level
        self._seed, self._numbers, self._copies = seed, numbers, copies
        taken = [number for one in numbers for number in one.take(copies)]
        look = swarm.launch(swarm.start(seed, taken), seed, taken)
        self.score = look.score
        if rules.arrived(look).any():
            raise InputError(
                f"A copy starts at the target already, with a score of {look.score.max():g}: "
                "give a target beyond the start, or another start."
            )
        self._armed = np.ones(len(taken), dtype=bool)
        self.arrivals = np.zeros(len(numbers), dtype=np.int64)
        self.home = np.zeros(len(taken), dtype=bool)
        self._at_start = self._cross(look)

    def moves(self, count: int) -> Iterator[list[tuple[NDArray[np.intp], States]]]:
        """Make moves; after each, who crossed, by lane, and in which states."""
        for _ in range(count):
            self._rules.ask()
            look = self._swarm.advance()
            check_scores(look.score)
            found = [self._taken(self._cross(look))]
            arrived = np.flatnonzero(self._rules.arrived(look))
            self.score, self.home = look.score, self._rules.home(look)
            if len(arrived):
                found.append(self._taken(self._again(arrived)))
            yield [part for part in found if len(part[0])]

    def _cross(self, look: Look) -> Mask:
        """Who leaves the basin for the first level now; `armed` are those who could next."""
        home = self._rules.home(look)
        above = self._rules.arrived(look) | (~home & (look.score > self._first))
        crossing = self._armed & above
        self._armed = (self._armed | home) & ~crossing
        return crossing

    def _taken(self, crossing: Mask) -> tuple[NDArray[np.intp], States]:
        lanes = np.flatnonzero(crossing)
        return lanes, self._swarm.states(lanes)

    def _again(self, arrived: NDArray[np.intp]) -> Mask:
        """Who arrived starts again, and can cross at once if it starts above the first level."""
        owner = arrived // self._copies
        self.arrivals += np.bincount(owner, minlength=len(self.arrivals))
        numbers = [self._numbers[one].take(1)[0] for one in owner]
        start = self._swarm.start(self._seed, numbers)
        look = self._swarm.replace(arrived, start, numbers)
        crossing = np.zeros(len(self._armed), dtype=bool)
        self._armed[arrived] = True
        crossing[arrived] = ~self._rules.home(look) & (look.score > self._first)
        self._armed &= ~crossing
        return crossing


def watch(
    swarm: Swarm, rules: Rules, basin: Basin, *, seed: int, numbers: Sequence[Numbers],
    copies: int, moves: int,
) -> list[Crossings]:  # fmt: skip
    """Watch `copies` for each of several repetitions, after the burn-in, for so many moves."""
    watched = Watch(swarm, rules, basin.first_level, seed=seed, numbers=numbers, copies=copies)
    for _ in watched.moves(basin.burn_in):
        pass
    before = watched.arrivals.copy()
    found = [part for parts in watched.moves(moves) for part in parts]
    owner = np.concatenate([lanes // copies for lanes, _ in found]) if found else np.empty(0)
    states = np.concatenate([part for _, part in found]) if found else None
    result = []
    for one in range(len(numbers)):
        mine = np.flatnonzero(owner == one)
        result.append(
            Crossings(
                states=None if states is None or not len(mine) else states[mine],
                count=len(mine),
                arrivals=int(watched.arrivals[one] - before[one]),
                flux=len(mine) / (moves * copies),
            )
        )
    return result


def explore(
    swarm: Swarm,
    *,
    target: float,
    floor: float | None,
    first_level: float | None,
    burn_in: int | None,
    copies: int,
    quantile: float,
    seed: int,
) -> Basin:
    """A pilot that finds the basin: a floor at the median score, a first level at a quantile.

    It goes on, twice as long every time, until every copy has left and come back several times in
    its second half and the mean score stands still there; its first half then is the burn-in.
    """
    numbers = [Numbers(NUMBERS // 2)]  # far from all repetitions
    rules = Rules(floor=-np.inf if floor is None else floor, target=target)
    watched = Watch(swarm, rules, np.inf, seed=seed, numbers=numbers, copies=copies)
    start = watched.score
    scores: list[NDArray[np.float64]] = []
    homes: list[Mask] = []
    half = FIRST_MOVES if burn_in is None else max(FIRST_MOVES, burn_in)
    while True:
        for _ in watched.moves(2 * half - len(scores)):
            scores.append(watched.score)
            homes.append(watched.home)
        if len(scores) >= STILL and all((row == start).all() for row in scores):
            raise InputError(
                f"The score stayed at {start[0]:g} in all {len(scores)} moves of all {copies} "
                "copies: a process without noise never escapes by itself, and a constant score "
                "says nothing; give the process noise, or another score."
            )
        later = np.array(scores[half:])
        inside = later[later < target]
        if len(inside) and (low := float(np.median(inside)) if floor is None else floor) < target:
            high = first_level
            if high is None:
                high = max(low, float(np.quantile(inside, quantile)))
            at_home = np.array(homes[half:]) if np.any(homes) else later <= low
            cycles = _cycles(at_home, later > high)
            if cycles >= CYCLES * copies and _settled(later):
                break
        if 2 * half >= MOST_MOVES:
            raise InputError(
                f"Within {len(scores)} moves the {copies} watched copies did not leave the basin "
                f"and come back {CYCLES} times each: choose a floor and a first level between "
                "which the process goes to and fro, look less often, or give it more noise."
            )
        half *= 2
    return Basin(
        floor=low,
        first_level=high,
        burn_in=half if burn_in is None else burn_in,
        flux=cycles / later.size,
        moves=len(scores) * copies,
    )


def _cycles(home: Mask, above: Mask) -> int:
    """Crossings in a history (moves, copies)."""
    armed, total = np.zeros(home.shape[1], dtype=bool), 0
    for inside, outside in zip(home, above & ~home, strict=True):
        crossing = armed & outside
        total += int(crossing.sum())
        armed = (armed | inside) & ~crossing
    return total


def _settled(scores: NDArray[np.float64]) -> bool:
    """Whether the mean score of the copies stands still, within its errors."""
    half = len(scores) // 2
    shift = scores[half:].mean(axis=0) - scores[:half].mean(axis=0)
    error = shift.std(ddof=1) / np.sqrt(len(shift)) if len(shift) > 1 else np.inf
    return bool(abs(shift.mean()) <= SETTLED * error)
