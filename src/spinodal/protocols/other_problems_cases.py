"""The problems beside deep networks: what each is, and what theory knows of it exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.diffusions import Diffusion
from spinodal.dynamics.penalised_regression import PenalisedRegression, correlated_design
from spinodal.dynamics.problems import MatrixCompletion, circulant_mask
from spinodal.errors import InputError
from spinodal.theory import free_energy, modes, penalties

Array = NDArray[np.float64]

ProblemName = Literal[
    "completion", "completion, two layers", "regression", "regression, correlated"
]
PROBLEMS: tuple[ProblemName, ...] = get_args(ProblemName)

SIDE, OBSERVED, ENTRY, WIDTH = 3, 2, 1.2, 2
"""Completion: a matrix of equal entries, of which so many of every row and column are seen."""

FEATURES, SIGNAL, SCALE, CORRELATION = 4, 1.0, 0.12, 0.3
"""Regression: one feature with a signal, the others without; scale of the penalty."""


class Problem(Protocol):
    """What can be descended, climbed and simulated."""

    @property
    def size(self) -> int:
        """Number of coordinates."""
        ...

    def gradient(self, positions: Array) -> Array:
        """Gradient, (walkers, coordinates)."""
        ...

    def landscape(self, positions: Array) -> tuple[Array, Array]:
        """Loss (walkers,) and gradient."""
        ...


@dataclass(frozen=True, kw_only=True)
class Case:
    """One problem as a family over the weight decay.

    `score` is the order parameter, `on` a position from which descent finds the feature learned.
    `spinodals` bound the weight decays with both states (0: none below); None where no formula is
    known. `barriers` (out, back), `mean_time(decay, temperature, start, target)` and
    `free_barrier(decay, temperature)` likewise; `exact_time` says whether the mean time is exact or
    that of the reduced free energy.
    """

    name: ProblemName
    feature: str
    at: Callable[[float], Problem]
    score: Callable[[Array], Array]
    on: Array
    range: tuple[float, float]
    spinodals: tuple[float, float] | None
    barriers: Callable[[float], tuple[float, float]] | None
    mean_time: Callable[[float, float, float, float], float] | None
    free_barrier: Callable[[float, float], float] | None
    exact_time: bool
    bridge: bool

    def diffusion(self, decay: float, temperature: float, step: float) -> Diffusion:
        """Langevin dynamics on the loss."""
        return Diffusion(
            gradient=self.at(decay).gradient, score=self.score, step=step, temperature=temperature
        )


def case(name: ProblemName) -> Case:
    """The problem of this name."""
    if name == "completion":
        return _completion(name, depth=3)
    if name == "completion, two layers":
        return _completion(name, depth=2)
    if name == "regression":
        return _regression(name, 0.0)
    if name == "regression, correlated":
        return _regression(name, CORRELATION)
    raise InputError(f"Unknown problem {name!r}; allowed are {list(PROBLEMS)}.")


def _completion(name: ProblemName, depth: int) -> Case:
    """Entries of a matrix of rank one, seen evenly: one mode with input variance k/d.

    With k of d entries of every row and column observed, W = (strength / d) 1 1^T has the loss of a
    mode of signal k ENTRY, and the gradient at W has no larger singular value than along it.
    """
    along = np.full((SIDE, 1), SIDE**-0.5)
    mode = {
        "depth": depth,
        "signal": OBSERVED * ENTRY,
        "input_variance": OBSERVED / SIDE,
    }
    spinodal = float(modes.spinodal(depth, mode["signal"], input_variance=mode["input_variance"]))

    def at(decay: float) -> MatrixCompletion:
        return MatrixCompletion(
            target=np.full((SIDE, SIDE), ENTRY),
            observed=circulant_mask(SIDE, OBSERVED),
            depth=depth,
            width=WIDTH,
            weight_decay=decay,
        )

    shape = at(0.1)

    def score(positions: Array) -> Array:
        return shape.along(positions, along[:, 0], along[:, 0])

    def heated(decay: float, temperature: float) -> dict[str, float | int]:
        rotations = free_energy.hidden_rotations(depth=depth, width=WIDTH, rank=0)
        return {
            **mode, "weight_decay": decay, "temperature": temperature, "rotations": rotations
        }  # fmt: skip

    def barriers(decay: float) -> tuple[float, float]:
        given = {**mode, "weight_decay": decay}
        return float(modes.barrier_out(**given)), float(modes.barrier_back(**given))

    def mean_time(decay: float, temperature: float, start: float, target: float) -> float:
        given = heated(decay, temperature)
        return free_energy.mode_first_passage_time(**given, target=target ** (1 / depth))  # type: ignore[arg-type]

    def free_barrier(decay: float, temperature: float) -> float:
        return float(free_energy.free_energy_barriers(**heated(decay, temperature))[0])  # type: ignore[arg-type]

    jumps = depth > 2
    return Case(
        name=name,
        feature="strength of the rank-1 part",
        at=at,
        score=score,
        on=shape.balanced([SIDE * ENTRY], along, along),
        range=(0.6 * spinodal, 1.08 * spinodal),
        spinodals=(0.0, spinodal) if jumps else (spinodal, spinodal),
        barriers=barriers if jumps else None,
        mean_time=mean_time if jumps else None,
        free_barrier=free_barrier if jumps else None,
        exact_time=False,
        bridge=False,
    )


def _regression(name: ProblemName, correlation: float) -> Case:
    """One feature explains the outputs; the others are only correlated with it."""
    design = correlated_design(FEATURES, correlation)
    truth = np.eye(FEATURES)[0] * SIGNAL
    single = {"signal": SIGNAL, "scale": SCALE}
    lower, upper = (float(decay) for decay in penalties.log_penalty_spinodals(**single))

    def at(decay: float) -> PenalisedRegression:
        return PenalisedRegression(
            design=design, outputs=design @ truth, weight_decay=decay, scale=SCALE
        )

    def barriers(decay: float) -> tuple[float, float]:
        out, back = penalties.log_penalty_barriers(weight_decay=decay, **single)
        return float(out), float(back)

    def mean_time(decay: float, temperature: float, start: float, target: float) -> float:
        return free_energy.first_passage_time(
            lambda w: penalties.log_penalty_loss(w, weight_decay=decay, **single),
            start=start,
            absorbing=target,
            temperature=temperature,
        )

    alone = correlation == 0
    return Case(
        name=name,
        feature="coefficient",
        at=at,
        score=lambda positions: positions[:, 0],
        on=truth,
        range=(0.92 * lower, 1.08 * upper),
        spinodals=(lower, upper) if alone else None,
        barriers=barriers if alone else None,
        mean_time=mean_time if alone else None,
        free_barrier=None,
        exact_time=alone,
        bridge=True,
    )
