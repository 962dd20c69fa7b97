"""A step from one phase to the next: spectra and valley volumes of both and of the saddle between.

Phases are nested: rank r has learned the r strongest signals, and the saddle towards rank r + 1 has
the next mode at its saddle point and everything else as it was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import curvature, modes
from spinodal.theory.curvature import Choice, Level
from spinodal.theory.orbits import log_orbit_volume
from spinodal.theory.roots import Array, depth_root


class Transition(NamedTuple):
    """Spectra and valley volumes of two neighbouring phases and the saddle between them."""

    lower: tuple[Level, ...]
    saddle: tuple[Level, ...]
    upper: tuple[Level, ...]
    log_volumes: tuple[float, float, float]
    amplitudes: Array
    """Amplitudes of the escaping mode: at the saddle and learned."""
    mode: dict[str, float]


def transition(
    depth: int,
    width: int,
    signals: ArrayLike,
    weight_decay: float,
    rank: int,
    inputs: int | None,
    outputs: int | None,
) -> Transition:
    """Everything about the step from rank `rank` to the next, or a sentence why there is none."""
    depth = modes.checked_depth(depth)
    eta = np.sort(np.atleast_1d(np.asarray(signals, dtype=float)))[::-1]
    if depth < 3:
        raise InputError(
            f"There is no barrier between phases at depth {depth}: modes are learned without one; "
            "use depth 3 or more."
        )
    if not 0 <= rank < min(len(eta), width):
        raise InputError(
            f"A next mode can be learned from rank 0 to {min(len(eta), width) - 1} with "
            f"{len(eta)} signals and width {width}, got rank {rank}."
        )
    if len(set(eta.tolist())) < len(eta):
        raise InputError(
            f"Signals must differ, got {eta.tolist()}: tied modes share one valley and one "
            "transition; separate them a little."
        )
    if not weight_decay > 0:
        raise InputError(
            f"weight_decay must be positive, got {weight_decay:g}: without it the trivial phase "
            "is no minimum."
        )
    rest: tuple[Choice, ...] = ("trivial",) * (len(eta) - rank - 1)
    held: tuple[Choice, ...] = ("learned",) * rank
    configurations: list[tuple[Choice, ...]] = [
        (*held, "trivial", *rest),
        (*held, "saddle", *rest),
        (*held, "learned", *rest),
    ]
    spectra, volumes, amplitudes = [], [], []
    for configuration in configurations:
        spectra.append(
            curvature.hessian_spectrum(
                configuration,
                depth=depth,
                width=width,
                signals=eta,
                weight_decay=weight_decay,
                inputs=inputs,
                outputs=outputs,
            )
        )
        strengths = curvature.configuration_strengths(
            configuration, depth=depth, signals=eta, weight_decay=weight_decay
        )
        a = depth_root(strengths, depth)
        amplitudes.append(float(a[rank]))
        volumes.append(log_orbit_volume(a[a > 0], depth=depth, width=width))
    return Transition(
        spectra[0],
        spectra[1],
        spectra[2],
        (volumes[0], volumes[1], volumes[2]),
        np.array(amplitudes[1:]),
        {"signal": float(eta[rank]), "weight_decay": float(weight_decay)},
    )
