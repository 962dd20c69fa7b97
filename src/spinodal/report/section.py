"""What a section of the report is made of: text, tables and figures, as frozen data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Plain = float | int | str | bool | None
"""A table cell; None means "does not exist" and is shown as an en dash."""

Cell = Plain | Sequence["Plain"]
"""What a row may hold; a sequence is shown joined by commas."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Paragraph:
    """Plain text. `code`, *emphasis*, **strong**, x_{sub} and x^{sup} are understood."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of plain values, shown to `digits` significant digits, stored in full.

    `name` names the file `data/<name>.csv` (written unless `csv` is False); start it with the
    section's id. `shown` limits the rows on the page: 0 stores a data file without showing it.
    `digits` is one number for the table or one per column.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    csv: bool = True
    digits: int | Sequence[int] = 4
    shown: int | None = None

    def __post_init__(self) -> None:
        """Refuse names that are no file names and rows of the wrong length."""
        _check_name(self.name)
        wrong = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if wrong is not None:
            raise ValueError(
                f"Table {self.name} has {len(self.columns)} columns but a row of {len(wrong)}."
            )
        if not isinstance(self.digits, int) and len(self.digits) != len(self.columns):
            raise ValueError(f"Table {self.name} needs one number of digits per column.")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing: `draw` receives an empty matplotlib figure and fills it with `plots` functions.

    `name` names the files `figures/<name>.svg` and `.png`; `alt` says in words what is seen,
    for those who cannot see it. `size` is in inches, width first.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[Canvas], object] = field(compare=False)
    size: tuple[float, float] = (5.8, 3.7)

    def __post_init__(self) -> None:
        """Refuse names that are no file names and figures without words."""
        _check_name(self.name)
        if not self.alt.strip():
            raise ValueError(f"Figure {self.name} needs an `alt`: say in words what is seen.")


@dataclass(frozen=True)
class Row:
    """Blocks side by side where the screen is wide enough: a figure and its control, say."""

    blocks: Sequence[Paragraph | Heading | Table | Figure]


Block = Paragraph | Heading | Table | Figure | Row


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A number or statement of the paper beside what was found; `verdict` as in the audit."""

    what: str
    stated: Cell
    found: Cell
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One question, its answer, and the evidence.

    A section file fills the first five fields and `stated`; the driver adds the settings, the
    seed and the seconds it knows (`dataclasses.replace`), unless the section gave them.
    """

    id: str
    title: str
    question: str
    answer: str
    blocks: Sequence[Block]
    settings: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None
    seconds: float | None = None
    stated: Sequence[Stated] = ()

    def __post_init__(self) -> None:
        """Refuse ids that are no file names and names used twice."""
        _check_name(self.id)
        names = [block.name for block in self.leaves() if isinstance(block, Table | Figure)]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"Section {self.id} uses a name twice: {sorted(twice)}.")

    def leaves(self) -> Iterator[Paragraph | Heading | Table | Figure]:
        """Every block in reading order, rows opened."""
        for block in self.blocks:
            if isinstance(block, Row):
                yield from block.blocks
            else:
                yield block

    def tables(self) -> list[Table]:
        """The tables in reading order."""
        return [block for block in self.leaves() if isinstance(block, Table)]

    def figures(self) -> list[Figure]:
        """The figures in reading order."""
        return [block for block in self.leaves() if isinstance(block, Figure)]


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(value: Cell, digits: int = 4) -> str:
    """A value as the page prints it: up to `digits` significant digits, None as an en dash.

    A number that needs fewer digits is shown with fewer (0.32, not 0.3200). Below 1e-4 and
    from 1e6 on a power of ten is written; from 10,000 on thousands are separated.
    """
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return _minus(f"{value:,}" if abs(value) >= 10_000 else str(value))
    if isinstance(value, float):
        return _shown_float(value, digits)
    return ", ".join(shown(item, digits) for item in value)


def shown_interval(
    value: Cell, low: Cell, high: Cell, digits: int = 3, unknown: str = "\N{EN DASH}"
) -> str:
    """An estimate with its limits, `value [low, high]`; for None stands `unknown`."""
    of = [unknown if one is None else shown(one, digits) for one in (value, low, high)]
    return f"{of[0]} [{of[1]}, {of[2]}]"


def _shown_float(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return _minus(str(value))
    if value == 0:
        return "0"
    # Twelve digits tell 0.3 from what arithmetic makes of it, 0.30000000000000004.
    enough = len(f"{abs(value):.12g}".partition("e")[0].replace(".", "").strip("0"))
    digits = min(digits, max(enough, 1))
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if not -4 <= power < 6:
        return _minus(mantissa) + "\N{MULTIPLICATION SIGN}10" + str(power).translate(_SUPERSCRIPTS)
    text = f"{value:,.{max(digits - 1 - power, 0)}f}"
    return _minus(text if abs(value) >= 10_000 else text.replace(",", ""))


def plain(text: str) -> str:
    """A text of the report without its marks, for places that know no emphasis."""
    return re.sub(r"([_^])\{([^}]+)\}", r"\1\2", re.sub(r"`|\*\*|\*(?=\S)|(?<=\S)\*", "", text))


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a file; use lower-case letters, digits, '_' and '-'."
        )
