"""Where a row is worked out: the settings, the records of the figures, and a list of the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypedDict, TypeVar

import numpy as np

from spinodal.protocols.audit_rows.equations import critical_decay_3
from spinodal.protocols.audit_rows.row import Claim, Finding, Verdict
from spinodal.protocols.audit_rows.settings import AuditSettings
from spinodal.theory import modes

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Mode(TypedDict):
    """Arguments of the functions of `theory.modes`."""

    depth: int
    signal: Any
    weight_decay: Any


NETWORK = ("depth", "width", "inputs", "outputs", "signals")
"""Settings on which every figure depends."""

OWN: dict[str, tuple[str, ...]] = {
    "fig1a": ("learning_rate", "batch_size", "samples"),
    "fig1b": tuple(name for name in AuditSettings.model_fields if name.startswith("sparse_")),
    "fig2b": ("batch_size", "samples", "sweep_learning_rates"),
    "fig3": ("learning_rate", "batch_size", "samples"),
    "noise-arms": ("learning_rate", "batch_size", "samples"),
}
"""Settings on which single figures depend; the weight decay is compared where it is read."""


@dataclass(kw_only=True)
class Bench:
    """What a row may use. Values reach the row through `call`, which notes where they came from."""

    claim: Claim
    settings: AuditSettings
    seed: int
    workers: int = 1
    records: Mapping[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    @property
    def stated(self) -> Any:
        """What the paper states for this row."""
        return self.claim.stated

    def call(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """The result of a call, whose text goes into the evidence.

        How many workers computed it stays out: the result is the same for any number.
        """
        shown = {k: _shown(v) for k, v in kwargs.items() if k != "workers"}
        self.note(function, *map(_shown, args), **shown)
        return function(*args, **kwargs)

    def note(self, function: Any, *args: str, **kwargs: str) -> None:
        """Enter the text of a call into the evidence."""
        module = function.__module__.rpartition(".")[2]
        listed = ", ".join([*args, *(f"{name}={value}" for name, value in kwargs.items())])
        text = f"{module}.{function.__qualname__}({listed})"
        if text not in self.calls:
            self.calls.append(text)

    def mode(self, signal: float | None = None, weight_decay: float | None = None) -> Mode:
        """One feature at the settings: by default the one that the trap has not learned."""
        s = self.settings
        return {
            "depth": s.depth,
            "signal": s.escape_signal if signal is None else signal,
            "weight_decay": s.weight_decay if weight_decay is None else weight_decay,
        }

    @property
    def has_saddle(self) -> bool:
        """Whether a barrier stands between the trap and a next rank that the layers let through."""
        points = modes.stationary_points(**self.mode())
        return bool(np.isfinite(points.saddle)) and self.settings.trap_rank < self.settings.width

    def record(self, section: str) -> Any | None:
        """The record of a figure, if it is at hand and the audit has the figure's settings.

        Figures are computed at the paper's settings: under altered ones they say nothing.
        """
        paper = AuditSettings()
        same = self.settings.same(paper, NETWORK) and self.settings.same(paper, OWN[section])
        found = self.records.get(section) if same else None
        if found is not None and f"record of {section}" not in self.calls:
            self.calls.append(f"record of {section}")
        return found

    def random_modes(self, count: int = 50) -> Iterator[Mode]:
        """Random features below their spinodal, depth 3 to 8, the same in every audit."""
        rng = np.random.default_rng(2606_17120)
        for depth in range(3, 9):
            signal = rng.uniform(0.2, 3.0, count)
            limit = critical_decay_3(depth=depth, signal=signal)
            fraction = rng.uniform(0.05, 0.95, count)
            yield {"depth": depth, "signal": signal, "weight_decay": fraction * limit}

    def finding(self, recomputed: Any, verdict: Verdict, reason: str, **evidence: Any) -> Finding:
        """The finding with the calls made so far as first piece of evidence."""
        shown = {name.replace("_", " "): value for name, value in evidence.items()}
        return Finding(
            recomputed=recomputed,
            verdict=verdict,
            reason=reason,
            evidence={"calls": tuple(self.calls), **shown},
        )

    def without_saddle(self) -> Finding:
        """The finding of a claim about the saddle where these settings have none."""
        s = self.settings
        limit = self.call(modes.spinodal, s.depth, s.escape_signal)
        reason = (
            f"At weight decay {s.weight_decay:g} and depth {s.depth} there is no saddle beyond the "
            "trap, so the statement has no subject."
            if s.trap_rank < s.width
            else f"Layers of width {s.width} hold no rank beyond that of the trap."
        )
        return self.finding(
            None,
            "cannot be derived",
            reason,
            spinodal=limit,
        )


Row = Callable[[Bench], Finding]


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"<array {'x'.join(map(str, value.shape))}>"
    if isinstance(value, float | np.floating):
        return f"{value:.10g}"
    if isinstance(value, np.ndarray):
        value = tuple(value.tolist())
    if isinstance(value, list | tuple) and len(value) > 8:
        return f"<{len(value)} values>"
    return repr(value) if isinstance(value, int | str | tuple | list | None) else "..."
