"""Swarms: many copies of one Markov process that move together and are looked at after each move.

What splits trajectories (`spinodal.rare.splitting`) knows nothing of the process but this.
`ProcessSwarm` runs any `spinodal.process.Process` one copy after another, `DiffusionSwarm` moves
walkers of a `Diffusion` as rows of one array; networks have `spinodal.rare.training`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.dynamics.diffusions import Diffusion, Walkers
from spinodal.errors import InputError
from spinodal.process import Process

States = NDArray[Any]
"""Whole states of copies, the copy first: rows of numbers, or one `bytes` each."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of every copy, arrays of shape (copies,).

    `score` says how far it has come. `arrived` and `home` say who is at the target and who in the
    basin; None leaves that to the score (at least the target, at most the floor). `rank` orders the
    copies when some are given up for others; None means by the score.
    """

    score: NDArray[np.float64]
    arrived: Mask | None = None
    home: Mask | None = None
    rank: NDArray[np.float64] | None = None


class Swarm(Protocol):
    """Copies of a process. A copy's random numbers depend on the seed and its number alone."""

    @property
    def every(self) -> int:
        """Steps of the process in a move, after which it is looked at."""
        ...

    def fork(self) -> Swarm:
        """Another swarm of the same process, for another thread."""
        ...

    def start(self, seed: int, numbers: Sequence[int]) -> States:
        """Where copies of these numbers start, and start again after they arrived."""
        ...

    def launch(self, states: States, seed: int, numbers: Sequence[int]) -> Look:
        """Copies in these states, each with a fresh stream of its own, in place of all there were.

        The look is taken before the first move.
        """
        ...

    def replace(self, lanes: NDArray[np.intp], states: States, numbers: Sequence[int]) -> Look:
        """Put these states in place of some copies; the look is at these only."""
        ...

    def advance(self) -> Look:
        """One move of every copy."""
        ...

    def states(self, lanes: NDArray[np.intp]) -> States:
        """Copies of the states of some."""
        ...

    def features(self) -> NDArray[np.float64]:
        """What an estimated committor may depend on, shape (copies, features)."""
        ...

    def keep(self, mask: Mask) -> None:
        """Go on with the copies of the mask only."""
        ...


class ProcessSwarm:
    """Copies of any `Process`, one object each, moved one after another."""

    def __init__(
        self,
        make: Callable[[], Process],
        *,
        every: int = 1,
        home: Callable[[Process], bool] | None = None,
        features: Callable[[Process], ArrayLike] | None = None,
    ) -> None:
        """Copies of what `make` makes, in the state it comes in, which is where they start.

        `every`: steps between two looks. `home`: a predicate for the basin in place of a floor
        under the score. `features`: what an estimated committor may depend on; default the score.
        """
        if every < 1:
            raise InputError(
                f"A process is looked at every so many steps, at least 1, got {every}."
            )
        self.every, self._make, self._home, self._features = every, make, home, features
        self._pool: list[Process] = []
        self._copies: list[Process] = []
        self._seed = 0
        self._first = _state_of(make())

    def fork(self) -> ProcessSwarm:
        """Another swarm of the same process."""
        return ProcessSwarm(self._make, every=self.every, home=self._home, features=self._features)

    def start(self, seed: int, numbers: Sequence[int]) -> States:
        """The state in which `make` makes it, for everybody."""
        return _pack([self._first] * len(numbers))

    def launch(self, states: States, seed: int, numbers: Sequence[int]) -> Look:
        """See `Swarm`."""
        while len(self._pool) < len(states):
            self._pool.append(self._make())
        self._copies, self._seed = self._pool[: len(states)], seed
        self._put(self._copies, states, numbers)
        return self._look(self._copies)

    def replace(self, lanes: NDArray[np.intp], states: States, numbers: Sequence[int]) -> Look:
        """See `Swarm`."""
        chosen = [self._copies[lane] for lane in lanes]
        self._put(chosen, states, numbers)
        return self._look(chosen)

    def advance(self) -> Look:
        """See `Swarm`."""
        for copy in self._copies:
            copy.advance(self.every)
        return self._look(self._copies)

    def states(self, lanes: NDArray[np.intp]) -> States:
        """See `Swarm`."""
        return _pack([_state_of(self._copies[lane]) for lane in lanes])

    def features(self) -> NDArray[np.float64]:
        """See `Swarm`."""
        chosen = self._features or (lambda process: [process.score()])
        rows = [np.asarray(chosen(copy), dtype=float).ravel() for copy in self._copies]
        return np.array(rows)

    def keep(self, mask: Mask) -> None:
        """See `Swarm`."""
        self._copies = [copy for copy, kept in zip(self._copies, mask, strict=True) if kept]

    def _put(self, copies: Sequence[Process], states: States, numbers: Sequence[int]) -> None:
        for copy, state, number in zip(copies, states, numbers, strict=True):
            copy.set_state(state)
            copy.reseed(self._seed, "splitting", int(number))

    def _look(self, copies: Sequence[Process]) -> Look:
        score = np.array([copy.score() for copy in copies], dtype=float)
        home = None if self._home is None else np.array([bool(self._home(c)) for c in copies])
        return Look(score=score, home=home)


def _state_of(process: Process) -> bytes:
    state = process.get_state()
    if not isinstance(state, bytes):
        raise InputError(
            f"get_state must give bytes, got {type(state).__name__}: pack all numbers that the "
            "future depends on, for example with numpy's tobytes."
        )
    return state


def _pack(states: Sequence[bytes]) -> States:
    packed = np.empty(len(states), dtype=object)
    packed[:] = states
    return packed


class DiffusionSwarm:
    """Walkers of one `Diffusion`, all moved by the same array operations."""

    def __init__(
        self,
        diffusion: Diffusion,
        start: ArrayLike,
        *,
        every: int = 1,
        home: Callable[[NDArray[np.float64]], Mask] | None = None,
        features: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
    ) -> None:
        """Walkers from `start` (coordinates,), looked at every so many steps.

        `home` maps positions (walkers, coordinates) to who is in the basin, in place of a floor
        under the score; `features` maps them to (walkers, features), default the positions.
        """
        if every < 1:
            raise InputError(f"Walkers are looked at after at least 1 step, got {every}.")
        self.every, self.diffusion = every, diffusion
        self._start = np.asarray(start, dtype=float).ravel()
        self._home, self._features = home, features
        self._walkers: Walkers | None = None

    @property
    def time_per_step(self) -> float:
        """The diffusion's step: rates are per unit of its time."""
        return float(self.diffusion.step)

    def fork(self) -> DiffusionSwarm:
        """Another swarm of the same walkers."""
        return DiffusionSwarm(
            self.diffusion, self._start, every=self.every, home=self._home,
            features=self._features,
        )  # fmt: skip

    def start(self, seed: int, numbers: Sequence[int]) -> States:
        """Everybody starts at the same place."""
        return np.tile(self._start, (len(numbers), 1))

    def launch(self, states: States, seed: int, numbers: Sequence[int]) -> Look:
        """See `Swarm`."""
        self._walkers = Walkers(
            self.diffusion, states, seed=seed, name="splitting", numbers=numbers
        )
        return self._look(self._walkers.positions)

    def replace(self, lanes: NDArray[np.intp], states: States, numbers: Sequence[int]) -> Look:
        """See `Swarm`; the streams go on, whose later numbers are independent of all before."""
        walkers = self._walking
        walkers.positions = walkers.positions.copy()
        walkers.positions[lanes] = states
        return self._look(walkers.positions[lanes])

    def advance(self) -> Look:
        """See `Swarm`."""
        self._walking.advance(self.every)
        return self._look(self._walking.positions)

    def states(self, lanes: NDArray[np.intp]) -> States:
        """See `Swarm`."""
        return self._walking.positions[lanes].copy()

    def features(self) -> NDArray[np.float64]:
        """See `Swarm`."""
        here = self._walking.positions
        return here if self._features is None else np.asarray(self._features(here), dtype=float)

    def keep(self, mask: Mask) -> None:
        """See `Swarm`."""
        self._walking.keep(mask)

    @property
    def _walking(self) -> Walkers:
        if self._walkers is None:
            raise InputError("Nobody walks yet: launch the swarm first.")
        return self._walkers

    def _look(self, positions: NDArray[np.float64]) -> Look:
        score = np.asarray(self.diffusion.score(positions), dtype=float)
        return Look(score=score, home=None if self._home is None else self._home(positions))


class Ranked:
    """A swarm whose copies are ordered by another function of their features.

    Who is in the basin, at the first level or at the target stays what it was, so every rank
    estimates the same number; a rank closer to the committor does so with less variance.
    """

    def __init__(
        self, swarm: Swarm, rank: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> None:
        """`rank` maps features (copies, features) to (copies,), row by row."""
        self._swarm, self._rank = swarm, rank

    @property
    def every(self) -> int:
        """See `Swarm`."""
        return self._swarm.every

    @property
    def time_per_step(self) -> float:
        """That of the swarm."""
        return float(getattr(self._swarm, "time_per_step", 1.0))

    def fork(self) -> Ranked:
        """See `Swarm`."""
        return Ranked(self._swarm.fork(), self._rank)

    def start(self, seed: int, numbers: Sequence[int]) -> States:
        """See `Swarm`."""
        return self._swarm.start(seed, numbers)

    def launch(self, states: States, seed: int, numbers: Sequence[int]) -> Look:
        """See `Swarm`."""
        return self._ranked(self._swarm.launch(states, seed, numbers))

    def replace(self, lanes: NDArray[np.intp], states: States, numbers: Sequence[int]) -> Look:
        """See `Swarm`."""
        return self._swarm.replace(lanes, states, numbers)  # nobody is ranked in the basin

    def advance(self) -> Look:
        """See `Swarm`."""
        return self._ranked(self._swarm.advance())

    def states(self, lanes: NDArray[np.intp]) -> States:
        """See `Swarm`."""
        return self._swarm.states(lanes)

    def features(self) -> NDArray[np.float64]:
        """See `Swarm`."""
        return self._swarm.features()

    def keep(self, mask: Mask) -> None:
        """See `Swarm`."""
        self._swarm.keep(mask)

    def _ranked(self, look: Look) -> Look:
        return replace(look, rank=np.asarray(self._rank(self._swarm.features()), dtype=float))
