"""Other problems: does the same metastability appear where no network is trained?"""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.other_problems import draw_path, draw_sweep, draw_times
from spinodal.protocols.other_problems_reading import ratio_z, together
from spinodal.protocols.other_problems_records import ProblemRecord, Record
from spinodal.report.section import (
    Figure,
    Heading,
    Paragraph,
    Section,
    Table,
    shown,
    shown_interval,
)

TITLES = {
    "completion": "Completion, three layers",
    "completion, two layers": "Completion, two layers",
    "regression": "Regression, orthonormal",
    "regression, correlated": "Regression, correlated",
}

VERDICTS = {"noise_activated": "activated by noise", "noise_drift": "drift by noise"}

AGREE = 0.001
"""Waiting and splitting agree where chance alone lies further apart with more than this."""


def section(record: Record) -> Section:
    """The record as a section of the report."""
    climbed = [one for one in record.problems if one.path is not None]
    blocks = [
        Paragraph(_method()),
        _sweeps(record),
        _sweep_table(record),
    ]
    if climbed:
        blocks += [Heading("Barriers"), _paths(climbed), _path_table(climbed)]
    if any(one.escapes for one in climbed):
        blocks += [
            Heading("Escapes"),
            Paragraph(_escape_words(climbed)),
            _times(climbed),
            _escape_table(climbed),
        ]
    return Section(
        id="other-problems",
        title="Does it happen elsewhere?",
        question=(
            "Do other problems in which a regulariser switches features on show the same jumps, "
            "barriers and escapes, and do the same tools measure them?"
        ),
        answer=_answer(record, climbed),
        blocks=tuple(blocks),
    )


def _method() -> str:
    return (
        "A matrix of rank one, two of three entries of every row and column observed, is completed "
        "by a product of matrices under L2 regularisation: with three layers a mode of signal "
        "k m and input variance k/d (k of d entries m seen), with two layers the control in which "
        "nothing should jump. Sparse regression pays (weight_decay scale^{2}/2) ln(1 + "
        "w^{2}/scale^{2}) for each coefficient, once with orthonormal features, where everything "
        "is exact, once with correlated ones, where nothing is. Sweeps are without noise, relaxed "
        "at every value after a push of length 10^{-3}. The string method sees the loss only, and "
        "its barrier sets the temperatures; escapes never enter it."
    )


def _answer(record: Record, climbed: list[ProblemRecord]) -> str:
    parts = []
    jumping = [one for one in record.problems if one.sweep.lost is not None]
    smooth = [one for one in record.problems if one.sweep.lost is None]
    if jumping:
        parts.append(
            f"{len(jumping)} of {len(record.problems)} problems lose their feature by a jump"
            + (f", {TITLES[smooth[0].name].lower()} does not. " if len(smooth) == 1 else ". ")
        )
    errors = [
        abs(one.path.barrier_out / one.path.exact_out - 1)
        for one in climbed
        if one.path is not None and one.path.exact_out
    ]
    if errors:
        parts.append(
            "Where the barrier is known exactly the string method agrees to "
            f"{shown(max(errors), 1)} of it. "
        )
    compared = [z for one in climbed for e in one.escapes if (z := ratio_z(e)) is not None]
    if compared:
        chance = together(compared)
        parts.append(
            f"Waiting and splitting {'agree' if chance > AGREE else 'do not agree'}: ln(splitting "
            f"/ waiting) is {', '.join(f'{z:+.1f}' for z in compared)} standard errors in "
            f"{len(compared)} {'comparison' if len(compared) == 1 else 'comparisons'}, and chance "
            f"alone lies further apart with probability {shown(chance, 2)}. "
        )
    parts += [
        f"{TITLES[one.name]}: the coldest escapes show a barrier of "
        f"{shown_interval(one.cold_slope, one.cold_slope_low, one.cold_slope_high)}, the string "
        f"{shown(one.path.barrier_out, 3)}. "
        for one in climbed
        if one.cold_slope is not None and one.path is not None
    ]
    return "".join(parts).rstrip() or "Nothing was tried."


def _escape_words(climbed: list[ProblemRecord]) -> str:
    words = []
    for one in climbed:
        waited = [e for e in one.escapes if e.rate is not None]
        if not waited:
            continue
        coldest = max(waited, key=lambda e: e.barrier_over_t)
        free = coldest.free_barrier
        words.append(
            f"*{TITLES[one.name]}* at {shown(coldest.barrier_over_t, 3)} temperatures of barrier"
            + (f" ({shown(free, 2)} of free energy)" if free is not None else "")
            + f": {coldest.events} of {coldest.replicas} escape, memorylessness "
            f"{coldest.memoryless}; without noise {_beside(one)}; verdict: "
            f"{VERDICTS.get(one.verdict, one.verdict.replace('_', ' '))}."
            + (f" {one.remark}" if one.remark else "")
        )
    return (
        " ".join(words)
        + " The verdict is that of the rules for all experiments: where no free energy is known, "
        "the string's barrier stands for it."
        + _looks(climbed)
        + " Slopes of ln(mean time) against 1/T have (zeros/2) ln T taken out, zeros being the "
        "directions that lose their curvature between start and saddle; what is left of order T "
        "lowers slopes at the higher temperatures."
    )


def _beside(one: ProblemRecord) -> str:
    path = one.path
    assert path is not None
    return (
        f"{path.fell_back} of {path.beside} starts just below the saddle fall back and "
        f"{path.went_on} of {path.beside} just above it go on"
    )


def _looks(climbed: list[ProblemRecord]) -> str:
    """Splitting looks less often than waiting: how much that can matter."""
    late = [e.look * e.rate for one in climbed for e in one.escapes if e.split and e.rate]
    if not late:
        return ""
    return (
        " Waiting looks at every step, and in regression between steps by bridges; splitting looks "
        "at every fourth. The target lies well beyond the saddle, where walkers run downhill, so "
        f"splitting sees a passage late by looks, and one is {shown(max(late), 1)} of a mean wait "
        "at most."
    )


def _sweeps(record: Record) -> Figure:
    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(record.problems), squeeze=False)[0]
        for number, (ax, one) in enumerate(zip(panels, record.problems, strict=True)):
            sweep = one.sweep
            known = {s for s in (sweep.spinodal_on, sweep.spinodal_off) if s}
            draw_sweep(
                sweep.weight_decays, sweep.up, sweep.down, sorted(known),
                title=TITLES[one.name], label=one.feature, ax=ax,
            )  # fmt: skip
            if number == 0:
                ax.legend(loc="center left", fontsize=8)

    return Figure(
        name="other-problems_sweeps",
        caption=(
            "Order parameter while the weight decay rises from the learned state and falls again, "
            "without noise. Dotted: exact spinodals, where known. Three layers never regain what "
            "they lost."
        ),
        alt="; ".join(
            f"{TITLES[one.name]}: lost at {shown(one.sweep.lost)}, regained at "
            f"{shown(one.sweep.regained)}"
            for one in record.problems
        ),
        size=(3.4 * len(record.problems), 3.4),
        draw=draw,
    )


def _paths(climbed: list[ProblemRecord]) -> Figure:
    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(climbed), squeeze=False)[0]
        for number, (ax, one) in enumerate(zip(panels, climbed, strict=True)):
            path = one.path
            assert path is not None
            exact = None
            if path.exact_out is not None and path.exact_back is not None:
                exact = (path.exact_out, path.exact_out - path.exact_back)
            draw_path(path.arc, path.losses, exact, title=TITLES[one.name], ax=ax)
            if number == 0:
                ax.set(ylabel="loss above the start")
                ax.legend(loc="lower left", fontsize=8)

    return Figure(
        name="other-problems_paths",
        caption="Loss along the lowest path from the state without the feature to that with it.",
        alt="; ".join(
            f"{TITLES[one.name]}: barrier {shown(one.path.barrier_out)} out and "
            f"{shown(one.path.barrier_back)} back"
            for one in climbed
            if one.path is not None
        ),
        size=(3.8 * len(climbed), 3.3),
        draw=draw,
    )


def _times(climbed: list[ProblemRecord]) -> Figure:
    told = [one for one in climbed if one.escapes]

    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(told), squeeze=False)[0]
        for number, (ax, one) in enumerate(zip(panels, told, strict=True)):
            assert one.path is not None
            draw_times(
                [
                    (e.barrier_over_t, 1 / e.rate, 1 / e.high, 1 / e.low)
                    for e in one.escapes
                    if e.rate and e.low and e.high
                ],
                [
                    (e.barrier_over_t, 1 / e.split, 1 / e.split_high, 1 / e.split_low)
                    for e in one.escapes
                    if e.split and e.split_low and e.split_high
                ],
                [(e.barrier_over_t, 1 / e.predicted) for e in one.escapes if e.predicted],
                one.path.zeros,
                theory_label="exact" if one.exact_time else "reduced free energy",
                title=TITLES[one.name],
                ax=ax,
            )
            if number == 0:
                ax.set(ylabel="mean time to escape")

    return Figure(
        name="other-problems_times",
        caption=(
            "Mean time to escape against the string's barrier over the temperature, 95 % "
            "intervals. Dashed: the slope that the barrier alone would give, with the power of T "
            "that the saddle's zero modes add, through the coldest point."
        ),
        alt="; ".join(
            f"{TITLES[one.name]}: mean times "
            + ", ".join(
                f"{shown(1 / (e.rate or e.split or 1.0), 3)} at {shown(e.barrier_over_t, 3)}"
                for e in one.escapes
                if e.rate or e.split
            )
            for one in told
        ),
        size=(3.9 * len(told), 3.9),
        draw=draw,
    )


def _sweep_table(record: Record) -> Table:
    return Table(
        name="other-problems_jumps",
        caption="Where the feature is lost and regained",
        columns=("problem", "weights", "lost at", "spinodal", "regained at", "lower spinodal"),
        rows=tuple(
            (
                TITLES[one.name], one.coordinates, one.sweep.lost, one.sweep.spinodal_off,
                one.sweep.regained, one.sweep.spinodal_on,
            )
            for one in record.problems
        ),
        note="Jumps are known to a step of the sweep; a dash: no jump, or no formula.",
    )  # fmt: skip


def _path_table(climbed: list[ProblemRecord]) -> Table:
    return Table(
        name="other-problems_barriers",
        caption="Barriers by the string method, and exactly",
        columns=(
            "problem", "weight decay", "barrier out", "exact", "barrier back", "exact back",
            "index", "zero modes gained", "converged", "barrier from waiting", "95 % low",
            "95 % high", "from the coldest splitting", "cold low", "cold high",
        ),
        rows=tuple(
            (
                TITLES[one.name], one.weight_decay, one.path.barrier_out, one.path.exact_out,
                one.path.barrier_back, one.path.exact_back, one.path.index, one.path.zeros,
                one.path.converged, one.slope, one.slope_low, one.slope_high, one.cold_slope,
                one.cold_slope_low, one.cold_slope_high,
            )
            for one in climbed
            if one.path is not None
        ),
    )  # fmt: skip


def _escape_table(climbed: list[ProblemRecord]) -> Table:
    return Table(
        name="other-problems_escapes",
        caption="Escape rates per unit of time",
        columns=(
            "problem", "barrier / T", "temperature", "free barrier / T", "predicted", "waited for",
            "95 % low", "95 % high", "events", "replicas", "diverged", "memoryless", "splitting",
            "split low", "split high", "z of ln(splitting / waited)", "steps of splitting",
            "warning",
        ),
        rows=tuple(
            (
                TITLES[one.name], e.barrier_over_t, e.temperature, e.free_barrier, e.predicted,
                e.rate, e.low, e.high, e.events, e.replicas, e.diverged, e.memoryless, e.split,
                e.split_low, e.split_high, ratio_z(e), e.split_steps, e.split_warning,
            )
            for one in climbed
            for e in one.escapes
        ),
        digits=3,
        note="Predicted: exact where features are orthonormal, by reduced free energy else.",
    )  # fmt: skip
