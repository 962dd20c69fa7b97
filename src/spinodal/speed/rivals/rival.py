"""What every rival offers, and which rivals a case has."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Layers
from spinodal.speed.case import Case


class Rival(Protocol):
    """Trains `replicas` copies of a case's network side by side."""

    replicas: int

    def follow(self, layers: Layers, chosen: NDArray[np.int64]) -> Layers:
        """The layers after batches of given samples, `chosen` (steps, batch, replicas).

        The same code as in `run`, except that there the rival draws its batches itself.
        Layers are (rows, columns, replicas).
        """
        ...

    def run(self, steps: int) -> object:
        """Make that many updates of every replica, with batches of its own."""
        ...


Maker = Callable[[Case, int], Rival]

INSTALL = {"torch": ("PyTorch", "pip install torch"), "jax": ("JAX", "pip install jax")}
"""Module of the rivals -> what it is called, and how it is installed."""

SIZES = (64, 256, 1024, 4096)
"""Numbers of replicas among which a batched rival gets its best."""


def rivals(case: Case) -> dict[str, tuple[Maker, tuple[int, ...]]]:
    """Name -> how to make it, and the numbers of replicas that it may choose from.

    `torch_loop` is a training loop as everybody writes it. The others step many replicas at once.
    Those called `moments` and `lanes` also take over this package's idea that a linear network
    needs only the mean products of a batch, and `lanes` its layout, with the replicas last.
    """
    found: dict[str, tuple[Maker, tuple[int, ...]]] = {}
    if case.sampling == "wishart":
        return found
    sizes = tuple(n for n in SIZES if n * _footprint(case) <= 2**30) or SIZES[:1]
    if find_spec("torch") is not None:
        from spinodal.speed.rivals import with_torch

        found["torch_loop"] = (with_torch.Loop, (1,))
        found["torch_bmm"] = (with_torch.Samples, sizes)
        if case.linear:
            found["torch_bmm_moments"] = (with_torch.Moments, sizes)
            if case.width <= 16:  # wider products would not fit into the caches at all
                found["torch_lanes"] = (with_torch.Lanes, sizes)
    if find_spec("jax") is not None and case.sampling == "replacement":
        from spinodal.speed.rivals import with_jax

        found["jax_vmap"] = (with_jax.Samples, sizes)
        if case.linear:
            found["jax_vmap_moments"] = (with_jax.Moments, sizes)
    return found


def absent() -> list[dict[str, str]]:
    """Name and command of installation of every rival that is not here to be measured."""
    return [
        {"name": name, "install": command}
        for module, (name, command) in INSTALL.items()
        if find_spec(module) is None
    ]


def _footprint(case: Case) -> int:
    """Bytes of one replica's activations and weights, roughly."""
    units = case.inputs + case.outputs + (case.depth - 1) * case.width
    return 8 * (4 * sum(r * c for r, c in case.shapes) + 3 * case.batch_size * units)
