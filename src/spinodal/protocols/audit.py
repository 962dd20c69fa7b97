"""Every quantitative claim of the paper: what is stated, what follows, and the verdict.

The rows live in `audit_rows`, a file per subject. Most are worked out from theory in moments; those
about long runs read the records of the figures. A verdict is computed from the stated and the
recomputed value: under altered settings both the value and the verdict follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from spinodal.errors import InputError
from spinodal.protocols.audit_rows import (
    barriers,
    fits,
    formulas,
    landscape,
    noise,
    predictions,
    prefactor,
    scope,
    shuffling,
    sparse,
    transitions,
    trapping,
)
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.row import VERDICTS, AuditRow, Verdict
from spinodal.protocols.audit_rows.settings import AuditSettings
from spinodal.protocols.audit_rows.stated import CLAIMS

__all__ = [
    "NEEDS",
    "VERDICTS",
    "AuditRow",
    "AuditSettings",
    "Record",
    "Verdict",
    "preset",
    "run",
    "work_out",
]

NEEDS: tuple[str, ...] = ("fig1a", "fig1b", "fig2b", "fig3", "noise-arms")
"""Sections whose records the audit reads."""

ROWS: dict[str, Row] = {
    name: row
    for subject in (
        formulas,
        landscape,
        barriers,
        noise,
        shuffling,
        trapping,
        sparse,
        fits,
        prefactor,
        transitions,
        predictions,
        scope,
    )
    for name, row in subject.ROWS.items()
}
"""How each row is worked out, by its id."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The audit: one row per claim, in the order of the paper's statements."""

    rows: tuple[AuditRow, ...]

    def __getitem__(self, name: str) -> AuditRow:
        """The row of this id."""
        return next(row for row in self.rows if row.id == name)


def preset(effort: str) -> AuditSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        return AuditSettings(
            data_sets=400, starts=1000, gradient_samples=16384, shuffling_replicas=512
        )
    return AuditSettings()


def run(
    settings: AuditSettings,
    *,
    seed: int,
    workers: int = 1,
    records: Mapping[str, Any] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Record:
    """Work out every row; without the figures' records those on long runs are not checked."""
    tell = progress or (lambda fraction, text: None)
    rows = []
    for number, claim in enumerate(CLAIMS):
        tell(number / len(CLAIMS), claim.where)
        bench = Bench(
            claim=claim, settings=settings, seed=seed, workers=workers, records=records or {}
        )
        rows.append(work_out(bench))
    return Record(rows=tuple(rows))


def work_out(bench: Bench) -> AuditRow:
    """One row; settings under which its computation makes no sense become its finding."""
    try:
        finding = ROWS[bench.claim.id](bench)
    except (InputError, ValidationError) as error:
        finding = bench.finding(None, "cannot be derived", _sentence(error))
    return AuditRow.of(bench.claim, finding)


def _sentence(error: ValueError) -> str:
    """What is wrong with the settings, in one line that ends with a full stop."""
    text = str(error)
    if isinstance(error, ValidationError):
        text = error.errors()[0]["msg"].removeprefix("Value error, ")
    return " ".join(text.split()).rstrip(".") + "."
