"""Rows on the sparse run of figure 1b: whether it has noise at all, and what its delay measures."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from spinodal.dynamics.updates import Update
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import agrees
from spinodal.protocols.audit_rows.row import Finding
from spinodal.theory import modes, plateau


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
    """Row 15: the residual of the checkpoint from which noise-free training takes as long."""
    s, stated = bench.settings, bench.stated["epochs"]
    mode = bench.mode(weight_decay=s.sparse_weight_decay)
    edge = float(bench.call(plateau.separatrix, **mode))
    if not np.isfinite(edge) or edge <= 0:
        return bench.finding(
            None,
            "cannot be derived",
            "At these settings the trap has no separatrix, so no plateau of its own.",
        )
    amplitude = _amplitude_for(bench, stated * s.sparse_learning_rate, edge)
    residual = amplitude**s.depth
    epochs = float(bench.call(plateau.plateau_time, **mode, amplitude=amplitude))
    epochs /= s.sparse_learning_rate
    larger = 10 ** (1 / s.depth) * amplitude
    quicker = float(plateau.plateau_time(**mode, amplitude=larger)) / s.sparse_learning_rate
    found: dict[str, float | None] = {
        "epochs from this residual, without noise": epochs,
        "residual second strength": residual,
    }
    evidence = {
        "strength_below_which_it_never_escapes": edge**s.depth,
        "epochs_from_ten_times_the_residual": quicker,
        "saddle": bench.call(modes.saddle, **mode),
    }
    reached = True
    record = bench.record("fig1b")
    if record is not None:
        measured = [d.epochs_there for d in record.datasets]
        reached = sum(m is not None and stated / 1.5 <= m <= stated * 1.5 for m in measured) > (
            len(measured) / 2
        )
        found["epochs measured by full batch (median over data sets)"] = _median(measured)
        evidence |= {
            "data_sets": len(measured),
            "full_batch_runs_that_escaped": sum(m is not None for m in measured),
            "residuals_that_give_the_stated_time_low_median_high": (
                record.residual_for_stated_low,
                record.residual_for_stated_median,
                record.residual_for_stated_high,
            ),
            "measured_by_residual_full_batch": tuple(
                f"{row.residual:.0e}: {row.escaped}/{row.datasets}"
                + ("" if row.median is None else f", {row.median:.0f} epochs")
                for row in record.summaries
                if row.arm == "full batch"
            ),
        }
    return bench.finding(
        found,
        "reproduces" if reached else "not reproduced as described",
        f"{stated} epochs pass without any noise if the checkpoint stopped at a second strength of "
        f"{residual:.1e}; from ten times that it takes {quicker:.0f}, from a converged one for "
        "ever: the delay measures the checkpoint."
        if reached
        else "No checkpoint residual gives the stated time on most data sets.",
        **evidence,
    )


def _amplitude_for(bench: Bench, time: float, edge: float) -> float:
    """Amplitude whose noise-free plateau lasts `time`; the plateau diverges at the separatrix."""
    mode = bench.mode(weight_decay=bench.settings.sparse_weight_decay)

    def excess(log_distance: float) -> float:
        amplitude = edge * (1 + np.exp(log_distance))
        return float(plateau.plateau_time(**mode, amplitude=amplitude)) - time

    distance = float(brentq(excess, np.log(1e-6), np.log(50.0), xtol=1e-12))  # type: ignore[arg-type]
    return float(edge * (1 + np.exp(distance)))


def _median(values: list[int | None]) -> float | None:
    """Median with None as infinitely late; None if that is the median."""
    middle = float(np.median([np.inf if v is None else v for v in values]))
    return middle if np.isfinite(middle) else None


ROWS: dict[str, Row] = {"row-14": batches_of_the_sparse_run, "row-15": sparse_plateau}
