"""What the audit reads in the records of the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Trapped runs under SGD: how many escaped, how long they were watched, in how many epochs."""

    escaped: int
    trials: int
    data_sets: int
    epochs: float
    exposure: float
    median: float | None

    @property
    def evidence(self) -> dict[str, Any]:
        """Counts as evidence of a row."""
        return {
            "escapes": f"{self.escaped} of {self.trials}",
            "data_sets": self.data_sets,
            "epochs_watched": self.epochs,
        }

    def __str__(self) -> str:
        """The counts in words."""
        return f"{self.escaped} of {self.trials} in {self.epochs:g} epochs"


def trap_escapes(records: Mapping[str, Any], rank: int = 1) -> Watched | None:
    """SGD from the converged checkpoint of this rank, figure 1a; None without a record."""
    return None


def langevin_stages(records: Mapping[str, Any]) -> dict[str, Any] | None:
    """Staged escape under additive noise, figure 1a; None without a record."""
    return None
