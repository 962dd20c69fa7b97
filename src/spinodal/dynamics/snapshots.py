"""Shards on disk: finished ones, and snapshots of those at work, in a run directory."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.outcome import Outcome
from spinodal.errors import DamagedFileError
from spinodal.storage import RunDirectory

_NAME = re.compile(r"(shard|state)-(\d{9,})-(\d{9,})\.npz")


def pack(arrays: Mapping[str, NDArray]) -> bytes:
    """Plain arrays as the bytes of an .npz file: equal arrays give equal bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
    return file.getvalue()


def unpack(data: bytes, name: str) -> dict[str, NDArray]:
    """The arrays of an .npz file that `pack` made; never runs code, never inflates."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
        raise DamagedFileError(
            f"{name} holds no plain arrays of ours; delete this file, and the same command again "
            "computes it anew and keeps the others."
        ) from None


class Store:
    """The shards of one ensemble in a run directory that is held for writing."""

    def __init__(self, run: RunDirectory) -> None:
        """Look at what an earlier process left; what was superseded is removed."""
        self.run = run
        for part in self._parts("state"):
            if part in self.finished:
                self.forget(part)
        # A kill between the removal of a snapshot and that of its entry leaves the entry.
        for name in run.missing():
            if name.startswith("state-"):
                run.remove_record(name)

    @property
    def finished(self) -> list[range]:
        """Replicas of the finished shards, in order."""
        return self._parts("shard")

    @property
    def begun(self) -> list[range]:
        """Replicas of the shards of which there is a snapshot, in order."""
        return self._parts("state")

    def known(self, replicas: int) -> list[range]:
        """Shards that are here, finished or begun, in order."""
        parts = sorted({*self.finished, *self.begun}, key=lambda part: part.start)
        edges = [0, *(edge for part in parts for edge in (part.start, part.stop)), replicas]
        if edges != sorted(edges):
            raise DamagedFileError(
                f"{self.run.path} holds shards that overlap or go beyond {replicas} replicas; "
                "choose another directory."
            )
        return parts

    def write(self, part: range, outcome: Outcome) -> None:
        """Store a finished shard, whose snapshot is not needed any more."""
        self.run.write_record(_name("shard", part), pack(outcome.as_arrays()))
        self.forget(part)

    def read(self, part: range) -> Outcome:
        """A finished shard."""
        name = _name("shard", part)
        arrays = unpack(self.run.read_record(name), str(self.run.path / "records" / name))
        try:
            outcome = Outcome.from_arrays(arrays)
            fits = outcome.replicas == len(part)
        except (KeyError, ValueError, IndexError, TypeError):
            fits = False
            outcome = None
        if outcome is None or not fits:
            raise DamagedFileError(
                f"{self.run.path / 'records' / name} is not the shard of replicas {part.start} to "
                f"{part.stop - 1}; delete this file, and the same command again computes it anew."
            )
        return outcome

    def write_state(self, part: range, state: Mapping[str, NDArray]) -> None:
        """Store a snapshot of a shard at work, in place of an earlier one."""
        self.run.write_record(_name("state", part), pack(state))

    def read_state(self, part: range) -> dict[str, NDArray]:
        """The snapshot of a shard."""
        name = _name("state", part)
        return unpack(self.run.read_record(name), str(self.run.path / "records" / name))

    def forget(self, part: range) -> None:
        """Remove a snapshot, if there is one."""
        self.run.remove_record(_name("state", part))

    def _parts(self, kind: str) -> list[range]:
        found = [_NAME.fullmatch(name) for name in self.run.names()]
        parts = [range(int(m[2]), int(m[3])) for m in found if m and m[1] == kind]
        return sorted(parts, key=lambda part: part.start)


def _name(kind: str, part: range) -> str:
    return f"{kind}-{part.start:09d}-{part.stop:09d}.npz"
