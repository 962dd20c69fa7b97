"""Figure 4: the bifurcation diagram."""

from __future__ import annotations

from spinodal.plots.bifurcation import draw_bifurcation
from spinodal.protocols.bifurcation import BifurcationRecord, Branch
from spinodal.report.section import Figure, Paragraph, Section, Stated, Table, shown


def section(record: BifurcationRecord) -> Section:
    """The record as a section of the report."""
    return Section(
        id="fig4",
        title="The bifurcation diagram (figure 4)",
        question="Which strengths of each feature are stationary at which weight decay?",
        answer=_answer(record),
        stated=tuple(
            Stated(
                what=f"spinodal at signal {branch.signal:g} (found: the population's)",
                stated=branch.stated,
                found=branch.spinodal,
            )
            for branch in record.branches
            if branch.stated is not None
        ),
        blocks=(
            _figure(record),
            Paragraph(
                "Curves are theory for the exact population: solid the learned point, dotted the "
                "saddle. Marks are where noise-free training of networks of width "
                f"{record.width} ended, from balanced starts that had learned everything and from "
                "starts that had learned next to nothing. Where both branches are stable the start "
                "decides, which is what coexistence means; a bar marks the spinodal, where the "
                "learned point ends at a finite strength, a star the coexistence, where its loss "
                "equals that of the trivial point."
            ),
            *([_offset(record)] if any(b.stated is not None for b in record.branches) else []),
            _branches(record),
            _checks(record),
            _endpoints(record),
            _curves(record),
        ),
    )


def _answer(record: BifurcationRecord) -> str:
    told = [
        f"the feature of signal {shown(branch.signal)} at weight decay "
        f"{shown(branch.spinodal, 4)}, where its strength is still "
        f"{shown(branch.spinodal_strength, 3)}"
        for branch in record.branches
    ]
    ends = sum(check.ends for check in record.checks)
    good = sum(check.on_branch for check in record.checks)
    parted, pairs = (
        sum(check.parted for check in record.checks),
        sum(check.pairs for check in record.checks),
    )
    how = "vanishes continuously" if record.depth == 2 else "ends with a jump"
    return (
        f"Each learned branch {how}: {'; '.join(told)}. {good} of {ends} settled endpoints of "
        "training lie on the branch that theory gives for their start"
        + (
            f", and {parted} of {pairs} pairs of starts {shown(100 * record.margin)} % above and "
            "below the saddle part to its two sides."
            if pairs
            else "."
        )
    )


def _offset(record: BifurcationRecord) -> Paragraph:
    stated = ", ".join(f"{b.stated:g}" for b in record.branches if b.stated is not None)
    found = ", ".join(shown(b.spinodal, 4) for b in record.branches if b.stated is not None)
    return Paragraph(
        f"The paper states {stated} where its own equation for the population gives {found}. "
        "Its numbers come from one finite sample; the section on figure 3 shows that samples of "
        "that size scatter by more than the difference."
    )


def _figure(record: BifurcationRecord) -> Figure:
    branches = record.branches
    return Figure(
        name="fig4_bifurcation",
        size=(5.8, 4.2),
        caption=(
            "Stationary strengths of each feature against weight decay: learned (solid), saddle "
            "(dotted), trivial (0), and the endpoints of training on top. Dashed: the transitions "
            "that the paper states."
        ),
        alt=" ".join(_words(branch) for branch in branches)
        + " Endpoints of training lie on the solid branches and on zero.",
        draw=lambda canvas: draw_bifurcation(
            [branch.weight_decays for branch in branches],
            [branch.learned for branch in branches],
            [branch.saddles for branch in branches],
            names=[f"signal {branch.signal:g}" for branch in branches],
            spinodals=[(branch.spinodal, branch.spinodal_strength) for branch in branches],
            coexistences=[(branch.coexistence, branch.coexistence_strength) for branch in branches],
            endpoints=[
                [
                    (end.weight_decay, end.strength)
                    for end in record.endpoints
                    if end.mode == branch.mode and "saddle" not in end.start and end.settled
                ]
                for branch in branches
            ],
            stated=[branch.stated for branch in branches if branch.stated is not None],
            ax=canvas.subplots(),
        ),
    )


def _words(branch: Branch) -> str:
    return (
        f"Signal {branch.signal:g}: the learned strength falls from {branch.signal:g} at weight "
        f"decay 0 to {shown(branch.spinodal_strength, 3)} at {shown(branch.spinodal, 3)} and meets "
        "the saddle there."
    )


def _branches(record: BifurcationRecord) -> Table:
    return Table(
        name="fig4_points",
        caption="Where each learned branch ends, and where it stops being the lower minimum.",
        columns=(
            "signal",
            "spinodal",
            "strength at the spinodal",
            "coexistence",
            "strength at coexistence",
            "paper states",
        ),
        rows=[
            (
                branch.signal,
                branch.spinodal,
                branch.spinodal_strength,
                branch.coexistence,
                branch.coexistence_strength,
                branch.stated,
            )
            for branch in record.branches
        ],
        digits=5,
    )


def _checks(record: BifurcationRecord) -> Table:
    return Table(
        name="fig4_endpoints_against_theory",
        caption="The control: endpoints of training against theory.",
        columns=(
            "signal",
            "endpoints on their branch",
            "of",
            "largest distance",
            "not settled",
            "pairs parted by the saddle",
            "of pairs",
        ),
        rows=[
            (
                branch.signal,
                check.on_branch,
                check.ends,
                check.largest_error,
                check.unsettled,
                check.parted,
                check.pairs,
            )
            for branch, check in zip(record.branches, record.checks, strict=True)
        ],
        digits=2,
        note=(
            f"Training for {shown(record.time)} time units. Close to a spinodal it slows down; "
            "what has not settled by then is counted apart and not compared."
        ),
    )


def _endpoints(record: BifurcationRecord) -> Table:
    return Table(
        name="fig4_endpoints",
        caption="Every endpoint.",
        columns=("signal", "weight decay", "start", "started at", "ended at", "theory", "settled"),
        rows=[
            (
                record.branches[end.mode - 1].signal,
                end.weight_decay,
                end.start,
                end.started,
                end.strength,
                end.expected,
                end.settled,
            )
            for end in record.endpoints
        ],
        shown=0,
    )


def _curves(record: BifurcationRecord) -> Table:
    return Table(
        name="fig4_branches",
        caption="The branches point by point.",
        columns=("signal", "weight decay", "saddle", "learned"),
        rows=[
            (branch.signal, decay, saddle, learned)
            for branch in record.branches
            for decay, saddle, learned in zip(
                branch.weight_decays, branch.saddles, branch.learned, strict=True
            )
        ],
        shown=0,
    )
