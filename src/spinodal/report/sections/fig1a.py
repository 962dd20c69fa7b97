"""Figure 1a: traps, and what frees a network from them."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.charity import draw_search
from spinodal.plots.trapping import (
    draw_basins,
    draw_error_curves,
    draw_residuals,
    draw_survival,
)
from spinodal.protocols.activation import DRIFT_FROM, SEVERAL
from spinodal.protocols.charity import CharityRecord, CharityRow
from spinodal.protocols.langevin_stages import (
    RANDOM_SLOWER,
    LangevinRecord,
    NoiseOff,
    StageRecord,
    StageTheory,
)
from spinodal.protocols.minibatch_traps import ArmRecord, EscapeCount
from spinodal.protocols.residual_ladder import Rung
from spinodal.protocols.trapping import Record
from spinodal.report.section import (
    Figure,
    Heading,
    Paragraph,
    Row,
    Section,
    Stated,
    Table,
    shown,
    shown_interval,
)
from spinodal.statistics.proportion import Proportion
from spinodal.statistics.survival import Quantile
from spinodal.statistics.waiting_times import LEAST_EVENTS

FACTOR = 3.0
"""A time within this factor of the stated one counts as reproduced, in every row alike."""


def section(record: Record) -> Section:
    """The record as a section of the report."""
    return Section(
        id="fig1a",
        title="Trapping and staged escape (figure 1a)",
        question="Is a network trapped in a phase with fewer features, and does noise free it?",
        answer=_answer(record),
        stated=_stated(record),
        blocks=(
            Heading("The experiment as described"),
            Paragraph(_described(record)),
            Row(tuple(_curves(record, decay) for decay in record.minibatch.weight_decays)),
            _arms(record),
            Paragraph(_absorbed(record)),
            _spinodals(record),
            Heading("Control: how well had the checkpoint converged?"),
            Paragraph(_residuals_in_words(record)),
            Row(tuple(_residuals(record, decay) for decay in record.minibatch.weight_decays)),
            _ladder(record),
            Heading("Noise that reaches the traps: Langevin dynamics"),
            Paragraph(_langevin_in_words(record)),
            Row((_survival(record.langevin, "close"), _survival(record.langevin_paper, "paper"))),
            _theory(record),
            _stages(record),
            _noise_off(record),
            Heading("Sensitivity to the start, and abruptness"),
            Paragraph(_basins_in_words(record)),
            _basins(record),
            _basin_table(record),
            _abruptness(record),
            Heading("Charity search: does any setting give all the stated times?"),
            Paragraph(_charity_in_words(record)),
            _search(record),
            _charity(record),
        ),
    )


def _text_decay(record: Record) -> float:
    return record.minibatch.weight_decays[0]


def _of(count: EscapeCount | Proportion) -> str:
    trials = count.trials
    events = count.escapes if isinstance(count, EscapeCount) else count.events
    return f"{shown(events)} of {shown(trials)}"


def _epochs(quantile: Quantile) -> str:
    """A median with its limits, or how long was watched in vain."""
    if quantile.value is None:
        return f"> {shown(quantile.low, 3)}"
    return shown_interval(quantile.value, quantile.low, quantile.high, 2, unknown="?")


def _answer(record: Record) -> str:
    decay = _text_decay(record)
    random, one, none = (
        record.minibatch.arm(start, decay) for start in ("random", "rank 1", "trivial")
    )
    second = record.langevin_paper.stage("both", "1 -> 2")
    cooled = [row for row in record.langevin_paper.noise_off if not row.deterministic]
    return (
        f"The traps exist, but minibatch noise does not free a network from them: "
        f"{_eligible(one)} trajectories on the {one.eligible_datasets} data sets that can hold "
        f"rank 2 left the rank-1 trap in {shown(one.epochs)} epochs ({_of(one.by_strength)} on all "
        f"{one.datasets}), and {_eligible(none)} the trivial one in {shown(none.epochs)}, when "
        f"{shown(none.exactly_zero)} of {shown(none.trajectories)} had "
        "only zero weights left, which no batch can change; with noise or without, the outcome "
        "was the same in "
        f"{shown(one.same_as_noise_off + none.same_as_noise_off)} of "
        f"{shown(one.trajectories + none.trajectories)} pairs, watched for "
        f"{shown(one.twin_epochs)} epochs without noise. {_caption_decay(record)}The random start "
        "does learn "
        f"within {_epochs(random.settled_epochs)} epochs. Isotropic noise gives staged escape: "
        f"{shown(second.escapes)} of {shown(second.trials)} replicas went from rank 1 to 2, "
        f"{shown(sum(row.escapes for row in cooled))} of "
        f"{shown(sum(row.trials for row in cooled))} "
        "still trapped when it was switched off left later. "
        f"{shown(record.charity.met_all)} of {len(record.charity.rows)} settings tried give all "
        "the stated times."
    )


def _eligible(arm: ArmRecord) -> str:
    """Escapes of the trajectories that have a phase to escape to."""
    return f"{shown(arm.eligible_escapes)} of {shown(arm.eligible_trials)}"


def _caption_decay(record: Record) -> str:
    """How long the other weight decay was watched, and what excludes escape there."""
    if len(record.minibatch.weight_decays) < 2:
        return ""
    decay = record.minibatch.weight_decays[-1]
    one, none = (record.minibatch.arm(s, decay) for s in ("rank 1", "trivial"))
    seen = max(one.next_strength_end, none.next_strength_end)
    began = max(one.next_strength_start, none.next_strength_start)
    less = one.epochs < record.minibatch.arm("rank 1", _text_decay(record)).epochs
    return (
        f"At weight decay {decay:g} the traps were watched for {shown(one.epochs)} epochs"
        f"{' only' if less else ''} "
        f"({_eligible(one)} and {_eligible(none)} left): what counts there is that the missing "
        f"strength fell from {shown(began, 1)} to {shown(seen, 1)}. "
    )


def _stated(record: Record) -> tuple[Stated, ...]:
    decay, charity = _text_decay(record), record.charity
    random, one, none = (
        record.minibatch.arm(start, decay) for start in ("random", "rank 1", "trivial")
    )
    value = random.settled_epochs.value
    ten, long, first, second = charity.stated_epochs[:4]
    near = value is not None and ten / FACTOR <= value <= ten * FACTOR
    return (
        Stated(
            what="random start: epochs until learned",
            stated=f"about {ten:g}",
            found=_epochs(random.settled_epochs),
            verdict="reproduces" if near else "not reproduced as described",
        ),
        _trap_stated("rank-1 trap: epochs until escape", f"about {long:g}", one, long),
        _trap_stated(
            "trivial trap: epochs until escape",
            f"> {shown(first)}, then > {shown(second)}",
            none,
            first,
        ),
        Stated(
            what="all times of figures 1a and 1b in one setting",
            stated="yes",
            found=f"{charity.met_all} of {len(charity.rows)} settings",
            verdict="not reproduced as described" if not charity.met_all else "reproduces",
        ),
    )


def _trap_stated(what: str, stated: str, arm: ArmRecord, epochs: float) -> Stated:
    median = arm.eligible.median_epochs.value if arm.eligible else None
    zero = f", {shown(arm.exactly_zero)} exactly zero by then" if arm.exactly_zero else ""
    return Stated(
        what=what,
        stated=stated,
        found=f"{_eligible(arm)} left in {shown(arm.epochs)} epochs{zero}",
        verdict="reproduces"
        if median is not None and epochs / FACTOR <= median <= FACTOR * epochs
        else "not reproduced as described",
    )


def _described(record: Record) -> str:
    minibatch = record.minibatch
    decay = _text_decay(record)
    one = minibatch.arm("rank 1", decay)
    return (
        f"Real settings: {minibatch.samples} training samples, batches of {minibatch.batch_size} "
        f"in a new order every epoch ({minibatch.steps_per_epoch} updates), learning rate "
        f"{minibatch.learning_rate:g}, {one.datasets} data sets (the last one conditioned on the "
        f"signals {' and '.join(map(shown, minibatch.empirical_signals))} that the paper's own "
        f"transitions imply). The paper gives weight decay {minibatch.weight_decays[0]:g} in the "
        f"text and {minibatch.weight_decays[-1]:g} in the caption: both are run. Traps are "
        "annealed until the missing strength is below "
        f"{shown(one.next_strength_start, 1)}; the rank-1 trap formed at weight decay "
        f"{shown(one.prepared_at_low, 2)} to {shown(one.prepared_at_high, 2)}, depending on the "
        "data set (the paper: 0.361). An escape is counted by two rules: the missing strength "
        "stays above its saddle, and, as in the paper, the test error falls below the midpoint "
        "between plateau and final value. Read off each curve literally (first value as plateau, "
        f"last as final value) the second rule counts {shown(one.literal_escapes)} of "
        f"{shown(one.trajectories)} rank-1 runs as escaped although none gained a feature: it "
        "sees the small relaxation after the weight decay is lowered."
        if not one.by_strength.escapes
        else "Minibatch SGD from the paper's three starts, with noise and without."
    )


def _curves(record: Record, decay: float) -> Figure:
    arms = [a for a in record.minibatch.arms if a.weight_decay == decay]
    ends = "; ".join(
        f"{a.start} start: {_eligible(a)} gained a feature in {shown(a.epochs)} epochs{_dead(a)}"
        for a in arms
    )
    return Figure(
        name=f"fig1a_error_{decay:g}".replace(".", "_"),
        size=(4.9, 3.7),
        caption=f"Weight decay {decay:g}: mean test error of {shown(arms[0].trajectories)} runs "
        "per start and the band of 80 % of them. Curves end (mark) where watching ended. "
        f"Counts, on data sets that can hold the next rank: {ends}.",
        alt=f"At weight decay {decay:g} the random start falls to the learned error within "
        f"epochs; the traps stay flat. {ends}.",
        draw=lambda canvas: draw_error_curves(
            [f"{a.start} start" if a.start == "random" else f"{a.start} trap" for a in arms],
            [a.curve_epochs for a in arms],
            [a.curve_mean for a in arms],
            [a.curve_low for a in arms],
            [a.curve_high for a in arms],
            record.charity.stated_epochs[:4],
            arms[0].final_error,
            ax=canvas.subplots(),
        ).legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, fontsize=8),
    )


def _dead(arm: ArmRecord) -> str:
    """What is left of the missing feature of a trap: this decides, not how long was watched."""
    if arm.start == "random" or arm.eligible_escapes:
        return ""
    return f" (missing strength at most {shown(arm.next_strength_end, 1)} at the end)"


def _arms(record: Record) -> Table:
    return Table(
        name="fig1a_escapes",
        caption="Minibatch SGD: escapes of every start, and of its noise-off twin.",
        columns=(
            "start", "weight decay", "epochs", "escaped, of those that can",
            "fraction below", "rate per epoch below", "data sets with an escape, of those that can",
            "fraction of data sets below", "escaped, of all (strength)",
            "escaped, of all (test error)", "noise off", "same as noise-off",
            "largest missing strength at the end",
        ),
        rows=tuple(
            (
                a.start, a.weight_decay, a.epochs, _eligible(a), *_bounds(a),
                _of(a.by_strength), _of(a.by_test_error),
                f"{_of(a.noise_off)} in {shown(a.twin_epochs)} epochs",
                a.same_as_noise_off, a.next_strength_end,
            )
            for a in record.minibatch.arms
        ),
        digits=3,
        note="A trajectory can escape if its data set can hold the next rank: the spinodal of the "
        "next mode, from its empirical moments, lies above the weight decay. Limits at 95 %, from "
        "these, one-sided; none where something escaped. "
        "A random start is "
        "counted when it is above the saddle after its first update: it is never trapped. Its "
        "twin shares data and initial weights.",
    )  # fmt: skip


def _bounds(arm: ArmRecord) -> tuple[float | str | None, ...]:
    """Upper bounds of trajectories, rate and data sets; None for what was never trapped."""
    count = arm.eligible
    if count is None:
        return None, None, None, None
    above = None if count.escapes else count
    return (
        above and above.fraction.high,
        above and above.rate_per_epoch_high,
        _of(count.datasets),
        above and above.datasets.high,
    )


def _absorbed(record: Record) -> str:
    decay = _text_decay(record)
    one, none = (record.minibatch.arm(s, decay) for s in ("rank 1", "trivial"))
    lost = record.minibatch.cannot_hold_rank_two[0]
    return (
        "Why: the gradient of every batch, and hence its noise, vanishes along the directions of a "
        "missing feature, and weight decay shrinks what is left of them. From "
        f"{shown(one.next_strength_start, 2)} at the start the missing strength of the rank-1 "
        f"trap fell to at most {shown(one.next_strength_end, 2)}, which is rounding. For the "
        f"trivial trap this is a proof: {shown(none.certified_forever)} of "
        f"{shown(none.trajectories)} started inside the ball around zero in which no batch can "
        f"make any weight matrix grow, so no horizon would free them, and "
        f"{shown(none.exactly_zero)} were exactly zero at the end. At weight decay {decay:g}, "
        f"{lost} of {one.datasets} data sets cannot hold rank 2 at all, because their second "
        "spinodal lies below it: they are left out of the counts of what can escape. "
        f"{_caption_decay(record).rstrip()}"
    )


def _spinodals(record: Record) -> Table:
    decays = record.minibatch.weight_decays
    return Table(
        name="fig1a_datasets",
        caption="Spinodals of the data sets (theory, from their empirical moments), and whether "
        "noise-free training that starts with both features keeps them.",
        columns=(
            "data set", "conditioned", "first spinodal", "second spinodal",
            *(f"keeps rank 2 at {d:g}" for d in decays),
        ),
        rows=tuple(
            (d.dataset, d.conditioned, d.spinodal_first, d.spinodal_second, *d.holds_rank_two)
            for d in record.minibatch.datasets
        ),
        shown=0,
    )  # fmt: skip


def _residuals_in_words(record: Record) -> str:
    ladder = record.ladder
    tuning = record.charity.tuning
    longest = "; ".join(
        f"at weight decay {t.weight_decay:g} the longest plateau a double-precision residual can "
        f"give is {shown(t.longest_epochs, 2)} epochs, and the stated time would need "
        f"{shown(t.decimals_needed, 2)} decimals"
        for t in tuning
    )
    return (
        "A checkpoint whose missing strength still lies above the separatrix leaves without any "
        "noise, after the plateau that theory predicts; below it, never. The same checkpoints "
        f"with and without minibatch noise differed in outcome on {shown(ladder.noise_decided)} "
        f"of {shown(ladder.checkpoints)} (checkpoint, data set) pairs: escapes are driven by the "
        f"residual. Nor can a residual be the explanation of thousands of epochs: {longest} (a "
        "double has 15.7)."
    )


def _rungs(record: Record, decay: float, rank: int) -> list[Rung]:
    return [r for r in record.ladder.rungs if (r.weight_decay, r.rank) == (decay, rank)]


def _residuals(record: Record, decay: float) -> Figure:
    rungs = [r for r in _rungs(record, decay, 1) if r.residual > 0]
    wall = rungs[0].separatrix
    theory = next(p for p in record.ladder.predictions if p.weight_decay == decay)
    return Figure(
        name=f"fig1a_residual_{decay:g}".replace(".", "_"),
        size=(4.9, 3.7),
        caption=f"Rank-1 checkpoints at weight decay {decay:g}: median epochs until escape against "
        f"the strength of the second feature left in them, {rungs[0].noise_off.trials} data sets "
        "each. Dotted: "
        "the separatrix. Crosses: no escape, with noise or without.",
        alt=f"At weight decay {decay:g} runs with and without noise lie on the noise-free theory "
        f"curve above the separatrix {shown(wall, 3)}; below it none escapes.",
        draw=lambda canvas: draw_residuals(
            [r.residual for r in rungs],
            [r.epochs_with_noise.value for r in rungs],
            [r.epochs_noise_off.value for r in rungs],
            theory.residuals,
            theory.epochs,
            wall,
            record.charity.stated_epochs[1],
            ax=canvas.subplots(),
        ).legend(loc="center left", fontsize=8),
    )


def _ladder(record: Record) -> Table:
    return Table(
        name="fig1a_residuals",
        caption="Checkpoints with residuals over decades, one per data set, with minibatch noise "
        "and without.",
        columns=(
            "weight decay", "trap rank", "residual", "separatrix", "escaped with noise",
            "escaped noise off", "outcome differs", "epochs with noise", "epochs noise off",
            "predicted epochs",
        ),
        rows=tuple(
            (
                r.weight_decay, r.rank, r.residual, r.separatrix, _of(r.with_noise),
                _of(r.noise_off), r.disagree, _epochs(r.epochs_with_noise),
                _epochs(r.epochs_noise_off), r.predicted_epochs,
            )
            for r in record.ladder.rungs
        ),
        digits=3,
        shown=18,
        note="Residual 0: projected exactly onto the rank. Medians over data sets with 95 % limits;"
        " > n: half had not escaped after n epochs. Predicted for the population's signal: near "
        "the separatrix data sets differ.",
    )  # fmt: skip


def _langevin_in_words(record: Record) -> str:
    close, paper = record.langevin, record.langevin_paper
    return (
        f"Population gradient plus isotropic noise at width {close.width}. {_both(close)} "
        f"{_both(paper)} Predictions are exact first-passage times in the one-dimensional free "
        "energy of a mode, without adjustable numbers; the other directions change the "
        "prefactor, at this width by several times. Steps whose temperature exceeds "
        f"{DRIFT_FROM:g} of the thermal spinodal, or whose barrier is below {SEVERAL:g} T, are "
        "called drift, the others steps over a several-T barrier; that is theory and no verdict. A "
        "step is called noise-activated only if it has such a barrier, if replicas still trapped "
        "when the noise is switched off stay trapped, and if its waiting times pass the test of "
        "memorylessness."
    )


def _both(part: LangevinRecord) -> str:
    signals = _signals(part)
    steps = []
    for step, verdict in zip(part.theory, part.verdicts, strict=True):
        stage = part.stage("both" if step.rank else "trivial", f"{step.rank} -> {step.rank + 1}")
        height = (
            "no barrier left"
            if step.barrier_over_t is None
            else f"a free-energy barrier of {shown(step.barrier_over_t, 2)} T"
        )
        words = _verdict(verdict, step, stage, part)
        steps.append(
            f"step {stage.stage} at {shown(step.fraction, 2)} of its thermal spinodal with "
            f"{height} ({LABELS[step.label]}): {shown(stage.escapes)} of {shown(stage.trials)} "
            "escaped, "
            f"mean {_mean(stage)} updates, {words}"
        )
    text = "; ".join(steps)
    random = part.stage("random", "0 -> 2")
    return (
        f"Signals {signals}, weight decay {part.weight_decay:g}, T = {shown(part.temperature, 3)}: "
        f"a random start has settled at rank 2 after {_epochs(random.median_steps)} updates "
        f"(of the learning rate of the traps; its own steps are {RANDOM_SLOWER} times smaller); "
        f"{text}.{_decades(part)}"
    )


def _decades(part: LangevinRecord) -> str:
    if part.decades is None:
        return ""
    return (
        f" From the random start's median to the mean of the step 1 -> 2 the times span "
        f"{shown(part.decades, 2)} decades."
    )


LABELS = {"barrier": "several-T barrier", "drift": "drift"}
"""How the page names the regimes of theory."""


def _verdict(verdict: str, step: StageTheory, stage: StageRecord, part: LangevinRecord) -> str:
    """In words, with the barrier it speaks of or the reason why it cannot tell."""
    if verdict == "noise_activated":
        return f"noise-activated over {shown(step.barrier_over_t, 2)} T"
    if verdict != "cannot_tell":
        return {
            "noise_drift": "drift by noise",
            "noise_free_drift": "escapes without noise too",
        }[verdict]
    start = "rank 1" if step.rank else "trivial"
    rows = [n for n in part.noise_off if n.start == start and not n.deterministic]
    if not any(n.trials for n in rows):
        return (
            "cannot tell what it would do without noise: no replica was still trapped when the "
            "noise was switched off"
        )
    return (
        "cannot tell whether it is activated: memorylessness can be tested on the "
        f"{shown(stage.memoryless.events)} escapes that all replicas were watched for, and needs "
        f"{LEAST_EVENTS} (`--effort paper` has four times the replicas and watches four times as "
        "long)"
    )


def _mean(stage: StageRecord) -> str:
    if stage.mean_steps is None:
        return f"above {shown(stage.mean_steps_low, 2)}"
    return shown_interval(stage.mean_steps, stage.mean_steps_low, stage.mean_steps_high, 2)


def _survival(part: LangevinRecord, name: str) -> Figure:
    wanted = (
        ("random", "0 -> 2"),
        ("trivial", "0 -> 1"),
        ("rank 1", "1 -> 2"),
        ("trivial", "1 -> 2"),
    )
    stages = [part.stage(*one) for one in wanted]
    signals = _signals(part)
    ends = "; ".join(f"{s.start}, {s.stage}: {s.escapes} of {s.trials}" for s in stages)
    return Figure(
        name=f"fig1a_langevin_{name}",
        size=(4.9, 3.8),
        caption=f"Langevin, signals {signals}: survival (Kaplan-Meier, 95 % limits) of each stage. "
        "The last curve counts from the arrival at rank 1. Dashed: exponential with the predicted "
        f"mean. Escaped: {ends}.",
        alt=f"Survival curves fall in stages over decades of updates. Escaped: {ends}.",
        draw=lambda canvas: draw_survival(
            [f"{s.start}, {s.stage}" for s in stages],
            [s.curve.steps for s in stages],
            [s.curve.survival for s in stages],
            [s.curve.low for s in stages],
            [s.curve.high for s in stages],
            [s.predicted_steps if i < 3 else None for i, s in enumerate(stages)],
            ax=canvas.subplots(),
        ).legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, fontsize=8),
    )


def _theory(record: Record) -> Table:
    return Table(
        name="fig1a_langevin_theory",
        caption="Where the temperature lies, before any simulation.",
        columns=(
            "signals", "step", "T", "thermal spinodal", "T over it", "bare barrier / T",
            "free-energy barrier / T", "back / T", "predicted updates", "label",
        ),
        rows=tuple(
            (
                p.signals, f"{t.rank} -> {t.rank + 1}", p.temperature, t.thermal_spinodal,
                t.fraction, t.energy_barrier_over_t, t.barrier_over_t, t.back_over_t,
                t.predicted_steps, LABELS[t.label],
            )
            for p in (record.langevin, record.langevin_paper)
            for t in p.theory
        ),
        digits=3,
        note="The label says where theory puts the temperature; it is no verdict on the escapes.",
    )  # fmt: skip


def _stages(record: Record) -> Table:
    return Table(
        name="fig1a_langevin_stages",
        caption="Langevin: every stage from every start.",
        columns=(
            "signals", "start", "stage", "escaped", "mean updates", "predicted updates",
            "measured / predicted", "low", "high", "memoryless", "p",
        ),
        rows=tuple(
            (
                p.signals, s.start, s.stage, f"{s.escapes} of {s.trials}", _mean(s),
                s.predicted_steps, s.ratio, s.ratio_low,
                s.ratio_high, s.memoryless.verdict, s.memoryless.p_value,
            )
            for p in (record.langevin, record.langevin_paper)
            for s in p.stages
        ),
        digits=3,
        note="Mean: exposure over events, 95 % likelihood-ratio limits. 'both': rank-1 starts and "
        "trivial starts after their first stage together; the log-rank test that they share one "
        f"hazard gives p = {shown(record.langevin.same_hazard, 2)} and "
        f"{shown(record.langevin_paper.same_hazard, 2)}. Memorylessness is untested below "
        f"{LEAST_EVENTS} events. Updates of random starts are counted in those of the traps, "
        f"{RANDOM_SLOWER} times larger; from their median to the mean of 1 -> 2 the times span "
        f"{shown(record.langevin.decades, 2)} and {shown(record.langevin_paper.decades, 2)} "
        f"decades. {_step_control(record.langevin)} "
        f"{_step_control(record.langevin_paper)}",
    )  # fmt: skip


def _signals(part: LangevinRecord) -> str:
    return " and ".join(shown(s) for s in part.signals)


def _step_control(part: LangevinRecord) -> str:
    control = part.step_control
    if control.ratio is None:
        return f"Finite steps, signals {_signals(part)}: too few escapes to compare."
    return (
        f"Finite steps, signals {_signals(part)}: with a learning rate of "
        f"{shown(control.learning_rate)} instead of "
        f"{shown(part.learning_rate)} the stage {control.stage} takes {shown(control.ratio, 2)} "
        f"[{shown(control.ratio_low, 2)}, {shown(control.ratio_high, 2)}] times as long "
        f"({control.escapes} of {control.trials} escaped)."
    )


def _noise_off(record: Record) -> Table:
    return Table(
        name="fig1a_langevin_noise_off",
        caption="The same starts with the noise off, at once or after it has spread the weights.",
        columns=("signals", "start", "after", "escaped", "fraction below", "updates watched"),
        rows=tuple(
            (p.signals, n.start, n.after, _silent(n), n.fraction and n.fraction.high, n.steps)
            for p in (record.langevin, record.langevin_paper)
            for n in p.noise_off
        ),
        digits=3,
        note="Without any noise all replicas are the same run: it is one, and no sample. The "
        "controls are the replicas that noise had spread and that were still trapped when it was "
        "switched off; only they are counted.",
    )


def _silent(row: NoiseOff) -> str:
    """One run, a count, or nothing left to count."""
    if row.deterministic:
        return f"one deterministic run, {'escapes' if row.escapes else 'stays'}"
    if not row.trials:
        return "none left to test"
    return f"{shown(row.escapes)} of {shown(row.trials)}"


def _basins_in_words(record: Record) -> str:
    decay = _text_decay(record)
    rows = [b for b in record.basins.basins if b.weight_decay == decay]
    text = "; ".join(
        f"scale {b.scale:g}: {shown(b.rank_two.fraction, 2)} reach rank 2, "
        f"{shown(b.rank_one.fraction, 2)} rank 1, {shown(b.rank_zero.fraction, 2)} none"
        for b in rows
        if b.scale in (rows[0].scale, rows[len(rows) // 3].scale, 1.0)
    )
    sudden = "; ".join(
        f"{a.arm} {shown(a.ratio, 2)}" for a in record.abruptness if a.ratio is not None
    )
    return (
        "Which phase a random start ends in is decided by the scale of the start, without noise. "
        f"At weight decay {decay:g} ({rows[0].rank_two.trials} starts each; scale 1 is the "
        f"paper's): {text}. Abruptness is the 10-90 % width of a transition over its delay: "
        f"{sudden}. A drop that is sudden on the scale of its delay is no evidence of noise."
    )


def _basins(record: Record) -> Figure:
    decays = tuple(dict.fromkeys(b.weight_decay for b in record.basins.basins))
    rows = [[b for b in record.basins.basins if b.weight_decay == d] for d in decays]
    return Figure(
        name="fig1a_basins",
        size=(5.4, 3.5),
        caption="Fraction of noise-free random starts that end with both features, with exact 95 % "
        "limits, against their standard deviation in units of the paper's.",
        alt="The fraction rises from 0 to 1 with the scale of the start, later at larger weight "
        "decay.",
        draw=lambda canvas: draw_basins(
            [f"weight decay {d:g}" for d in decays],
            [b.scale for b in rows[0]],
            [[b.rank_two.fraction or 0.0 for b in row] for row in rows],
            [[b.rank_two.low for b in row] for row in rows],
            [[b.rank_two.high for b in row] for row in rows],
            ax=canvas.subplots(),
        ).legend(loc="lower right"),
    )


def _basin_table(record: Record) -> Table:
    return Table(
        name="fig1a_basin_fractions",
        caption="Basin fractions of random starts.",
        columns=("weight decay", "scale", "rank 0", "rank 1", "rank 2", "low", "high", "diverged"),
        rows=tuple(
            (
                b.weight_decay, b.scale, b.rank_zero.fraction, b.rank_one.fraction,
                b.rank_two.fraction, b.rank_two.low, b.rank_two.high, b.diverged,
            )
            for b in record.basins.basins
        ),
        digits=3,
        shown=0,
    )  # fmt: skip


def _abruptness(record: Record) -> Table:
    return Table(
        name="fig1a_abruptness",
        caption="Abruptness of the transitions: 10-90 % width over delay.",
        columns=("arm", "transitions", "delay", "width", "unit", "width / delay", "quartiles"),
        rows=tuple(
            (
                a.arm, f"{a.transitions} of {a.replicas}", a.delay, a.width, a.unit, a.ratio,
                None if a.ratio is None else (a.ratio_low, a.ratio_high),
            )
            for a in record.abruptness
        ),
        digits=3,
        note="Medians over the transitions that were seen from end to end.",
    )  # fmt: skip


def _charity_in_words(record: Record) -> str:
    charity = record.charity
    return (
        "Varied: how well the checkpoints had converged (down to ghosts, rank-2 networks taken on "
        "their way down near 0.361), weight decay 0.32 or 0.03, biases, single precision, and "
        "added isotropic noise at a temperature chosen so that the rank-1 trap lasts about as "
        f"long as stated. A time counts as met within a factor of {charity.factor:g}; the "
        "two times of the trivial trap, stated as lower limits, by anything later too, and the one "
        "of the random start by anything sooner. "
        f"{shown(charity.met_all)} of {len(charity.rows)} settings give all "
        f"{len(charity.stated)} times. Closest comes: {charity.best}, with {charity.best_met}; of "
        f"the four times of figure 1a no setting gives more than {charity.most_of_figure_1a}. "
        f"{_sparse_in_words(record)} {_watched_in_words(record)}"
    )


def _watched_in_words(record: Record) -> str:
    """Why settings that were watched for less than the stated times are excluded all the same."""
    charity = record.charity
    rows = [r for r in charity.rows if _excluded(r) == OPEN]
    if not rows:
        return ""
    most = max((r.missing_end / r.separatrix for r in rows if r.missing_end is not None), default=0)
    excluded = (
        "their missing strength ended at most at "
        f"{shown(most, 1)} of the separatrix, below which it decays and the noise of a batch with "
        "it, so that longer watching would only see it fall"
        if most < 1
        else "their missing strength ended up to "
        f"{shown(most, 2)} times the separatrix, so that they remain open"
    )
    return (
        f"{len(rows)} of the settings were not watched for the stated times, showed no other time "
        "of a trap, and are not excluded by watching alone: in the runs that had not escaped "
        f"{excluded}."
    )


OPEN = "not excluded by watching alone"


def _excluded(row: CharityRow) -> str:
    """What watching says of a setting: enough, a trap's time that is not the stated one, or not."""
    if row.watched_enough:
        return "watched long enough"
    traps = zip(row.epochs[1:4], row.met[1:4], strict=True)
    if any(time.value is not None and not met for time, met in traps):
        return "excluded by a trap's time that was seen"
    return OPEN


def _sparse_in_words(record: Record) -> str:
    """What the settings that explain the sparse run give for the traps of figure 1a."""
    rows = [r for r in record.charity.rows if r.met[-1]]
    if not rows:
        return "No setting gives the time of the sparse run."
    text = "; ".join(
        f"{r.setting} at weight decay {r.weight_decay:g}, rank-1 trap {_epochs(r.epochs[1])}"
        for r in rows
    )
    return (
        "The time of the sparse run is met by a residual that no longer counts here, or by noise "
        f"({text} epochs). In single precision a residual below "
        "some 10^{-6} cannot be told from rounding, so that the checkpoint is left there."
    )


def _search(record: Record) -> Figure:
    charity = record.charity
    return Figure(
        name="fig1a_charity",
        size=(6.4, 4.8),
        caption="Measured over stated times, for the two weight decays. Filled marks meet the "
        f"stated time within a factor of {charity.factor:g} (shaded); open ones do not. Limits "
        "are met on one side of the strip too. Crosses: never within the horizon"
        f"{_horizons(charity)}; the table gives what excludes them.",
        alt="No row has all five marks in the shaded strip. "
        f"Closest: {charity.best} with {charity.best_met}.",
        draw=lambda canvas: _draw_search(record, canvas),
    )


def _horizons(charity: CharityRecord) -> str:
    """How many rows were watched for less than the paper states."""
    short = sum(not row.watched_enough for row in charity.rows)
    return f", which {short} of {len(charity.rows)} rows have shorter than stated" if short else ""


def _draw_search(record: Record, canvas: Canvas) -> None:
    charity, decays = record.charity, record.minibatch.weight_decays
    panels = canvas.subplots(1, len(decays), sharey=True, squeeze=False)[0]
    for ax, decay in zip(panels, decays, strict=True):
        rows = [r for r in charity.rows if r.weight_decay == decay]
        draw_search(
            [_setting(r) for r in rows],
            charity.stated,
            charity.stated_epochs,
            [[q.value for q in r.epochs] for r in rows],
            [r.met for r in rows],
            charity.factor,
            ax=ax,
        )
        ax.set_title(f"weight decay {decay:g}")
    found = {}
    for ax in panels:
        handles, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    canvas.legend(found.values(), found.keys(), loc="outside lower center", ncols=2, fontsize=8.5)


def _setting(row: CharityRow) -> str:
    if row.temperature or row.biases or row.precision != "float64" or not row.residual:
        return row.setting
    short = {
        "as described, converged": "converged",
        "ghost taken early": "ghost",
        "checkpoint left early": "left early",
    }
    return f"{short.get(row.setting, row.setting)}, {row.residual:g}"


def _charity(record: Record) -> Table:
    charity = record.charity
    return Table(
        name="fig1a_charity_search",
        caption="Charity search: median epochs (95 % limits) of the five stated times.",
        columns=(
            "setting", "weight decay", "residual", "T",
            *(f"{n} ({e:g})" for n, e in zip(charity.stated, charity.stated_epochs, strict=True)),
            "met", "watching", "largest missing strength at the end", "separatrix",
        ),
        rows=tuple(
            (
                r.setting, r.weight_decay, r.residual, r.temperature or None,
                *(_epochs(q) for q in r.epochs), f"{r.met_count} of {len(r.met)}",
                _excluded(r), r.missing_end, r.separatrix,
            )
            for r in charity.rows
        ),
        digits=3,
        note="> n: half had not escaped after n epochs. Where n is less than the stated time "
        "watching alone excludes nothing: the argument is the missing strength at the end, of the "
        "runs from either trap that had not escaped, far below the separatrix (the smaller one of "
        "the two traps), where it only decays. Stated times in brackets.",
    )  # fmt: skip
