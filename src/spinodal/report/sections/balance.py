"""Two phases in balance: detailed balance, its failure under minibatches, and large networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from spinodal.plots.balance import draw_growth, draw_shares
from spinodal.protocols.balance_records import (
    BalancePoint,
    BalanceRecord,
    Line,
    Minibatches,
    Passage,
)
from spinodal.report.section import (
    Figure,
    Heading,
    Paragraph,
    Row,
    Section,
    Stated,
    Table,
    shown,
    shown_interval,
)
from spinodal.theory.equilibrium import log_phase_ratio

LEAST_P = 0.001
"""Measured ratios of rates this improbable under detailed balance would be called a violation."""

LEAST_EXPECTED = 7.0
"""Nothing seen speaks against a law that asks for this many events: exp(-7) is below LEAST_P."""


def section(record: BalanceRecord) -> Section:
    """The record as a section of the report."""
    return Section(
        id="balance",
        title="Both ways: detailed balance and ever wider networks",
        question=(
            "Is the rate of learning a feature tied to the rate of losing it, and does the change "
            "of phase become a jump in large networks?"
        ),
        answer=_answer(record),
        stated=_stated(record),
        blocks=(
            Paragraph(_method(record)),
            Row((_shares_figure(record), _growth_figure(record))),
            Heading("Detailed balance"),
            Paragraph(_balance_text(record)),
            _points_table(record),
            Heading("Minibatches"),
            Paragraph(_minibatch_text(record)),
            Heading("Ever wider networks"),
            Paragraph(_width_text(record)),
            _sharpness_table(record),
        ),
    )


def _holds(record: BalanceRecord) -> bool:
    return record.chi_square_p > LEAST_P


def _answer(record: BalanceRecord) -> str:
    known = [p for p in record.points if p.log_ratio is not None]
    text = (
        f"Under additive noise {'yes' if _holds(record) else 'no'}: {len(known)} ratios of "
        f"measured rates against exact equilibrium, nothing fitted, chi-square "
        f"{shown(record.chi_square, 3)} (p = {shown(record.chi_square_p, 2)}). "
        f"{_minibatch_answer(record.minibatches)} "
    )
    first, last = record.sharpness[0], record.sharpness[-1]
    text += (
        f"With T in proportion to 1 / width ln(waiting time) {_grows(record.growth)} by "
        f"{_slope(record.growth)} per unit of width, and the change of phase "
        f"{SHARPENS[_sharpening(record)]}: d ln(rate up / rate down) / d(weight decay) is "
        f"{_slope(first.measured)} at width {first.width}, {_slope(last.measured)} at width "
        f"{last.width}."
    )
    return text


SHARPENS = {
    1: "sharpens",
    0: "does not sharpen beyond the errors",
    -1: "becomes less sharp",
}


def _sharpening(record: BalanceRecord) -> int:
    """1 where the slope at the largest width is steeper than at the smallest, -1 flatter, 0 open.

    A difference counts where it is larger than the limits of both slopes together.
    """
    lines = [record.sharpness[i].measured for i in (0, -1)]
    change = abs(lines[1].slope) - abs(lines[0].slope)
    limit = math.hypot(*((line.high - line.low) / 2 for line in lines))
    return 0 if abs(change) <= limit else int(np.sign(change))


def _grows(line: Line) -> str:
    if line.low > 0:
        return "grows"
    return "falls" if line.high < 0 else "changes, within errors that hold 0,"


def _minibatch_answer(noise: Minibatches) -> str:
    return (
        "Under minibatch noise of the same radial temperature "
        f"{MINIBATCH[_one_way(noise)]}: {noise.down.escapes} of {noise.down.replicas} lose the "
        f"feature, {noise.up.escapes} of {noise.up.replicas} learn it, where a Boltzmann law asks "
        f"for {shown(noise.boltzmann_up, 3)} events in that time."
    )


MINIBATCH = {"no": "no", "other": "no, but both ways are seen", "open": "cannot tell"}


def _one_way(noise: Minibatches) -> str:
    """'no': nothing learned where LEAST_EXPECTED or more were due. 'other': another number.

    Events are Poisson with the mean that a Boltzmann law asks for; 'open' excludes nothing.
    """
    seen, due = noise.up.escapes, noise.boltzmann_up
    if seen == 0:
        return "no" if due >= LEAST_EXPECTED else "open"
    # The mean is known as well as the time down; a law that either limit allows is not excluded.
    down = noise.down
    few = due if down.mean is None or down.high is None else due * down.mean / down.high
    many = due if down.mean is None else due * down.mean / down.low
    improbable = special.pdtr(seen, few) < LEAST_P or special.pdtrc(seen - 1, many) < LEAST_P
    return "other" if due > 0 and improbable else "open"


def _slope(line: Line) -> str:
    return shown_interval(line.slope, line.low, line.high)


def _stated(record: BalanceRecord) -> tuple[Stated, ...]:
    noise = record.minibatches
    first, last = record.sharpness[0], record.sharpness[-1]
    return (
        Stated(
            what="minibatch noise carries a network over a barrier in either direction, as a "
            "temperature would",
            stated="assumed",
            found=f"{noise.down.escapes} of {noise.down.replicas} down, {noise.up.escapes} of "
            f"{noise.up.replicas} up, where a Boltzmann law asks for "
            f"{shown(noise.boltzmann_up, 3)}",
            verdict="wrong" if _one_way(noise) == "no" else "not checked",
        ),
        Stated(
            what="a first-order transition, with a jump that sharpens with size",
            stated="claimed",
            found=f"d ln(ratio of rates) / d(weight decay) from {_slope(first.measured)} at width "
            f"{first.width} to {_slope(last.measured)} at width {last.width}, under additive noise",
            verdict=_jump_verdict(record),
        ),
    )


def _jump_verdict(record: BalanceRecord) -> str:
    """Errors that leave sharpening or growth open decide nothing."""
    sharpens = _sharpening(record)
    if sharpens > 0 and record.growth.low > 0:
        return "reproduces"
    against = sharpens < 0 or record.growth.high < 0
    return "not reproduced as described" if against else "not checked"


def _method(record: BalanceRecord) -> str:
    widths = ", ".join(f"{s.width}" for s in record.sharpness)
    heights = [height for p in record.points for height in (p.free_out, p.free_back)]
    return (
        f"One feature of signal {shown(record.signal)}, depth {record.depth}, widths {widths}, "
        f"population gradient, additive noise of temperature T = {shown(record.heat)} / width, "
        f"learning rate {shown(record.learning_rate)}. From zero weights until the strength first "
        "reaches the learned well of the reduced free energy, and from there until it first falls "
        "to the trivial well. Weight decays are those at which theory expects given ratios of the "
        "two times; at the middle one, coexistence, both phases are equally likely. The ratio of "
        "the rates must be the ratio of Boltzmann's weights on either side of the saddle, which "
        "for one output is a single integral; no parameter is fitted. It holds up to the share of "
        "time spent on the way between the wells, small when barriers are several T; here they are "
        f"{shown(min(heights), 2)} to {shown(max(heights), 2)} T."
    )


def _balance_text(record: BalanceRecord) -> str:
    known = [p for p in record.points if p.deviation is not None]
    worst = max(known, key=lambda p: abs(p.deviation or 0.0))
    return (
        f"The largest deviation among {len(known)} is {shown(worst.deviation, 2)} standard errors, "
        f"at width {worst.width} and weight decay {shown(worst.weight_decay, 4)}; together "
        f"chi-square {shown(record.chi_square, 3)}, p = {shown(record.chi_square_p, 2)}. The rates "
        f"themselves are another matter: {_slow_text(known)}."
    )


def _slow_text(points: Sequence[BalancePoint]) -> str:
    """Measured time up over the reduced free energy's passage time, and which is longer."""
    ratios = [_slowness(p) for p in points]
    longer = sum(p.up.low > p.predicted_up for p in points)
    shorter = sum(p.up.high is not None and p.up.high < p.predicted_up for p in points)
    text = (
        "the measured time up is "
        f"{shown(min(ratios), 3)} to {shown(max(ratios), 3)} times the reduced free energy's "
        f"passage time, longer beyond the errors at {longer} and shorter at {shorter} of "
        f"{len(points)} points"
    )
    if longer > shorter:
        text += "; one coordinate cannot hold how the hidden directions turn, and a ratio of rates "
        text += "does not contain it"
    return text


def _slowness(point: BalancePoint) -> float:
    return (point.up.mean or float("nan")) / point.predicted_up


def _minibatch_text(record: BalanceRecord) -> str:
    noise = record.minibatches
    return (
        f"Width {noise.width} at coexistence, batches of {noise.batch_size} fresh samples, "
        f"learning rate {shown(noise.learning_rate, 3)}: along the learned feature's radial "
        f"direction that is T = {shown(noise.temperature, 3)}, the same as above. The feature is "
        f"lost after {_mean(noise.down)} time units ({noise.down.escapes} of "
        f"{noise.down.replicas}). From the trivial phase, with a jitter of a "
        f"tenth of the saddle's amplitude, {noise.up.escapes} of {noise.up.replicas} learn it in "
        f"{shown(noise.up.exposure, 3)} time units; if one temperature described both phases, "
        f"{shown(noise.boltzmann_up, 3)} would have. The noise is multiplicative: it vanishes "
        "with the weights. Its temperature was matched where the feature is learned."
    )


def _mean(passage: Passage) -> str:
    if passage.mean is None:
        return f"more than {shown(passage.low, 3)} (95 %)"
    return shown_interval(passage.mean, passage.low, passage.high)


def _width_text(record: BalanceRecord) -> str:
    growth = record.growth
    return (
        "Hidden rotations number (depth - 1)(width - 1), so at fixed T a wider network is all "
        "entropy and has no barrier. With T in proportion to 1 / width both sides of the free "
        "energy keep their proportion and F / T grows with the width. Measured: ln(mean time) "
        f"{_grows(growth)} by {_slope(growth)} per unit of width; the reduced free energy gives "
        f"{shown(growth.predicted, 3)}. The range of weight decay in which exact equilibrium has "
        f"both phases goes from {shown(record.sharpness[0].window, 3)} at width "
        f"{record.sharpness[0].width} to {shown(record.sharpness[-1].window, 3)} at width "
        f"{record.sharpness[-1].width}. Measured, the change of phase "
        f"{SHARPENS[_sharpening(record)]}{_as_a_jump(record)}; the measured slopes hold the exact "
        f"ones at {_exact_slopes(record)} of {len(record.sharpness)} widths."
    )


def _as_a_jump(record: BalanceRecord) -> str:
    if _jump_verdict(record) == "reproduces":
        return ", as a crossover must that becomes a jump in large networks"
    return ""


def _exact_slopes(record: BalanceRecord) -> int:
    lines = [one.measured for one in record.sharpness]
    return sum(line.low <= line.predicted <= line.high for line in lines)


def _shares_figure(record: BalanceRecord) -> Figure:
    widths = [s.width for s in record.sharpness]
    curves, points = [], []
    for width in widths:
        own = [p for p in record.points if p.width == width and p.log_ratio is not None]
        near = [p.weight_decay for p in own]
        room = 0.6 * (max(near) - min(near))
        grid = np.linspace(min(near) - room, max(near) + room, 41)
        ratio = [
            log_phase_ratio(
                depth=record.depth, width=width, signal=record.signal, weight_decay=float(decay),
                temperature=record.heat / width,
            )
            for decay in grid
        ]  # fmt: skip
        label = f"width {width}"
        curves.append((label, grid, special.expit(ratio)))
        points.append(
            (
                label, near, [p.log_ratio or 0.0 for p in own],
                [p.log_ratio_low or 0.0 for p in own], [p.log_ratio_high or 0.0 for p in own],
            )
        )  # fmt: skip
    return Figure(
        name="balance_shares",
        caption=(
            "Share of time in the learned phase, rate up / (rate up + rate down). Lines: exact "
            "equilibrium; points: measured rates, 95 %."
        ),
        alt=_shares_alt(record),
        size=(4.8, 3.9),
        draw=lambda canvas: draw_shares(curves, points, ax=canvas.subplots()),
    )


def _shares_alt(record: BalanceRecord) -> str:
    known = [p for p in record.points if p.log_ratio_low is not None]
    on = sum(
        (p.log_ratio_low or 0.0) <= p.exact_log_ratio <= (p.log_ratio_high or 0.0) for p in known
    )
    return (
        f"Shares of time against weight decay: the 95 % limits of {on} of {len(known)} measured "
        "ones hold the exact curve of their width. From the smallest to the largest width the "
        f"measured change {SHARPENS[_sharpening(record)]}."
    )


def _growth_figure(record: BalanceRecord) -> Figure:
    points = [p for p in record.points if p.exact_log_ratio == 0 and p.log_ratio is not None]
    middle = [float(np.sqrt((p.up.mean or 1) * (p.down.mean or 1))) for p in points]
    error = [float(np.exp(0.98 * np.sqrt(1 / p.up.escapes + 1 / p.down.escapes))) for p in points]
    return Figure(
        name="balance_growth",
        caption=(
            "Mean waiting time at coexistence (geometric mean of both ways) with T in proportion "
            "to 1 / width."
        ),
        alt=f"On a logarithmic axis against the width the waiting time {_grows(record.growth)} by "
        f"{_slope(record.growth)} per unit of width; the reduced free energy gives "
        f"{shown(record.growth.predicted, 3)}.",
        size=(4.8, 3.9),
        draw=lambda canvas: draw_growth(
            [p.width for p in points],
            middle,
            [m / e for m, e in zip(middle, error, strict=True)],
            [m * e for m, e in zip(middle, error, strict=True)],
            [p.predicted_up for p in points],
            ax=canvas.subplots(),
        ),
    )


def _points_table(record: BalanceRecord) -> Table:
    return Table(
        name="balance_points",
        caption="Waiting times both ways and the ratio of their rates",
        columns=(
            "width", "weight decay", "T", "T / T_sp", "F out / T", "F back / T", "time up",
            "up low", "up high", "escapes up", "time down", "down low", "down high", "escapes down",
            "ln ratio", "low", "high", "exact", "standard errors off", "passage time of F",
        ),
        rows=tuple(
            (
                p.width, p.weight_decay, p.temperature, p.over_spinodal, p.free_out, p.free_back,
                p.up.mean, p.up.low, p.up.high, p.up.escapes, p.down.mean, p.down.low, p.down.high,
                p.down.escapes, p.log_ratio, p.log_ratio_low, p.log_ratio_high, p.exact_log_ratio,
                p.deviation, p.predicted_up,
            )
            for p in record.points
        ),
        digits=3,
        note="Times in units of learning rate times updates; limits at 95 %, from single times, "
        "those that did not escape counted as censored.",
    )  # fmt: skip


def _sharpness_table(record: BalanceRecord) -> Table:
    return Table(
        name="balance_sharpness",
        caption="How abruptly the phases change: slope of ln(rate up / rate down)",
        columns=("width", "coexistence", "slope", "95 % low", "95 % high", "exact", "window"),
        rows=tuple(
            (s.width, s.coexistence, s.measured.slope, s.measured.low, s.measured.high,
             s.measured.predicted, s.window)
            for s in record.sharpness
        ),
        note="Window: range of weight decay in which the exact share falls from 73 % to 27 %.",
    )  # fmt: skip
