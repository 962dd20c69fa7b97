"""Rows on the transitions of figure 3: labels, sampling fluctuation, direction of the sweep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.tasks import draw
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.noise import gaussian_task
from spinodal.protocols.audit_rows.row import Finding
from spinodal.statistics.proportion import escape_probability
from spinodal.theory import finite_data, modes

FULL = "standard deviation over data sets, from all their moments"


def labels(bench: Bench) -> Finding:
    """Row 34: the order of the critical values in the order of the signals."""
    s = bench.settings
    found = [float(bench.call(modes.spinodal, s.depth, eta)) for eta in s.signals]
    order = {float(step) for step in np.sign(np.diff(found))}
    stated = float(np.sign(np.diff(bench.stated)[0]))
    listed = ", ".join(f"{beta:.4f}" for beta in found)
    if order == {stated}:
        verdict = "reproduces"
        reason = f"beta_{{c}} in the order of the signals is {listed}: the labels follow them."
    elif order == {-stated}:
        verdict = "inconsistent"
        reason = (
            f"beta_{{c}} rises with the signal: {listed} in the order of the signals, as appendix "
            "D has it; the main text and appendices A and B have the labels swapped."
        )
    else:
        verdict = "cannot be derived"
        reason = "These signals are not in one order, so that labels by order say nothing."
    return bench.finding(
        {"beta_c in the order of the signals": found}, verdict, reason, signals=s.signals
    )


def offset(bench: Bench) -> Finding:
    """Row 35: critical values of many data sets of the paper's size."""
    s = bench.settings
    theory = np.sort(
        np.array([float(bench.call(modes.spinodal, s.depth, eta)) for eta in s.signals])
    )
    if s.depth < 2 or len(theory) != len(bench.stated):
        return bench.finding(
            theory, "cannot be derived", "The stated transitions belong to two deep features."
        )
    drawn, alone = (np.sort(values, axis=1) for values in _spinodals(bench))
    spread = drawn.std(axis=0, ddof=1)
    stated = np.array(bench.stated)
    normal = (drawn - drawn.mean(axis=0)) / spread
    scores = (stated - drawn.mean(axis=0)) / spread
    both = int(np.sum(np.all(drawn >= stated, axis=1)))
    fraction = escape_probability(both, len(drawn))
    ordinary = bool(np.all(np.abs(scores) < 2))
    return bench.finding(
        {
            "beta_c": theory,
            FULL: spread,
            "the same from singular values alone": alone.std(0, ddof=1),
        },
        "reproduces" if ordinary else "wrong",
        f"Both lie within {np.abs(scores).max():.1f} standard deviations of what samples of "
        f"{s.samples} give: an ordinary fluctuation, so that the bias of the outputs which the "
        "paper invokes is not needed."
        if ordinary
        else f"One lies {np.abs(scores).max():.1f} standard deviations from what samples of "
        f"{s.samples} give.",
        mean_over_data_sets=drawn.mean(axis=0),
        deviations_of_the_stated_values=scores,
        data_sets_with_both_at_least_as_high=f"{both} of {len(drawn)}",
        interval=(fraction.low, fraction.high),
        correlation_of_the_two=normal[:, 0] @ normal[:, 1] / (len(normal) - 1),
        signals_that_give_the_stated_values=(stated / float(modes.spinodal(s.depth, 1.0)))
        ** (s.depth / (2 * s.depth - 2)),
    )


def direction_of_the_sweep(bench: Bench) -> Finding:
    """Row 36: whether the trivial state ever gives way when the weight decay falls."""
    s = bench.settings
    decays = np.array([0.5, 0.1, 0.01]) * float(modes.spinodal(max(s.depth, 2), max(s.signals)))
    mode = {**bench.mode(signal=max(s.signals)), "weight_decay": decays}
    at_zero = bench.call(modes.curvature, 0.0, **mode)
    sweeps = _regained(bench)
    trapped = bool(np.all(at_zero > 0)) and not any(regained for _, _, regained in sweeps)
    return bench.finding(
        {"curvature of the trivial state at falling beta": at_zero},
        "inconsistent" if trapped else "reproduces",
        "For L >= 3 the trivial state is a minimum at every beta > 0: a falling sweep stays at "
        "rank 0, and only a rising one shows the transitions; the appendices say both."
        if trapped
        else "The trivial state loses its stability, so both directions show the same transitions.",
        weight_decays=decays,
        falling_sweeps_that_regained_a_feature=[
            f"from {start}: {regained} of {lanes}" for start, lanes, regained in sweeps
        ],
    )


def _regained(bench: Bench) -> list[tuple[str, int, int]]:
    """Falling sweeps of figure 3: from which state, how many, and how many regained a feature."""
    record = bench.record("fig3")
    rows = () if record is None else record.regained
    return [(row.start, row.lanes, row.regained) for row in rows]


def _spinodals(bench: Bench) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Critical values of data sets, each of shape (data sets, features).

    First from all moments of a sample, then from the singular values of its Sigma_yx alone, as if
    its inputs had exactly unit covariance.
    """
    s = bench.settings
    d = len(s.signals)
    task = gaussian_task(s, s.samples)
    drawn = [draw(task, seed=bench.seed, dataset=number).train for number in range(s.data_sets)]
    alone = modes.spinodal(
        s.depth, np.array([np.linalg.svd(m.yx, compute_uv=False)[:d] for m in drawn])
    )
    record = bench.record("fig3")
    if record is not None and len(record.spectrum_spinodals) >= s.data_sets:
        rows = np.array(record.spectrum_spinodals)
        bench.note(
            finite_data.empirical_spinodals, f"<{len(rows)} data sets of {s.samples}, figure 3>"
        )
        return rows, alone
    bench.note(finite_data.empirical_spinodals, f"<{s.data_sets} data sets of {s.samples}>")
    full = [finite_data.empirical_spinodals(m.xx, m.yx, depth=s.depth)[:d] for m in drawn]
    return np.array(full), alone


ROWS: dict[str, Row] = {"row-34": labels, "row-35": offset, "row-36": direction_of_the_sweep}
