"""Plain array files: a task of the user's own arrays, and checkpoints in and out."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from spinodal.dynamics.data import Data, from_arrays
from spinodal.dynamics.networks import Layers
from spinodal.errors import DamagedFileError, InputError
from spinodal.records import Settings
from spinodal.storage.files import explained, write_atomically

LARGEST_FILE = 2**30
"""Bytes of an array file once unpacked; more is refused before it is unpacked."""


class ArraysTask(Settings):
    """The arrays of a NumPy file `path` (.npz): x, y and, held out, x_test and y_test.

    x is (samples, inputs). y is (samples, outputs), or a vector: of whole numbers (an integer
    type), which are class numbers and become one-hot rows, or of real numbers, which are one
    output. Without held-out arrays test error is train error. `sha256` is that of the file: it is
    filled in, belongs to the digest, and refuses a file that has changed since.
    """

    kind: Literal["arrays"] = "arrays"
    path: str
    sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _hash(cls, values: object) -> object:
        return with_hash(values)

    @property
    def data(self) -> Data:
        """The arrays as a data set."""
        return _load_task(self.path, self.sha256)

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        outputs, inputs = self.data.train.yx.shape
        return outputs, inputs

    @property
    def samples(self) -> int:
        """Number of training samples."""
        return len(self.data.x) if self.data.x is not None else 0


def with_hash(values: object) -> object:
    """Settings that name a file by `path`, with its `sha256` filled in or compared."""
    if not isinstance(values, dict) or not isinstance(values.get("path"), str | Path):
        return values
    if not str(values["path"]):
        return values
    found = hashlib.sha256(_read(Path(values["path"]))).hexdigest()
    stated = values.get("sha256", "")
    if stated not in ("", found):
        raise InputError(
            f"{values['path']} has changed since these settings were written: its SHA-256 is "
            f"{found[:12]}..., not {str(stated)[:12]}...: restore the file, or leave out "
            "sha256 to use the new one."
        )
    return {**values, "path": str(values["path"]), "sha256": found}


def draw_arrays(task: ArraysTask, *, dataset: int) -> Data:
    """The arrays of the file, which holds one data set, number 0."""
    if dataset != 0:
        raise InputError(
            f"A file of arrays is one data set, number 0, but number {dataset} was asked for: "
            "set datasets = 1, or run one ensemble per file."
        )
    return task.data


@lru_cache(maxsize=8)
def _load_task(path: str, sha256: str) -> Data:
    raw = _read(Path(path))
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise InputError(f"{path} has changed while it was in use: restore it or start again.")
    arrays = _unpack(path, raw)
    unknown = sorted(set(arrays) - {"x", "y", "x_test", "y_test"})
    if "x" not in arrays or "y" not in arrays or unknown:
        raise InputError(
            f"{path} must hold arrays x and y, and may hold x_test and y_test; it holds "
            f"{', '.join(sorted(arrays)) or 'nothing'}."
        )
    y, y_test = arrays["y"], arrays.get("y_test")
    for name, table in arrays.items():
        if table.size == 0:
            raise InputError(
                f"{path}: {name} is empty, its shape is {table.shape}: give at least one sample "
                "and one column."
            )
    if y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
        classes = 1 + int(max(y.max(), -1 if y_test is None else y_test.max()))
        y = _one_hot(path, y, classes)
        y_test = None if y_test is None else _one_hot(path, y_test, classes)
    y_test = None if y_test is None else _columns(y_test)
    return from_arrays(arrays["x"], _columns(y), arrays.get("x_test"), y_test)


def _columns(y: NDArray) -> NDArray:
    return y[:, None] if y.ndim == 1 else y


def _one_hot(path: str, labels: NDArray, classes: int) -> NDArray[np.float64]:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1 or labels.min() < 0:
        raise InputError(f"{path}: class numbers must be a vector of integers of at least 0.")
    if classes > 10_000:
        raise InputError(f"{path}: a class number of {classes - 1} is beyond 9999: renumber them.")
    return np.eye(classes)[labels]


def save_checkpoint(path: Path | str, layers: Layers, *, biases: bool = False) -> None:
    """Write layers (rows, columns, replicas) as arrays layer_1 ... and, with biases, bias_1 ...

    layer_l has shape (rows, columns, replicas) and bias_l (rows, replicas), without the constant
    units that carry biases inside the simulator.
    """
    arrays: dict[str, NDArray] = {}
    for number, layer in enumerate(layers, start=1):
        if layer.ndim not in (2, 3):
            raise InputError(
                "Layers have shape (rows, columns) or (rows, columns, replicas), got "
                f"{layer.shape}; network.split_weights makes them from an Outcome's weights."
            )
        if biases:
            rows = len(layer) - (number < len(layers))
            arrays[f"bias_{number}"] = layer[:rows, -1]
            layer = layer[:rows, :-1]
        arrays[f"layer_{number}"] = layer
    # Beside the numbers every array has the headers of .npy and .zip.
    size = sum(array.nbytes + 512 for array in arrays.values())
    if size > LARGEST_FILE:
        raise InputError(
            f"The checkpoint {path} would have {size:,} bytes, but files of at most "
            f"{LARGEST_FILE:,} are read again: save fewer replicas at a time."
        )
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    with explained(Path(path)):
        write_atomically(Path(path), packed.getvalue())


def load_checkpoint(
    path: Path | str,
    shapes: list[tuple[int, int]],
    *,
    biases: bool = False,
    replicas: Sequence[int] = (0,),
    dtype: str = "float64",
    sha256: str = "",
) -> Layers:
    """Layers (rows, columns, replicas) of a network with these `shapes`, constant units included.

    The file holds layer_l as (rows, columns), for all replicas alike, or (rows, columns, count),
    of which replica i takes number i modulo count; bias_l as (rows,) or (rows, count). Biases
    that are missing are zero. A file that has not the stated `sha256` is refused.
    """
    with_hash({"path": str(path), "sha256": sha256})
    arrays = _unpack(str(path), _read(Path(path)))
    names = {f"layer_{n}" for n in range(1, len(shapes) + 1)}
    allowed = names | ({f"bias_{n}" for n in range(1, len(shapes) + 1)} if biases else set())
    if not names <= set(arrays) <= allowed:
        raise InputError(
            f"The checkpoint {path} holds {', '.join(sorted(arrays)) or 'nothing'}, but a network "
            f"of depth {len(shapes)} {'with' if biases else 'without'} biases has "
            f"{', '.join(sorted(allowed))}: choose the network that the checkpoint belongs to."
        )
    layers: Layers = []
    for number, (rows, columns) in enumerate(shapes, start=1):
        layer = _lanes(path, f"layer_{number}", arrays, (rows, columns), replicas)
        if biases:
            bias = np.zeros((rows, len(replicas)))
            if f"bias_{number}" in arrays:
                bias = _lanes(path, f"bias_{number}", arrays, (rows,), replicas)
            layer = np.concatenate([layer, bias[:, None]], axis=1)
            if number < len(shapes):
                constant = np.zeros((1, columns + 1, len(replicas)))
                constant[:, -1] = 1.0
                layer = np.concatenate([layer, constant])
        with np.errstate(over="ignore"):  # who uses the layers says what is too large
            layers.append(np.ascontiguousarray(layer, dtype=dtype))
    return layers


def _lanes(
    path: Path | str,
    name: str,
    arrays: dict[str, NDArray],
    shape: tuple[int, ...],
    replicas: Sequence[int],
) -> NDArray[np.float64]:
    """One array of a checkpoint for every replica, replicas last."""
    found = arrays[name]
    if found.shape[: len(shape)] != shape or found.ndim > len(shape) + 1 or 0 in found.shape:
        raise InputError(
            f"{name} of the checkpoint {path} has shape {found.shape}, the network needs {shape}, "
            "or that with one more axis for replicas."
        )
    if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
        raise InputError(f"{name} of the checkpoint {path} must hold finite real numbers.")
    table = found.reshape(*shape, -1).astype(np.float64)
    return table[..., np.array(replicas) % table.shape[-1]]


def _read(path: Path) -> bytes:
    """The bytes of a regular file: a pipe would block, and a device never ends."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as why:
        reason = (why.strerror or str(why)).lower()
        raise InputError(
            f"{path} cannot be read: {reason}; check the path and the permission to read it."
        ) from None
    except ValueError as why:  # a null character, or one that no file name can have
        raise InputError(f"{str(path)!r} is not the name of a file ({why}).") from None
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise InputError(
            f"{path} cannot be read: it is a directory, a pipe or a device; name a file of arrays "
            "(.npz)."
        )
    with os.fdopen(handle, "rb") as file, explained(path, doing="read"):
        if about.st_size > LARGEST_FILE:
            raise InputError(
                f"{path} has {about.st_size:,} bytes; at most {LARGEST_FILE:,} are read."
            )
        return file.read(about.st_size + 1)  # one more tells a file that grows


def _unpack(path: str, raw: bytes) -> dict[str, NDArray]:
    """The arrays of a .npz file; nothing in it can run code or fill the memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST_FILE:
            raise DamagedFileError(
                f"{path} unpacks to {size:,} bytes, more than the {LARGEST_FILE:,} allowed."
            )
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except DamagedFileError:
        raise
    except Exception as why:  # whatever a hostile file makes the readers stumble over
        raise DamagedFileError(
            f"{path} is not a file of plain arrays as numpy.savez writes them ({why})."
        ) from None
    for name, array in arrays.items():
        if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
            raise DamagedFileError(
                f"{path} holds something other than real numbers: {name} is of type {array.dtype}."
            )
    return arrays
