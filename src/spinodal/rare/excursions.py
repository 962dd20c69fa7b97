"""Excursions: from a state outside the basin until the process returns to it or arrives.

A batch of them moves in lockstep. On the way every state that sets a new maximum of the rank is
kept: from these, and from no others, a trajectory can be branched later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.rare.swarms import Look, Mask, States, Swarm

FEW = 0.75
"""Copies that are done are let go of when fewer than this part is still under way."""


class Stopped(Exception):
    """The work was given up from outside."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Where excursions end and how finely their progress is told apart.

    An excursion ends where the score is at most `floor` or at least `target`, unless the swarm
    itself says who is home and who arrived. The rank is rounded down to multiples of `resolution`
    (0: not at all), which bounds how many states an excursion keeps. `memory`: bytes that states
    kept in a batch may take, for each repetition in it. `longest`: moves of the longest excursion.
    `stop` is asked before every move whether the work is wanted still.
    """

    floor: float
    target: float
    resolution: float = 0.0
    memory: float = 2.0**31
    longest: int = 10**7
    stop: Callable[[], bool] = lambda: False

    def ask(self) -> None:
        """Raise `Stopped` if the work is not wanted any more."""
        if self.stop():
            raise Stopped

    def arrived(self, look: Look) -> Mask:
        """Who is at the target."""
        return look.score >= self.target if look.arrived is None else look.arrived

    def home(self, look: Look) -> Mask:
        """Who is in the basin."""
        return look.score <= self.floor if look.home is None else look.home

    def ranks(self, look: Look, arrived: Mask) -> NDArray[np.float64]:
        """The rank, rounded down; infinite for those that arrived."""
        ranks = look.score if look.rank is None else look.rank
        check_scores(ranks)
        if self.resolution > 0:
            ranks = np.floor(ranks / self.resolution) * self.resolution
        return np.where(arrived, np.inf, ranks)


def check_scores(scores: NDArray[np.float64]) -> None:
    """Refuse scores that order nothing."""
    if not np.isfinite(scores).all():
        bad = scores[~np.isfinite(scores)][0]
        raise InputError(
            f"A score is {bad:g}: scores must be finite numbers; look for a process that diverged "
            "(smaller steps help), or mend the score."
        )


@dataclass(frozen=True, eq=False)
class Paths:
    """What is kept of a batch of excursions.

    `owner`, `level` (records,) and `states` (records, ...): the states of every new maximum,
    ordered by excursion and along it. `top` (excursions,): the largest rank, infinite for those
    that arrived. `moves`: moves made by all together.
    """

    owner: NDArray[np.int64]
    level: NDArray[np.float64]
    states: States
    top: NDArray[np.float64]
    moves: int


def excursions(
    swarm: Swarm,
    states: States,
    *,
    seed: int,
    numbers: Sequence[int],
    rules: Rules,
    parts: Sequence[int] | None = None,
) -> Paths:
    """Excursions from these states, one each, with fresh streams of these numbers.

    `parts`: how many of them belong to each repetition, one after the other (default: all to one).
    """
    count = len(states)
    parts = [count] if parts is None else parts
    repetition = np.repeat(np.arange(len(parts)), parts)
    best, alive = np.full(count, -np.inf), np.arange(count)
    running = np.ones(count, dtype=bool)  # of the lanes that are still there
    log: list[tuple[NDArray[np.int64], NDArray[np.float64], States]] = []
    kept, moves = np.zeros(len(parts)), 0

    def see(look: Look) -> Mask:
        """Keep the states of new maxima; returns who arrived."""
        nonlocal kept
        arrived = rules.arrived(look)
        ranks = rules.ranks(look, arrived)
        new = np.flatnonzero(running & (ranks > best[alive]))
        if len(new):
            records = swarm.states(new)
            log.append((alive[new], ranks[new], records))
            best[alive[new]] = ranks[new]
            owners = repetition[alive[new]]
            kept += np.bincount(owners, weights=sizes(records), minlength=len(parts))
            if kept.max() > rules.memory:
                raise InputError(
                    "A repetition would keep more states for branching than the "
                    f"{rules.memory / 2**20:.3g} MiB that it may: give a coarser resolution of the "
                    "score, fewer copies, or more memory."
                )
        return arrived

    running &= ~see(swarm.launch(states, seed, numbers))
    for _ in range(rules.longest):
        left = int(running.sum())
        if left == 0:
            break
        if left < FEW * len(running):
            swarm.keep(running)
            alive, running = alive[running], np.ones(left, dtype=bool)
        rules.ask()
        look = swarm.advance()
        moves += left
        running &= ~(see(look) | rules.home(look))
    else:
        raise InputError(
            f"{int(running.sum())} of {count} excursions neither returned to the basin nor arrived "
            f"within {rules.longest} moves: raise the floor of the basin, or allow longer ones."
        )
    owner = np.concatenate([part[0] for part in log])
    order = np.argsort(owner, kind="stable")
    return Paths(
        owner=owner[order],
        level=np.concatenate([part[1] for part in log])[order],
        states=np.concatenate([part[2] for part in log])[order],
        top=best,
        moves=moves,
    )


def sizes(states: States) -> NDArray[np.float64]:
    """Bytes that each of these states takes."""
    if states.dtype == object:
        return np.array([len(state) for state in states], dtype=float)
    return np.full(len(states), states.nbytes / len(states))
