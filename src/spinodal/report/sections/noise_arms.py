"""The comparison of noises: same trap, same amount of noise, different shape."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.noise_arms import Curve, draw_escapes
from spinodal.protocols.noise_arms_records import ARMS, ArmName, ArmRecord, Record, SettingRecord
from spinodal.report.section import Figure, Heading, Paragraph, Section, Stated, shown
from spinodal.report.sections.noise_arms_tables import (
    control_table,
    curve_table,
    escape_table,
    near_table,
    noise_table,
)
from spinodal.report.sections.noise_arms_words import (
    VERDICTS,
    WORDS,
    controls,
    counts,
    method,
    near_text,
    noise_text,
    of,
    setting_text,
)


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
            Paragraph(method(record)),
            _figure(record),
            Heading("What each noise is in the trap"),
            Paragraph(noise_text(record)),
            noise_table(record),
            Heading("Escapes"),
            *(Paragraph(setting_text(one)) for one in record.settings),
            escape_table(record),
            *(
                (
                    Heading("Starts near the trap"),
                    Paragraph(near_text(record)),
                    near_table(record),
                )
                if any(one.near for one in record.settings)
                else ()
            ),
            Heading("Controls and limits"),
            Paragraph(controls(record)),
            control_table(record),
            curve_table(record),
        ),
    )


def _answer(record: Record) -> str:
    telling, mute = _parted(record)
    silent, groups = 0, []
    kinds: dict[str, tuple[ArmName, ...]] = {
        "minibatches": ("minibatch", "fresh"),
        "Gaussian noise that is likewise zero in dead weights": ("local", "frozen at rank 1"),
    }
    for words, names in kinds.items():
        found = [counts(one, names) for one in telling]
        escapes, replicas = sum(e for e, _ in found), sum(n for _, n in found)
        silent += escapes
        groups.append(f"{words} {escapes} of {replicas}")
    parts = [
        f"{of(one.arm('isotropic'))} at learning rate {one.learning_rate:g} "
        f"({VERDICTS[one.arm('isotropic').verdict]})"
        for one in telling
    ]
    text = ""
    if telling:
        sizes = ", ".join(dict.fromkeys(f"{one.batch_size}" for one in telling))
        text = "Where it points. " if silent == 0 else "Not where it points alone. "
        text += (
            f"At batch size {sizes} isotropic noise of the minibatches' trace frees "
            f"{' and '.join(parts)}. From the same trap {' and '.join(groups)} escape. "
        )
    near = [row for one in telling for row in one.near]
    if near and silent == 0:
        text += "That is built in: dead weights start at exactly zero, where this noise vanishes. "
        text += "Started beside the trap, at "
        text += ", ".join(f"{f:g}" for f in dict.fromkeys(row.fraction for row in near))
        text += " of the saddle's second amplitude, minibatch noise frees "
        text += ", ".join(
            f"{sum(r.escapes for r in near if r.fraction == f)} of "
            f"{sum(r.trials for r in near if r.fraction == f)}"
            for f in dict.fromkeys(row.fraction for row in near)
        )
        text += (
            f"; without noise {sum(r.quiet_escapes for r in near)} of "
            f"{sum(r.quiet_runs for r in near)} get away. "
        )
    for one in mute:
        escapes, replicas = counts(one, ARMS)
        text += (
            f"Apart from these, at batch size {one.batch_size} and learning rate "
            f"{one.learning_rate:g} the trace is a temperature of "
            f"{shown(one.theory.temperature, 2)}, the barrier "
            f"{shown(one.theory.energy_barrier_over_t, 2)} times that: {escapes} of {replicas} "
            "under all noises together, so such runs tell nothing about the mechanism. "
        )
    return text.rstrip()


def _parted(record: Record) -> tuple[list[SettingRecord], list[SettingRecord]]:
    """Settings in which isotropic noise frees something, and those that tell nothing."""
    telling = [one for one in record.settings if one.arm("isotropic").escapes]
    return telling, [one for one in record.settings if one not in telling]


def _stated(record: Record) -> Stated:
    telling, _ = _parted(record)
    minibatch = [one.arm(name) for one in telling for name in ("minibatch", "fresh")]
    isotropic = [one.arm("isotropic") for one in telling]
    escaped, trials = sum(a.escapes for a in minibatch), sum(a.eligible for a in minibatch)
    freed, able = sum(a.escapes for a in isotropic), sum(a.eligible for a in isotropic)
    if not telling:
        found, verdict = "no setting in which a noise of this trace escapes", "not checked"
    else:
        found = (
            f"in {', '.join(f'*{one.name}*' for one in telling)}: isotropic noise of that trace "
            f"frees {freed} of {able}, minibatches of training sets or of fresh samples free "
            f"{escaped} of {trials} ({' + '.join(str(arm.eligible) for arm in minibatch)})"
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
        size=(3.9 * len(record.settings), 4.8),
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
