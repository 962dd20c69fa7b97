"""What an ensemble did, replica by replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import effective_rank
from spinodal.records import STATUSES, EscapeTimes

COLUMNS = ("replica", "dataset", "steps", "time")


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What an ensemble did. Arrays put the replica first.

    `passages` holds one `EscapeTimes` for each event. `strengths` (replicas, modes), the errors
    (replicas,) and `weight_norms` (replicas,), the root of the summed squares of all weights, are
    those of the last look at which the replica was watched and well; the norm is the last that was
    a number. `dead_amplitudes` (replicas, depth; singular value number rank + 1 of the layers at
    the start; zeros where the start has no rank), `prepared_at` (the weight decay of the trap's
    preparation) and `thresholds` (replicas, events). `escape_strengths` (replicas, modes) are those
    that confirmed the escape: of the first event, or of any if they compete; the initial ones where
    there was none. Recorded: `recorded_steps` (records,), `recorded_strengths` (replicas, records,
    modes), `recorded_train_error` and `recorded_test_error` (replicas, records). `weights`
    (replicas, parameters) belong to the same look as the strengths; without `checkpoints` there are
    none.
    """

    passages: tuple[EscapeTimes, ...]
    initial_strengths: NDArray[np.float64]
    dead_amplitudes: NDArray[np.float64]
    prepared_at: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    strengths: NDArray[np.float64]
    escape_strengths: NDArray[np.float64]
    train_error: NDArray[np.float64]
    test_error: NDArray[np.float64]
    weight_norms: NDArray[np.float64]
    weights: NDArray[np.floating]
    recorded_steps: NDArray[np.int64]
    recorded_strengths: NDArray[np.float64]
    recorded_train_error: NDArray[np.float64]
    recorded_test_error: NDArray[np.float64]

    @property
    def effective_rank(self) -> NDArray[np.float64]:
        """Effective rank of the final maps, shape (replicas,)."""
        return effective_rank(self.strengths.T)

    @property
    def replicas(self) -> int:
        """How many replicas these are."""
        return len(self.strengths)

    @staticmethod
    def merge(parts: Sequence[Outcome]) -> Outcome:
        """Concatenate shards in replica order."""
        events = range(len(parts[0].passages))
        merged = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Outcome.__dataclass_fields__
            if name not in ("passages", "recorded_steps")
        }
        passages = tuple(EscapeTimes.merge([part.passages[e] for part in parts]) for e in events)
        return Outcome(passages=passages, recorded_steps=parts[0].recorded_steps, **merged)

    def as_arrays(self) -> dict[str, NDArray]:
        """Plain arrays of numbers, one per column, as they are stored."""
        arrays = {
            name: np.asarray(getattr(self, name))
            for name in Outcome.__dataclass_fields__
            if name != "passages"
        }
        codes = {status: code for code, status in enumerate(STATUSES)}
        for e, passage in enumerate(self.passages):
            for name in COLUMNS:
                arrays[f"passage{e}.{name}"] = getattr(passage, name)
            status = [codes[word] for word in passage.status.tolist()]
            arrays[f"passage{e}.status"] = np.array(status, dtype=np.int8)
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray]) -> Outcome:
        """The outcome that `as_arrays` was made of."""
        own = {name: arrays[name] for name in Outcome.__dataclass_fields__ if name != "passages"}
        passages = [
            EscapeTimes(
                **{name: arrays[f"passage{e}.{name}"] for name in COLUMNS},
                status=np.array(STATUSES)[arrays[f"passage{e}.status"]],
            )
            for e in range(own["thresholds"].shape[1])
        ]
        return Outcome(passages=tuple(passages), **own)
