"""Rows on the transitions of figure 3: labels, sampling fluctuation, direction of the sweep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.row import Finding
from spinodal.statistics.proportion import escape_probability
from spinodal.theory import finite_data, modes


def labels(bench: Bench) -> Finding:
    """Row 34: the order of the critical values in the order of the signals."""
    s = bench.settings
    found = [float(bench.call(modes.spinodal, s.depth, eta)) for eta in s.signals]
    rising = bool(np.all(np.diff(found) > 0))
    stated = bool(np.diff(bench.stated)[0] > 0)
    same = rising == stated
    return bench.finding(
        {"beta_c in the order of the signals": found},
        "reproduces" if same else "inconsistent",
        "The labels follow the signals."
        if same
        else "beta_{c} rises with the signal, so with eta_{1} > eta_{2} appendix D has "
        "beta_{c}^{(1)} = 0.42; the main text and appendices A and B have the labels swapped.",
        signals=s.signals,
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
    drawn = np.sort(_spinodals(bench), axis=1)
    spread = drawn.std(axis=0, ddof=1)
    stated = np.array(bench.stated)
    normal = (drawn - drawn.mean(axis=0)) / spread
    scores = (stated - drawn.mean(axis=0)) / spread
    both = int(np.sum(np.all(drawn >= stated, axis=1)))
    fraction = escape_probability(both, len(drawn))
    ordinary = bool(np.all(np.abs(scores) < 2))
    return bench.finding(
        {"beta_c": theory, "standard deviation over data sets": spread},
        "reproduces" if ordinary else "wrong",
        f"Both values lie within {np.abs(scores).max():.1f} standard deviations of what samples of "
        f"{s.samples} give: an ordinary fluctuation, no bias of the outputs is needed."
        if ordinary
        else "The stated transitions are not what samples of this size give.",
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


def _spinodals(bench: Bench) -> NDArray[np.float64]:
    """Critical values of every data set, shape (data sets, features)."""
    s = bench.settings
    record = bench.record("fig3")
    if record is not None and len(record.spectrum_spinodals) >= s.data_sets:
        rows = np.array(record.spectrum_spinodals)
        bench.note(
            finite_data.empirical_spinodals, f"<{len(rows)} data sets of {s.samples}, figure 3>"
        )
        return rows
    bench.note(finite_data.empirical_spinodals, f"<{s.data_sets} data sets of {s.samples}>")
    task = GaussianTask(signals=s.signals, inputs=s.inputs, outputs=s.outputs, samples=s.samples)
    rows = []
    for number in range(s.data_sets):
        train = draw(task, seed=bench.seed, dataset=number).train
        found = finite_data.empirical_spinodals(train.xx, train.yx, depth=s.depth)
        rows.append(found[: len(s.signals)])
    return np.array(rows)


ROWS: dict[str, Row] = {"row-34": labels, "row-35": offset, "row-36": direction_of_the_sweep}
