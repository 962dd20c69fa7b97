"""Which sections there are, what computes each, and what its record depends on."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import spinodal
from spinodal.errors import InputError
from spinodal.report.section import Section


@dataclass(frozen=True)
class Entry:
    """The names of the module that computes a section and of the module that tells it.

    The first offers `preset(effort) -> Settings`, `Record` and `run(settings, *, seed,
    workers, progress) -> Record`; with `NEEDS`, a tuple of sections, `run` also takes their
    `records`. The second offers `section(record) -> Section`.
    """

    protocol: str
    section: str

    @property
    def computes(self) -> Any:
        """The protocol module, imported when asked for."""
        return importlib.import_module(self.protocol)

    @property
    def needs(self) -> tuple[str, ...]:
        """The sections whose records the protocol reads."""
        return tuple(getattr(self.computes, "NEEDS", ()))

    def tells(self, record: Any) -> Section:
        """The section that a record becomes."""
        return importlib.import_module(self.section).section(record)


SECTIONS: dict[str, Entry] = {
    name: Entry(
        f"spinodal.protocols.{protocol}",
        f"spinodal.report.sections.{name.replace('-', '_')}",
    )
    for name, protocol in {
        "fig1a": "trapping",
        "fig1b": "sparse_grokking",
        "fig2a": "landscape_section",
        "fig2b": "arrhenius",
        "fig3": "phase_diagram",
        "fig4": "bifurcation",
        "noise-arms": "noise_arms",
        "route-agreement": "route_agreement",
        "balance": "balance",
        "downward-jumps": "downward_jumps",
        "other-problems": "other_problems",
        "audit": "audit",
    }.items()
}
"""Every section: the paper's figures in its order, then the tests it lacks, then the audit.

What a section needs stands before it.
"""

REQUESTS = "spinodal.protocols.requests"
"""The module whose REQUESTS the page lists."""

SHOWING = ("report", "plots", "explorer", "storage", "cli")
"""Code that decides how results look and where they lie, but not what they are."""


def requests() -> Sequence[Any]:
    """Every request of the paper and its readers, as the protocols list them."""
    return importlib.import_module(REQUESTS).REQUESTS


def chosen(only: Sequence[str] | None) -> list[str]:
    """The sections in `only` and those they need, in order; all of them for None."""
    if only is None:
        return list(SECTIONS)
    unknown = [name for name in only if name not in SECTIONS]
    if unknown:
        raise InputError(
            f"There is no section {unknown[0]!r} to reproduce{_similar(unknown[0])}; "
            f"the sections are {', '.join(SECTIONS)}."
        )
    if not only:
        raise InputError(f"Name at least one section to reproduce: {', '.join(SECTIONS)}.")
    wanted = set(only)
    for name in reversed(SECTIONS):
        if name in wanted:
            wanted.update(SECTIONS[name].needs)
    return [name for name in SECTIONS if name in wanted]


def _similar(name: str) -> str:
    close = get_close_matches(name.lower(), SECTIONS, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


@cache
def fingerprint() -> str:
    """A digest of the code that computes records: other code may compute other numbers."""
    root = Path(spinodal.__file__).parent
    code = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix in {".py", ".so", ".pyd"}
        and path.relative_to(root).parts[0].removesuffix(".py") not in SHOWING
    ]
    return digest([str(path.relative_to(root)).encode() + path.read_bytes() for path in code])


def digest(parts: Sequence[bytes]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of several byte strings, in order."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()[:16]
