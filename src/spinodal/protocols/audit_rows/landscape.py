"""Rows on the landscape: number and order of the minima, saddle, barriers, and their limits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from spinodal.dynamics.networks import Network
from spinodal.protocols.audit_rows import equations
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import agrees
from spinodal.protocols.audit_rows.row import Finding
from spinodal.protocols.audit_rows.stated import STATED
from spinodal.theory import modes, phases
from spinodal.theory.phases import Phase


def coexistence_below_spinodal(bench: Bench) -> Finding:
    """Row 4: the ratio of coexistence to spinodal, at these settings and for depths 3 to 12."""
    s = bench.settings
    ratios = [
        float(modes.coexistence(depth, 1.0) / modes.spinodal(depth, 1.0)) for depth in range(3, 13)
    ]
    here = bench.call(modes.coexistence, s.depth, s.escape_signal) / bench.call(
        modes.spinodal, s.depth, s.escape_signal
    )
    holds = all(ratio < 1 for ratio in ratios)
    return bench.finding(
        {f"coexistence over spinodal at depth {s.depth}": here},
        "reproduces" if holds else "wrong",
        "The ratio is 2^{2-2/L}/L for every signal, below 1 from L = 3 on and falling to 0 (a "
        "closed form that the paper does not give)."
        if holds
        else "The coexistence value does not lie below the critical one at every depth.",
        ratios_at_depth_3_to_12=ratios,
    )


def metastable_states(bench: Bench) -> Finding:
    """Row 5: local minima that are not global."""
    found = _phases(bench)
    minima = [phase for phase in found if phase.local_minimum]
    metastable = len(minima) - sum(phase.global_minimum for phase in minima)
    d = len(bench.settings.signals)
    holds = metastable == bench.stated
    return bench.finding(
        metastable,
        "reproduces" if holds else "wrong",
        f"{len(minima)} nested minima of which one is global leave {metastable}; independent "
        f"modes, the reason given, would make it 2^{{d}} - 1 = {2**d - 1}, mostly saddles."
        if metastable
        else f"Rank {minima[0].rank} is the only minimum here: no state is metastable.",
        local_minima=len(minima),
        ranks=[phase.rank for phase in minima],
        minima_of_independent_modes=2**d,
    )


def global_minimum(bench: Bench) -> Finding:
    """Row 8: which phase has the lowest loss."""
    s = bench.settings
    found = _phases(bench)
    lowest = [phase.rank for phase in found if phase.global_minimum]
    stated = bench.stated["rank of the global minimum"]
    coexistence = [bench.call(modes.coexistence, s.depth, eta) for eta in s.ordered]
    # The transition that the paper measures for the weaker feature, moved to coexistence.
    transition = STATED["row-35"][0]
    measured = transition * float(modes.coexistence(s.depth, 1.0) / modes.spinodal(s.depth, 1.0))
    holds = stated in lowest
    rank = lowest[0]
    if holds:
        why = "as stated"
    elif rank > stated:
        why = (
            f"because the feature {s.ordered[stated]:g} pays below its coexistence value "
            f"{coexistence[stated]:.5f}"
        )
    elif stated > min(len(s.signals), s.width):
        why = f"and no phase of this network has rank {stated}"
    elif not found[stated].exists:
        weakest = s.ordered[stated - 1]
        limit = float(bench.call(modes.spinodal, s.depth, weakest))
        why = (
            f"and rank {stated} does not exist above the critical value {limit:.5f} of the feature "
            f"{weakest:g}"
        )
    else:
        why = (
            f"because the feature {s.ordered[stated - 1]:g} pays only below its coexistence value "
            f"{coexistence[stated - 1]:.5f}; the paper's own transition {transition:g} puts it at "
            f"{measured:.4f}"
        )
    return bench.finding(
        {"rank of the global minimum": rank, **_steps(found)},
        "reproduces" if holds else "inconsistent",
        f"At beta = {s.weight_decay:g} rank {rank} has the lowest loss, {why}.",
        coexistence=coexistence,
        coexistence_from_the_stated_transition=measured,
        local_minima=[phase.rank for phase in found if phase.local_minimum],
    )


def two_values_of_beta(bench: Bench) -> Finding:
    """Row 13: the landscape at the caption's weight decay and at the text's."""
    s = bench.settings
    caption = bench.mode(weight_decay=s.caption_weight_decay)
    top = bench.call(modes.stationary_points, **caption).saddle
    barrier = bench.call(modes.barrier_out, **caption)
    text, other = _phases(bench), _phases(bench, s.caption_weight_decay)
    ranks = [next(p.rank for p in found if p.global_minimum) for found in (text, other)]
    same = s.weight_decay == s.caption_weight_decay
    here = bench.call(modes.barrier_out, **bench.mode())
    return bench.finding(
        {
            "saddle at the caption's beta": top,
            "amplitude there": top ** (1 / s.depth),
            "barrier there": barrier,
            "rank of the global minimum (text, caption)": ranks,
        },
        "reproduces" if same else "inconsistent",
        "The text and the caption use one value."
        if same
        else (
            f"The global minimum has rank {ranks[0]} at the text's beta and rank {ranks[1]} at the "
            f"caption's, and the barriers are {_in_words(here)} and {_in_words(barrier)}: the "
            "figure cannot have both."
        ),
        barrier_at_the_text_value=here,
    )


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
            f"The saddle stands at {float(points.saddle):.6f}; a saddle lies below the critical "
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
            f"The barrier is {float(barrier):.6f}, {float(barrier) / stated:.2g} times the stated "
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
        reason = f"Some weight decay allows such a barrier, but here it is {_in_words(here)}."
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


def number_of_weights(bench: Bench) -> Finding:
    """Row 24: the weights of the network, counted."""
    s = bench.settings
    outputs, inputs = s.shape
    plain = Network(depth=s.depth, width=s.width)
    biased = Network(depth=s.depth, width=s.width, biases=True)
    found = bench.call(plain.parameters, outputs, inputs)
    holds = agrees(bench.stated, found)
    return bench.finding(
        found,
        "reproduces" if holds else "wrong",
        f"{inputs}-{'-'.join([str(s.width)] * (s.depth - 1) + [str(outputs)])} has {found} weights"
        + ("." if holds else f", {biased.parameters(outputs, inputs)} with biases."),
        with_biases=bench.call(biased.parameters, outputs, inputs),
        weights_with_seven_inputs_and_outputs=plain.parameters(3, 4),
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


def _phases(bench: Bench, weight_decay: float | None = None) -> tuple[Phase, ...]:
    s = bench.settings
    return bench.call(
        phases.phases,
        depth=s.depth,
        width=s.width,
        signals=s.ordered,
        weight_decay=s.weight_decay if weight_decay is None else weight_decay,
        inputs=s.inputs,
        outputs=s.outputs,
    )


def _in_words(barrier: ArrayLike) -> str:
    height = float(np.asarray(barrier))
    return f"{height:.3g}" if np.isfinite(height) else "absent"


def _steps(found: tuple[Phase, ...]) -> dict[str, float | None]:
    """Loss of every rank minus that of the rank below; None where one does not exist."""
    return {
        f"loss(rank {high.rank}) - loss(rank {low.rank})": (
            None if low.loss is None or high.loss is None else high.loss - low.loss
        )
        for low, high in pairwise(found)
    }


ROWS: dict[str, Row] = {
    "row-04": coexistence_below_spinodal,
    "row-05": metastable_states,
    "row-08": global_minimum,
    "row-13": two_values_of_beta,
    "row-16": saddle_position,
    "row-17": smallest_barrier,
    "row-22": largest_possible_barrier,
    "row-23": factor_fifty,
    "row-24": number_of_weights,
    "row-37": barrier_near_the_spinodal,
}
