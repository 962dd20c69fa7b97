"""What trains replicas: the interface of the compiled engine and of its readable twin."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Layers
from spinodal.dynamics.plan import Plan


@dataclass(frozen=True, eq=False)
class Trace:
    """What was seen at some looks: `steps` (looks,), the number of updates made by then.

    `maps` (looks, p, columns, R): on the path of moments the end-to-end map, the column of the
    constant input included; on that of samples the sums over the training samples of
    f (x, 1)^T, so that the last column sums the outputs f. `norms` (looks, R): the sum of squares
    of all entries of all layers. `train` and `test` (looks, R): mean loss over the training and
    the held-out samples, without the price of the weights; None on the path of moments, where
    they follow from the map, and `test` also where nothing is held out.
    """

    steps: NDArray[np.int64]
    maps: NDArray[np.float64]
    norms: NDArray[np.float64]
    train: NDArray[np.float64] | None
    test: NDArray[np.float64] | None


class Machine(Protocol):
    """Trains replicas according to a plan. All implementations give the same bits."""

    step: int
    """Updates made so far."""
    decay: NDArray[np.floating]
    """Weight decay of every replica, shape (R,); may be assigned."""

    @property
    def layers(self) -> Layers:
        """The layers, (rows, columns, R): views of the weights."""
        ...

    def advance(self, count: int, every: int) -> Trace:
        """Make `count` updates; look after every `every` of them and after the last."""
        ...

    def observe(self) -> Trace:
        """One look, now."""
        ...

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only; their numbers do not change."""
        ...

    def state(self) -> dict[str, NDArray[np.floating]]:
        """All that changes, but for `step`: copies of `weights` (P, R) and `decay` (R,).

        With momentum or Adam also `momentum` (P, R), with Adam `second` (P, R).
        """
        ...

    def restore(self, step: int, state: dict[str, NDArray[np.floating]]) -> None:
        """Go back to a state; streams are addressed by step and need none."""
        ...


def look_after(count: int, every: int) -> NDArray[np.int64]:
    """Numbers of updates after which `advance` looks: multiples of `every`, and `count`."""
    looks = np.arange(every, count + 1, every, dtype=np.int64)
    return looks if count % every == 0 else np.append(looks, count)


def build(plan: Plan, layers: Layers) -> Machine:
    """The compiled machine where there is one, else its twin; both start from copies of `layers`.

    The environment variable SPINODAL_ENGINE chooses: `auto` (default), `off` (the twin), or the
    instruction set `generic`, `avx2` or `avx512`.
    """
    from spinodal.dynamics.twin import Twin

    if os.environ.get("SPINODAL_ENGINE", "auto") == "off":
        return Twin(plan, layers)
    try:
        compiled = importlib.import_module("spinodal.dynamics.compiled")
    except ImportError:
        _say_once()
        return Twin(plan, layers)
    return compiled.Compiled(plan, layers)


@cache
def _say_once() -> None:
    print(
        "spinodal: no compiled engine here; the NumPy twin gives the same numbers, more slowly.",
        file=sys.stderr,
    )
