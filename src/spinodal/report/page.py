"""Sections become one offline HTML page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spinodal.report.section import Figure, Heading, Paragraph, Row, Section, Table, shown

VERDICTS = (
    "reproduces",
    "wrong",
    "inconsistent",
    "cannot be derived",
    "not reproduced as described",
    "not checked",
)
"""Every verdict of the audit, the good news first."""


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One claim of the paper as the page shows it; the fields of `audit.json`."""

    id: str
    where: str
    claim: str
    stated: object
    recomputed: object
    verdict: str
    reason: str
    evidence: object


@dataclass(frozen=True, kw_only=True)
class RequestRow:
    """What someone asked for, and the section and command that answer it (None: not yet)."""

    source: str
    where: str
    request: str
    section: str | None
    command: str | None
    answer: str = ""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section on the page, with what belongs to this computation of it."""

    section: Section
    command: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the page says. `drawings` holds the SVG element of every figure by name."""

    parts: Sequence[Part]
    audit: Sequence[AuditRow]
    requests: Sequence[RequestRow]
    drawings: Mapping[str, str]
    command: str
    audit_command: str
    facts: Mapping[str, str]
    notes: Sequence[str] = ()

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims got each verdict, in the order of VERDICTS, none left out."""
        return verdict_counts(self.audit)

    @property
    def in_order(self) -> list[Part]:
        """The parts as the page shows them: the audit before the figures."""
        return sorted(self.parts, key=lambda part: part.section.id != "audit")


def verdict_counts(rows: Sequence[AuditRow]) -> dict[str, int]:
    """How many rows carry each verdict; a verdict nobody got counts zero."""
    counted = Counter(row.verdict for row in rows)
    return {verdict: counted.pop(verdict, 0) for verdict in VERDICTS} | dict(counted)


_VERBS = {
    "reproduces": "reproduce",
    "cannot be derived": "cannot be derived",
}


def balance(rows: Sequence[AuditRow]) -> str:
    """The counts of the audit as one sentence."""
    counts = [(verdict, count) for verdict, count in verdict_counts(rows).items() if count]
    told = [f"**{count}** {_VERBS.get(verdict, 'are ' + verdict)}" for verdict, count in counts]
    listed = told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]
    return f"Of the **{len(rows)}** statements audited here {listed}."


def html(page: Page) -> str:
    """The page as one HTML document that asks the network for nothing."""
    environment = Environment(
        loader=PackageLoader("spinodal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        prose=prose, heading=heading, shown=shown, words=words, slug=slug, kind=_kind,
        figures=_digits,
    )  # fmt: skip
    grouped: dict[str, list[RequestRow]] = {}
    for request in page.requests:
        grouped.setdefault(request.source, []).append(request)
    answered = sum(request.section is not None for request in page.requests)
    present = {part.section.id for part in page.parts}
    return environment.get_template("page.html").render(
        page=page,
        present=present,
        here=sum(request.section in present for request in page.requests),
        drawings={name: Markup(drawing) for name, drawing in page.drawings.items()},
        answered=answered,
        grouped=grouped,
        balance=balance(page.audit) if page.audit else "",
    )


_MARKS = (
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*\s][^*]*)\*"), r"<em>\1</em>"),
    (re.compile(r"\^\{([^}]+)\}"), r"<sup>\1</sup>"),
    (re.compile(r"_\{([^}]+)\}"), r"<sub>\1</sub>"),
)


def heading(column: str) -> Markup:
    """The head of a column as HTML: a name of a table like T_sp gets its subscript."""
    return prose(re.sub(r"\b([A-Za-z])_([A-Za-z]{1,3})\b", r"\1_{\2}", column))


def prose(text: str) -> Markup:
    """Plain text as HTML: escaped, then `code`, *emphasis*, **strong**, x_{sub}, x^{sup}."""
    pieces = re.split(r"`([^`]+)`", str(escape(text)))
    for index, piece in enumerate(pieces):
        if index % 2:
            pieces[index] = f"<code>{piece}</code>"
            continue
        for pattern, replacement in _MARKS:
            piece = pattern.sub(replacement, piece)
        pieces[index] = piece
    return Markup("".join(pieces))


def words(value: object) -> str:
    """Any plain value as text for reading: mappings as "name: value", sequences by commas.

    Names are as they were given, with blanks for underscores; what holds nothing is left out.
    """
    if isinstance(value, Mapping):
        told = [(str(name).replace("_", " "), words(item)) for name, item in value.items()]
        return "; ".join(f"{name}: {text}" for name, text in told if text)
    if isinstance(value, list | tuple):
        return ", ".join(words(item) for item in value)
    return shown(value, 6)  # type: ignore[arg-type]


def slug(text: str) -> str:
    """A text as an HTML id or class."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _kind(block: object) -> str:
    kinds = {Paragraph: "text", Heading: "heading", Table: "table", Figure: "figure", Row: "row"}
    return kinds[type(block)]


def _digits(table: Table, column: int) -> int:
    return table.digits if isinstance(table.digits, int) else table.digits[column]
