"""A run's directory: atomic checksummed files, a manifest, one writer at a time.

Whatever moment a process is killed at, the next one finds every finished record whole: a file
is written beside its place, flushed to disk and renamed, and the manifest announces its
checksum before the rename and confirms it after. Files we did not write are never touched.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import spinodal
from spinodal.errors import DamagedFileError, InputError
from spinodal.storage import lock
from spinodal.storage.files import TEMPORARY, explained, read_whole, sha256, write_atomically

FORMAT = "spinodal run directory"
VERSION = 1
MANIFEST = "manifest.json"
LOCK = ".lock"
_RECORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9]+)+")
_LARGEST_MANIFEST = 64 * 1024 * 1024


class RunDirectory:
    """The directory of one run, held for writing inside a `with` block.

    A run is its `kind`, the `digest` of its settings and its `seed`; `about` repeats the
    settings in words for people (and messages). A new or empty directory becomes ours; one
    of the same run is continued; anything else is refused before a byte is written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        kind: str,
        digest: str,
        seed: int,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the run; nothing is read or written before the `with` block."""
        self.path = Path(path)
        self._run = {"kind": kind, "digest": digest, "seed": seed, "about": dict(about or {})}
        self._manifest: dict[str, Any] = {}
        self._lock: int | None = None

    def __enter__(self) -> RunDirectory:
        """Claim the directory, or say in one sentence why it cannot be had."""
        self._check()
        created = _missing_parents(self.path)
        try:
            with explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = lock.acquire(self.path / LOCK)
            found = self._check()
            self._remove_temporaries()
            self._manifest = found or self._new_manifest()
            if found is None:
                self._save()
        except BaseException:
            self._undo(created)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let the next writer in."""
        if self._lock is not None:
            lock.release(self._lock)
            self._lock = None

    def names(self) -> list[str]:
        """The names of the records that are here, in the order they were first written."""
        return [name for name in self._manifest["files"] if self._present(name)]

    def missing(self) -> list[str]:
        """The names of the records that were stored, and whose files somebody has removed."""
        return [name for name in self._manifest["files"] if not self._present(name)]

    def about(self, name: str) -> dict[str, Any]:
        """What was stored beside record `name` (seconds, versions), empty where there is none."""
        entry = self._manifest["files"].get(name)
        return dict(entry.get("about", {})) if entry and self._present(name) else {}

    def read_record(self, name: str) -> bytes:
        """The bytes of a record, exactly as written, or DamagedFileError naming the file."""
        path, entry = self._record(name), self._manifest["files"].get(name)
        if entry is None or not self._present(name):
            raise InputError(f"{self.path} holds no record {name}; it has {self.names()}.")
        data = read_whole(path, entry["bytes"])
        if data is None or sha256(data) != entry["sha256"]:
            raise DamagedFileError(
                f"{path} is damaged (its SHA-256 is not the one in {MANIFEST}); delete this file, "
                "and the same command again computes it anew and keeps the others."
            )
        return data

    def verify(self) -> None:
        """Read every record once, so that damage is told before anything is computed."""
        for name in self.names():
            self.read_record(name)

    def write_record(
        self, name: str, data: bytes, *, about: Mapping[str, Any] | None = None
    ) -> None:
        """Store a record for good, replacing an earlier one of the same name."""
        path = self._record(name)
        known = name in self._manifest["files"] or name in self._manifest["pending"]
        if path.exists() and not known:
            raise InputError(
                f"{path} was not written by this run and will not be overwritten; "
                "move it away or choose another directory."
            )
        entry = {"sha256": sha256(data), "bytes": len(data), "about": dict(about or {})}
        # A kill between the two renames must leave a file that one of the two entries fits.
        self._manifest["pending"][name] = entry
        try:
            self._save()
            self._write(path, data)
        except BaseException:
            del self._manifest["pending"][name]
            self._settle(name, entry)
            raise
        self._settle(name, entry)
        self._save()

    def remove_record(self, name: str) -> None:
        """Remove a record that has served its purpose; one that is not there is no mistake."""
        if name not in self._manifest["files"]:
            return
        # The file goes first: a kill in between leaves an entry without a file, which is known
        # as missing, and never a file without an entry, which would look foreign.
        path = self._record(name)
        with explained(path):
            path.unlink(missing_ok=True)
        del self._manifest["files"][name]
        self._save()

    def write_output(self, relative: str, data: bytes | Iterable[bytes]) -> Path:
        """Write a file that can be made again from the records (a page, a figure, a long table)."""
        path = self.path / relative
        self._write(path, data)
        return path

    def _settle(self, name: str, entry: dict[str, Any]) -> None:
        """Let the file on disk decide which of its two entries is true."""
        data = read_whole(self._record(name), entry["bytes"])
        if data is not None and sha256(data) == entry["sha256"]:
            self._manifest["files"][name] = entry
            self._manifest["pending"].pop(name, None)

    def _present(self, name: str) -> bool:
        return os.path.lexists(self._record(name))

    def _record(self, name: str) -> Path:
        if not _RECORD.fullmatch(name):
            raise InputError(f"A record needs a plain file name such as fig2a.json, got {name!r}.")
        return self.path / "records" / name

    def _write(self, path: Path, data: bytes | Iterable[bytes]) -> None:
        with explained(path, needed=len(data) if isinstance(data, bytes) else 0):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)

    def _save(self) -> None:
        body = {key: value for key, value in self._manifest.items() if key != "checksum"}
        self._manifest = body | {"checksum": sha256(_canonical(body))}
        text = json.dumps(self._manifest, indent=1) + "\n"
        self._write(self.path / MANIFEST, text.encode())

    def _new_manifest(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            **self._run,
            "package": spinodal.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": {},
            "pending": {},
        }

    def _check(self) -> dict[str, Any] | None:
        """The manifest of this run, None for a new or empty directory; others are refused."""
        with explained(self.path, doing="read"):
            if not self.path.exists():
                return None
            if not self.path.is_dir():
                raise InputError(f"{self.path} is a file; the output needs a directory.")
            names = [entry.name for entry in os.scandir(self.path)]
        if MANIFEST not in names:
            foreign = [name for name in names if name != LOCK and not name.endswith(TEMPORARY)]
            if foreign:
                raise InputError(
                    f"{self.path} already holds other files ({foreign[0]!r}, say) and no "
                    f"{MANIFEST} of ours; nothing was written: choose a new or empty directory."
                )
            return None
        manifest = read_manifest(self.path / MANIFEST)
        self._refuse_other_run(manifest)
        for name, entry in list(manifest["pending"].items()):
            data = read_whole(self._record(name), entry["bytes"])
            if data is not None and sha256(data) == entry["sha256"]:
                manifest["files"][name] = entry
                del manifest["pending"][name]
        return manifest

    def _refuse_other_run(self, manifest: dict[str, Any]) -> None:
        wanted = self._run | {"package": spinodal.__version__}
        for key in ("kind", "seed", "package", "about", "digest"):
            if manifest.get(key) != wanted[key]:
                has, asked = _in_words(key, manifest.get(key)), _in_words(key, wanted[key])
                raise InputError(
                    f"{self.path} holds another run (it has {has}, you asked for {asked}); "
                    "nothing was written: choose another directory or repeat its settings."
                )

    def _remove_temporaries(self) -> None:
        """Remove what a killed writer left half written; the names are ours alone."""
        with suppress(OSError):
            for path in self.path.rglob(f".*{TEMPORARY}"):
                path.unlink()

    def _undo(self, created: list[Path]) -> None:
        """After a failed start, leave no trace: neither our lock file nor our new directories."""
        if self._lock is not None and not (self.path / MANIFEST).exists():
            with suppress(OSError):
                (self.path / LOCK).unlink()
        self.__exit__()
        for path in created:
            with suppress(OSError):  # not ours alone any more
                path.rmdir()


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest whose format, version and checksum are right, or DamagedFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_MANIFEST + 1)
        manifest = json.loads(data) if len(data) <= _LARGEST_MANIFEST else None
    except (ValueError, RecursionError):
        raise DamagedFileError(
            f"{path} is damaged or foreign (it is not valid JSON); nothing was changed: restore "
            "it, or choose another directory."
        ) from None
    except OSError as problem:
        raise InputError(
            f"{path} cannot be read ({(problem.strerror or str(problem)).lower()}); put the "
            "manifest back or mend its permissions, or choose another directory."
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedFileError(
            f"{path} is no manifest of ours (its format is not {FORMAT!r}); "
            "nothing was written: choose another directory."
        )
    version = manifest.get("version")
    if isinstance(version, int) and version > VERSION:
        raise DamagedFileError(
            f"{path} has format version {version}, newer than {VERSION}, the newest that "
            f"spinodal {spinodal.__version__} reads; install the version that wrote it "
            f"({manifest.get('package')})."
        )
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    if version != VERSION or manifest.get("checksum") != sha256(_canonical(body)):
        raise DamagedFileError(
            f"{path} is damaged (its checksum does not fit its contents); nothing was changed: "
            "restore it, or choose another directory."
        )
    return manifest


def _missing_parents(path: Path) -> list[Path]:
    """The directories that `mkdir -p path` would make, deepest first."""
    missing = []
    with suppress(OSError):
        while not path.exists():
            missing.append(path)
            path = path.parent
    return missing


def _in_words(key: str, value: Any) -> str:
    if key == "about" and isinstance(value, dict):
        return " ".join(f"{name} {item}" for name, item in value.items()) or "no settings"
    name = {"digest": "settings digest", "package": "spinodal version"}.get(key, key)
    return f"{name} {value}"


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
