"""One rate by every route: theory, waiting and splitting, in one figure."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from matplotlib.figure import Figure as Canvas

from spinodal.plots.route_agreement import Points, draw_ratios, draw_routes
from spinodal.protocols.route_agreement_records import (
    Agreement,
    Estimate,
    RoutePoint,
    RouteRecord,
)
from spinodal.report.section import (
    Figure,
    Heading,
    Paragraph,
    Section,
    Table,
    shown,
    shown_interval,
)


def section(record: RouteRecord) -> Section:
    """The record as a section of the report."""
    return Section(
        id="route-agreement",
        title="One rate by every route",
        question=(
            "Do theory, waiting and splitting give one escape rate, and how far does each reach?"
        ),
        answer=_answer(record),
        blocks=(
            Paragraph(_method(record)),
            _figure(record),
            Heading("Waiting and splitting"),
            Paragraph(_agreement_text(record)),
            _estimates_table(record),
            Heading("Theory"),
            Paragraph(_theory_text(record)),
            _theory_table(record),
            Paragraph(_falsifier(record)),
        ),
    )


def _answer(record: RouteRecord) -> str:
    coldest = min(record.points, key=lambda p: p.ratio)
    parts = []
    if record.agreement:
        ratios = ", ".join(_agreed(a) for a in record.agreement)
        parts.append(f"Splitting over waiting: {ratios}. ")
    if coldest.splitting.mean:
        parts.append(
            f"At {shown(coldest.ratio)} of the thermal spinodal splitting finds one escape in "
            f"{_interval(coldest.splitting)} updates with {shown(coldest.splitting.updates, 2)} "
            "updates"
        )
        parts.append(
            f", {shown(coldest.gain, 2)} times fewer than waiting. " if coldest.gain else ". "
        )
    warm = max(record.points, key=lambda p: p.ratio)
    hot, cold = _over(warm, warm.langer), _over(coldest, coldest.langer)
    if hot and cold:
        ratios = [ratio for p in record.points if (ratio := _over(p, p.generator)) is not None]
        parts.append(
            "Measured time over that of the reduced generator, nothing fitted: "
            f"{shown(min(ratios), 3)} to {shown(max(ratios), 3)} at {len(ratios)} temperatures; "
            f"over Eyring and Kramers' it falls from {shown(hot, 2)} to {shown(cold, 2)} as the "
            f"temperature falls from {shown(warm.ratio)} to {shown(coldest.ratio)} of the thermal "
            "spinodal."
        )
    return "".join(parts)


def _agreed(one: Agreement) -> str:
    return f"{shown_interval(one.value, one.low, one.high)} at {shown(one.ratio)} T_{{sp}}"


def _interval(one: Estimate) -> str:
    return shown_interval(one.mean, one.low, one.high)


def _over(point: RoutePoint, predicted: float) -> float | None:
    """Measured mean time over a predicted one, finite steps accounted for."""
    best = _measured(point)
    return None if best.mean is None else best.mean / predicted * point.step_factor


def _measured(point: RoutePoint) -> Estimate:
    """The more precise estimate."""
    if point.waiting is None or point.waiting.relative_error is None:
        return point.splitting
    other = point.splitting.relative_error
    return point.splitting if other and other < point.waiting.relative_error else point.waiting


def _method(record: RouteRecord) -> str:
    signals = ", ".join(shown(s) for s in record.signals)
    start = "zero weights" if record.rank == 0 else f"the balanced rank-{record.rank} phase"
    return (
        f"The network of the paper: depth {record.depth}, width {record.width}, {record.weights} "
        f"weights, signals {signals}, weight decay {shown(record.weight_decay)}; population "
        f"gradient, additive noise, learning rate {shown(record.learning_rate)}. From {start} "
        f"until strength {record.rank + 1} is first seen at its learned value. Waiting: censored "
        f"likelihood of single times. Splitting: {record.repetitions} independent repetitions of "
        f"{record.copies} trajectories, the rate as flux out of the basin times the probability to "
        "arrive before returning, the interval from the scatter of the repetitions. Theory is for "
        "infinitely small steps; ratios to it take the finite learning rate to first order."
    )


def _agreement_text(record: RouteRecord) -> str:
    if not record.agreement:
        return "No temperature was warm enough for waiting."
    return (
        f"Both routes were gone at {len(record.agreement)} temperatures: splitting over waiting is "
        f"{', '.join(_agreed(a) for a in record.agreement)}; chi-square "
        f"{shown(record.chi_square, 3)}, p = {shown(record.chi_square_p, 2)}. 'Gain' is how many "
        "times more updates waiting would need for the same relative error: below one where "
        "escapes are frequent, beyond all means where they are rare."
    )


def _theory_text(record: RouteRecord) -> str:
    valid = [p for p in record.points if p.valid]
    return (
        f"N_{{z}} = {record.rotations} hidden rotations are gained with the feature, so the "
        "barrier of the free energy is far below that of the loss, and leading order (Langer's "
        "formula with the volumes of the valleys) becomes right only where N_{z} T is small beside "
        "the loss at the saddle. The last columns say how far: measured over predicted must tend "
        "to 1 from the right, and does so from above. "
        + (
            f"By its own criterion leading order is valid at {len(valid)} of "
            f"{len(record.points)} temperatures here. "
        )
        + "The reduced free energy follows one coordinate; it has the height of the barrier but "
        "not the directions across, so its ratio does not tend to 1."
    )


def _falsifier(record: RouteRecord) -> str:
    """What would speak against activation, and whether it was seen."""
    points = sorted((p for p in record.points if _measured(p).mean), key=lambda p: -p.ratio)
    against = []
    for warm, cold in pairwise(points):
        ends = _measured(warm), _measured(cold)
        if (ends[1].mean or 0) <= (ends[0].mean or 0):
            against.append(f"the time does not grow from {warm.ratio:g} to {cold.ratio:g} T_{{sp}}")
    first, last = points[0], points[-1]
    drift = abs(math.log(_over(last, last.generator) or 1.0)) - abs(
        math.log(_over(first, first.generator) or 1.0)
    )
    errors = [_measured(p).relative_error or 0.0 for p in (first, last)]
    if drift > 2 * math.hypot(*errors):
        against.append("the ratio to theory moves away from 1 as the temperature falls")
    seen = "Neither is seen" if not against else f"Seen: {'; '.join(against)}"
    return (
        "What would falsify activation by additive noise: mean times that do not grow as T falls, "
        f"or a ratio to theory that moves away from 1. {seen}. What would support the paper's "
        "claim is the same law under minibatch noise; from the exact trap that noise gives no "
        "escape at all, whatever the learning rate and the batch size (figure 2b, noise-arms), and "
        "the jumps that it does make go the other way."
    )


def _figure(record: RouteRecord) -> Figure:
    points = sorted(record.points, key=lambda p: p.ratio)
    x = [p.ratio for p in points]
    lines = [
        ("Eyring-Kramers", x, [p.langer / p.step_factor for p in points]),
        ("with the free energy's top", x, [p.corrected / p.step_factor for p in points]),
        ("reduced generator", x, [p.best for p in points]),
    ]
    waiting = _series([(p.ratio, p.waiting, 1.0) for p in points])
    splitting = _series([(p.ratio, p.splitting, 1.0) for p in points])
    predictions: list[tuple[str, Callable[[RoutePoint], float]]] = [
        ("Eyring-Kramers", lambda p: p.langer),
        ("with the free energy's top", lambda p: p.corrected),
        ("reduced free energy", lambda p: p.reduced),
        ("reduced generator", lambda p: p.generator),
    ]
    ratios = [
        (name, _series([(p.ratio, _measured(p), of(p) / p.step_factor) for p in points]))
        for name, of in predictions
    ]

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        draw_routes(lines, waiting, splitting, ax=left)
        draw_ratios(ratios, ax=right)

    return Figure(
        name="route-agreement_times",
        caption=(
            "Left: mean escape time by every route, colder to the right. Right: measured (the more "
            "precise of waiting and splitting) over predicted."
        ),
        alt=(
            "Mean times by waiting and splitting coincide and rise over ten decades along the "
            "theoretical lines; the ratio of measured to Eyring-Kramers time falls towards one."
        ),
        size=(9.2, 4.2),
        draw=draw,
    )


def _series(rows: list[tuple[float, Estimate | None, float]]) -> Points:
    known = [
        (x, one.mean / unit, one.low / unit, (one.high or one.mean) / unit)
        for x, one, unit in rows
        if one is not None and one.mean is not None
    ]
    x, y, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    return x, y, low, high


def _estimates_table(record: RouteRecord) -> Table:
    rows = []
    for p in record.points:
        waiting = p.waiting
        rows.append(
            (
                p.ratio, p.temperature,
                waiting.mean if waiting else None, waiting.low if waiting else None,
                waiting.high if waiting else None, waiting.events if waiting else None,
                waiting.updates if waiting else None,
                p.splitting.mean, p.splitting.low, p.splitting.high, p.splitting.updates, p.gain,
                bool(p.splitting.warning),
            )
        )  # fmt: skip
    return Table(
        name="route-agreement_estimates",
        caption="Mean times in updates by waiting and by splitting",
        columns=(
            "T / T_sp", "T", "waiting", "low", "high", "escapes", "its updates", "splitting",
            "low ", "high ", "its updates ", "gain", "warned of heavy tails",
        ),
        rows=rows,
        digits=3,
    )  # fmt: skip


def _theory_table(record: RouteRecord) -> Table:
    return Table(
        name="route-agreement_theory",
        caption="Predicted mean times in updates, and measured over predicted",
        columns=(
            "T / T_sp", "barrier / T", "F barrier / T", "expansion", "Eyring-Kramers",
            "with F's top", "reduced F", "reduced generator", "measured / EK",
            "measured / with F's top", "measured / reduced F", "measured / generator",
        ),
        rows=tuple(
            (
                p.ratio, p.energy_barrier, p.free_barrier, p.expansion, p.langer, p.corrected,
                p.reduced, p.generator, _over(p, p.langer), _over(p, p.corrected),
                _over(p, p.reduced), _over(p, p.generator),
            )
            for p in record.points
        ),
        digits=3,
        note="Expansion: N_z T / (L weight_decay a_s^2), the size of the trivial valley beside the "
        "saddle.",
    )  # fmt: skip
