"""The setting in which the claims are audited: the paper's by default, every one alterable."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.errors import InputError
from spinodal.records import Settings


class AuditSettings(Settings):
    """Network, data and training that the stated numbers are compared with.

    Altered settings change what is recomputed and hence the verdicts; what is stated stays.
    `data_sets`, `starts`, `gradient_samples` and `shuffling_replicas` say how much is simulated.
    """

    depth: int = Field(default=3, ge=2)
    width: PositiveInt = 10
    inputs: PositiveInt | None = None
    outputs: PositiveInt | None = None
    signals: tuple[PositiveFloat, ...] = Field(default=(0.9, 0.8), min_length=1)
    weight_decay: PositiveFloat = 0.32
    caption_weight_decay: PositiveFloat = 0.03
    learning_rate: PositiveFloat = 0.08
    batch_size: PositiveInt = 64
    samples: PositiveInt = 512
    sparse_samples: PositiveInt = 25
    sparse_pool: PositiveInt = 5000
    sparse_weight_decay: PositiveFloat = 0.0025
    sparse_learning_rate: PositiveFloat = 0.1
    sparse_batch_size: PositiveInt = 64
    checkpoint_residual: PositiveFloat = Field(
        default=1e-6,
        description="Second strength at which the sparse run's checkpoint stopped; not stated.",
    )
    output_variance: PositiveFloat | None = Field(
        default=None,
        description="Of every output; None as in the paper, which does not state it.",
    )
    sweep_learning_rates: tuple[PositiveFloat, ...] = Field(
        default=(5e-4, 1e-3, 2e-3, 3e-3, 5e-3), min_length=3
    )
    sweep_epochs: PositiveFloat = 2e4
    temperature: PositiveFloat = Field(
        default=1e-3, description="Of the additive noise in which the entropy claims are tested."
    )
    scan_weight_decay: PositiveFloat = Field(
        default=0.1, description="At which networks of different depth are compared."
    )
    data_sets: PositiveInt = Field(default=60, ge=10)
    starts: PositiveInt = Field(default=300, ge=10)
    gradient_samples: PositiveInt = Field(default=4096, ge=100)
    shuffling_replicas: PositiveInt = Field(default=192, ge=20)

    @model_validator(mode="after")
    def _room(self) -> Self:
        for name, size in (("inputs", self.inputs), ("outputs", self.outputs)):
            if size is not None and size < len(self.signals):
                raise InputError(
                    f"{len(self.signals)} signals need at least as many {name}, got {size}."
                )
        if self.output_variance is not None and self.output_variance <= max(self.signals) ** 2:
            raise InputError(
                f"The output variance must exceed the largest signal squared, "
                f"{max(self.signals) ** 2:g}, got {self.output_variance:g}."
            )
        return self

    def same(self, other: AuditSettings, names: tuple[str, ...]) -> bool:
        """Whether both have equal values under these names."""
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self.outputs or len(self.signals), self.inputs or len(self.signals)

    @property
    def ordered(self) -> tuple[float, ...]:
        """The signals, strongest first."""
        return tuple(sorted(self.signals, reverse=True))

    @property
    def trap_rank(self) -> int:
        """Rank of the trap whose escape the paper studies: 1, or 0 if there is but one feature."""
        return min(1, len(self.signals) - 1)

    @property
    def escape_signal(self) -> float:
        """Signal of the feature that this trap has not learned: the paper's 0.8."""
        return self.ordered[self.trap_rank]
