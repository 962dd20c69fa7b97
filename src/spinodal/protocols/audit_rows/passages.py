"""Exact mean passage times out of the trap under additive noise, for rows that compare them."""

from __future__ import annotations

import numpy as np

from spinodal.errors import InputError
from spinodal.protocols.audit_rows.bench import Bench
from spinodal.theory import free_energy

RESOLVED = 1e-9
"""Temperatures below this share of the loss are lost in the rounding of the loss."""


def hidden_rotations(bench: Bench) -> int:
    """Hidden rotations gained on the way to the next rank; the layers must have room for it."""
    s = bench.settings
    return bench.call(free_energy.hidden_rotations, depth=s.depth, width=s.width, rank=s.trap_rank)


def log_passage_times(bench: Bench, *shares: float) -> tuple[float, list[float]]:
    """Temperature and ln tau at these shares of it; the trap must have a saddle.

    The temperature is that of the settings, or 0.7 of the thermal spinodal if that is lower.
    """
    s, mode, rotations = bench.settings, bench.mode(), hidden_rotations(bench)
    limit = float(bench.call(free_energy.thermal_spinodal, **mode, rotations=rotations))
    temperature = min(s.temperature, 0.7 * limit)
    if not temperature > RESOLVED * s.escape_signal**2:
        raise InputError(
            f"The trap is stable only below a temperature of {limit:.1e}, too low for the loss in "
            "floating-point numbers."
        )
    logs = [
        float(
            np.log(
                bench.call(
                    free_energy.mode_first_passage_time,
                    **mode,
                    temperature=share * temperature,
                    rotations=rotations,
                )
            )
        )
        for share in shares
    ]
    if not np.all(np.isfinite(logs)):
        raise InputError(f"At temperature {temperature:g} the passage time overflows.")
    return temperature, logs
