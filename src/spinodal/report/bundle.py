"""The files beside the page: a CSV for every table, an SVG and a PNG for every figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from spinodal.report.figures import rendered
from spinodal.report.section import Cell, Section, Table
from spinodal.storage import RunDirectory


def write_sections(
    directory: RunDirectory, sections: Sequence[Section]
) -> tuple[list[str], dict[str, str]]:
    """Write all tables and figures; return the files' names and the drawings for the page."""
    _refuse_twice([table.name for section in sections for table in section.tables()])
    _refuse_twice([figure.name for section in sections for figure in section.figures()])
    files: list[str] = []
    drawings: dict[str, str] = {}

    def write(name: str, data: bytes) -> None:
        directory.write_output(name, data)
        files.append(name)

    for section in sections:
        for table in section.tables():
            if table.csv:
                write(f"data/{table.name}.csv", comma_separated(table))
        for figure in section.figures():
            drawing = rendered(figure)
            drawings[figure.name] = drawing.inline
            write(f"figures/{figure.name}.svg", drawing.svg)
            write(f"figures/{figure.name}.png", drawing.png)
    return files, drawings


def comma_separated(table: Table) -> bytes:
    """A table as CSV (RFC 4180, UTF-8): numbers in full, None as an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows([[_field(cell) for cell in row] for row in table.rows])
    return text.getvalue().encode()


def _field(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int | float):
        return repr(cell)
    return " ".join(_field(item) for item in cell)


def _refuse_twice(names: Sequence[str]) -> None:
    """One file would hide another: our mistake, not the user's."""
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise AssertionError(f"Several sections use the names {sorted(twice)}.")
