"""What the comparison of noises says in words: method, noises, settings, controls."""

from __future__ import annotations

from spinodal.protocols.activation import DRIFT_FROM, SEVERAL
from spinodal.protocols.noise_arms_records import ArmName, ArmRecord, Record, SettingRecord
from spinodal.report.section import shown

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


FAR = 100.0
"""A barrier of so many T is out of reach of any simulation."""


def counts(one: SettingRecord, names: tuple[ArmName, ...]) -> tuple[int, int]:
    """(escapes, replicas that can escape) of several arms together."""
    arms = [one.arm(name) for name in names]
    return sum(arm.escapes for arm in arms), sum(arm.eligible for arm in arms)


def of(arm: ArmRecord) -> str:
    """Escapes of one arm."""
    return f"{arm.escapes} of {arm.eligible}"


def method(record: Record) -> str:
    """How it is done."""
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


def noise_text(record: Record) -> str:
    """What each noise is in the trap."""
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


def setting_text(one: SettingRecord) -> str:
    """Prediction and outcome of one setting."""
    theory, free, frozen = one.theory, one.arm("isotropic"), one.arm("frozen at rank 2")
    over = "" if theory.over_spinodal is None else (
        f", {shown(theory.over_spinodal, 3)} of the thermal spinodal"
    )  # fmt: skip
    barrier = theory.free_barrier_over_t
    free_barrier = "" if barrier is None else f", the free-energy barrier {shown(barrier, 3)} T"
    where = {
        "drift": f"Above {DRIFT_FROM:g} of the thermal spinodal theory calls any escape drift",
        "crossover": f"That is below {SEVERAL:g} T, too low for a rate",
        "barrier": "No run is long enough for that"
        if barrier is not None and barrier > FAR
        else f"That is more than the {SEVERAL:g} T that activation needs",
    }[theory.regime]
    steep = theory.energy_barrier / frozen.noise.raising_temperature
    silent = counts(one, SILENT)
    text = (
        f"**{one.name.capitalize()}** (weight decay {one.weight_decay:g}, learning rate "
        f"{one.learning_rate:g}, batch size {one.batch_size}; {one.holds_second} of {one.datasets} "
        f"training sets hold rank 2). T = {shown(theory.temperature, 3)}{over}; the energy barrier "
        f"is {shown(theory.energy_barrier_over_t, 3)} T{free_barrier}. {where}. Isotropic noise: "
        f"{of(free)} escaped in {free.steps:,} updates. {_times(one)} Noise frozen at rank 2: "
        f"{of(frozen)} escaped; the energy barrier is {shown(steep, 2)} times its largest "
        f"temperature in any rank-raising direction. The four noises that leave dead weights "
        f"alone: {silent[0]} of {silent[1]}."
    )
    fell = sum(arm.fell for arm in one.arms)
    if fell:
        text += f" {_replicas(fell)} lost the first feature."
    return text + _diverged(one)


def _replicas(count: int) -> str:
    return "One replica" if count == 1 else f"{count:,} replicas"


def _times(one: SettingRecord) -> str:
    """Measured and predicted time under isotropic noise."""
    free, predicted = one.arm("isotropic"), one.theory.predicted_steps
    said = (
        "the time that the reduced free energy predicts exceeds any number of updates"
        if predicted is None
        else f"the reduced free energy predicts {shown(round(predicted))} on average"
    )
    if not free.escapes:
        return f"The rate is below {shown(free.rate_high, 2)} per time unit (95 %); {said}."
    mean = 1 / free.rate / one.learning_rate
    text = f"The mean time is {shown(round(mean))} updates (exposure over escapes)"
    if free.median_steps is not None:
        high = "not reached" if free.median_high is None else shown(round(free.median_high))
        text += (
            f", the median {shown(round(free.median_steps))} "
            f"[{shown(round(free.median_low))}, {high}]"
        )
    text += f"; {said}"
    if predicted is not None:
        text += (
            f", {shown(mean / predicted, 2)} times less. Its coordinate, the second strength "
            "with the rotations it sets free, leaves out all other directions"
        )
    return text + "."


def _diverged(one: SettingRecord) -> str:
    lost = {WORDS[arm.arm]: arm.diverged for arm in one.arms if arm.diverged}
    if not lost:
        return ""
    text = f" {_replicas(sum(lost.values()))} diverged and are counted nowhere ("
    text += ", ".join(f"{name}: {count}" for name, count in lost.items()) + ")"
    if one.arm("local").diverged:
        text += (
            ": Gaussian noise with the covariance of so small batches can make their second "
            "moments of x indefinite, which those of samples never are, and then the loss of that "
            "update has no minimum"
        )
    return text + "."


def near_text(record: Record) -> str:
    """What the starts beside the trap are for, and what they show."""
    text = (
        "In the trap all dead weights are exactly zero, and minibatch noise vanishes identically "
        "in them: that it frees nothing from there is built into the start, and the runs confirm "
        "only an identity. So minibatch noise is also tried where it does reach the second "
        "feature: from balanced starts whose second amplitude is a fraction of the saddle's. "
    )
    near = [(one, row) for one in record.settings for row in one.near]
    quiet = sum(row.quiet_escapes for _, row in near)
    runs = sum(row.quiet_runs for _, row in near)
    for fraction in dict.fromkeys(row.fraction for _, row in near):
        rows = [row for _, row in near if row.fraction == fraction]
        escapes, trials = sum(r.escapes for r in rows), sum(r.trials for r in rows)
        text += f"From {fraction:g} of the saddle {escapes} of {trials} escape. "
    text += f"Without noise {quiet} of {runs} do, all fractions together. "
    apart = sorted({r.fraction for _, r in near if r.escapes and r.low > 0 and not r.quiet_escapes})
    if apart and quiet == 0:
        text += (
            f"So minibatch noise does carry networks over a saddle that is near enough (from "
            f"{' and '.join(f'{f:g}' for f in apart)} of its amplitude), and its absence in dead "
            "weights is what keeps them: as the second strength shrinks, so does its noise. "
        )
    return text + (
        "Minibatch noise, then, decides beside the saddle and frees nothing at rest in the trap."
        if apart and quiet == 0
        else "No difference that noise made is seen here."
    )


def controls(record: Record) -> str:
    """The controls in words, and how far the verdicts reach."""
    parts, dead = [], record.settings[-1].arm("isotropic").dead_time
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
        if arm.escapes:
            text += f"; waiting under isotropic noise: {_memory(arm)}"
        parts.append(text + ".")
    return (
        "'Noise-activated' is said only of isotropic noise below "
        f"{DRIFT_FROM:g} of the thermal spinodal over a free-energy barrier of at least "
        f"{SEVERAL:g} T whose waiting is memoryless, where nothing escapes without noise or after "
        "it stopped. 'Drift driven by noise' of frozen noise, too, needs that nothing escapes "
        "after it stopped. 'Absorbed': no escape, no noise in any rank-raising weight, and a "
        "second strength that ends as rounding. Memory is tested on what is left of the waiting "
        f"after a dead time of {shown(dead, 2)} time units, ten "
        "times that of the saddle: from zero weights it takes a while to get near the barrier at "
        "all, and a test of the whole sample finds that delay as well. The whole sample may be "
        "rejected though the rest is consistent, where escapes take hardly longer than the delay; "
        "'noise-activated' needs both. " + " ".join(parts) + _limits(record)
    )


def _memory(arm: ArmRecord) -> str:
    if arm.memoryless == "untested":
        return f"{arm.memoryless_events} escapes after the dead time, too few to test"
    after, whole = (
        "none" if p is None else shown(p, 2) for p in (arm.memoryless_p, arm.memoryless_p_whole)
    )
    word = "no memory found" if arm.memoryless == "consistent" else "memory found"
    return (
        f"{word} after the dead time (p = {after}, {arm.memoryless_events} escapes), whole "
        f"sample p = {whole}"
    )


def _limits(record: Record) -> str:
    """How near the edge of the classification the activated setting is."""
    text = ""
    for one in record.settings:
        arm, theory = one.arm("isotropic"), one.theory
        if arm.verdict != "noise_activated" or theory.predicted_steps is None:
            continue
        text += (
            f" *{one.name.capitalize()}* is called noise-activated at the limits of that "
            f"classification: {shown(theory.over_spinodal, 3)} of the thermal spinodal (limit "
            f"{DRIFT_FROM:g}) and a barrier of {shown(theory.free_barrier_over_t, 3)} T (limit "
            f"{SEVERAL:g} T). Brute force lives there: times grow exponentially with the barrier, "
            "and one or two T more exceed these runs. The mean time is "
            f"{shown(1 / arm.rate / one.learning_rate / theory.predicted_steps, 2)} times the "
            "predicted one; that escapes follow the reduced free energy quantitatively is not "
            "claimed, nor anything about higher barriers."
        )
    return text
