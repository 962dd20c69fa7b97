"""The contract of a Markov process: what can be stopped, copied and made independent."""

from __future__ import annotations

from typing import Protocol


class Process(Protocol):
    """A simulation whose future depends on its state alone.

    Five methods: `advance(steps)`, `score() -> float` (larger is further), `get_state() -> bytes`,
    `set_state(bytes)` and `reseed(seed, *path)`. Whatever has them can be split: a stochastic
    differential equation, a training run with its optimiser and its sampler,

        from spinodal import ProcessSwarm
        from spinodal.rare import splitting
        splitting.rate(ProcessSwarm(make), target=1.0, seed=1)

    where `make()` gives a new process at its start.
    """

    def advance(self, steps: int) -> None:
        """Go on by so many steps."""
        ...

    def score(self) -> float:
        """How far the process has come; larger is further."""
        ...

    def get_state(self) -> bytes:
        """All that the future depends on, the position in the random stream included."""
        ...

    def set_state(self, state: bytes) -> None:
        """Go back to a state that `get_state` gave."""
        ...

    def reseed(self, seed: int, *path: str | int) -> None:
        """Draw from an independent random stream from here on; the state stays otherwise."""
        ...
