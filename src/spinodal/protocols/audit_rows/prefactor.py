"""Rows on the prefactor: equations (11) and (12), flat directions, entropy under known noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.protocols.audit_rows import equations
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import SAME
from spinodal.protocols.audit_rows.passages import hidden_rotations, log_passage_times
from spinodal.protocols.audit_rows.readings import heated
from spinodal.protocols.audit_rows.row import Finding
from spinodal.theory import curvature, free_energy, kramers, modes
from spinodal.theory.curvature import Choice, Level


def powers_of_curvature(bench: Bench) -> Finding:
    """Row 25: how the time of equation (11) scales when all curvatures double, and to where.

    Doubling the potential and the temperature halves every time of dx = -V' dt + sqrt(2T) dW.
    """
    well, saddle = np.array([1.0, 2.0, 3.0]), np.array([-1.5, 1.0, 2.0])
    printed = equations.log_time_11(2 * saddle, 2 * well, barrier=1, temperature=0.1)
    printed -= equations.log_time_11(saddle, well, barrier=1, temperature=0.1)
    heat = 1 / 40  # a tenth of the barrier of V

    def time(scale: float, absorbing: float) -> float:
        return free_energy.first_passage_time(
            lambda x: scale * (x**2 - 1) ** 2 / 4,
            start=-1.0,
            absorbing=absorbing,
            temperature=scale * heat,
        )

    bench.note(free_energy.first_passage_time, "double well", start="-1", absorbing="0 and 0.8")
    exact = np.log(time(2.0, 0.8) / time(1.0, 0.8))
    share = time(1.0, 0.0) / time(1.0, 0.8)
    power, expected = printed / np.log(2), exact / np.log(2)
    right = abs(power - expected) < 1e-6
    return bench.finding(
        {
            "power of curvature in equation (11)": power,
            "power of curvature in a time": expected,
            "share of the time spent up to the saddle": share,
        },
        "reproduces" if right else "wrong",
        "The products must have D factors above and below; with D - 1 below, the result is no "
        "time. It is the inverse rate, of which the way to the saddle takes half.",
    )


def flat_directions(bench: Bench) -> Finding:
    """Row 26: eigenvalues that are exactly zero."""
    if not bench.has_saddle:
        return bench.without_saddle()
    trap, top = _spectra(bench)
    flat = [curvature.zero_modes(trap), curvature.zero_modes(top)]
    applies = not any(flat)
    log_time = None if applies else _log_time_with_volumes(bench)
    return bench.finding(
        {"flat directions of the trap": flat[0], "flat directions of the saddle": flat[1]},
        "reproduces" if applies else "wrong",
        "No direction is flat."
        if applies
        else f"Rotations of the hidden units leave {flat[0]} flat directions in the trap and "
        f"{flat[1]} at the saddle, so the printed time is zero; volumes of the valleys must "
        "replace them.",
        weights=_count(trap),
        ln_tau_with_volumes=log_time,
    )


def sign_of_the_entropy(bench: Bench) -> Finding:
    """Row 27: the logarithm of equation (11) against equation (12), on random spectra."""
    rng = np.random.default_rng(12)
    printed, opposite = 0.0, 0.0
    for _ in range(50):
        well = rng.uniform(0.2, 3.0, 12)
        saddle = rng.uniform(0.2, 3.0, 12)
        saddle[0] *= -1
        barrier, temperature = rng.uniform(0.5, 2.0), rng.uniform(0.05, 0.2)
        # Equation (11) with its count mended: both products over all directions.
        full = np.append(well, 1.0)
        log_time = equations.log_time_11(saddle, full, barrier=barrier, temperature=temperature)
        truth = temperature * (log_time - np.log(2 * np.pi / abs(saddle[0])))
        effective = equations.effective_barrier_12(
            saddle, well, barrier=barrier, temperature=temperature
        )
        printed = max(printed, abs(effective - truth))
        opposite = max(opposite, abs(2 * barrier - effective - truth))
    bench.note(equations.log_time_11, "<50 random spectra>")
    bench.note(equations.effective_barrier_12, "<50 random spectra>")
    right = printed < SAME
    return bench.finding(
        {
            "largest error with the printed sign": printed,
            "largest error with the opposite sign": opposite,
        },
        "reproduces" if right else "wrong",
        "The logarithm of equation (11) is dE + T/2 sum ln(w_{saddle}/w_{min}): a saddle softer "
        "than the well lowers the effective barrier, the opposite of what is claimed.",
    )


def entropy_in_the_slope(bench: Bench) -> Finding:
    """Row 28: the slope of ln tau against 1/T with and without the entropy term."""
    if not bench.has_saddle:
        return bench.without_saddle()
    barrier = float(bench.call(modes.barrier_out, **bench.mode()))
    well, saddle = np.full(20, 2.0), np.append(-1.0, np.full(19, 0.1))
    inverse = np.array([0.99, 1.01]) / bench.settings.temperature
    # The term alone: beside it a tiny barrier would be lost in rounding.
    term = [
        equations.effective_barrier_12(saddle, well, barrier=0.0, temperature=1 / x)
        for x in inverse
    ]
    bench.note(equations.effective_barrier_12, "<softer saddle>", temperature="T (1 +- 0.01)")
    added = float(np.diff(np.array(term) * inverse)[0] / np.diff(inverse)[0])
    added = added if abs(added) > SAME * max(map(abs, term)) else 0.0
    slope = barrier + added
    explains = slope / barrier > 1 + SAME
    rotations = hidden_rotations(bench)
    flat = barrier - rotations * bench.settings.temperature / 2
    return bench.finding(
        {"slope relative to the barrier": slope / barrier},
        "reproduces" if explains else "wrong",
        "The term is proportional to T, so it adds a constant to ln tau and nothing to its slope "
        "against 1/T; only flat directions do, and they lower it.",
        barrier=barrier,
        slope_with_flat_directions=flat,
        flat_directions_gained_per_side=rotations,
    )


def soft_saddle(bench: Bench) -> Finding:
    """Row 29: curvatures in the trap and at the saddle, paired in order of size."""
    if not bench.has_saddle:
        return bench.without_saddle()
    trap, top = (_values(levels) for levels in _spectra(bench))
    softer = int(np.sum(top < trap - 1e-12))
    much = int(np.sum(10 * np.maximum(top, 0) < trap - 1e-12))
    equal = int(np.sum(np.abs(top - trap) <= 1e-12))
    most = much > trap.size / 2
    return bench.finding(
        {
            "much softer": much,
            "softer": softer,
            "equal": equal,
            "stiffer": trap.size - softer - equal,
        },
        "reproduces" if most else "wrong",
        f"Of {trap.size} directions {softer} are softer at the saddle, {equal} equal and "
        f"{trap.size - softer - equal} stiffer.",
        trap=_listed(_spectra(bench)[0]),
        saddle=_listed(_spectra(bench)[1]),
    )


def entropy_raises_the_barrier(bench: Bench) -> Finding:
    """Row 30: exact mean passage times of the effective free energy at two temperatures."""
    if not bench.has_saddle:
        return bench.without_saddle()
    rotations = hidden_rotations(bench)
    barrier = float(bench.call(modes.barrier_out, **bench.mode()))
    temperature, logs = log_passage_times(bench, 1.0, 0.98)
    slope = (logs[1] - logs[0]) / (1 / (0.98 * temperature) - 1 / temperature)
    effective = temperature * logs[0]
    seen = heated(bench)
    raised = slope > barrier or any((run.low or 0) > 1 for run in seen)
    return bench.finding(
        {
            "apparent barrier over barrier (slope)": slope / barrier,
            "T ln tau over barrier": effective / barrier,
        },
        "reproduces" if raised else "wrong",
        "Entropy raises the barrier."
        if raised
        else (
            "Under isotropic noise of known temperature the hidden rotations open up on the way: "
            f"they lower the apparent barrier to {slope / barrier:.2f} of the landscape's, the "
            "opposite sign."
            if rotations
            else "This network has no hidden rotations that could add entropy: the apparent "
            f"barrier is {slope / barrier:.2f} of the landscape's."
        ),
        barrier=barrier,
        temperature=temperature,
        thermal_spinodal=free_energy.thermal_spinodal(**bench.mode(), rotations=rotations),
        ln_tau=logs[0],
        measured=tuple(map(str, seen)) or None,
    )


def _spectra(bench: Bench) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """Spectra of the trap and of the saddle beyond it."""
    s = bench.settings
    rest = len(s.signals) - s.trap_rank - 1
    held: tuple[Choice, ...] = ("learned",) * s.trap_rank
    left: tuple[Choice, ...] = ("trivial",) * rest
    trap: tuple[Choice, ...] = (*held, "trivial", *left)
    top: tuple[Choice, ...] = (*held, "saddle", *left)
    found = [
        bench.call(
            curvature.hessian_spectrum,
            configuration,
            depth=s.depth,
            width=s.width,
            signals=s.ordered,
            weight_decay=s.weight_decay,
            inputs=s.inputs,
            outputs=s.outputs,
        )
        for configuration in (trap, top)
    ]
    return found[0], found[1]


def _log_time_with_volumes(bench: Bench) -> float | None:
    """ln tau of Eyring-Kramers-Langer at the settings' temperature; None for tied signals."""
    s = bench.settings
    if len(set(s.ordered)) < len(s.ordered):
        return None
    rate = bench.call(
        kramers.log_rate_up,
        depth=s.depth,
        width=s.width,
        signals=s.ordered,
        weight_decay=s.weight_decay,
        temperature=s.temperature,
        rank=s.trap_rank,
        inputs=s.inputs,
        outputs=s.outputs,
    )
    return -rate.log_rate


def _values(levels: tuple[Level, ...]) -> NDArray[np.float64]:
    return np.sort(np.repeat([v.value for v in levels], [v.multiplicity for v in levels]))


def _count(levels: tuple[Level, ...]) -> int:
    return sum(level.multiplicity for level in levels)


def _listed(levels: tuple[Level, ...]) -> tuple[str, ...]:
    values, counts = np.unique(np.round(_values(levels), 10), return_counts=True)
    return tuple(f"{value:.5g} ({count})" for value, count in zip(values, counts, strict=True))


ROWS: dict[str, Row] = {
    "row-25": powers_of_curvature,
    "row-26": flat_directions,
    "row-27": sign_of_the_entropy,
    "row-28": entropy_in_the_slope,
    "row-29": soft_saddle,
    "row-30": entropy_raises_the_barrier,
}
