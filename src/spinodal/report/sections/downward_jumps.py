"""The jumps that SGD makes: downwards, and with which exponent."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.downward_jumps import draw_exponents, draw_jump_times
from spinodal.protocols.downward_jumps_records import (
    JumpPoint,
    JumpRecord,
    Record,
    SamplingRecord,
)
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
        f"{one.name.capitalize()}: measured exponent {_interval(one)}, "
        f"{'predicted' if one.exact_reduction else 'one mode alone has'} "
        f"{shown(one.exact_exponent, 3)} for SGD and {shown(one.diffusion_exponent, 3)} for its "
        f"diffusion; {_verdict(one)}."
        for one in record.networks
    ]
    points = [p for one in record.networks for p in one.points]
    ups, trials = sum(p.up_escapes for p in points), sum(p.up_replicas for p in points)
    near, starts = sum(p.near_escapes for p in points), sum(p.near_replicas for p in points)
    parts.append(
        f"{shown(sum(p.jumps for p in points))} jumps down; up {near} of {starts} that start "
        f"beside the lower rank, at half of the saddle's amplitude, and {ups} of {trials} from the "
        f"lower rank itself{', 0 by construction' if ups == 0 else ''}."
    )
    shuffled, replacement = _of(record, "shuffled"), _of(record, "replacement")
    parts.append(
        f"Shuffled epochs {RARER[_rarer(record)]} than the same sets drawn with replacement: "
        f"{shuffled.jumps} jumps in {shuffled.replicas} runs beside {replacement.jumps} in "
        f"{replacement.replicas}."
    )
    return " ".join(parts)


RARER = {1: "make jumps rarer", 0: "cannot be told to make jumps rarer", -1: "make jumps commoner"}


def _rarer(record: Record) -> int:
    """1 where the limits of the rate under shuffling end below those with replacement begin."""
    shuffled, replacement = _of(record, "shuffled"), _of(record, "replacement")
    if shuffled.rate_high < replacement.rate_low:
        return 1
    return -1 if shuffled.rate_low > replacement.rate_high else 0


def _verdict(one: JumpRecord) -> str:
    """What the measurement decides; of a network of more modes, what it excludes."""
    if one.told != "no_test":
        return f"the measurement {TOLD[one.told]}"
    exact, diffusion = (
        "contain" if _inside(one, value) else "exclude"
        for value in (one.exact_exponent, one.diffusion_exponent)
    )
    joined = (
        f"the limits {exact} both one-mode exponents"
        if exact == diffusion
        else f"the limits {exact} the one-mode exponent of SGD and {diffusion} that of its "
        "diffusion"
    )
    return f"{joined}; {_one_mode(one)}"


def _inside(one: JumpRecord, value: float) -> bool:
    return (one.low is None or one.low <= value) and (one.high is None or value <= one.high)


def _one_mode(one: JumpRecord) -> str:
    """Does the theory of one mode describe a network that is more than its one mode?"""
    ratios = [p for p in one.points if p.ratio_to_chain is not None]
    if not ratios:
        return "no time is known to hold against the one-mode theory"
    off = len(ratios) - sum(_holds_one(p) for p in ratios)
    values = [p.ratio_to_chain or 0.0 for p in ratios]
    times = (
        f"measured times are {shown(min(values), 2)} to {shown(max(values), 2)} of those of the "
        f"one-mode chain, off beyond the errors at {off} of {len(ratios)} points"
    )
    if not off and _inside(one, one.exact_exponent):
        return f"{times}: nothing here contradicts the one-mode theory"
    return f"{times}: the one-mode theory does not describe this network, and why is open"


def _holds_one(point: JumpPoint) -> bool:
    return (point.ratio_low or 0) <= 1 <= (point.ratio_high or float("inf"))


def _course(one: JumpRecord) -> str:
    """How measured over chain time goes as the noise falls: the slope against that of the chain."""
    if one.low is not None and one.low > one.finite:
        return "grows"
    if one.high is not None and one.high < one.finite:
        return "falls"
    return "does not change beyond the errors"


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
    inside = sum(_holds_one(p) for p in ratios)
    others = [p for p in ratios if not p.fitted]
    low = min((p.ratio_to_chain or 0 for p in ratios), default=None)
    high = max((p.ratio_to_chain or 0 for p in ratios), default=None)
    reduction = (
        "one input and one output, so the chain is the network"
        if one.exact_reduction
        else "singular vectors turn and other weights fluctuate, which the chain of one mode "
        "leaves out: it stands beside the measurement and is no prediction for it"
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
            f"contain 1 at {inside} of {len(ratios)} points. As the noise falls this "
            f"ratio {_course(one)}. "
        )
    if not one.exact_reduction:
        verdict = _verdict(one)
        text += f"Of the measured exponent {verdict}. "
    if others:
        listed = "; ".join(
            f"lr {shown(p.learning_rate)}, B {p.batch_size}: {shown(p.mean, 3)}"
            for p in sorted(one.points, key=lambda p: (p.noise, p.learning_rate))
            if any(abs(p.noise / o.noise - 1) < 1e-9 for o in others)
        )
        text += f"At equal lr / B, where only terms of the order of lr differ: {listed}. "
    near, starts = (
        sum(getattr(p, name) for p in one.points) for name in ("near_escapes", "near_replicas")
    )
    text += (
        f"From beside the lower rank, at half of the saddle's amplitude, {near} of {starts} learn "
        "the feature; from the lower rank itself none can, its dead weights being exact zeros "
        "(balance counts both ways). "
    )
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
        caption="Measured exponents in units of the one for SGD; theory is that of one mode, which "
        "is a prediction for networks of one input and output alone.",
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
            "runs upwards", "escapes upwards", "upward rate below", "runs from beside",
            "escapes from beside",
        ),
        rows=tuple(
            (
                one.name, p.learning_rate, p.batch_size, p.fitted, p.replicas, p.jumps, p.mean,
                p.mean_low, p.mean_high, p.diffusion, p.corrected, p.chain, p.ratio_to_chain,
                p.up_replicas, p.up_escapes, p.up_rate_bound, p.near_replicas, p.near_escapes,
            )
            for one in record.networks
            for p in one.points
        ),
        digits=3,
        note="The bound of the upward rate is one-sided, 95 %; from the lower rank itself no "
        "upward escape is possible by construction, dead weights being exact zeros. From beside: "
        "the feature's amplitude starts at half of the saddle's.",
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
                one.told.replace("_", " "),
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
        "A shuffled epoch uses every sample once, so its noise partly cancels: at the ends of "
        f"epochs the variance near the learned point is {shown(record.shuffled_noise_ratio, 2)} "
        f"of that of independent batches. {shuffled.jumps} jumps in {shuffled.replicas} runs of "
        f"{shown(shuffled.steps)} updates"
    )
    if not shuffled.jumps:
        text += f": a rate below {shown(shuffled.rate_high, 2)} (one-sided, 95 %)"
    else:
        text += f": a rate of {_rate(shuffled)}"
    text += f", where the same sets drawn with replacement have {_rate(replacement)}"
    if _rarer(record) > 0:
        factor = replacement.rate_low / shuffled.rate_high
        text += f"; by these limits at least {shown(factor, 2)} times less"
    return text + "."


def _rate(one: SamplingRecord) -> str:
    return shown_interval(one.rate, one.rate_low, one.rate_high)


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
