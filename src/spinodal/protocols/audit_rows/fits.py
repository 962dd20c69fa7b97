"""Rows on the Arrhenius plot: what its line, its range and its units can show."""

from __future__ import annotations

import numpy as np
from scipy.stats import linregress

from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import agrees
from spinodal.protocols.audit_rows.noise import gaussian_task
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.stated import STATED
from spinodal.statistics.escape_laws import drift_r_squared, drift_slope, steepest_slope
from spinodal.theory import free_energy, modes, phases

NULL_EXPLAINS = 0.8
"""An R^2 says little about activation if a law without activation reaches this much."""


def linear_in_batch_over_rate(bench: Bench) -> Finding:
    """Row 7: lines in B/lr through two laws of escape with different exponents.

    In epochs and up to constants, with T = lr/B and the curvature beta of the trap:

        over a barrier of the loss, isotropic noise:   dE/T + (N_z/2) ln T + ln(1/lr)
        noise proportional to the loss (Mori et al.):  ln(E_saddle/E_trap) B/(lr beta) + ln(1/lr)
    """
    s = bench.settings
    if not bench.has_saddle:
        return bench.without_saddle()
    if len(set(s.sweep_learning_rates)) < 3:
        raise InputError(
            f"A line in B/lr needs three different learning rates, got {s.sweep_learning_rates}."
        )
    rates = np.array(s.sweep_learning_rates)
    x = s.batch_size / rates
    mode = bench.mode()
    barrier = float(bench.call(modes.barrier_out, **mode))
    trap = bench.call(
        phases.phases,
        depth=s.depth,
        width=s.width,
        signals=s.ordered,
        weight_decay=s.weight_decay,
        outputs=s.outputs,
    )[s.trap_rank].loss
    if trap is None:
        return bench.without_saddle()
    # The phases take outputs of unit variance.
    trap += 0.5 * (float(np.trace(gaussian_task(s, None).population().yy)) - s.shape[0])
    rotations = bench.call(
        free_energy.hidden_rotations, depth=s.depth, width=s.width, rank=s.trap_rank
    )
    power = float(np.log1p(barrier / trap)) / s.weight_decay
    laws = {
        "loss barrier": barrier * x - rotations / 2 * np.log(x) - np.log(rates),
        "noise proportional to the loss": power * x - np.log(rates),
    }
    lines = {name: linregress(x, law) for name, law in laws.items()}
    squares = {name: float(line.rvalue) ** 2 for name, line in lines.items()}
    level = STATED["row-19"]
    linear = {name: square > level for name, square in squares.items()}
    if not linear["loss barrier"]:
        verdict = "wrong"
        reason = "On these learning rates not even escape over a loss barrier gives a line in B/lr."
    elif linear["noise proportional to the loss"]:
        verdict = "cannot be derived"
        reason = (
            f"Escape over a loss barrier (slope {lines['loss barrier'].slope:.2g}) and noise "
            f"proportional to the loss (slope {lines['noise proportional to the loss'].slope:.2g}) "
            f"both give lines in B/lr, with R^2 above the {level:g} of figure 2b: a line does not "
            "tell them apart."
        )
    else:
        verdict = "reproduces"
        reason = "On these learning rates a line in B/lr tells a loss barrier from the other law."
    return bench.finding(
        {f"R^2 in B/lr: {name}": value for name, value in squares.items()},
        verdict,
        reason,
        fitted_slopes=[float(line.slope) for line in lines.values()],
        exponents_per_B_over_lr=(barrier, power),
        loss_of_the_trap=trap,
        learning_rates=rates,
    )


def five_points(bench: Bench) -> Finding:
    """Row 19: the R^2 of pure drift on the same learning rates."""
    rates = bench.settings.sweep_learning_rates
    null = float(bench.call(drift_r_squared, rates))
    weak = null >= NULL_EXPLAINS
    return bench.finding(
        {"R^2 of a drift without activation": null},
        "cannot be derived" if weak else "not checked",
        f"{len(rates)} learning rates over {np.log10(max(rates) / min(rates)):.1f} decades: a "
        + (
            f"noise-free drift, tau proportional to 1/lr, already gives {null:.3f}, so 0.991 is "
            "weak evidence of activation."
            if weak
            else f"noise-free drift would give only {null:.3f}, so that 0.991 would count for "
            "activation; the times it was fitted to are not given."
        ),
        learning_rates=rates,
    )


def two_figures(bench: Bench) -> Finding:
    """Row 20: what the sweep allows at the learning rate of figure 1a."""
    s = bench.settings
    rates = np.array(s.sweep_learning_rates)
    slope = float(
        bench.call(
            steepest_slope, s.sweep_learning_rates, longest_time=s.sweep_epochs, shortest_time=1.0
        )
    )
    at_fastest, at_figure_1 = slope / rates.max(), slope / s.learning_rate
    stated = bench.stated["epochs at lr 0.08"]
    together = s.sweep_epochs / stated
    span = 1 / rates.min() - 1 / s.learning_rate
    within = float(np.exp(np.log(together) * np.ptp(1 / rates) / span)) if span > 0 else None
    inconsistent = at_figure_1 < 1
    return bench.finding(
        {
            "largest slope per 1/lr": slope,
            f"largest barrier over T at lr {rates.max():g}": at_fastest,
            f"largest barrier over T at lr {s.learning_rate:g}": at_figure_1,
        },
        "inconsistent" if inconsistent else "not checked",
        f"Runs of {s.sweep_epochs:g} epochs bound the slope, and with it the barrier to "
        f"{at_figure_1:.2f} T at lr {s.learning_rate:g}"
        + (
            f": no barrier, where the other figure waits {stated} epochs for an activated escape."
            if inconsistent
            else ", which leaves room for activation and cannot tell whether there is any."
        ),
        range_of_tau_if_both_figures_hold=together,
        range_of_tau_within_the_sweep_if_both_hold=within,
    )


def swept_learning_rate(bench: Bench) -> Finding:
    """Row 32: the slope that counting epochs adds when the learning rate is what is swept."""
    s = bench.settings
    rates = s.sweep_learning_rates
    spurious = float(bench.call(drift_slope, rates)) if len(set(rates)) > 2 else 0.0
    total = float(bench.call(steepest_slope, rates, longest_time=s.sweep_epochs, shortest_time=1.0))
    fixed = len(set(rates)) == 1
    return bench.finding(
        {"slope added per 1/lr": spurious, "largest possible slope": total},
        "reproduces" if fixed else "wrong",
        "The learning rate is what is swept: a time in epochs is B/(lr N) of the time in units of "
        f"1/lr, which adds ln(1/lr), {spurious / total:.0%} of the steepest slope such runs allow.",
        learning_rates=rates,
    )


def steps_per_epoch(bench: Bench) -> Finding:
    """Row 33: floor(N/B)."""
    s = bench.settings
    update = Update(
        learning_rate=s.learning_rate, weight_decay=s.weight_decay, batch_size=s.batch_size
    )
    found = bench.call(update.steps_per_epoch, s.samples) if s.samples >= s.batch_size else 0
    holds = agrees(bench.stated, found)
    return bench.finding(
        found,
        "reproduces" if holds else "wrong",
        f"floor({s.samples}/{s.batch_size}) = {found}.",
    )


ROWS: dict[str, Row] = {
    "row-07": linear_in_batch_over_rate,
    "row-19": five_points,
    "row-20": two_figures,
    "row-32": swept_learning_rate,
    "row-33": steps_per_epoch,
}
