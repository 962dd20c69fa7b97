"""Tables of the comparison of noises."""

from __future__ import annotations

from spinodal.protocols.noise_arms_records import ArmRecord, Record
from spinodal.report.section import Table
from spinodal.report.sections.noise_arms_words import VERDICTS, WORDS


def noise_table(record: Record) -> Table:
    """What every noise is in the trap."""
    return Table(
        name="noise-arms_noise",
        caption="Noise in the trap, as temperatures lr n·Cn / (2 B)",
        columns=(
            "setting", "noise", "directions", "by the trace", "along the learned feature",
            "largest that raises the rank", "the same, worst data set",
        ),
        rows=tuple(
            (
                one.name, WORDS[arm.arm], arm.noise.directions, arm.noise.trace_temperature,
                arm.noise.radial_temperature, arm.noise.raising_temperature,
                arm.noise.raising_datasets,
            )
            for one in record.settings
            for arm in one.arms
        ),
        digits=3,
        note=f"By the trace: lr tr C / (2 B D), D = {record.weights}.",
    )  # fmt: skip


def escape_table(record: Record) -> Table:
    """Escapes of every arm."""
    return Table(
        name="noise-arms_runs",
        caption="Escapes from the rank-1 trap",
        columns=(
            "setting", "noise", "updates", "replicas", "escapes", "data sets with escape",
            "lost the first feature", "diverged", "rate", "95 % low", "95 % high",
            "median updates", "verdict",
        ),
        rows=tuple(
            (
                one.name, WORDS[arm.arm], arm.steps, arm.eligible, arm.escapes,
                f"{arm.datasets_with_escape} of {arm.datasets}", arm.fell, arm.diverged, arm.rate,
                arm.rate_low, arm.rate_high,
                None if arm.median_steps is None else round(arm.median_steps),
                VERDICTS[arm.verdict],
            )
            for one in record.settings
            for arm in one.arms
        ),
        digits=3,
        note="Replicas on data sets that hold rank 2, without those that diverged. "
        "Rates per time unit (learning rate times "
        "updates); without escapes the upper limit is one-sided. Fresh minibatches have no data "
        "set: they count as one.",
    )  # fmt: skip


def near_table(record: Record) -> Table:
    """Starts beside the trap."""
    return Table(
        name="noise-arms_near",
        caption="Starts near the trap, minibatch noise",
        columns=(
            "setting", "second amplitude / saddle", "second strength",
            "temperature along the second feature", "updates", "replicas", "escapes", "95 % low",
            "95 % high", "lost the first feature", "back in the trap", "noise off: escapes",
            "noise off: runs",
        ),
        rows=tuple(
            (
                one.name, row.fraction, row.strength, row.temperature, row.steps, row.trials,
                row.escapes, row.low, row.high, row.fell, row.back, row.quiet_escapes,
                row.quiet_runs,
            )
            for one in record.settings
            for row in one.near
        ),
        digits=3,
        note="Limits are of the probability to escape, one-sided where none did. Without noise "
        "all training sets have one landscape: their runs are one run, repeated.",
    )  # fmt: skip


def control_table(record: Record) -> Table:
    """Controls of every arm."""
    return Table(
        name="noise-arms_controls",
        caption="Controls",
        columns=(
            "setting", "noise", "noise off: escapes", "noise off: runs", "cooled after",
            "cooled: escapes", "cooled: trapped", "escapes after the dead time", "memoryless",
            "p", "p, whole sample", "second strength at the start", "second strength at the end",
        ),
        rows=tuple(
            (
                one.name, WORDS[arm.arm], arm.noise_off_escapes, arm.noise_off_runs,
                arm.cooled_after, arm.cooled_escapes, arm.cooled_trapped, arm.memoryless_events,
                *_memory(arm), arm.second_start, arm.second_end,
            )
            for one in record.settings
            for arm in one.arms
        ),
        digits=3,
        note="Second strengths: the largest of any replica. 'p' is of what is left after the dead "
        "time, 'whole sample' includes the delay before it. Trapped: below the saddle (under "
        "isotropic noise the top of its free energy) when the noise stopped, and not diverged.",
    )  # fmt: skip


def _memory(arm: ArmRecord) -> tuple[str | None, float | None, float | None]:
    """Verdict and p-values; too few escapes have no p-value worth telling."""
    if arm.memoryless == "untested":
        return ("too few escapes" if arm.escapes else None), None, None
    return arm.memoryless, arm.memoryless_p, arm.memoryless_p_whole


def curve_table(record: Record) -> Table:
    """The curves of the figure, stored only."""
    return Table(
        name="noise-arms_survival",
        caption="Kaplan-Meier curves",
        columns=("setting", "noise", "updates", "not escaped", "95 % low", "95 % high"),
        rows=tuple(
            (one.name, WORDS[arm.arm], *row)
            for one in record.settings
            for arm in one.arms
            for row in zip(
                arm.curve_steps, arm.curve_survival, arm.curve_low, arm.curve_high, strict=True
            )
        ),
        shown=0,
    )
