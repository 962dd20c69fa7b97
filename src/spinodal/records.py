"""What layers hand to one another: settings, escape times, estimates."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from spinodal.errors import InputError

Status = Literal["escaped", "censored", "diverged", "escaped_elsewhere"]
STATUSES: tuple[Status, ...] = ("escaped", "censored", "diverged", "escaped_elsewhere")
"""Every replica ends with one of these; not escaping is data, never a missing value."""


class Settings(BaseModel):
    """Frozen settings that cannot be wrong: validated once, at birth.

    Unknown names, NaN and infinite numbers are refused. Equal settings have equal digests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def digest(self) -> str:
        """The name of exactly these settings: twelve hexadecimal digits of their SHA-256."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, eq=False)
class EscapeTimes:
    """When each replica escaped, or how long it was watched without escaping.

    Arrays have shape (replicas,). `steps` counts updates until the escape was seen or watching
    ended; `time` is `learning_rate * steps`, in units of inverse loss curvature. `dataset`
    says which data set a replica was trained on: replicas are nested in data sets.
    """

    replica: NDArray[np.int64]
    dataset: NDArray[np.int64]
    steps: NDArray[np.int64]
    time: NDArray[np.float64]
    status: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, unknown statuses and negative times."""
        shapes = {getattr(self, name).shape for name in ("replica", "dataset", "steps", "time")}
        if shapes != {self.status.shape} or self.status.ndim != 1:
            raise InputError(
                f"The columns of escape times must be vectors of one length, got shapes {shapes}."
            )
        unknown = set(np.unique(self.status)) - set(STATUSES)
        if unknown:
            raise InputError(f"Unknown statuses {sorted(unknown)}; allowed are {list(STATUSES)}.")
        if not np.all(self.time >= 0):
            raise InputError("Escape times must be non-negative numbers; found negative or NaN.")

    @property
    def escaped(self) -> NDArray[np.bool_]:
        """True where the replica escaped, shape (replicas,)."""
        return self.status == "escaped"

    @property
    def events(self) -> int:
        """Number of escapes."""
        return int(self.escaped.sum())

    @property
    def exposure(self) -> float:
        """Total time at risk, in time units: the exact sum, rounded once, without the diverged."""
        return math.fsum(self.time[self.status != "diverged"].tolist())

    @property
    def status_counts(self) -> dict[str, int]:
        """How many replicas ended with each status."""
        return {status: int((self.status == status).sum()) for status in STATUSES}

    @property
    def estimable(self) -> EscapeTimes:
        """Those that may enter an estimate: what diverged followed no law of the network's."""
        return self.select(self.status != "diverged")

    def select(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> EscapeTimes:
        """Some of the replicas, in the order given."""
        return EscapeTimes(
            replica=self.replica[which],
            dataset=self.dataset[which],
            steps=self.steps[which],
            time=self.time[which],
            status=self.status[which],
        )

    @staticmethod
    def merge(parts: list[EscapeTimes]) -> EscapeTimes:
        """Concatenate parts in replica order: any partition gives the same table."""
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("replica", "dataset", "steps", "time", "status")
        }
        order = np.argsort(columns["replica"], kind="stable")
        return EscapeTimes(**{name: column[order] for name, column in columns.items()})


VerdictName = Literal[
    "absorbed",
    "noise_activated",
    "noise_drift",
    "noise_free_drift",
    "norm_drift",
    "over_regularised",
    "converged",
    "misconfigured",
    "numerical",
    "cannot_tell",
]
"""What may be said of a wait; 'cannot_tell' is an honest one and names what is missing."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the evidence supports, the evidence itself, what the wait costs and what to do.

    `evidence` holds one sentence for each finding, for and against, in the order in which they were
    weighed. `cost` is the wait in words, None where nothing is known about it.
    """

    verdict: VerdictName
    evidence: tuple[str, ...]
    cost: str | None
    advice: str

    def __str__(self) -> str:
        """What a paper would print."""
        return f"{self.verdict.replace('_', ' ')}: {' '.join(self.evidence)}"


@dataclass(frozen=True, kw_only=True)
class RateEstimate:
    """An escape rate per unit time with its interval; `events` says how much it rests on.

    With no events `rate` is 0, `low` is 0 and `high` is a one-sided upper bound. Of the `replicas`
    those that diverged are counted in `status_counts` only: neither events nor exposure are theirs.
    """

    rate: float
    low: float
    high: float
    confidence: float
    events: int
    exposure: float
    replicas: int
    method: str
    status_counts: dict[str, int]

    def __str__(self) -> str:
        """What a paper would print."""
        diverged = self.status_counts.get("diverged", 0)
        watched = self.replicas - diverged
        left_out = f", {diverged} diverged and left out" if diverged else ""
        if self.events == 0:
            return (
                f"< {self.high:.3g} at {self.confidence:.0%}, one-sided "
                f"(0 of {watched} escaped in {self.exposure:.3g} time units{left_out})"
            )
        return (
            f"{self.rate:.3g} [{self.low:.3g}, {self.high:.3g}] at {self.confidence:.0%} "
            f"from {self.events} of {watched}{left_out}"
        )
