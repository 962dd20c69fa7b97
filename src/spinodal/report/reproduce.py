"""The paper's figures and its audit, computed section by section into one directory."""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import spinodal
from spinodal.report.bundle import write_sections
from spinodal.report.page import AuditRow, Page, Part, RequestRow, html, verdict_counts
from spinodal.report.progress import Silence
from spinodal.report.registry import SECTIONS, chosen, digest, requests
from spinodal.report.section import Section, plain
from spinodal.report.shelf import Effort, Shelf, Task
from spinodal.storage import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `reproduce` did: the sections on the page, in order, and the files written."""

    out: Path
    task: Task
    sections: Sequence[Section]
    reused: Sequence[str]
    audit: Mapping[str, int]
    files: Sequence[str]
    notes: Sequence[str]

    def summary(self) -> dict[str, Any]:
        """The outcome as plain data, for JSON."""
        return {
            "out": str(self.out),
            "report": str(self.out / "report.html"),
            "effort": self.task.effort,
            "seed": self.task.seed,
            "sections": [
                {
                    "id": section.id,
                    "title": plain(section.title),
                    "answer": plain(section.answer),
                    "seconds": section.seconds,
                    "reused": section.id in self.reused,
                }
                for section in self.sections
            ],
            "audit": dict(self.audit),
            "notes": list(self.notes),
            "files": list(self.files),
        }


def reproduce(
    *,
    only: Sequence[str] | None = None,
    effort: Effort = "quick",
    seed: int = 42,
    workers: int = 1,
    out: Path | str = "reproduction",
    progress: Silence | None = None,
) -> Outcome:
    """Compute the sections in `only` (all by default) into `out` and write the page.

    Finished sections are stored at once, so the same call again continues an interrupted
    one, and `only` adds to a directory of the same effort and seed. Records, data files and
    the audit depend on effort and seed alone, not on `workers`.
    """
    task = Task(effort=effort, seed=seed, threads=workers)
    names = chosen(only)
    tell = progress or Silence()
    directory = RunDirectory(
        out,
        kind="reproduce",
        digest=digest([effort.encode()]),
        seed=task.seed,
        about={"effort": effort},
    )
    with directory, tell:
        directory.verify()
        for name in _adding(names, only):
            needs = ", ".join(SECTIONS[name].needs)
            tell.note(f"{name} needs {needs}: computing those not found")
        shelf = Shelf(directory, task, tell)
        for number, name in enumerate(names, 1):
            shelf.provide(name, number, len(names))
        shelf.collect()
        return _write(shelf)


def _adding(names: Sequence[str], only: Sequence[str] | None) -> list[str]:
    """The sections asked for that need others which were not."""
    asked = names if only is None else only
    return [name for name in names if not set(SECTIONS[name].needs) <= set(asked)]


def command(names: Sequence[str] | None, task: Task, out: Path) -> str:
    """The command line that computes these sections (None: all of them) again."""
    only = "" if names is None else f" --only {','.join(names)}"
    place = shlex.quote(str(out))
    return f"spinodal reproduce{only} --effort {task.effort} --seed {task.seed} --out {place}"


def _write(shelf: Shelf) -> Outcome:
    """Write the audit, figures, tables and the page from the records."""
    directory, task = shelf.directory, shelf.task
    parts = [_part(name, shelf) for name in shelf]
    sections = [part.section for part in parts]
    rows = _audit_rows(shelf.records.get("audit"))
    files, drawings = write_sections(directory, sections)
    if rows:
        text = json.dumps([vars(row) for row in rows], indent=1, ensure_ascii=False)
        directory.write_output("audit.json", text.encode() + b"\n")
        files.append("audit.json")
    notes = [
        f"The {name} found here was computed by other code or from other records and is left out; "
        f"`{command([name], task, directory.path)}` renews it."
        for name in shelf.stale
    ]
    names = [section.id for section in sections]
    page = Page(
        parts=parts,
        audit=rows,
        requests=_requests(task, directory.path),
        drawings=drawings,
        command=command(None if names == list(SECTIONS) else names, task, directory.path),
        audit_command=command(["audit"], task, directory.path),
        facts=_facts(task, sections),
        notes=notes,
    )
    directory.write_output("report.html", html(page).encode())
    return Outcome(
        out=directory.path,
        task=task,
        sections=sections,
        reused=shelf.reused,
        audit=verdict_counts(rows) if rows else {},
        files=sorted([*files, "report.html"]),
        notes=notes,
    )


def _part(name: str, shelf: Shelf) -> Part:
    """A section with what the driver knows about its computation."""
    section = SECTIONS[name].tells(shelf.records[name])
    if section.id != name:
        raise AssertionError(f"The section of {name} calls itself {section.id}.")
    about, task = shelf.about(name), shelf.task
    settings = section.settings or SECTIONS[name].computes.preset(task.effort).model_dump(
        mode="json"
    )
    return Part(
        section=replace(
            section,
            settings=settings,
            seed=task.seed if section.seed is None else section.seed,
            seconds=about["seconds"] if section.seconds is None else section.seconds,
        ),
        command=command([name], task, shelf.directory.path),
        versions=about["versions"],
    )


def _audit_rows(record: Any) -> list[AuditRow]:
    return [] if record is None else [_copied(AuditRow, row) for row in record.rows]


def _requests(task: Task, out: Path) -> list[RequestRow]:
    """Every request; commands that add a section add it to this directory."""
    rows = [_copied(RequestRow, request) for request in requests()]
    return [
        replace(row, command=command([row.section], task, out))
        if row.section in SECTIONS and (row.command or "").startswith("spinodal reproduce")
        else row
        for row in rows
    ]


def _copied(kind: Any, source: Any) -> Any:
    return kind(**{name: getattr(source, name) for name in kind.__dataclass_fields__})


def _facts(task: Task, sections: Sequence[Section]) -> dict[str, str]:
    return {
        "effort": task.effort,
        "seed": str(task.seed),
        "computed in": f"{sum(section.seconds or 0 for section in sections):.0f} s",
        "written": time.strftime("%Y-%m-%d"),
        "spinodal": spinodal.__version__,
        "Python": platform.python_version(),
        "NumPy": version("numpy"),
        "SciPy": version("scipy"),
        "machine": f"{platform.system()} {platform.machine()}",
    }
