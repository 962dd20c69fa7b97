"""The audit: every quantitative claim of the paper beside what follows from its settings."""

from __future__ import annotations

from spinodal.protocols.audit import Record
from spinodal.report.page import AuditRow, balance
from spinodal.report.section import Heading, Paragraph, Section

MEANING = (
    "**reproduces**: the statement follows, or the number comes out. **wrong**: it comes out "
    "otherwise. **inconsistent**: it contradicts another statement or formula of the paper, or is "
    "right for a reason that is not. **cannot be derived**: what is given does not decide it. "
    "**not reproduced as described**: the experiment, done as described, does something else. "
    "**not checked**: needs what is not built or not run yet."
)

METHOD = (
    "Every recomputed value is the result of a call, named in the evidence; the verdict is drawn "
    "by code from the stated and the recomputed value, so that other settings change both. Printed "
    "numbers agree if they agree to their last digit; formulas are compared on random settings; "
    "counts come with exact bounds. A verdict speaks of the single statement: that "
    "the transitions are of first order, that phases coexist and that depth raises the barriers "
    "holds, whatever becomes of the numbers around it."
)


def section(record: Record) -> Section:
    """The audit as a section; the page prints its rows below the answer."""
    return Section(
        id="audit",
        title=f"Audit of {len(record.rows)} claims",
        question="Which of the paper's quantitative statements follow from its own settings?",
        answer=balance([AuditRow(**vars(row)) for row in record.rows]),
        blocks=(Heading("How to read a verdict"), Paragraph(MEANING), Paragraph(METHOD)),
    )
