"""Rows on the Arrhenius plot: what its line, its range and its units can show."""

from __future__ import annotations

import numpy as np

from spinodal.dynamics.updates import Update
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import agrees
from spinodal.protocols.audit_rows.row import Finding
from spinodal.statistics.escape_laws import drift_r_squared, drift_slope, steepest_slope
from spinodal.theory import modes, phases

NULL_EXPLAINS = 0.8
"""An R^2 says little about activation if a law without activation reaches this much."""


def linear_in_batch_over_rate(bench: Bench) -> Finding:
    """Row 7: two laws of escape with different exponents, both lines in B/lr."""
    s = bench.settings
    if not bench.has_saddle:
        return bench.without_saddle()
    x = s.batch_size / np.array(s.sweep_learning_rates)
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
    slopes = {
        "loss barrier, isotropic noise": barrier,
        # The curvature along the unlearned feature is the weight decay.
        "logarithm of the loss, noise proportional to it": np.log1p(barrier / trap)
        / s.weight_decay,
    }
    squares = {name: float(np.corrcoef(x, slope * x)[0, 1] ** 2) for name, slope in slopes.items()}
    return bench.finding(
        {f"R^2 in B/lr: {name}": value for name, value in squares.items()},
        "cannot be derived" if min(squares.values()) > 0.99 else "reproduces",
        "A line in B/lr is common to every law whose exponent scales with the noise strength; it "
        "neither singles out a loss barrier nor makes its slope one.",
        slopes=list(slopes.values()),
        loss_of_the_trap=trap,
    )


def five_points(bench: Bench) -> Finding:
    """Row 19: the R^2 of pure drift on the same learning rates."""
    rates = bench.settings.sweep_learning_rates
    null = float(bench.call(drift_r_squared, rates))
    weak = null >= NULL_EXPLAINS
    return bench.finding(
        {"R^2 of a drift without activation": null},
        "cannot be derived" if weak else "reproduces",
        f"{len(rates)} learning rates over {np.log10(max(rates) / min(rates)):.1f} decades: a "
        + (
            f"noise-free drift, tau proportional to 1/lr, already gives {null:.3f}, so 0.991 is "
            "weak evidence of activation."
            if weak
            else f"noise-free drift would give only {null:.3f}."
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
        "inconsistent" if inconsistent else "reproduces",
        f"Runs of {s.sweep_epochs:g} epochs bound the slope, and with it the barrier to "
        f"{at_figure_1:.2f} T at lr {s.learning_rate:g}"
        + (
            f": no barrier, where the other figure waits {stated} epochs for an activated escape."
            if inconsistent
            else ", which leaves room for activation."
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
