"""The comparison of noises: same trap, same amount of noise, different shape."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.noise_arms import Curve, draw_escapes
from spinodal.protocols.activation import DRIFT_FROM, SEVERAL
from spinodal.protocols.noise_arms_records import (
    ARMS,
    ArmName,
    ArmRecord,
    Record,
    SettingRecord,
)
from spinodal.report.section import Figure, Heading, Paragraph, Section, Stated, Table, shown

SILENT: tuple[ArmName, ...] = ("minibatch", "fresh", "local", "frozen at rank 1")
"""Arms whose noise, if theory is right, is zero in all weights that could raise the rank."""

WORDS: dict[ArmName, str] = {
    "minibatch": "minibatches",
    "fresh": "fresh minibatches",
    "local": "Gaussian, local covariance",
    "isotropic": "isotropic, same trace",
    "frozen at rank 1": "Gaussian, covariance of the trap",
    "frozen at rank 2": "Gaussian, covariance of rank 2",
}

VERDICTS = {
    "absorbed": "absorbed",
    "noise_activated": "noise-activated",
    "noise_drift": "drift driven by noise",
    "noise_free_drift": "drift without noise",
    "cannot_tell": "cannot tell",
}


def section(record: Record) -> Section:
    """The record as a section of the report."""
    return Section(
        id="noise-arms",
        title="Which noise frees a network?",
        question=(
            "Is it the amount of gradient noise that decides about escape from the rank-1 trap, or "
            "where the noise points?"
        ),
        answer=_answer(record),
        stated=(_stated(record),),
        blocks=(
            Paragraph(_method(record)),
            _figure(record),
            Heading("What each noise is in the trap"),
            Paragraph(_noise_text(record)),
            _noise_table(record),
            Heading("Escapes"),
            *(Paragraph(_setting_text(one)) for one in record.settings),
            _escape_table(record),
            Paragraph(_controls(record)),
            _control_table(record),
            _curve_table(record),
        ),
    )


def _counts(one: SettingRecord, names: tuple[ArmName, ...]) -> tuple[int, int]:
    """(escapes, replicas that can escape) of several arms together."""
    arms = [one.arm(name) for name in names]
    return sum(arm.escapes for arm in arms), sum(arm.eligible for arm in arms)


def _answer(record: Record) -> str:
    silent = [_counts(one, SILENT) for one in record.settings]
    escapes, replicas = sum(e for e, _ in silent), sum(n for _, n in silent)
    minibatch = [_counts(one, ("minibatch", "fresh")) for one in record.settings]
    text = (
        f"Where it points. With minibatch noise {sum(e for e, _ in minibatch)} of "
        f"{sum(n for _, n in minibatch)} replicas escaped, with any noise that is zero in the "
        f"weights that could raise the rank {escapes} of {replicas}. "
        if escapes == 0
        else f"Even noise that should be zero in rank-raising weights let {escapes} of {replicas} "
        "replicas escape. "
    )
    hot = [one for one in record.settings if one.arm("isotropic").escapes]
    parts = [
        f"{_of(one.arm('isotropic'))} at batch size {one.batch_size} and learning rate "
        f"{one.learning_rate:g} ({VERDICTS[one.arm('isotropic').verdict]})"
        for one in hot
    ]
    if parts:
        text += "Isotropic noise of the same trace freed " + " and ".join(parts) + ". "
    for one in record.settings:
        if one not in hot:
            text += (
                f"At batch size {one.batch_size} and learning rate {one.learning_rate:g} the same "
                f"trace is a temperature of {shown(one.theory.temperature, 2)}, "
                f"{shown(one.theory.energy_barrier_over_t, 2)} times below the barrier: no noise "
                "frees anything, so such runs tell nothing about the mechanism. "
            )
    return text.rstrip()


def _of(arm: ArmRecord) -> str:
    return f"{arm.escapes} of {arm.eligible}"


def _stated(record: Record) -> Stated:
    telling = [one for one in record.settings if one.arm("isotropic").escapes]
    minibatch = [one.arm(name) for one in telling for name in ("minibatch", "fresh")]
    isotropic = [one.arm("isotropic") for one in telling]
    escaped, trials = sum(a.escapes for a in minibatch), sum(a.eligible for a in minibatch)
    freed, able = sum(a.escapes for a in isotropic), sum(a.eligible for a in isotropic)
    if not telling:
        found, verdict = "no setting in which a noise of this trace escapes", "not checked"
    else:
        found = (
            f"where isotropic noise of that trace frees {freed} of {able}, minibatches free "
            f"{escaped} of {trials}"
        )
        # One temperature for both means one rate for both.
        apart = all(
            one.arm(name).rate_high < one.arm("isotropic").rate_low
            for one in telling
            for name in ("minibatch", "fresh")
        )
        verdict = "wrong" if apart else "not checked"
    return Stated(
        what="minibatch noise acts as a temperature, T_{eff} proportional to lr / B times the "
        "trace of the gradient covariance",
        stated="assumed",
        found=found,
        verdict=verdict,
    )


def _method(record: Record) -> str:
    one = record.settings[0]
    return (
        f"Networks of depth {record.depth} and width {record.width} ({record.weights} weights) "
        f"start exactly in the rank-1 phase (signals {shown(record.signals[0])} and "
        f"{shown(record.signals[1])}), all dead weights zero, on {one.datasets} training sets of "
        f"{record.samples} samples whose second moments are exactly the population's, so that all "
        "have one landscape. The full gradient is the same for all; what is added to it "
        "differs: the noise of *minibatches* drawn with replacement, or of *fresh* ones from the "
        "population; *local* Gaussian noise of the covariance C(theta)/B that minibatches have "
        "where the network is; *isotropic* noise of the same trace, T = lr tr C / (2 B D); "
        "Gaussian noise of a covariance *frozen* in the rank-2 phase or in the trap. Escape: the "
        "second strength stays above half its learned value for two looks. Losing the first "
        "feature ends the waiting too, and is counted as that."
    )


def _noise_text(record: Record) -> str:
    one = record.settings[0]
    arm = one.arm("minibatch").noise
    zero = all(
        setting.arm(name).noise.raising_datasets == 0
        for setting in record.settings
        for name in SILENT
    )
    traces = ", ".join(
        f"{shown(s.theory.trace_datasets, 4)} ± {shown(s.theory.trace_datasets_se, 1)}"
        for s in record.settings
    )
    return (
        "Exact covariances by Isserlis' theorem (population) and by sums over samples (training "
        f"sets). In the trap minibatch noise has {arm.directions} of {record.weights} directions; "
        f"tr C is {', '.join(shown(s.theory.trace, 5) for s in record.settings)} in the population "
        f"and {traces} on average over the training sets. Along the feature already learned it "
        f"is {shown(arm.radial_temperature / arm.trace_temperature, 2)} times as hot as its "
        "trace says; along all directions into or out of dead hidden units it is "
        + (
            "exactly zero, for every sample of every training set."
            if zero
            else "not zero, see the table."
        )
    )


def _noise_table(record: Record) -> Table:
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


def _setting_text(one: SettingRecord) -> str:
    theory, free = one.theory, one.arm("isotropic")
    where = {
        "drift": f"above {DRIFT_FROM:g} of the thermal spinodal: theory calls any escape drift",
        "crossover": f"a barrier below {SEVERAL:g} T",
        "barrier": "a barrier of several T",
    }[theory.regime]
    over = "" if theory.over_spinodal is None else (
        f", {shown(theory.over_spinodal, 3)} of the thermal spinodal"
    )  # fmt: skip
    free_barrier = "" if theory.free_barrier_over_t is None else (
        f", the free-energy barrier {shown(theory.free_barrier_over_t, 3)} T"
    )  # fmt: skip
    predicted = (
        "the predicted time exceeds any number of updates"
        if theory.predicted_steps is None
        else f"the reduced free energy predicts {shown(round(theory.predicted_steps))} updates"
    )
    silent = _counts(one, SILENT)
    frozen = one.arm("frozen at rank 2")
    measured = (
        f"median {_updates(free.median_steps)} [{_updates(free.median_low)}, "
        f"{_updates(free.median_high)}]"
        if free.escapes
        else f"rate below {shown(free.rate_high, 2)} per time unit (95 %)"
    )
    fell = sum(arm.fell for arm in one.arms)
    steep = theory.energy_barrier / frozen.noise.raising_temperature
    return (
        f"**{one.name.capitalize()}** (weight decay {one.weight_decay:g}, learning rate "
        f"{one.learning_rate:g}, batch size {one.batch_size}; {one.holds_second} of {one.datasets} "
        f"training sets hold rank 2). T = {shown(theory.temperature, 3)}{over}; the energy barrier "
        f"is {shown(theory.energy_barrier_over_t, 3)} T{free_barrier}: {where}. Isotropic: "
        f"{_of(free)} escaped in {free.steps:,} updates, {measured}; {predicted}. Frozen at rank "
        f"2: {_of(frozen)}, over {shown(steep, 2)} of its temperatures. All four noises that leave "
        f"dead weights alone: {silent[0]} of {silent[1]}."
        + (f" In {fell} replicas the first feature was lost." if fell else "")
    )


def _updates(value: float | None) -> str:
    return "not reached" if value is None else shown(round(value))


def _figure(record: Record) -> Figure:
    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(record.settings), sharey=True, squeeze=False)[0]
        for ax, one in zip(panels, record.settings, strict=True):
            draw_escapes(
                [_curve(one.arm(name)) for name in ARMS],
                shortest=10.0,
                longest=float(one.steps),
                predicted=one.theory.predicted_steps,
                title=f"{one.name.capitalize()}",
                ax=ax,
            )
        panels[0].set_ylabel("escaped fraction")

    return Figure(
        name="noise-arms_escapes",
        caption=(
            "Fraction escaped from the rank-1 trap (Kaplan-Meier, 95 % band). Arms without any "
            "escape lie on zero and are drawn one below the other in the grey strip. Dotted: mean "
            "time that the reduced free energy predicts for the isotropic noise."
        ),
        alt="; ".join(
            f"{one.name}: "
            + ", ".join(f"{WORDS[a.arm]} {a.escapes}/{a.eligible}" for a in one.arms)
            for one in record.settings
        ),
        size=(3.9 * len(record.settings), 4.6),
        draw=draw,
    )


def _curve(arm: ArmRecord) -> Curve:
    return Curve(
        WORDS[arm.arm],
        f"{arm.escapes}/{arm.eligible}",
        arm.curve_steps,
        arm.curve_survival,
        arm.curve_low,
        arm.curve_high,
    )


def _escape_table(record: Record) -> Table:
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
        note="Replicas on data sets that hold rank 2. Rates per time unit (learning rate times "
        "updates); without escapes the upper limit is one-sided. Fresh minibatches have no data "
        "set: they count as one.",
    )  # fmt: skip


def _controls(record: Record) -> str:
    parts = []
    for one in record.settings:
        arm = one.arm("isotropic")
        text = (
            f"**{one.name.capitalize()}**: without noise {arm.noise_off_escapes} of "
            f"{arm.noise_off_runs} training sets let the same start go; runs 10 % below the "
            f"amplitude of the saddle {'learn' if one.below_learns else 'fall back'}, 10 % above "
            f"it {'learn' if one.above_learns else 'fall back'}"
        )
        for name in ("isotropic", "frozen at rank 2"):
            cold = one.arm(name)
            if cold.cooled_trapped is not None:
                text += (
                    f"; {WORDS[name]} switched off after {cold.cooled_after:,} updates: "
                    f"{cold.cooled_escapes} of the {cold.cooled_trapped} then still trapped escape"
                )
        p = "no p-value" if arm.memoryless_p is None else f"p = {shown(arm.memoryless_p, 2)}"
        parts.append(
            f"{text}. Waiting times under isotropic noise: memorylessness {arm.memoryless} ({p}, "
            f"{arm.memoryless_events} escapes after a dead time of {shown(arm.dead_time, 2)})."
        )
    return (
        "Controls. 'Noise-activated' is said only of isotropic noise below "
        f"{DRIFT_FROM:g} of the thermal spinodal over a free-energy barrier of at least "
        f"{SEVERAL:g} T whose waiting is memoryless, where nothing escapes without noise or after "
        "it stopped. 'Absorbed': no escape, no noise in any rank-raising weight, and a second "
        "strength that ends as rounding. " + " ".join(parts)
    )


def _control_table(record: Record) -> Table:
    return Table(
        name="noise-arms_controls",
        caption="Controls",
        columns=(
            "setting", "noise", "noise off: escapes", "noise off: runs", "cooled after",
            "cooled: escapes", "cooled: trapped", "memoryless", "p", "p, whole sample",
            "second strength at the start", "second strength at the end",
        ),
        rows=tuple(
            (
                one.name, WORDS[arm.arm], arm.noise_off_escapes, arm.noise_off_runs,
                arm.cooled_after, arm.cooled_escapes, arm.cooled_trapped, arm.memoryless,
                arm.memoryless_p, arm.memoryless_p_whole, arm.second_start, arm.second_end,
            )
            for one in record.settings
            for arm in one.arms
        ),
        digits=3,
        note="Second strengths: the largest of any replica.",
    )  # fmt: skip


def _curve_table(record: Record) -> Table:
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
