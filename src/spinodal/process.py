"""The contract of a Markov process: what can be stopped, copied and made independent."""

from __future__ import annotations

from typing import Protocol


class Process(Protocol):
    """A simulation whose future depends on its state alone.

    Whatever fulfils this can be split (`spinodal.rare`): a stochastic differential equation, a
    training run with its optimiser and its sampler.
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
