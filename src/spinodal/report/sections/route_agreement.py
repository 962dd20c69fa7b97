"""One rate by every route: theory, waiting and splitting, in one figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
            Heading("What would falsify activation, and was it seen?"),
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
            f"{_interval(coldest.splitting)} updates{_flag(coldest.splitting)} with "
            f"{shown(coldest.splitting.updates, 2)} updates"
        )
        parts.append(
            f"; waiting would take {shown(coldest.gain, 2)} times as many for the same error. "
            if coldest.gain
            else ". "
        )
    known = _known(record)
    if len(known) > 1:
        parts.append(
            "Measured time over that of the reduced generator, nothing fitted: "
            f"{_extremes(known, _of_generator)}; over Eyring and Kramers' "
            f"{_course(known, _of_langer)}."
        )
    return "".join(parts)


Predicted = Callable[[RoutePoint], float]


def _of_langer(point: RoutePoint) -> float:
    return point.langer


def _of_generator(point: RoutePoint) -> float:
    return point.generator


def _of_reduced(point: RoutePoint) -> float:
    return point.reduced


def _known(record: RouteRecord) -> list[RoutePoint]:
    """Points with a measured time, the warmest first."""
    points = sorted(record.points, key=lambda p: -p.ratio)
    return [p for p in points if _measured(p).mean is not None]


def _extremes(points: Sequence[RoutePoint], of: Predicted) -> str:
    """Smallest and largest ratio to a prediction, and how many limits contain 1."""
    ratios = sorted(points, key=lambda p: _measured(p).mean / of(p) * p.step_factor)  # pyright: ignore[reportOptionalOperand]
    inside = sum(low <= 1 and (high is None or high >= 1)
                 for low, high in (_limits_over(p, of(p)) for p in points))  # fmt: skip
    return (
        f"{_ratio(ratios[0], of)} to {_ratio(ratios[-1], of)}; the limits contain 1 at {inside} of "
        f"{len(points)} temperatures"
    )


def _course(points: Sequence[RoutePoint], of: Predicted) -> str:
    """How the ratio to a prediction goes from the warmest to the coldest point, within errors.

    A difference counts where it is larger than the limits of both ends together. Points with a
    warning of splitting are no ends where there are two others.
    """
    points = _trusted(points)
    steps = [_change(*pair, of) for pair in pairwise(points)]
    change, error = _change(points[0], points[-1], of)
    if abs(change) <= error:
        word = "it does not change beyond the errors,"
    else:
        against = any(step * change < 0 and abs(step) > limit for step, limit in steps)
        word = f"it {'falls' if change < 0 else 'rises'}{', not at every step,' if against else ''}"
    return (
        f"{word} from {_ratio(points[0], of)} to {_ratio(points[-1], of)} as the temperature falls "
        f"from {shown(points[0].ratio)} to {shown(points[-1].ratio)} of the thermal spinodal"
    )


def _trusted(points: Sequence[RoutePoint]) -> list[RoutePoint]:
    """Points without a warning of splitting, if there are two of them; else all."""
    sure = [p for p in points if not _measured(p).warning]
    return sure if len(sure) > 1 else list(points)


def _change(warm: RoutePoint, cold: RoutePoint, of: Predicted) -> tuple[float, float]:
    """Change of ln(measured / predicted) on cooling, and its limit at the record's confidence."""
    first, last = (_measured(p).mean / of(p) * p.step_factor for p in (warm, cold))  # pyright: ignore[reportOptionalOperand]
    return math.log(last / first), math.hypot(*(_half(_measured(p)) for p in (warm, cold)))


def _half(one: Estimate) -> float:
    """Half the interval of ln(mean): infinite where a limit is missing."""
    if one.high is None or not one.low > 0:
        return math.inf
    return math.log(one.high / one.low) / 2


def _limits_over(point: RoutePoint, predicted: float) -> tuple[float, float | None]:
    best, unit = _measured(point), point.step_factor / predicted
    return best.low * unit, None if best.high is None else best.high * unit


def _ratio(point: RoutePoint, of: Predicted) -> str:
    best = _measured(point)
    low, high = _limits_over(point, of(point))
    return shown_interval(_over(point, of(point)), low, high, unknown="unbounded") + _flag(best)


def _flag(one: Estimate) -> str:
    return " (warned: its interval may be too narrow)" if one.warning else ""


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
        "times more updates waiting would need for the same relative error: "
        f"{_gains(record)}."
    )


def _gains(record: RouteRecord) -> str:
    gains = [(p.ratio, p.gain) for p in record.points if p.gain is not None]
    if not gains:
        return "not known here"
    (warm, first), (cold, last) = max(gains), min(gains)
    return (
        f"{shown(first, 2)} at {shown(warm)} T_{{sp}}, {shown(last, 2)} at {shown(cold)} T_{{sp}}"
    )


def _theory_text(record: RouteRecord) -> str:
    valid = [p for p in record.points if p.valid]
    known = _known(record)
    courses = (
        f"Over leading order {_course(known, _of_langer)}; over the reduced generator "
        f"{_course(known, _of_generator)}; over the reduced free energy "
        f"{_course(known, _of_reduced)}. "
        if len(known) > 1
        else ""
    )
    return (
        f"N_{{z}} = {record.rotations} hidden rotations are gained with the feature; they lower "
        "the barrier of the free energy, and leading order (Langer's formula with the volumes of "
        "the valleys) becomes right only where N_{z} T is small beside the loss at the saddle. By "
        f"its own criterion it is valid at {len(valid)} of {len(record.points)} temperatures here. "
        "In theory the ratio of measured time to leading order tends to 1 as T falls; so should "
        "that to the reduced generator, whatever its two coordinates leave out at finite T, but "
        "not that to the reduced free energy, which follows one coordinate and has the height of "
        f"the barrier but not the directions across. Measured: {courses or 'too few points. '}"
        "These are statements about the temperatures watched, not about the limit."
    )


def _falsifier(record: RouteRecord) -> str:
    """What would speak against activation, whether it was seen, and whether it could have been."""
    points = _known(record)
    if len(points) < 2:
        return (
            "What would falsify activation by additive noise cannot be seen at fewer than two "
            "measured temperatures."
        )
    against, open_steps = [], []
    for warm, cold in pairwise(points):
        first, last = _measured(warm), _measured(cold)
        growth = math.log((last.mean or 1.0) / (first.mean or 1.0))
        where = f"from {warm.ratio:g} to {cold.ratio:g} T_{{sp}}"
        if growth <= 0:
            against.append(f"the time does not grow {where}")
        elif growth <= math.hypot(_half(first), _half(last)):
            open_steps.append(where)
    sure = _trusted(points)
    away, error = _away(sure[0], sure[-1])
    if away > error:
        against.append("the ratio to theory moves away from 1 as the temperature falls")
    parts = [f"Seen: {'; '.join(against)}." if against else "Neither is seen."]
    grows = not open_steps and not any("grow" in one for one in against)
    if grows:
        parts.append("Times grow at every step, beyond the errors.")
    elif open_steps:
        parts.append(f"The errors leave open whether the time grows {', '.join(open_steps)}.")
    if away <= error and error < math.log(2):
        parts.append(
            f"A ratio farther from 1 by a factor of {shown(math.exp(error), 2)} would have been "
            "seen."
        )
    elif away <= error:
        beyond = (
            f" unless by a factor beyond {shown(math.exp(error), 2)}, so large are the errors of "
            "its ends"
            if math.isfinite(error)
            else ", for an end has no limits"
        )
        parts.append(f"That the ratio moves away from 1 could not have been seen{beyond}.")
    parts.append(f"The ratio is compared at {sure[0].ratio:g} and {sure[-1].ratio:g} T_{{sp}}.")
    flagged = [f"{p.ratio:g}" for p in points if _measured(p).warning]
    if flagged:
        parts.append(
            "Warned, their intervals may be too narrow"
            f"{', and not compared' if len(sure) < len(points) else ''}: "
            f"{', '.join(flagged)} T_{{sp}}."
        )
    return (
        "What would falsify activation by additive noise: mean times that do not grow as T falls, "
        "or a ratio to theory (the reduced generator) that moves away from 1. "
        f"{' '.join(parts)} What would support the paper's claim is the same law under minibatch "
        "noise: figure 2b and noise-arms look for it from the exact trap, downward-jumps for the "
        "jumps the other way."
    )


def _away(warm: RoutePoint, cold: RoutePoint) -> tuple[float, float]:
    """How much farther from 1 the ratio to the generator is when cold, and its limit."""
    first, last = (abs(math.log(_over(p, p.generator) or 1.0)) for p in (warm, cold))
    return last - first, _change(warm, cold, _of_generator)[1]


def _figure_alt(record: RouteRecord) -> str:
    points = _known(record)
    if not points:
        return "No mean time was measured."
    times = [_measured(p).mean or 1.0 for p in points]
    agree = sum(a.low <= 1 <= a.high for a in record.agreement)
    course = f" Measured over Eyring-Kramers time: {_course(points, _of_langer)}." * (
        len(points) > 1
    )
    return (
        f"Mean times from {shown(min(times), 2)} to {shown(max(times), 2)} updates, over "
        f"{shown(math.log10(max(times) / min(times)), 2)} decades, beside theoretical lines; "
        f"waiting and splitting agree within 95 % limits at {agree} of {len(record.agreement)} "
        f"temperatures.{course}"
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
        alt=_figure_alt(record),
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
            "low ", "high ", "its updates ", "gain", "warned",
        ),
        rows=rows,
        digits=3,
    )  # fmt: skip


def _relative(point: RoutePoint) -> tuple[float | None, float | None]:
    best = _measured(point)
    if best.mean is None:
        return None, None
    return best.low / best.mean, None if best.high is None else best.high / best.mean


def _theory_table(record: RouteRecord) -> Table:
    return Table(
        name="route-agreement_theory",
        caption="Predicted mean times in updates, and measured over predicted",
        columns=(
            "T / T_sp", "barrier / T", "F barrier / T", "expansion", "Eyring-Kramers",
            "with F's top", "reduced F", "reduced generator", "measured / EK",
            "measured / with F's top", "measured / reduced F", "measured / generator",
            "measured low", "measured high", "warned",
        ),
        rows=tuple(
            (
                p.ratio, p.energy_barrier, p.free_barrier, p.expansion, p.langer, p.corrected,
                p.reduced, p.generator, _over(p, p.langer), _over(p, p.corrected),
                _over(p, p.reduced), _over(p, p.generator), *_relative(p),
                bool(_measured(p).warning),
            )
            for p in record.points
        ),
        digits=3,
        note="Expansion: N_z T / (L weight_decay a_s^2), the size of the trivial valley beside the "
        "saddle. Measured low and high: the limits of the measured time in units of it, by which "
        "every ratio is to be multiplied for its own.",
    )  # fmt: skip
