"""One row of the audit: a claim of the paper, what was found, and a verdict from a fixed list."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Verdict = Literal[
    "reproduces",
    "wrong",
    "inconsistent",
    "cannot be derived",
    "not reproduced as described",
    "not checked",
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

Plain = float | int | str | bool | None
Value = Plain | tuple[Plain, ...]
Entry = Value | dict[str, Value]
"""What a row may hold: a number, a few numbers, or a few named ones; None does not exist."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper says and where; `stated` holds its numbers, None if it gives none."""

    id: str
    where: str
    claim: str
    stated: Entry = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was computed for a claim, the verdict that follows, and the reason in one line."""

    recomputed: Any
    verdict: Verdict
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """A claim beside what was found. `evidence` names the calls, the counts and the intervals."""

    id: str
    where: str
    claim: str
    stated: Entry
    recomputed: Entry
    verdict: Verdict
    reason: str
    evidence: dict[str, Value]

    @staticmethod
    def of(claim: Claim, finding: Finding) -> AuditRow:
        """The row as plain values: no arrays, and None where a number is not finite."""
        return AuditRow(
            id=claim.id,
            where=claim.where,
            claim=claim.claim,
            stated=plain(claim.stated),
            recomputed=plain(finding.recomputed),
            verdict=finding.verdict,
            reason=finding.reason,
            evidence=plain(dict(finding.evidence)),
        )


def plain(value: Any) -> Any:
    """Arrays and sequences as tuples, NumPy scalars as Python's, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if value is None or isinstance(value, str | bool):
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(plain(item) for item in value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
