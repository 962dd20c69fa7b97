"""The audit: every quantitative claim of the paper beside what follows from its settings."""

from __future__ import annotations

from typing import Any

from spinodal.report.page import balance
from spinodal.report.section import Section


def section(record: Any) -> Section:
    """The audit as a section; the page prints its rows below the answer."""
    return Section(
        id="audit",
        title=f"Audit of {len(record.rows)} claims",
        question="Which of the paper's quantitative statements follow from its own settings?",
        answer=balance(record.rows),
        blocks=(),
    )
