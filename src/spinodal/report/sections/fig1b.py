"""Figure 1b: sparse grokking, and what sets its delay."""

from __future__ import annotations

import math

from spinodal.plots.sparse_grokking import draw_delay, draw_errors, draw_with_noise
from spinodal.protocols.sparse_records import PairedDifference, SparseGrokkingRecord
from spinodal.report.section import (
    Figure,
    Heading,
    Paragraph,
    Row,
    Section,
    Stated,
    Table,
    shown,
)


def section(record: SparseGrokkingRecord) -> Section:
    """The record as a section of the report."""
    return Section(
        id="fig1b",
        title="Sparse grokking (figure 1b)",
        question=f"Does the plateau of about {record.stated_epochs:,} epochs need noise?",
        answer=_answer(record),
        stated=_stated(record),
        blocks=(
            Paragraph(_setting(record)),
            Row((_curves(record, True), _curves(record, False))),
            Paragraph(_gap(record)),
            Heading("The delay is set by the checkpoint"),
            Paragraph(_prediction(record)),
            Row((_delay(record), _noise(record))),
            Paragraph(_noise_text(record)),
            _summary(record),
            _datasets(record),
            _all(record),
        ),
    )


def _answer(record: SparseGrokkingRecord) -> str:
    there = [d.epochs_there for d in record.datasets if d.epochs_there is not None]
    if record.steps_per_epoch_keep == 1:
        text = (
            f"No. With {record.samples} samples a batch of {record.batch_size} is the whole "
            "training set, so the run has no sampling noise. "
        )
    else:
        text = "Not here. "
    if there:
        text += (
            "Noise-free training alone reproduces plateau and abrupt end on "
            f"{len(there)} of {len(record.datasets)} data sets: a checkpoint whose second strength "
            f"is {_span(record)} escapes after {min(there):,} to {max(there):,} epochs."
        )
    gone = [s for s in record.summaries if s.arm == "full batch" and not s.escaped]
    if gone:
        text += (
            f" From {shown(max(s.residual for s in gone), 1)} down, exact projection included, "
            "none escaped: the delay measures how far the checkpoint had converged."
        )
    return text


def _span(record: SparseGrokkingRecord) -> str:
    return (
        f"{shown(record.residual_for_stated_low, 2)} to "
        f"{shown(record.residual_for_stated_high, 2)} (median "
        f"{shown(record.residual_for_stated_median, 2)})"
    )


def _stated(record: SparseGrokkingRecord) -> tuple[Stated, ...]:
    there = sorted(d.epochs_there for d in record.datasets if d.epochs_there is not None)
    # The number comes out, without noise, where some residual gives it on every data set.
    everywhere = len(there) == len(record.datasets)
    return (
        Stated(
            what="epochs on the plateau",
            stated=record.stated_epochs,
            found=(
                f"{there[0]:,} to {there[-1]:,} from residuals chosen for it, {_span(record)}; "
                "other residuals, other numbers"
                if there
                else None
            ),
            verdict="reproduces" if everywhere else "not reproduced as described",
        ),
        Stated(
            what="escape driven by sampling noise",
            stated="yes",
            found=(
                "no noise in the run"
                if record.steps_per_epoch_keep == 1
                else f"{record.steps_per_epoch_keep} batches an epoch"
            ),
            verdict=(
                "not reproduced as described"
                if record.steps_per_epoch_keep == 1 or record.small_batch_only == 0
                else "cannot be derived"
            ),
        ),
    )


def _setting(record: SparseGrokkingRecord) -> str:
    if record.steps_per_epoch_floor is None:
        floor = (
            f"read literally, an epoch of floor(N/B) = floor({record.samples}/{record.batch_size}) "
            f"steps has none (the update rule refuses: “{record.refusal}”)"
        )
    else:
        floor = f"an epoch has floor(N/B) = {record.steps_per_epoch_floor} steps"
    return (
        f"The paper gives {record.samples} training samples and a batch of {record.batch_size}: "
        f"{floor}; keeping the incomplete batch, it has {record.steps_per_epoch_keep}, the full "
        f"batch. Escapes with such a loader and by plain full-batch descent differ by at most "
        f"{record.literal_batch_difference} updates in {record.literal_batch_pairs} pairs. Escape "
        f"is the second strength passing {shown(record.threshold, 1)}, as in the paper. "
        "Checkpoints come from annealing up until one feature is left; what varies is how long "
        "the dead feature was left to decay."
    )


def _bold(record: SparseGrokkingRecord) -> int:
    """The data set whose needed residual is the median one."""
    middle = record.residual_for_stated_median
    return min(
        range(len(record.datasets)),
        key=lambda i: abs(math.log(record.datasets[i].residual_for_stated / middle)),
    )


def _curves(record: SparseGrokkingRecord, logarithmic: bool) -> Figure:
    def draw(canvas: object) -> None:
        ax = draw_errors(
            record.curve_epochs,
            record.curve_train,
            record.curve_test,
            bold=_bold(record),
            stated_epochs=record.stated_epochs,
            logarithmic=logarithmic,
            ax=canvas.subplots(),  # pyright: ignore[reportAttributeAccessIssue]
        )
        if logarithmic:
            ax.legend(loc="lower left")

    scale = "logarithmic" if logarithmic else "linear"
    return Figure(
        name=f"fig1b_errors_{'log' if logarithmic else 'linear'}",
        caption=(
            f"Errors over epochs ({scale}) by noise-free full batch, each data set from its own "
            "residual"
            + (
                ". The first epochs relearn the first feature at the lower weight decay."
                if logarithmic
                else "; the heavy curves belong to the median one."
            )
        ),
        alt=(
            f"Training and test error of {len(record.datasets)} data sets stay apart on a plateau "
            f"and fall together near epoch {record.stated_epochs}, the paper's number."
        ),
        size=(4.8, 3.7),
        draw=draw,
    )


def _gap(record: SparseGrokkingRecord) -> str:
    on = [d.plateau_test - d.plateau_train for d in record.datasets]
    off = [d.final_test - d.final_train for d in record.datasets]
    text = (
        f"On the plateau the test error exceeds the training error by {shown(_middle(on), 2)} "
        f"(median of {len(on)} data sets, {shown(min(on), 2)} to {shown(max(on), 2)}); after the "
        f"escape by {shown(_middle(off), 2)} ({shown(min(off), 2)} to {shown(max(off), 2)})."
    )
    if record.abruptness_median is not None:
        drops = [d.abruptness for d in record.datasets if d.abruptness is not None]
        text += (
            " The fall of the test error takes "
            f"{shown(100 * record.abruptness_median, 2)} % of the delay "
            f"({shown(100 * min(drops), 2)} to {shown(100 * max(drops), 2)} %; from 10 to 90 % of "
            "it, over the time to half of it). So a sudden end of a "
            "long plateau is no sign of noise either."
        )
    return text


def _prediction(record: SparseGrokkingRecord) -> str:
    return (
        "At the rank-1 phase of a data set one direction is left in which the rank can grow, with "
        "a signal g of its own. A second feature of amplitude a follows "
        "da/dt = g a^{2} \N{MINUS SIGN} βa at depth 3: from above the separatrix "
        "it grows after a wait that diverges there, from below it decays for ever. No parameter "
        "is fitted; g comes from the sample's own moments. "
        "The prediction differs from the measured epoch by "
        f"{_percent(record.prediction_ratio)}, over {record.prediction_ratio.pairs} escapes. Using "
        "the second singular value of Σ_{yx} instead of g: "
        f"{_percent(record.naive_ratio)}. Of {record.sided} runs, {record.wrong_side} ended on "
        "the other side of the separatrix than predicted (runs due only shortly before the "
        f"horizon or after it are left out). The second feature can be held at all, its spinodal "
        f"lying above this weight decay, in {record.holds_second} of {len(record.datasets)} data "
        "sets."
    )


def _delay(record: SparseGrokkingRecord) -> Figure:
    rows = [e for e in record.escapes if e.strength > 0]
    return Figure(
        name="fig1b_delay",
        caption=(
            "Delay against the second strength of the checkpoint: full batch, every data set; "
            "the prediction has no fitted parameter. Left of its wall the feature decays for ever."
        ),
        alt=(
            "The delay rises from a few epochs at a residual of a thousandth, crosses the paper's "
            "number near a millionth and diverges before a hundred-millionth."
        ),
        size=(4.8, 3.9),
        draw=lambda canvas: draw_delay(
            [e.strength for e in rows],
            [e.full_batch for e in rows],
            record.theory_strengths,
            record.theory_epochs,
            horizon=record.horizon,
            stated_epochs=record.stated_epochs,
            ax=canvas.subplots(),
        ),
    )


def _noise(record: SparseGrokkingRecord) -> Figure:
    pairs = [(e.full_batch, e.small_batch) for e in record.escapes]
    both = [(a, b) for a, b in pairs if a is not None and b is not None and a >= 20]
    return Figure(
        name="fig1b_noise",
        caption=(
            f"The same checkpoints with sampling noise (shuffled batches of {record.small_batch}) "
            "and without. Points above the line: noise made the wait longer."
        ),
        alt="All points lie on or above the line of equality.",
        size=(4.8, 3.9),
        draw=lambda canvas: draw_with_noise(
            [a for a, _ in both],
            [b for _, b in both],
            label=f"batches of {record.small_batch}",
            stated_epochs=record.stated_epochs,
            ax=canvas.subplots(),
        ),
    )


def _noise_text(record: SparseGrokkingRecord) -> str:
    return (
        f"Does noise help when there is some? With batches of {record.small_batch} from the same "
        f"checkpoints, {record.small_batch_earlier} of {record.small_batch_pairs} pairs escaped "
        f"earlier than by full batch; {record.small_batch_only} escaped only with noise and "
        f"{record.full_batch_only} only without. With noise the wait "
        f"changes by {_percent(record.noise_delay)}, in updates. The noise acts as a change "
        f"of the growth signal by {_percent(record.noise_signal)}, and of "
        f"{_percent(record.noise_signal_half_rate)} at half the learning rate: "
        "a bias that shrinks with the learning rate, on top of a noise-free drift, not a "
        "kick over a barrier."
    )


def _percent(difference: PairedDifference) -> str:
    """A mean logarithmic ratio with its limits, as changes in per cent."""
    if difference.mean is None or difference.low is None or difference.high is None:
        return "not measured"
    mean, low, high = (
        100 * math.expm1(x) for x in (difference.mean, difference.low, difference.high)
    )
    return (
        f"{_signed(mean)} % [{_signed(low)}, {_signed(high)}] "
        f"(95 %, {difference.datasets} data sets)"
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half])


def _summary(record: SparseGrokkingRecord) -> Table:
    return Table(
        name="fig1b_residuals",
        caption="Escape by residual: data sets escaped, and epochs (updates) until then",
        columns=(
            "arm", "residual", "escaped", "of", "95 % low", "95 % high", "predicted to escape",
            "shortest", "median", "longest", "predicted median",
        ),
        rows=tuple(
            (
                s.arm, s.residual, s.escaped, s.datasets, s.low, s.high, s.predicted_escapes,
                s.shortest, s.median, s.longest, s.predicted_median,
            )
            for s in record.summaries
        ),
        digits=3,
        note=(
            f"Watched for {record.horizon:,} updates; predicted escapes may be due later. Residual "
            "0 is exact projection. The median exists where at least half escaped."
        ),
    )  # fmt: skip


def _datasets(record: SparseGrokkingRecord) -> Table:
    return Table(
        name="fig1b_datasets",
        caption=f"The residual that gives {record.stated_epochs:,} epochs, data set by data set",
        columns=(
            "data set", "spinodal 1", "spinodal 2", "growth signal", "separatrix",
            "residual needed", "epochs measured", "abruptness", "plateau train", "plateau test",
            "final train", "final test",
        ),
        rows=tuple(
            (
                d.dataset, *d.spinodals, d.growth_signal, d.separatrix, d.residual_for_stated,
                d.epochs_there, d.abruptness, d.plateau_train, d.plateau_test, d.final_train,
                d.final_test,
            )
            for d in record.datasets
        ),
        digits=3,
        shown=12,
    )  # fmt: skip


def _all(record: SparseGrokkingRecord) -> Table:
    return Table(
        name="fig1b_escapes",
        caption="Every checkpoint: strength, prediction and measured updates",
        columns=("data set", "residual", "strength", "predicted", "full batch", "small batch"),
        rows=tuple(
            (e.dataset, e.residual, e.strength, e.predicted, e.full_batch, e.small_batch)
            for e in record.escapes
        ),
        shown=0,
    )
