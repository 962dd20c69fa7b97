"""Figure 1a: are there traps, and does noise free a network from them?

The paper's experiment as described, its controls, the Langevin noise that does what the paper
describes, the sensitivity to the start, and the search for settings that would give its times.
"""

from __future__ import annotations

from dataclasses import dataclass

from spinodal.protocols import (
    charity,
    initialisation,
    langevin_stages,
    minibatch_traps,
    residual_ladder,
)
from spinodal.protocols.abruptness import Abruptness
from spinodal.protocols.charity import CharityRecord, CharitySettings
from spinodal.protocols.initialisation import BasinRecord, BasinSettings
from spinodal.protocols.langevin_stages import LangevinRecord, LangevinSettings
from spinodal.protocols.minibatch_traps import Arm, MinibatchRecord, MinibatchSettings
from spinodal.protocols.residual_ladder import LadderRecord, LadderSettings
from spinodal.protocols.side_by_side import Progress, outcomes
from spinodal.records import Settings


class TrappingSettings(Settings):
    """All parts of figure 1a."""

    minibatch: MinibatchSettings
    ladder: LadderSettings = LadderSettings()
    langevin: LangevinSettings
    langevin_paper: LangevinSettings
    basins: BasinSettings = BasinSettings()
    charity: CharitySettings = CharitySettings()


@dataclass(frozen=True, kw_only=True)
class Record:
    """Figure 1a.

    `langevin` has nearly equal signals, so that both stages have barriers of several T at one
    temperature; `langevin_paper` the paper's signals, where only the second stage has.
    `abruptness` compares the arms whose transitions were seen from end to end.
    """

    minibatch: MinibatchRecord
    ladder: LadderRecord
    langevin: LangevinRecord
    langevin_paper: LangevinRecord
    basins: BasinRecord
    charity: CharityRecord
    abruptness: tuple[Abruptness, ...]


def preset(effort: str) -> TrappingSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        arms = _arms(random=1000, rank_one=20_000, trivial=20_000, caption=20_000, twin=20_000)
        return TrappingSettings(
            minibatch=MinibatchSettings(
                datasets=50, trajectories=510, arms=arms
            ),
            ladder=LadderSettings(epochs=10_000),
            langevin=_close_signals(4.0),
            langevin_paper=_paper_signals(4.0),
            basins=BasinSettings(starts=2000, steps=3000),
            charity=CharitySettings(
                variant_epochs=10_000, sparse_epochs=20_000, sparse_datasets=50,
                noisy_replicas=128, noisy_epochs=60_000,
            ),
        )  # fmt: skip
    arms = _arms(random=200, rank_one=5510, trivial=5510, caption=5510, twin=5510)
    return TrappingSettings(
        minibatch=MinibatchSettings(arms=arms),
        langevin=_close_signals(3.0),
        langevin_paper=_paper_signals(1.0),
    )


def run(
    settings: TrappingSettings, *, seed: int, workers: int = 1, progress: Progress = None
) -> Record:
    """Every part, all simulations side by side; the record does not depend on `workers`."""
    traps = settings.minibatch
    data = minibatch_traps.training_sets(traps, seed)
    decays = settings.ladder.weight_decays
    heated = (settings.langevin, settings.langevin_paper)
    noisy = {
        part.weight_decay: part.temperature for part in heated if part.signals == traps.signals
    }
    jobs = (
        minibatch_traps.plan(traps, seed, data)
        | residual_ladder.plan(settings.ladder, traps, seed, data)
        | initialisation.plan(settings.basins, seed)
        | charity.plan(settings.charity, traps, noisy, seed, data, decays)
    )
    for part in heated:
        jobs |= langevin_stages.plan(part, seed)
    results = outcomes(jobs, workers=workers, progress=progress)
    minibatch = minibatch_traps.read(traps, data, results)
    ladder = residual_ladder.read(settings.ladder, traps, results)
    langevin = tuple(langevin_stages.read(part, seed, results) for part in heated)
    sudden = [arm.abruptness for arm in minibatch.arms if arm.start == "random"]
    return Record(
        minibatch=minibatch,
        ladder=ladder,
        langevin=langevin[0],
        langevin_paper=langevin[1],
        basins=initialisation.read(settings.basins, results),
        charity=charity.read(settings.charity, traps, minibatch, ladder, langevin, results),
        abruptness=(
            *sudden,
            *ladder.abruptness,
            *(part.abruptness for part in langevin if part.abruptness),
        ),
    )


def _close_signals(more: float) -> LangevinSettings:
    """Both steps over a barrier of several T; `more` multiplies replicas and horizons."""
    return LangevinSettings(
        replicas=round(64 * more),
        rank_one_replicas=round(64 * more),
        extra=round(48 * more),
        rank_one_steps=round(28_000 * more),
        trivial_steps=round(22_000 * more),
        first_steps=round(24_000 * more),
        second_window=round(14_000 * more),
    )


def _paper_signals(more: float) -> LangevinSettings:
    """The paper's signals at 0.69 of the thermal spinodal of the step 1 -> 2."""
    return LangevinSettings(
        name="paper's signals",
        signals=(0.9, 0.8),
        anchor=1,
        fraction=0.69,
        replicas=round(64 * more),
        rank_one_replicas=round(100 * more),
        extra=round(48 * more),
        rank_one_steps=round(32_000 * more),
        trivial_steps=round(25_000 * more),
        first_steps=round(5000 * more),
        finer=2,
        finer_steps=round(26_000 * more),
        second_window=round(23_000 * more),
        keep_paths=False,
    )


def _arms(*, random: int, rank_one: int, trivial: int, caption: int, twin: int) -> tuple[Arm, ...]:
    """The text's weight decay 0.32 and the caption's 0.03, horizons in epochs.

    Watching a random start at every update costs little and resolves its first epochs. A trivial
    trap at 0.32 is exactly zero, in floating point too, after some 1100 epochs.
    """
    return (
        Arm(start="random", weight_decay=0.32, epochs=random, twin_epochs=random, check_every=4),
        Arm(start="rank 1", weight_decay=0.32, epochs=rank_one, twin_epochs=min(twin, rank_one),
            check_every=64),
        Arm(start="trivial", weight_decay=0.32, epochs=trivial, twin_epochs=min(twin, trivial),
            check_every=64),
        Arm(start="random", weight_decay=0.03, epochs=random, twin_epochs=random, check_every=4),
        Arm(start="rank 1", weight_decay=0.03, epochs=caption, twin_epochs=min(twin, caption),
            check_every=64),
        Arm(start="trivial", weight_decay=0.03, epochs=caption, twin_epochs=min(twin, caption),
            check_every=64),
    )  # fmt: skip
