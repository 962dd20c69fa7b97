"""Rows on the barrier: where its saddle stands, how high it is, and how high it can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spinodal.protocols.audit_rows import equations
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import agrees
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.stated import STATED
from spinodal.theory import modes


def saddle_position(bench: Bench) -> Finding:
    """Row 16: where the saddle is."""
    s, stated = bench.settings, bench.stated
    points = bench.call(modes.stationary_points, **bench.mode())
    bound = bench.call(modes.spinodal_strength, s.depth, s.escape_signal)
    # Equation (2) solved for the weight decay at which 0.41 is stationary, as a learned point.
    if not np.isfinite(points.saddle):
        return bench.without_saddle()
    fitting = (s.escape_signal - stated) * stated ** (1 - 2 / s.depth)
    holds = agrees(stated, float(points.saddle))
    kind = "the learned minimum" if stated > bound else "the saddle"
    if holds:
        reason = "The saddle stands where it is stated."
    else:
        reason = (
            f"The saddle stands at {float(points.saddle):.5g}; a saddle lies below the critical "
            f"strength {float(bound):.3f} at any beta, and {stated:g} is "
            + (f"{kind} at beta = {fitting:.2f}." if fitting > 0 else "stationary at no beta > 0.")
        )
    return bench.finding(
        points.saddle,
        "reproduces" if holds else "wrong",
        reason,
        learned_strength=points.learned,
        upper_bound_of_any_saddle=bound,
        left_side_of_equation_2_at_the_stated_value=equations.stationarity_2(
            stated, **bench.mode()
        ),
        weight_decay_that_makes_it_stationary=fitting,
    )


def smallest_barrier(bench: Bench) -> Finding:
    """Row 17: the barriers at these settings, in both conventions and both directions."""
    s, stated = bench.settings, bench.stated
    barrier = bench.call(modes.barrier_out, **bench.mode())
    if not np.isfinite(barrier):
        return bench.without_saddle()
    literal = bench.mode(weight_decay=s.weight_decay / s.depth)
    out, back = (
        [float(bench.call(barriers, **bench.mode(signal=eta))) for eta in s.ordered]
        for barriers in (modes.barrier_out, modes.barrier_back)
    )
    by_equation_1 = float(bench.call(modes.barrier_out, **literal))
    holds = agrees(stated, float(barrier))
    elsewhere = any(agrees(stated, value) for value in (*out, *back, by_equation_1))
    if holds:
        reason = "The barrier is the stated one."
    else:
        reason = (
            f"The barrier is {float(barrier):.5g}, {float(barrier) / stated:.2g} times the stated "
            "value; "
            + (
                "another feature, the way back or equation (1) taken literally gives that one."
                if elsewhere
                else "no other barrier here, nor equation (1) taken literally, gives it."
            )
        )
    return bench.finding(
        barrier,
        "reproduces" if holds else "wrong",
        reason,
        barriers_out_by_signal=out,
        barriers_back_by_signal=back,
        equation_10_at_the_stated_saddle=equations.barrier_10(STATED["row-16"], **bench.mode()),
        saddle_and_barrier_with_equation_1_taken_literally=(
            bench.call(modes.stationary_points, **literal).saddle,
            by_equation_1,
        ),
    )


def largest_possible_barrier(bench: Bench) -> Finding:
    """Row 22: the fitted barrier against the largest that any weight decay gives."""
    s = bench.settings
    if s.depth < 3:
        return bench.without_saddle()
    stated, error = bench.stated["barrier"], bench.stated["error"]
    limits = [float(bench.call(modes.maximal_barrier, s.depth, eta)) for eta in s.ordered]
    here = float(bench.call(modes.barrier_out, **bench.mode()))
    if agrees(stated, here, error=error):
        verdict, reason = "reproduces", f"The barrier here is {here:.4f}, within the stated error."
    elif max(limits) < stated - error:
        verdict = "inconsistent"
        reason = (
            f"No weight decay gives these features a barrier above {max(limits):.4f}, so a slope "
            f"of {stated:g} +- {error:g} is no barrier of this landscape."
        )
    else:
        verdict = "cannot be derived"
        reason = f"Some weight decay allows such a barrier, but here it is {in_words(here)}."
    return bench.finding(
        {"largest possible barriers": limits},
        verdict,
        reason,
        barrier=here,
        signals=s.ordered,
    )


def factor_fifty(bench: Bench) -> Finding:
    """Row 23: the ratio of the fitted barrier to the landscape's."""
    barrier = float(bench.call(modes.barrier_out, **bench.mode()))
    if not np.isfinite(barrier):
        return bench.without_saddle()
    fitted, bare = STATED["row-22"]["barrier"], STATED["row-17"]
    ratio = fitted / barrier
    holds = agrees(bench.stated, ratio)
    return bench.finding(
        ratio,
        "reproduces" if holds else "wrong",
        "The ratio is as stated."
        if holds
        else f"{fitted:g}/{bare:g} is indeed {fitted / bare:.0f}, but with the barrier of the "
        f"landscape the ratio is {ratio:.1f}.",
        ratio_of_the_stated_numbers=fitted / bare,
        barrier=barrier,
    )


def barrier_near_the_spinodal(bench: Bench) -> Finding:
    """Row 37: both barriers on the way to the spinodal."""
    s = bench.settings
    limit = float(bench.call(modes.spinodal, s.depth, s.escape_signal))
    if s.depth < 3:
        return bench.without_saddle()
    decays = limit * np.array([0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 0.999, 0.9999])
    out = bench.call(modes.barrier_out, **{**bench.mode(), "weight_decay": decays})
    back = bench.call(modes.barrier_back, **{**bench.mode(), "weight_decay": decays})
    grows = bool(np.all(np.diff(out) > 0))
    return bench.finding(
        {"barriers out": out, "limit": modes.maximal_barrier(s.depth, s.escape_signal)},
        "reproduces" if grows else "wrong",
        "The barrier out of the trap grows up to eta^{2}(L-2)^{2}/(8(L-1)); the barrier back falls "
        "to 0 (which the paper does not say)."
        if grows
        else "The barrier does not grow towards the spinodal.",
        weight_decays=decays,
        barriers_back=back,
    )


def in_words(barrier: ArrayLike) -> str:
    """A barrier in three digits, or that there is none."""
    height = float(np.asarray(barrier))
    return f"{height:.3g}" if np.isfinite(height) else "absent"


ROWS: dict[str, Row] = {
    "row-16": saddle_position,
    "row-17": smallest_barrier,
    "row-22": largest_possible_barrier,
    "row-23": factor_fifty,
    "row-37": barrier_near_the_spinodal,
}
