"""Rows on the phases: their number and order, at one and at two weight decays; the weights."""

from __future__ import annotations

from itertools import pairwise

from spinodal.dynamics.networks import Network
from spinodal.protocols.audit_rows.barriers import in_words
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
            f"caption's, and the barriers are {in_words(here)} and {in_words(barrier)}: the "
            "figure cannot have both."
        ),
        barrier_at_the_text_value=here,
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
    "row-24": number_of_weights,
}
