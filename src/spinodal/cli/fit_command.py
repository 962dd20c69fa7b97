"""`spinodal fit`: a table of escape times in, laws compared out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.measure import Measurement
from rich.table import Table

from spinodal.cli.commands import given, print_json
from spinodal.cli.interruption import say_when_interrupted
from spinodal.cli.printing import Printer
from spinodal.errors import InputError

if TYPE_CHECKING:
    from spinodal.protocols.fit import Fit
    from spinodal.report.section import Figure

NAMES = ("fit.json", "fit.svg", "fit.png")
"""What is written into the output directory."""


def fit(
    *,
    file: str | None,
    time_unit: Any = "time",
    rotations: Any = None,
    loss_ratio: Any = None,
    curvature: Any = None,
    confidence: Any = None,
    seed: Any = None,
    out: str | None = None,
    as_json: bool = False,
) -> None:
    """Read, fit, print; write files where --out says so."""
    if not file:
        raise InputError(
            "`spinodal fit` needs a table of times: a CSV file with the columns time and status "
            "(or escaped), and covariates such as temperature or learning_rate."
        )
    if out is not None and not out.strip():
        raise InputError("--out needs the name of a directory, got an empty one.")
    from spinodal.protocols import fit as protocol

    say_when_interrupted("nothing was written; the same command begins anew.")
    settings = protocol.FitSettings.model_validate(
        given(
            time_unit=time_unit,
            rotations=rotations,
            loss_ratio=loss_ratio,
            curvature=curvature,
            confidence=confidence,
            seed=seed,
        )
    )
    directory = None if out is None else _vacant(Path(out))
    found = protocol.fit(Path(file), settings)
    replaced = directory is not None and (directory / "fit.json").exists()
    if directory is not None:
        _write(found, directory, Path(file).name)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found, directory, replaced=replaced)


def _vacant(directory: Path) -> Path:
    """The directory, unless it holds files of our names that a fit did not write."""
    there = [name for name in NAMES if (directory / name).exists()]
    if there and not _ours(directory / "fit.json"):
        raise InputError(
            f"{directory / there[0]} exists and was not written by `spinodal fit`; choose another "
            "directory for --out."
        )
    if directory.exists() and not directory.is_dir():
        raise InputError(f"--out names the file {directory}; give the name of a directory.")
    return directory


def _ours(path: Path) -> bool:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"laws", "choice", "memoryless"} <= set(found)


def _write(found: Fit, directory: Path, name: str) -> None:
    from spinodal.report.figures import rendered
    from spinodal.storage.files import explained, write_atomically

    document = json.dumps(found.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    drawn = rendered(figure(found, name))
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(directory / "fit.svg", drawn.svg)
        write_atomically(directory / "fit.png", drawn.png)
        write_atomically(directory / "fit.json", (document + "\n").encode())


def figure(found: Fit, name: str) -> Figure:
    """Laws beside the settings' mean times, and how replicas waited."""
    from spinodal.plots.fit import draw_laws, draw_waiting
    from spinodal.report.section import Figure

    points = [
        (
            x,
            1 / row.rate if row.rate else None,
            1 / row.low if row.low else None,
            1 / row.high,
        )
        for x, row in found.points
        if row.high
    ]
    lines = [(curve.name, curve.x, curve.y) for curve in found.curves]

    def draw(canvas: Any) -> None:
        if not points:  # nothing tells settings apart, or nothing was at risk
            right = canvas.subplots()
        else:
            left, right = canvas.subplots(1, 2, width_ratios=(1.35, 1))
            draw_laws(points, lines, choice=found.choice, noise=found.axis or "noise", ax=left)
        draw_waiting(
            found.waiting.x, found.waiting.y, test=_probability(found), cell=_cell(found), ax=right
        )

    return Figure(
        name="fit",
        caption=f"Escape times of {name}: {_chosen(found)}",
        alt=f"Left: mean escape time of {len(points)} settings against inverse noise, with the "
        f"laws {', '.join(law.name for law in found.laws) or 'none'}. Right: share of replicas "
        f"still waiting against time in means of their {_cell(found)}, with a memoryless law.",
        draw=draw,
        size=(8.4, 3.8),
    )


def _chosen(found: Fit) -> str:
    return "no law is preferred" if found.choice == "undecided" else f"{found.choice} is preferred"


def _print(found: Fit, directory: Path | None, *, replaced: bool) -> None:
    console = Printer()
    counts = [f"{count:,} {status}" for status, count in found.status_counts.items() if count]
    lines = [
        f"choice      {found.choice}: {found.reason}",
        f"replicas    {sum(found.status_counts.values()):,}: {', '.join(counts)}",
        f"memoryless  {_tested(found)}",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    if found.laws:
        console.print()
        _print_whole(console, _laws(found))
        for law in found.laws:
            console.print(f"{law.name}: {law.formula}", markup=False, style="dim", soft_wrap=True)
    console.print()
    _print_whole(console, _settings(found))
    for note in _notes(found, directory, replaced=replaced):
        console.print(note, markup=False, style="dim", soft_wrap=True)


def _print_whole(console: Printer, table: Table) -> None:
    """No column is shortened: on a narrow terminal its lines wrap, numbers stay readable."""
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    console.width = max(console.width, needed)
    console.print(table, crop=False)


def _tested(found: Fit) -> str:
    test = found.memoryless
    if test.p_value is None:
        return f"not tested: {_counted(test.events, 'escape')} before their cut-offs"
    where = _counted(test.cells, "setting")
    if found.datasets > 1:
        where = _counted(test.cells, "pair") + " of setting and data set"
    return (
        f"{_probability(found)} (Anderson-Darling {test.statistic:.4g}, "
        f"{_counted(test.events, 'escape')} in {where}, each with its own rate)"
    )


def _probability(found: Fit) -> str:
    """Of the test of memorylessness, a bound where no simulation was as far off."""
    test = found.memoryless
    if test.p_value is None:
        return ""
    sign = "<=" if test.p_value <= test.least else "="
    return f"p {sign} {test.p_value:.3g}"


def _cell(found: Fit) -> str:
    """What has a rate of its own in the test of memorylessness and its figure."""
    return "setting and data set" if found.datasets > 1 else "setting"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _laws(found: Fit) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("law", "parameter", "estimate", f"{100 * found.confidence:.4g} % limits"):
        left = title in ("law", "parameter")
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    table.add_column("ln L", justify="right")
    table.add_column("+AICc", justify="right")
    known = [law.aicc for law in found.laws if law.aicc is not None]
    for law in found.laws:
        apart = "" if law.aicc is None else f"{law.aicc - min(known):.2f}"
        fields = [law.name, f"{law.log_likelihood:.2f}", apart]
        for name, value in law.parameters.items():
            limits = f"[{_number(value.low, '-')}, {_number(value.high, '')}]"
            table.add_row(
                fields[0], name.replace("[", "\\["), _number(value.estimate, "none"),
                limits.replace("[", "\\["), *fields[1:],
            )  # fmt: skip
            fields = ["", "", ""]
    return table


def _number(value: float | None, missing: str) -> str:
    if value is None:
        return "none" if missing == "none" else f"{missing}unlimited"
    return f"{value:.4g}"


SHOWN = 24
"""Settings listed on a screen; the JSON document has all."""


def _settings(found: Fit) -> Table:
    table = Table(box=None, pad_edge=False)
    rows = found.by_setting
    names = [name for name in rows[0].covariates] if rows else []
    for title in (*names, "replicas", "escaped", "rate", "interval"):
        table.add_column(title.replace("_", " "), justify="right")
    for row in rows[:SHOWN]:
        if row.rate is None or row.low is None or row.high is None:
            rate, interval = "none", "never at risk"
        elif row.events:
            rate, interval = f"{row.rate:.4g}", f"\\[{row.low:.4g}, {row.high:.4g}]"
        else:
            rate, interval = f"< {row.high:.4g}", "one-sided bound"
        table.add_row(
            *(f"{row.covariates[name]:.6g}" for name in names),
            f"{row.replicas:,}", f"{row.events:,}", rate, interval,
        )  # fmt: skip
    return table


def _notes(found: Fit, directory: Path | None, *, replaced: bool) -> Iterator[str]:
    if len(found.by_setting) > SHOWN:
        yield f"{len(found.by_setting) - SHOWN:,} more settings are in the JSON document (--json)."
    yield from found.notes
    if found.laws:
        yield (
            "ln L: logarithm of the likelihood; +AICc: above the least. Times are learning_rate * "
            f"steps. Limits: {found.intervals}."
        )
    if directory is not None:
        which = "Replaced, an earlier fit was there" if replaced else "Written"
        yield f"{which}: {', '.join(str(directory / name) for name in NAMES)}."
