"""Rows on the sparse run of figure 1b: whether it has noise at all, and what its delay measures."""

from __future__ import annotations

import numpy as np

from spinodal.dynamics.updates import Update
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import agrees, within_factor
from spinodal.protocols.audit_rows.row import Finding
from spinodal.theory import modes, plateau

SAME_DELAY = 1.5
"""Delays within this factor count as the stated one, which is read off a curve."""


def batches_of_the_sparse_run(bench: Bench) -> Finding:
    """Row 14: steps per epoch and noise of a batch larger than the data."""
    s = bench.settings
    share = s.sparse_samples / s.sparse_pool
    dropped = s.sparse_samples // s.sparse_batch_size
    kept = bench.call(
        Update(
            learning_rate=s.sparse_learning_rate,
            weight_decay=s.sparse_weight_decay,
            batch_size=s.sparse_batch_size,
            drop_last=False,
        ).steps_per_epoch,
        s.sparse_samples,
    )
    noisy = s.sparse_samples > s.sparse_batch_size
    arithmetic = agrees(bench.stated["share of the pool"], share)
    evidence: dict[str, object] = {}
    record = bench.record("fig1b")
    if record is not None:
        evidence = {
            "largest_difference_in_steps_between_full_batch_and_this_loader": (
                record.literal_batch_difference
            ),
            "pairs_of_runs_compared": record.literal_batch_pairs,
        }
    return bench.finding(
        {"share of the pool": share, "steps per epoch, floor(N/B)": dropped, "batches": kept},
        "reproduces" if noisy and arithmetic else "not reproduced as described",
        "The batches are smaller than the data: there is minibatch noise."
        if noisy
        else f"{s.sparse_samples} samples do not fill a batch of {s.sparse_batch_size}: every step "
        "sees all of them (or, by the paper's floor(N/B), there is no step), so nothing is noisy.",
        **evidence,
    )


def sparse_plateau(bench: Bench) -> Finding:
    """Row 15: how long noise-free training takes from a checkpoint that stopped at a residual.

    The residual is given (`checkpoint_residual`), not fitted to the stated time; where figure 1b
    was computed, the stated time must also lie within what its data sets take from there.
    """
    s, stated = bench.settings, bench.stated["epochs"]
    mode = bench.mode(weight_decay=s.sparse_weight_decay)
    edge = float(bench.call(plateau.separatrix, **mode))
    if not np.isfinite(edge) or edge <= 0:
        return bench.finding(
            None,
            "cannot be derived",
            "At these settings the trap has no separatrix, so no plateau of its own.",
        )

    def epochs(residual: float) -> float:
        amplitude = residual ** (1 / s.depth)
        return float(plateau.plateau_time(**mode, amplitude=amplitude)) / s.sparse_learning_rate

    residual = s.checkpoint_residual
    bench.note(plateau.plateau_time, amplitude=f"({residual:g})^(1/{s.depth})", weight_decay="...")
    predicted, quicker = epochs(residual), epochs(10 * residual)
    name = f"from a residual second strength of {residual:.0e}"
    found: dict[str, float | None] = {f"epochs without noise, {name}": predicted}
    holds, measured = within_factor(stated, predicted, SAME_DELAY), ""
    evidence: dict[str, object] = {
        "strength_below_which_it_never_escapes": edge**s.depth,
        "epochs_from_ten_times_the_residual": quicker,
        "saddle": bench.call(modes.saddle, **mode),
    }
    record = bench.record("fig1b")
    if record is not None:
        rows = [row for row in record.summaries if row.arm == "full batch"]
        here = next((row for row in rows if row.residual == residual), None)
        if here is not None:
            found[f"epochs measured by full batch, {name} (median)"] = here.median
            longest = here.longest if here.escaped == here.datasets else None
            measured = f"; measured {here.shortest or 'never'} to {longest or 'never'} by data set"
            latest = np.inf if longest is None else longest
            holds = holds and here.shortest is not None and here.shortest <= stated <= latest
        there = [d.epochs_there for d in record.datasets]
        evidence |= {
            "data_sets": len(there),
            "runs_from_the_residual_predicted_to_give_the_stated_time_that_do": sum(
                within_factor(stated, time, SAME_DELAY) for time in there
            ),
            "residuals_that_give_the_stated_time_low_median_high": (
                record.residual_for_stated_low,
                record.residual_for_stated_median,
                record.residual_for_stated_high,
            ),
            "measured_by_residual_full_batch": tuple(
                f"{row.residual:.0e}: {row.escaped}/{row.datasets}"
                + ("" if row.median is None else f", {row.median:.0f} epochs")
                for row in rows
            ),
        }
    takes, less = (
        f"takes {time:.0f} epochs" if np.isfinite(time) else "never comes"
        for time in (predicted, quicker)
    )
    return bench.finding(
        found,
        "reproduces" if holds else "not reproduced as described",
        f"From a checkpoint with a second strength of {residual:.0e} escape without any noise "
        f"{takes} (stated {stated}{measured}); from ten times that it {less}, and from a "
        "converged one it never comes: the delay measures the checkpoint.",
        **evidence,
    )


ROWS: dict[str, Row] = {"row-14": batches_of_the_sparse_run, "row-15": sparse_plateau}
