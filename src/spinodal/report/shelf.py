"""The records of one directory: read where they are, computed where they are not."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

import spinodal
from spinodal.records import Settings
from spinodal.report.progress import Silence
from spinodal.report.registry import SECTIONS, digest, fingerprint
from spinodal.storage import RunDirectory

Effort = Literal["quick", "paper"]

LIBRARIES = ("numpy", "scipy", "pydantic")
"""Whose versions are told beside every record."""


class Task(Settings):
    """What is asked of every section alike."""

    effort: Effort = "quick"
    seed: int = Field(42, ge=0, lt=2**63)
    threads: int = Field(1, ge=1, le=1024)


class Shelf:
    """The records of a run directory; `reused` and `stale` say what was found there."""

    def __init__(self, directory: RunDirectory, task: Task, tell: Silence) -> None:
        """A shelf on an open run directory, telling its progress to `tell`."""
        self.directory, self.task, self.tell = directory, task, tell
        self.records: dict[str, Any] = {}
        self.reused: list[str] = []
        self.stale: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """The sections whose records are here, in the order of the paper."""
        return (name for name in SECTIONS if name in self.records)

    def about(self, name: str) -> dict[str, Any]:
        """Seconds and versions of the computation of a record."""
        return self.directory.about(_file(name))

    def provide(self, name: str, number: int, total: int) -> None:
        """Have a section's record, computing it unless it is here and up to date."""
        self.tell.begin(name, number, total)
        if self._read(name):
            self.reused.append(name)
            self.tell.end(name, self.about(name)["seconds"], reused=True)
            return
        if _file(name) in self.directory.missing():
            self.tell.note(f"the record of {name} was removed; computing it again")
        elif _file(name) in self.directory.names():
            self.tell.note(f"{name} is from other code or other records; computing it again")
        began = time.perf_counter()
        record = self._run(name)
        seconds = round(time.perf_counter() - began, 3)
        self._store(name, record, seconds)
        self.tell.end(name, seconds, reused=False)

    def collect(self) -> None:
        """Read every further record that is up to date; the others are listed in `stale`."""
        for name in SECTIONS:
            present = _file(name) in self.directory.names()
            if present and name not in self.records and not self._read(name):
                self.stale.append(name)

    def _run(self, name: str) -> Any:
        entry = SECTIONS[name]
        more = {}
        if entry.needs:
            more["records"] = {need: self.records[need] for need in entry.needs}
        return entry.computes.run(
            entry.computes.preset(self.task.effort),
            seed=self.task.seed,
            workers=self.task.threads,
            progress=self.tell,
            **more,
        )

    def _store(self, name: str, record: Any, seconds: float) -> None:
        adapter = TypeAdapter(SECTIONS[name].computes.Record)
        data = adapter.dump_json(record) + b"\n"
        # Whoever reads the record later must find exactly what was computed.
        self.records[name] = adapter.validate_json(data)
        if self.records[name] != record:
            raise AssertionError(f"The record of {name} does not survive being stored as JSON.")
        about = {"seconds": seconds, "key": self._key(name), "versions": _versions()}
        self.directory.write_record(_file(name), data, about=about)

    def _read(self, name: str) -> bool:
        """Read a record; False where it is missing or not what today's code would compute."""
        ready = all(need in self.records for need in SECTIONS[name].needs)
        if not ready or self.about(name).get("key") != self._key(name):
            return False
        data = self.directory.read_record(_file(name))
        try:
            self.records[name] = TypeAdapter(SECTIONS[name].computes.Record).validate_json(data)
        except ValidationError:
            return False
        return True

    def _key(self, name: str) -> str:
        """What a record depends on beside the seed: settings, code, the records it needs."""
        entry = SECTIONS[name]
        settings = entry.computes.preset(self.task.effort)
        needed = [self.directory.read_record(_file(need)) for need in entry.needs]
        return digest([settings.digest.encode(), fingerprint().encode(), *needed])


def _file(name: str) -> str:
    return f"{name}.json"


def _versions() -> dict[str, str]:
    return {"spinodal": spinodal.__version__, "Python": platform.python_version()} | {
        name: version(name) for name in LIBRARIES
    }
