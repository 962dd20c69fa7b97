"""Rows on the algebra of one feature: equations (1) to (3), (10), and the roots of equation (2)."""

from __future__ import annotations

import numpy as np

from spinodal.dynamics import checkpoints
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.protocols.audit_rows import equations
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import SAME, agrees, difference
from spinodal.protocols.audit_rows.row import Finding
from spinodal.theory import modes


def regulariser(bench: Bench) -> Finding:
    """Row 1: the price that a real network pays for its strengths, layer by layer."""
    s = bench.settings
    rank = min(len(s.signals), s.width if s.depth > 1 else len(s.signals))
    network = Network(depth=s.depth, width=s.width)
    task = GaussianTask(signals=s.ordered, inputs=s.inputs, outputs=s.outputs)
    strengths = np.linspace(0.9, 0.3, rank)
    data = draw(task, seed=bench.seed, dataset=0)
    bench.note(checkpoints.balanced, "...", "strengths")
    layers = checkpoints.balanced(network, [data], np.zeros(1, dtype=np.int64), tuple(strengths))
    norms = sum(float(np.sum(layer**2)) for layer in layers)
    found = 0.5 * norms / float(np.sum(strengths ** (2 / s.depth)))
    # A price c beta strength**k has the slope that equation (2) prints if c k = 1.
    implied = s.depth / 2
    stated = bench.stated["coefficient in units of beta"]
    literal = [s.depth * bench.call(modes.spinodal, s.depth, eta) for eta in s.ordered]
    if agrees(stated, found):
        verdict, reason = "reproduces", "With a single layer the two readings are the same."
    elif abs(found - implied) < SAME * implied:
        verdict = "inconsistent"
        reason = (
            f"Each of the {s.depth} layers pays strength^{{2/L}}, hence L beta/2: the factor that "
            "equations (2), (3) and (7)-(10) imply and equation (1) lacks."
        )
    else:
        verdict, reason = "wrong", "Neither equation (1) nor (2) has the price the layers pay."
    return bench.finding(
        {"coefficient in units of beta": found},
        verdict,
        reason,
        coefficient_implied_by_equation_2=implied,
        spinodals_if_equation_1_is_taken_literally=literal,
        coexistence_if_taken_literally=[
            s.depth * bench.call(modes.coexistence, s.depth, eta) for eta in s.ordered
        ],
    )


def stationarity(bench: Bench) -> Finding:
    """Row 2: equation (2) against the slope of the loss."""
    deviation, number = 0.0, 0
    for mode in bench.random_modes():
        amplitude = np.linspace(0.2, 1.1, np.size(mode["signal"]))
        depth = mode["depth"]
        slope = modes.slope(amplitude, **mode) / (depth * amplitude ** (depth - 1))
        printed = equations.stationarity_2(amplitude**depth, **mode)
        scale = np.max(np.abs(slope))
        deviation = max(deviation, float(np.max(np.abs(printed - slope)) / scale))
        number += np.size(mode["signal"])
    bench.note(modes.slope, f"<{number} random settings>")
    same = deviation < SAME
    return bench.finding(
        {"largest relative difference": deviation},
        "reproduces" if same else "wrong",
        "Equation (2) is the stationarity of the loss with regulariser L beta/2."
        if same
        else "Equation (2) is not the stationarity of the loss.",
        settings_compared=number,
    )


def critical_point(bench: Bench) -> Finding:
    """Row 3: critical strength and critical weight decay."""
    s = bench.settings
    deviation = 0.0
    for mode in bench.random_modes():
        depth, signal = mode["depth"], mode["signal"]
        for printed, computed in (
            (equations.critical_strength_3, modes.spinodal_strength),
            (equations.critical_decay_3, modes.spinodal),
        ):
            value = printed(depth=depth, signal=signal)
            deviation = max(deviation, difference(value, computed(depth, signal)))
    found = {
        "critical strengths": [bench.call(modes.spinodal_strength, s.depth, e) for e in s.ordered],
        "critical weight decays": [bench.call(modes.spinodal, s.depth, e) for e in s.ordered],
    }
    same = deviation < SAME
    return bench.finding(
        found,
        "reproduces" if same else "wrong",
        "The critical strength eta (L-2)/(2(L-1)) and the critical beta follow as printed."
        if same
        else "The printed critical point differs from where saddle and learned point merge.",
        largest_relative_difference=deviation,
    )


def barrier_formula(bench: Bench) -> Finding:
    """Row 18: equation (10) at the saddle, against the barrier and against equation (1)."""
    if not bench.has_saddle:
        return bench.without_saddle()
    deviation, literal = 0.0, 0.0
    for mode in bench.random_modes():
        top = modes.saddle(**mode)
        barrier = modes.barrier_out(**mode)
        deviation = max(deviation, difference(equations.barrier_10(top, **mode), barrier))
        short = {**mode, "weight_decay": np.asarray(mode["weight_decay"]) / mode["depth"]}
        literal = max(literal, difference(equations.barrier_10(top, **short), barrier))
    bench.note(modes.barrier_out, "<300 random settings>")
    same = deviation < SAME
    s = bench.settings
    return bench.finding(
        bench.call(modes.barrier_out, **bench.mode()),
        "reproduces" if same else "wrong",
        "Equation (10) is the barrier, with L beta/2: right, and at odds with equation (1)."
        if same
        else "Equation (10) is not the height of the saddle above the trivial state.",
        largest_relative_difference=deviation,
        difference_with_the_factor_of_equation_1=literal,
        depth=s.depth,
    )


def second_order(bench: Bench) -> Finding:
    """Row 39: the roots of equation (2) at depth 2, below and above the signal."""
    eta = bench.settings.escape_signal
    decays = (0.5 * eta, 1.1 * eta)
    roots = [
        bench.call(modes.stationary_points, depth=2, signal=eta, weight_decay=decay).learned
        for decay in decays
    ]
    counts = [int(np.isfinite(root) and root > 0) for root in roots]
    always = all(count == bench.stated["positive solutions"] for count in counts)
    return bench.finding(
        {"positive solutions below and above beta = eta": counts},
        "reproduces" if always else "wrong",
        "At L = 2 the solution eta - beta is positive only below beta = eta, where it vanishes "
        "continuously: the second-order transition that the paper itself describes.",
        weight_decays=decays,
        learned_strengths=roots,
    )


def number_of_solutions(bench: Bench) -> Finding:
    """Row 40: solutions of equation (2) in the strength, and stationary points of the weights."""
    mode = bench.mode(weight_decay=0.5 * float(modes.spinodal(max(bench.settings.depth, 2), 1.0)))
    mode["depth"], mode["signal"] = max(bench.settings.depth, 2), 1.0
    points = bench.call(modes.stationary_points, **mode)
    tiny = float(equations.stationarity_2(1e-12, **mode))
    grid = np.geomspace(1e-12, 2.0, 4001)
    roots = int(np.sum(np.diff(np.sign(equations.stationarity_2(grid, **mode))) != 0))
    in_weights = int(np.sum(np.isfinite([float(point) for point in points])))
    stated = bench.stated["solutions"]
    if roots == stated:
        verdict, reason = "reproduces", "Equation (2) has as many solutions as stated."
    elif in_weights == stated:
        verdict = "inconsistent"
        reason = (
            "Equation (2) diverges at strength 0, which is no solution of it; it is a stationary "
            "point of the weights: three there, two in the strength."
        )
    else:
        verdict, reason = "wrong", "Neither the equation nor the weights have three solutions."
    return bench.finding(
        {"solutions": roots, "stationary points of the weights": in_weights},
        verdict,
        reason,
        left_side_of_equation_2_close_to_strength_0=tiny,
    )


ROWS: dict[str, Row] = {
    "row-01": regulariser,
    "row-02": stationarity,
    "row-03": critical_point,
    "row-18": barrier_formula,
    "row-39": second_order,
    "row-40": number_of_solutions,
}
