"""The jumps that SGD makes: downwards, and with which exponent."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.downward_jumps import draw_exponents, draw_jump_times
from spinodal.protocols.downward_jumps_records import JumpRecord, Record, SamplingRecord
from spinodal.report.section import (
    Figure,
    Heading,
    Paragraph,
    Section,
    Table,
    shown,
    shown_interval,
)

SAMPLED = {
    "wishart": "fresh samples",
    "replacement": "training set, with replacement",
    "shuffled": "training set, shuffled epochs",
}
TOLD = {
    "exact": "tells for that of SGD and against that of its diffusion",
    "diffusion": "tells for that of the diffusion and against that of SGD",
    "neither": "agrees with neither",
    "both": "cannot tell the two apart",
}


def section(record: Record) -> Section:
    """The record as a section of the report."""
    return Section(
        id="downward-jumps",
        title="The jumps that minibatch noise does make",
        question=(
            "Minibatch noise loses features by rare jumps. Is their rate that of the usual "
            "diffusion with C lr / B, or another one?"
        ),
        answer=_answer(record),
        blocks=(
            Paragraph(_method(record)),
            _times_figure(record),
            _exponents_figure(record),
            *(Paragraph(_text(one)) for one in record.networks),
            _points_table(record),
            _exponents_table(record),
            Heading("Sampling"),
            Paragraph(_sampling_text(record)),
            _sampling_table(record),
            _single_table(record),
        ),
    )


def _answer(record: Record) -> str:
    parts = [
        f"{one.name.capitalize()}: measured exponent {_interval(one)}, for SGD "
        f"{shown(one.exact_exponent, 3)} is predicted and for its diffusion "
        f"{shown(one.diffusion_exponent, 3)}; {_verdict(one)}."
        for one in record.networks
    ]
    ups = sum(p.up_escapes for one in record.networks for p in one.points)
    trials = sum(p.up_replicas for one in record.networks for p in one.points)
    downs = sum(p.jumps for one in record.networks for p in one.points)
    parts.append(
        f"{shown(downs)} jumps down; {ups} up in {trials} runs from the exact lower rank"
        + (", which no noise of this kind can leave." if ups == 0 else ".")
    )
    fresh, shuffled = _of(record, "wishart"), _of(record, "shuffled")
    if fresh.jumps:
        parts.append(
            f"Shuffled epochs make them rarer: {shuffled.jumps} jumps in {shuffled.replicas} runs "
            f"where fresh samples make {fresh.jumps} in {fresh.replicas}."
        )
    return " ".join(parts)


def _verdict(one: JumpRecord) -> str:
    """What the measurement decides; where the theory of one mode is not exact, nothing."""
    if one.exact_reduction:
        return f"the measurement {TOLD[one.told]}"
    return (
        "no test of either, since other weights fluctuate there and the slope holds what they do "
        "to the prefactor"
    )


def _method(record: Record) -> str:
    return (
        "A feature is lost when its amplitude is pushed below the saddle; the event is the passage "
        "below 0.6 of the saddle's amplitude. For small noise lr / B the mean time is "
        "exp(exponent B / lr) times a prefactor. The diffusion d theta = -grad E dt + "
        "(lr C / B)^{1/2} dB has one exponent, SGD with independent samples another: the root of "
        "the samples' cumulant generating function, which knows more of a kick than its variance. "
        "What is fitted, by censored likelihood on single times, is the slope of ln(time / "
        "diffusion's exact mean time) against B / lr, so that no prefactor is fitted; added to "
        "the diffusion's exponent it is the measured one. Crosses: the Markov chain of SGD itself, "
        "solved for its mean time at each learning rate and batch size; no parameter is free. No "
        "barrier was taken from escape times."
    )


def _interval(one: JumpRecord) -> str:
    return shown_interval(one.measured, one.low, one.high, unknown="unbounded")


def _text(one: JumpRecord) -> str:
    ratios = [p for p in one.points if p.ratio_to_chain is not None]
    inside = sum((p.ratio_low or 0) <= 1 <= (p.ratio_high or float("inf")) for p in ratios)
    others = [p for p in ratios if not p.fitted]
    low = min((p.ratio_to_chain or 0 for p in ratios), default=None)
    high = max((p.ratio_to_chain or 0 for p in ratios), default=None)
    reduction = (
        "one input and one output, so the chain is the network"
        if one.exact_reduction
        else "singular vectors turn and other weights fluctuate, a drift of order lr / B that the "
        "chain of one mode leaves out: its prefactor does not hold, and what the prefactor does as "
        "the noise falls is in the measured slope"
    )
    text = (
        f"**{one.name.capitalize()}** (width {one.width}, signals "
        f"{', '.join(shown(s) for s in one.signals)}, weight decay {shown(one.weight_decay)}; "
        f"{reduction}). {shown(one.jumps)} jumps fitted; the same fit to the chain's times gives "
        f"{shown(one.finite, 3)}, which is what finite learning rates leave of the exponent. "
    )
    if ratios:
        text += (
            f"Measured over the chain's time: {shown(low, 3)} to {shown(high, 3)}; the 95 % limits "
            f"contain 1 at {inside} of {len(ratios)} points. "
        )
    if others:
        listed = "; ".join(
            f"lr {shown(p.learning_rate)}, B {p.batch_size}: {shown(p.mean, 3)}"
            for p in sorted(one.points, key=lambda p: (p.noise, p.learning_rate))
            if any(abs(p.noise / o.noise - 1) < 1e-9 for o in others)
        )
        text += f"At equal lr / B, where only terms of the order of lr differ: {listed}. "
    p_value = "no p-value" if one.memoryless_p is None else f"p = {shown(one.memoryless_p, 2)}"
    text += (
        f"Without noise {one.quiet_jumps} jumps from the same start, which is a minimum; waiting "
        f"times at the smallest noise: memoryless {one.memoryless} ({p_value}, "
        f"{one.memoryless_events} jumps after the dead time)."
    )
    return text


def _times_figure(record: Record) -> Figure:
    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(record.networks), squeeze=False)[0]
        for ax, one in zip(panels, record.networks, strict=True):
            draw_jump_times(
                [1 / p.noise for p in one.points],
                [p.mean for p in one.points],
                [p.mean_low for p in one.points],
                [p.mean_high for p in one.points],
                [p.fitted for p in one.points],
                diffusion=[p.diffusion for p in one.points],
                corrected=[p.corrected for p in one.points],
                chain=[p.chain for p in one.points],
                title=one.name.capitalize(),
                ax=ax,
            )
        panels[0].set_ylabel("mean time until the jump")

    return Figure(
        name="downward-jumps_times",
        caption=(
            "Mean time (learning rate times updates) until the weakest learned feature is lost, "
            "against B / learning rate."
        ),
        alt="; ".join(
            f"{one.name}: measured exponent {_interval(one)}, SGD {shown(one.exact_exponent, 3)}, "
            f"diffusion {shown(one.diffusion_exponent, 3)}"
            for one in record.networks
        ),
        size=(4.3 * len(record.networks), 4.0),
        draw=draw,
    )


def _exponents_figure(record: Record) -> Figure:
    nets = record.networks
    return Figure(
        name="downward-jumps_exponents",
        caption="Measured exponents in units of the one predicted for SGD.",
        alt=" ".join(f"{one.name}: {_verdict(one)}." for one in nets),
        size=(5.8, 1.6 + 0.5 * len(nets)),
        draw=lambda canvas: draw_exponents(
            [one.name for one in nets],
            [one.measured for one in nets],
            [one.low for one in nets],
            [one.high for one in nets],
            [one.diffusion_exponent for one in nets],
            [one.exact_exponent for one in nets],
            ax=canvas.subplots(),
        ),
    )


def _points_table(record: Record) -> Table:
    return Table(
        name="downward-jumps_points",
        caption="Mean times until the jump (learning rate times updates)",
        columns=(
            "network", "learning rate", "B", "fitted", "runs", "jumps", "mean time", "95 % low",
            "95 % high", "diffusion", "with SGD's exponent", "SGD's chain", "measured / chain",
            "runs upwards", "escapes upwards", "upward rate below",
        ),
        rows=tuple(
            (
                one.name, p.learning_rate, p.batch_size, p.fitted, p.replicas, p.jumps, p.mean,
                p.mean_low, p.mean_high, p.diffusion, p.corrected, p.chain, p.ratio_to_chain,
                p.up_replicas, p.up_escapes, p.up_rate_bound,
            )
            for one in record.networks
            for p in one.points
        ),
        digits=3,
        note="The bound of the upward rate is one-sided, 95 %; no upward escape is possible by "
        "construction, dead weights being exact zeros.",
    )  # fmt: skip


def _exponents_table(record: Record) -> Table:
    return Table(
        name="downward-jumps_fits",
        caption="Exponents: ln(mean time) per B / lr",
        columns=(
            "network", "measured", "95 % low", "95 % high", "SGD", "diffusion",
            "chain at these points", "jumps", "tells for",
        ),
        rows=tuple(
            (
                one.name, one.measured, one.low, one.high, one.exact_exponent,
                one.diffusion_exponent, one.finite, one.jumps,
                one.told if one.exact_reduction else "no test",
            )
            for one in record.networks
        ),
    )  # fmt: skip


def _of(record: Record, name: str) -> SamplingRecord:
    return next(one for one in record.samplings if one.sampling == name)


def _sampling_text(record: Record) -> str:
    fresh, shuffled = _of(record, "wishart"), _of(record, "shuffled")
    replacement = _of(record, "replacement")
    own = record.sample_exponents
    text = (
        f"One feature of signal {shown(record.sampling_signal)} at weight decay "
        f"{shown(record.sampling_weight_decay)}, learning rate "
        f"{shown(record.sampling_learning_rate)}, batch size {record.sampling_batch_size}. The "
        f"training sets of {record.sampling_samples} samples have the population's second moments, "
        "hence its landscape, but not its higher cumulants: their exponents, by the same equation "
        f"with the mean over the samples, lie between {shown(min(own), 3)} and "
        f"{shown(max(own), 3)}, where the population has {shown(record.population_exponent, 3)}. "
    )
    if fresh.ratio is not None:
        text += f"Measured over predicted mean time: {_ratio(fresh)} with fresh samples"
        if replacement.ratio is not None:
            text += f", {_ratio(replacement)} with replacement, each set against its own exponent"
        text += ". "
    text += (
        "A shuffled epoch uses every sample once, so its noise nearly cancels: at the ends of "
        f"epochs the variance near the learned point is {shown(record.shuffled_noise_ratio, 2)} "
        f"of that of independent batches. {shuffled.jumps} jumps in {shuffled.replicas} runs of "
        f"{shown(shuffled.steps)} updates"
    )
    if not shuffled.jumps and replacement.jumps:
        factor = replacement.rate / shuffled.rate_high
        text += (
            f": a rate below {shown(shuffled.rate_high, 2)} (one-sided, 95 %), at least "
            f"{shown(factor, 2)} times below that of the same sets drawn with replacement"
        )
    return text + "."


def _ratio(one: SamplingRecord) -> str:
    return shown_interval(one.ratio, one.ratio_low, one.ratio_high, unknown="unbounded")


def _sampling_table(record: Record) -> Table:
    return Table(
        name="downward-jumps_samplings",
        caption="The same step under three samplings",
        columns=(
            "sampling", "runs", "data sets", "updates", "jumps", "rate", "95 % low", "95 % high",
            "jumps expected", "expected / seen", "ratio low", "ratio high",
        ),
        rows=tuple(
            (
                SAMPLED[one.sampling], one.replicas, one.datasets, one.steps, one.jumps, one.rate,
                one.rate_low, one.rate_high, one.expected, one.ratio, one.ratio_low,
                one.ratio_high,
            )
            for one in record.samplings
        ),
        digits=3,
        note="Rates per unit of learning rate times updates; without jumps the upper limit is "
        "one-sided.",
    )  # fmt: skip


def _single_table(record: Record) -> Table:
    return Table(
        name="downward-jumps_single",
        caption="Every run: time until the jump, or watched without",
        columns=("network", "learning rate", "B", "time", "jumped"),
        rows=tuple(
            (one.name, p.learning_rate, p.batch_size, time, jumped)
            for one in record.networks
            for p in one.points
            for time, jumped in zip(p.time, p.jumped, strict=True)
        ),
        shown=0,
    )
