"""Figure 2a: the landscape of one feature, its saddle and its barrier."""

from __future__ import annotations

from spinodal.plots.landscape import draw_descents, draw_landscape
from spinodal.protocols.landscape_section import Cut, LandscapeRecord
from spinodal.report.section import Figure, Paragraph, Section, Stated, Table, shown


def section(record: LandscapeRecord) -> Section:
    """The record as a section of the report."""
    return Section(
        id="fig2a",
        title="The landscape of one feature (figure 2a)",
        question="Where is the saddle of the second feature, and how high is the barrier?",
        answer=_answer(record),
        stated=_stated(record),
        blocks=(
            Paragraph(
                "The loss along the balanced path, on which all layers carry the same amplitude of "
                f"one feature of signal {shown(record.signal)} at depth {record.depth}. Curves and "
                "filled marks (saddle and learned point) are theory. Rings are found by training "
                "alone: networks of the full width start at many strengths, noise-free descent "
                "decides which keep the feature, and the place where a descent between the two "
                "kinds hesitates is a saddle of all the weights."
            ),
            _landscape(record),
            *([_descents(record)] if record.descents else []),
            _cuts(record),
            *([_edges(record)] if any(cut.edges for cut in _all(record)) else []),
            Paragraph(_where(record)),
            _readings(record),
            _depths(record),
        ),
    )


def _answer(record: LandscapeRecord) -> str:
    here, decay = record.at_reference, shown(record.reference)
    if here.saddle is None or here.barrier_out is None:
        return (
            f"At weight decay {decay} this feature has no saddle: its spinodal is at "
            f"{shown(record.spinodal)}."
        )
    text = (
        f"At weight decay {decay} the saddle stands at strength {shown(here.saddle, 5)}, not at "
        f"{record.stated_saddle:g}, and the barrier out of the trap is "
        f"{shown(here.barrier_out, 4)}, {shown(record.barrier_ratio, 2)} times the stated "
        f"{record.stated_barrier:g}."
    )
    if here.edges:
        far = max(abs(edge.saddle - here.saddle) for edge in here.edges)
        text += (
            " Training networks of the full width finds the same saddle to within "
            f"{shown(far, 1)} in strength, without using the theory."
        )
    return text


def _stated(record: LandscapeRecord) -> tuple[Stated, ...]:
    here, decay = record.at_reference, f"weight decay {record.reference:g}"
    return (
        Stated(
            what=f"saddle at {decay} (strength)",
            stated=record.stated_saddle,
            found=here.saddle,
            verdict="reproduces" if _close(here.saddle, record.stated_saddle) else "wrong",
        ),
        Stated(
            what=f"barrier out of the trap at {decay}",
            stated=record.stated_barrier,
            found=here.barrier_out,
            verdict="reproduces" if _close(here.barrier_out, record.stated_barrier) else "wrong",
        ),
    )


def _close(found: float | None, stated: float) -> bool:
    """Equal to the digits that are stated."""
    return (
        found is not None and float(f"{found:.1g}" if stated < 0.01 else f"{found:.2g}") == stated
    )


def _all(record: LandscapeRecord) -> tuple[Cut, ...]:
    """The cuts, and the one at the reference if it is none of them."""
    here = record.at_reference
    return record.cuts if here in record.cuts else (*record.cuts, here)


def _landscape(record: LandscapeRecord) -> Figure:
    cuts = record.cuts
    there = [cut for cut in cuts if cut.saddle is not None]
    return Figure(
        name="fig2a_landscape",
        size=(5.8, 4.0),
        caption=(
            "Loss along the balanced path, measured from the trivial point. Filled marks: saddle "
            "and learned point from theory. Rings: the same points found by training. Dashed: the "
            f"saddle ({record.stated_saddle:g}) and the barrier ({record.stated_barrier:g}) that "
            f"the paper states at weight decay {record.reference:g}."
        ),
        alt="Every curve rises from 0 to a barrier and falls to a second minimum. "
        + " ".join(
            f"At weight decay {cut.weight_decay:g} the saddle is at {shown(cut.saddle)} and the "
            f"minimum at {shown(cut.learned)}."
            for cut in there
        )
        + f" The stated {record.stated_saddle:g} is at no curve's maximum.",
        draw=lambda canvas: draw_landscape(
            [cut.weight_decay for cut in cuts],
            [cut.strengths for cut in cuts],
            [cut.losses for cut in cuts],
            [_stationary(cut) for cut in cuts],
            [
                [
                    point
                    for edge in cut.edges
                    for point in (
                        (edge.saddle, edge.barrier_out),
                        (edge.learned, edge.barrier_out - edge.barrier_back),
                    )
                ]
                for cut in cuts
            ],
            stated_saddle=record.stated_saddle,
            stated_barrier=record.stated_barrier,
            ax=canvas.subplots(),
        ),
    )


def _stationary(cut: Cut) -> list[tuple[float, float]]:
    points = ((cut.saddle, cut.barrier_out), (cut.learned, cut.gap))
    return [(x, y) for x, y in points if x is not None and y is not None]


def _descents(record: LandscapeRecord) -> Figure:
    here = record.at_reference
    saddle, learned = here.saddle or 0.0, here.learned or 0.0
    paths = record.descents
    return Figure(
        name="fig2a_descents",
        caption=(
            f"Noise-free training at weight decay {record.reference:g} from balanced starts on "
            f"both sides of the saddle. The start at the stated {record.stated_saddle:g} moves at "
            "once: it is no stationary point. All starts between the saddle and there end at the "
            "learned point."
        ),
        alt=(
            f"Strength against time: starts above {shown(saddle)} settle at {shown(learned)}, "
            f"those below fall to 0; the closer to {shown(saddle)} a start, the longer it waits."
        ),
        draw=lambda canvas: draw_descents(
            [path.times for path in paths],
            [path.strengths for path in paths],
            saddle=saddle,
            learned=learned,
            stated_saddle=record.stated_saddle,
            ax=canvas.subplots(),
        ),
    )


def _cuts(record: LandscapeRecord) -> Table:
    return Table(
        name="fig2a_points",
        caption=(
            f"Saddle, learned point and barriers at signal {shown(record.signal)}, from theory. "
            f"Coexistence at weight decay {shown(record.coexistence, 5)}, spinodal at "
            f"{shown(record.spinodal, 5)}."
        ),
        columns=(
            "weight decay", "saddle", "learned", "barrier out", "barrier back",
            "learned minus trivial",
        ),
        rows=[
            (
                cut.weight_decay, cut.saddle, cut.learned, cut.barrier_out, cut.barrier_back,
                cut.gap,
            )
            for cut in _all(record)
        ],
        digits=5,
        note="Saddle and learned as strengths. A dash: the point does not exist there.",
    )  # fmt: skip


def _edges(record: LandscapeRecord) -> Table:
    return Table(
        name="fig2a_found_by_training",
        caption="The control: the saddle found by training alone, against theory.",
        columns=(
            "weight decay",
            "starts",
            "saddle found",
            "saddle: found minus theory",
            "barrier out found",
            "barrier out: found minus theory",
            "barrier back found",
            "barrier back: found minus theory",
            "gradient left",
        ),
        rows=[
            (
                cut.weight_decay,
                edge.starts,
                edge.saddle,
                edge.saddle - cut.saddle,
                edge.barrier_out,
                edge.barrier_out - cut.barrier_out,
                edge.barrier_back,
                edge.barrier_back - cut.barrier_back,
                edge.gradient,
            )
            for cut in _all(record)
            for edge in cut.edges
            if cut.saddle is not None
            and cut.barrier_out is not None
            and cut.barrier_back is not None
        ],
        digits=(4, 4, 7, 1, 6, 1, 6, 1, 1),
        note=(
            f"Networks of width {record.width} with all their weights. Displaced starts are pushed "
            "off the path in a random direction. The differences are set by how finely the two "
            "kinds of starts are told apart; losses are flat at a saddle, so they err in the "
            "second order only."
        ),
    )  # fmt: skip


def _where(record: LandscapeRecord) -> str:
    text = (
        f"**Where would {record.stated_saddle:g} be found?** At weight decay "
        f"{record.reference:g} the stationarity condition is off by {shown(record.residual, 2)} "
        "there. Every saddle lies below the strength at which it merges with the learned point, "
        "signal (L-2)/(2(L-1)), hence below half the signal, "
        f"{shown(record.saddle_bound)}, whatever the depth and the weight decay. "
    )
    text += (
        f"So no network has a saddle at {record.stated_saddle:g} for this signal. "
        if record.saddle_bound <= record.stated_saddle
        else "Only a deeper network could have it there. "
    )
    if record.learned_there is not None:
        lowest = min(
            record.cuts, key=lambda cut: abs(cut.weight_decay - (record.learned_there or 0))
        )
        text += (
            f"It is the *learned* point at weight decay {shown(record.learned_there, 5)}; at "
            f"{lowest.weight_decay:g}, one of the curves of the figure, that point stands at "
            f"{shown(lowest.learned, 5)}, and its loss relative to trivial is "
            f"{shown(lowest.gap, 2)}: nearest to the stated barrier in size, a minimum instead of "
            "a saddle. "
        )
    if record.barrier_there is not None:
        text += (
            f"A barrier of {record.stated_barrier:g} belongs to weight decay "
            f"{shown(record.barrier_there, 4)}, with the saddle at "
            f"{shown(record.barrier_saddle, 3)}."
        )
    return text


def _readings(record: LandscapeRecord) -> Table:
    return Table(
        name="fig2a_readings",
        caption=f"Two readings of the paper's regulariser at weight decay {record.reference:g}.",
        columns=("reading", "spinodal", "saddle", "learned", "barrier out", "barrier back"),
        rows=[
            (row.reading, row.spinodal, row.saddle, row.learned, row.barrier_out, row.barrier_back)
            for row in record.readings
        ],
        note=(
            "Eq. (1) is printed without the factor L that the other equations contain: each of L "
            "layers pays for its share. Neither reading gives either of the stated numbers."
            if not any(
                _close(row.saddle, record.stated_saddle)
                or _close(row.barrier_out, record.stated_barrier)
                for row in record.readings
            )
            else "Eq. (1) is printed without the factor L that the other equations contain."
        ),
    )


def _depths(record: LandscapeRecord) -> Table:
    return Table(
        name="fig2a_depths",
        caption=f"How far out a saddle can be at signal {shown(record.signal)}, any weight decay.",
        columns=("depth", "spinodal", "largest saddle", "largest barrier out"),
        rows=[
            (row.depth, row.spinodal, row.largest_saddle, row.largest_barrier)
            for row in record.depths
        ],
        note=f"The limit of the saddle at infinite depth is {shown(record.saddle_bound)}.",
    )
