"""One population of trajectories under adaptive multilevel splitting.

N excursions start from entrance states. Again and again the K of them whose largest rank is at most
z, the kill-th smallest one, are given up, and each is replaced by a copy of a surviving one up to
the first state with a rank above z, and goes on from there with random numbers of its own. When
fewer than `kill` excursions have failed to arrive, the probability to arrive is estimated as

    p = prod over the rounds (1 - K / N) * (arrived / N),

which is unbiased for any rank, any N and any kill, in discrete time too, because all ties with z
are given up together (Brehier, Gazeau, Goudenege, Lelievre and Rousset, Annals of Applied
Probability 26, 2016). When all tie, the population is extinct, and its estimate is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.rare.excursions import Paths
from spinodal.rare.swarms import States


class Population:
    """The trajectories of one estimate; who moves them is no concern of theirs."""

    def __init__(self, copies: int, kill: int, generator: np.random.Generator) -> None:
        """Room for so many copies, whose parents are drawn by `generator`."""
        self.copies, self.kill, self._generator = copies, kill, generator
        self.top = np.full(copies, -np.inf)
        self.ancestor = np.arange(copies)
        self.log_weight = 0.0
        self.rounds = 0
        self.extinct = False
        self._owner = np.empty(0, dtype=np.int64)
        self._level = np.empty(0)
        self._states: States | None = None

    def absorb(self, slots: NDArray[np.intp], paths: Paths) -> None:
        """Excursion i of a batch is now that of copy `slots[i]`."""
        owner = slots[paths.owner]
        states = paths.states
        if self._states is not None:
            owner = np.concatenate([self._owner, owner])
            states = np.concatenate([self._states, states])
        level = np.concatenate([self._level, paths.level])
        order = np.argsort(owner, kind="stable")
        self._owner, self._level, self._states = owner[order], level[order], states[order]
        self.top[slots] = paths.top

    def branch(self) -> tuple[NDArray[np.intp], States] | None:
        """Give up the last ones: their slots, and the states from which they begin anew.

        None when there is no more to do.
        """
        z = float(np.partition(self.top, self.kill - 1)[self.kill - 1])
        if self.extinct or z == np.inf:
            return None
        dead = self.top <= z
        slots, survivors = np.flatnonzero(dead), np.flatnonzero(~dead)
        if len(survivors) == 0:
            self.extinct = True
            return None
        self.log_weight += float(np.log1p(-len(slots) / self.copies))
        self.rounds += 1
        parents = self._generator.choice(survivors, size=len(slots))
        assert self._states is not None
        # What lies at or below z is needed no more, by anybody.
        left = ~dead[self._owner] & (self._level > z)
        self._owner, self._level = self._owner[left], self._level[left]
        self._states = self._states[left]
        born = self._states[np.searchsorted(self._owner, parents)]
        self.ancestor[slots] = self.ancestor[parents]
        return slots, born

    @property
    def log_probability(self) -> float:
        """ln of the estimated probability to arrive; minus infinity where it is 0."""
        arrived = 0 if self.extinct else int(np.isinf(self.top).sum())
        if arrived == 0:
            return -np.inf
        return self.log_weight + float(np.log(arrived / self.copies))
