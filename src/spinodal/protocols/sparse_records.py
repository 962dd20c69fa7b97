"""What the sparse run of figure 1b is set to, and what is recorded of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.records import Settings


class SparseGrokkingSettings(Settings):
    """The sparse run of figure 1b, and the factors varied around it.

    `residuals` are second strengths of the checkpoint, 0 meaning exact projection onto rank 1.
    `small_batch` is the batch of the arm that does have sampling noise. `horizon` counts
    updates, which are epochs under full batch.
    """

    signals: tuple[PositiveFloat, PositiveFloat] = (0.9, 0.8)
    samples: PositiveInt = 25
    pool: PositiveInt = 5000
    test_samples: PositiveInt = 10_000
    network: Network = Network(depth=3, width=10)
    weight_decay: PositiveFloat = 0.0025
    learning_rate: PositiveFloat = 0.1
    batch_size: PositiveInt = 64
    small_batch: PositiveInt = 8
    threshold: PositiveFloat = 1e-3
    stated_epochs: PositiveInt = 1500
    residuals: tuple[float, ...] = (
        1e-3, 1e-4, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7, 1e-8, 1e-10, 1e-12, 0.0,
    )  # fmt: skip
    noisy_residuals: tuple[float, ...] = (1e-4, 1e-5, 3e-6, 1e-6, 1e-7, 1e-8, 0.0)
    datasets: PositiveInt = Field(default=12, ge=2)
    horizon: PositiveInt = 6000
    rung_updates: PositiveInt = 100

    @model_validator(mode="after")
    def _consistent(self) -> SparseGrokkingSettings:
        if self.network.depth < 3 or self.network.biases:
            raise InputError("A plateau at rank 1 needs depth >= 3, and this protocol no biases.")
        if not set(self.noisy_residuals) <= set(self.residuals):
            raise InputError("Every noisy residual must be one of the residuals too.")
        if self.small_batch > self.samples:
            raise InputError(f"small_batch must be at most samples = {self.samples}.")
        return self

    @property
    def task(self) -> GaussianTask:
        """The Gaussian data, a few samples out of a pool."""
        return GaussianTask(
            signals=self.signals,
            samples=self.samples,
            pool=self.pool,
            test_samples=self.test_samples,
        )

    def update(self, batch: int | None, slower: int = 1) -> Update:
        """Full batch (None) or shuffled batches of this size, at learning_rate / slower."""
        return Update(
            learning_rate=self.learning_rate / slower,
            weight_decay=self.weight_decay,
            sampling="full" if batch is None else "shuffled",
            batch_size=batch,
            drop_last=batch is None or batch <= self.samples,
        )


@dataclass(frozen=True, kw_only=True)
class Escape:
    """One checkpoint on one data set. Times in updates; None is 'never' or 'not seen'.

    `predicted` None: below the separatrix, so never. `full_batch` and `small_batch` None: not
    within the horizon. `watched_small_batch` is False where that arm did not run.
    """

    dataset: int
    residual: float
    strength: float
    predicted: float | None
    full_batch: int | None
    small_batch: int | None
    watched_small_batch: bool


@dataclass(frozen=True, kw_only=True)
class SparseDataset:
    """What one draw of the data does.

    `spinodals` are the largest weight decays at which the first and the second feature can be
    held. `growth_signal` is g, `second_signal` the second singular value of Sigma_yx, and
    `separatrix` the second strength below which the feature decays. `residual_for_stated` is
    the residual whose predicted escape takes the stated epochs; `epochs_there`, `width`
    (10 to 90 % of the fall of the test error) and `abruptness` (width over the time to half of
    it) were measured there. Errors are 1/2 <||y - Wx||^2>.
    """

    dataset: int
    spinodals: tuple[float, float]
    prepared_at: float
    first_strength: float
    second_signal: float
    growth_signal: float
    separatrix: float
    residual_for_stated: float
    strength_there: float
    epochs_there: int | None
    delay: float | None
    width: float | None
    abruptness: float | None
    plateau_train: float
    plateau_test: float
    final_train: float
    final_test: float


@dataclass(frozen=True, kw_only=True)
class ResidualSummary:
    """All data sets at one residual. `low` and `high` limit the escaped fraction (exact, 95 %)."""

    residual: float
    arm: Literal["full batch", "small batch"]
    escaped: int
    datasets: int
    low: float
    high: float
    shortest: int | None
    median: float | None
    longest: int | None
    predicted_median: float | None
    predicted_escapes: int


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean over data sets of ln(a / b) for two measurements of each, with Student's 95 % limits."""

    what: str
    mean: float | None
    low: float | None
    high: float | None
    datasets: int
    pairs: int


@dataclass(frozen=True, kw_only=True)
class SparseGrokkingRecord:
    """Figure 1b. Times are updates (= epochs under full batch); None is 'does not exist'.

    `steps_per_epoch_floor` is floor(N/B), None where that makes an epoch without steps
    (`refusal` says so); `steps_per_epoch_keep` counts the incomplete batch.
    `literal_batch_difference` is the largest difference in updates between full batch and a
    loader with the stated batch size over `literal_batch_pairs` runs. `prediction_ratio`
    compares noise-free prediction and full batch; `wrong_side` counts runs on the other side
    of the separatrix than predicted. `noise_delay` compares small batches with full batch,
    `noise_signal` the growth signals implied by their times, `noise_signal_half_rate` the same
    at half the learning rate. Curves belong to the runs at `residual_for_stated`; `theory_epochs`
    is the noise-free prediction at `theory_strengths` for the data sets of the largest, the
    median and the smallest growth signal.
    """

    stated_epochs: int
    threshold: float
    horizon: int
    samples: int
    batch_size: int
    small_batch: int
    steps_per_epoch_floor: int | None
    steps_per_epoch_keep: int
    refusal: str | None
    literal_batch_difference: int
    literal_batch_pairs: int
    datasets: tuple[SparseDataset, ...]
    escapes: tuple[Escape, ...]
    summaries: tuple[ResidualSummary, ...]
    holds_second: int
    wrong_side: int
    sided: int
    small_batch_earlier: int
    small_batch_only: int
    full_batch_only: int
    small_batch_pairs: int
    prediction_ratio: PairedDifference
    naive_ratio: PairedDifference
    noise_delay: PairedDifference
    noise_signal: PairedDifference
    noise_signal_half_rate: PairedDifference
    residual_for_stated_low: float
    residual_for_stated_median: float
    residual_for_stated_high: float
    abruptness_median: float | None
    curve_epochs: tuple[int, ...]
    curve_train: tuple[tuple[float, ...], ...]
    curve_test: tuple[tuple[float, ...], ...]
    theory_strengths: tuple[float, ...]
    theory_epochs: tuple[tuple[float | None, ...], ...]
