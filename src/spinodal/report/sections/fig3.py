"""Figure 3: the phase diagram, swept up and down."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from spinodal.plots.phase_diagram import draw_spread, draw_strengths, draw_sweep, draw_transitions
from spinodal.protocols.phase_diagram import PhaseDiagramRecord
from spinodal.protocols.sweep_records import DatasetSweep, Mean, ModeSummary
from spinodal.report.section import Figure, Heading, Paragraph, Row, Section, Stated, Table, shown


def section(record: PhaseDiagramRecord) -> Section:
    """The record as a section of the report."""
    return Section(
        id="fig3",
        title="The phase diagram (figure 3)",
        question="At which weight decay is each feature lost, and does it come back?",
        answer=_answer(record),
        stated=_stated(record),
        blocks=(
            _diagram(record),
            Paragraph(_protocol(record)),
            Row((_strengths(record), _transitions(record))),
            _datasets(record),
            Heading("Is the offset from the population values a bias?"),
            Paragraph(_fluctuation(record)),
            Row((_spread(record), _spreads(record))),
            Heading("How sharp is the jump, and how large the loop?"),
            Paragraph(_jump(record)),
            _order(record),
            Heading("Does the sweep's speed matter?"),
            Paragraph(_speed(record)),
            _lags(record),
            Heading("The way down"),
            Paragraph(_down(record)),
            _regained(record),
            *_data(record),
        ),
    )


def _name(mode: ModeSummary) -> str:
    return f"signal {mode.signal:g}"


def _interval(mean: Mean, digits: int = 2) -> str:
    """Mean and standard error, with the number of data sets."""
    if mean.mean is None:
        return "not measured"
    if mean.standard_error is None:
        return f"{shown(mean.mean, digits)} (one data set)"
    return f"{shown(mean.mean, digits)} ± {shown(mean.standard_error, 2)}"


def _example(record: PhaseDiagramRecord) -> DatasetSweep:
    """The conditioned data set, or the first if there is none."""
    return next((s for s in record.sweeps if s.conditioned), record.sweeps[0])


def _answer(record: PhaseDiagramRecord) -> str:
    told = " and ".join(
        f"{_interval(mode.measured, 3)} for {_name(mode)}" for mode in record.summaries
    )
    lags = " and ".join(_interval(mode.lag, 2) for mode in record.summaries)
    regained = sum(group.regained for group in record.regained)
    lanes = sum(group.lanes for group in record.regained)
    text = (
        f"Swept upwards, the features are lost at weight decay {told} "
        f"(mean over {record.datasets} data sets), {lags} above the prediction from each sample's "
        "own moments" + (", and the slower the sweep the closer" if _closer(record) else "") + ". "
    )
    if record.stated and _ordinary(record):
        values = " and ".join(f"{value:g}" for value in reversed(record.stated))
        text += f"The stated {values} lie within the scatter of such samples: no bias is needed. "
    text += (
        f"Swept back down, {regained} of {lanes} networks regained a feature: the rank-increasing "
        "steps of a decreasing sweep do not occur."
        if regained == 0
        else f"Swept back down, {regained} of {lanes} networks regained a feature."
    )
    return text


def _closer(record: PhaseDiagramRecord) -> bool:
    """Whether longer rungs bring every transition closer to the prediction."""
    return all(
        mode.lag.mean is not None
        and mode.lag_short.mean is not None
        and abs(mode.lag.mean) < abs(mode.lag_short.mean)
        for mode in record.summaries
    )


def _ordinary(record: PhaseDiagramRecord) -> bool:
    """Whether every stated transition lies within two deviations of what samples scatter."""
    return all(mode.stated_z is not None and abs(mode.stated_z) < 2 for mode in record.summaries)


def _stated(record: PhaseDiagramRecord) -> tuple[Stated, ...]:
    rows = [
        Stated(
            what=f"transition of the feature of {_name(mode)} (found: mean over data sets)",
            stated=mode.stated,
            found=mode.measured.mean,
            verdict="reproduces"
            if mode.stated_z is not None and abs(mode.stated_z) < 2
            else "not reproduced as described",
        )
        for mode in record.summaries
        if mode.stated is not None
    ]
    regained = sum(group.regained for group in record.regained)
    lanes = sum(group.lanes for group in record.regained)
    rows.append(
        Stated(
            what="the rank rises by one at each transition as weight decay is lowered",
            stated="yes",
            found=f"{regained} of {lanes} downward sweeps",
            verdict="not reproduced as described" if regained == 0 else "inconsistent",
        )
    )
    return tuple(rows)


def _protocol(record: PhaseDiagramRecord) -> str:
    example = _example(record)
    return (
        f"Networks of depth {record.depth} and width {record.width} train by SGD with shuffled "
        f"epochs, learning rate {record.learning_rate:g}, batches of {record.batch_size} out of "
        f"{record.samples} samples. The weight decay rises from 0 in steps of {record.step:g}, "
        f"{record.rung_epochs} epochs ({shown(record.rung_time, 3)} time units) at each, and then "
        "returns. A strength below 0.001 counts as no rank. "
        + (
            "The figure shows the data set that was conditioned on the empirical signals "
            f"({shown(example.signals, 4)}) which the stated transitions imply"
            if example.conditioned
            else "The figure shows the first data set"
        )
        + "; its theory comes from the same sample's moments, not from a fit. A transition is the "
        "weight decay halfway between the last rung at which the strength exceeds half of what "
        "theory gives at the end of the branch, and the next rung."
    )


def _diagram(record: PhaseDiagramRecord) -> Figure:
    example = _example(record)
    others = [sweep for sweep in record.sweeps if sweep is not example]
    theory = record.theory

    def draw(canvas: Canvas) -> None:
        top, bottom = canvas.subplots(2, 1, sharex=True)
        stated = record.stated or ()
        draw_sweep(
            record.weight_decays,
            example.up.test_error,
            example.down.test_error,
            others=[sweep.up.test_error for sweep in others],
            theory=theory and (theory.weight_decays, theory.curve.test_error),
            stated=stated,
            label="test error",
            ax=top,
        )
        draw_sweep(
            record.weight_decays,
            example.up.effective_rank,
            example.down.effective_rank,
            theory=theory and (theory.weight_decays, theory.curve.effective_rank),
            stated=stated,
            label="effective rank",
            ax=bottom,
        )
        top.set_xlabel("")
        top.legend(loc="center left", bbox_to_anchor=(0.03, 0.64), fontsize=8.5)

    ends = ", ".join(shown(t.measured, 3) for t in example.transitions)
    return Figure(
        name="fig3_phase_diagram",
        size=(5.8, 5.4),
        caption=(
            "Test error and effective rank at the end of every rung: swept up from a random start "
            "(filled), then down again (open). Grey: the upward sweeps of the other data sets. "
            "Dashed: the transitions that the paper states."
        ),
        alt=(
            "On the way up the test error rises smoothly and jumps, and the effective rank drops "
            f"by one, near weight decays {ends} (strongest feature first). On the way down both "
            "stay where they were at the top: test error about 1, rank 0, down to weight decay 0."
        ),
        draw=draw,
    )


def _strengths(record: PhaseDiagramRecord) -> Figure:
    example = _example(record)
    theory = record.theory
    return Figure(
        name="fig3_strengths",
        size=(5.0, 4.0),
        caption=(
            "The order parameters of the same data set: up with minibatch noise (filled), up with "
            "the full batch (crosses, the noise-off twin), and back down from the first rung "
            "at which the weaker feature was gone (open)."
        ),
        alt=(
            "Both strengths fall along the theory's curves to a finite value and jump to zero, one "
            "after the other. Turned back in between, the stronger feature retraces its curve and "
            "the weaker one stays at zero."
        ),
        draw=lambda canvas: draw_strengths(
            record.weight_decays,
            example.up.strengths,
            example.up_noiseless.strengths,
            example.turned and example.turned.strengths,
            example.turned_from,
            theory and (theory.weight_decays, theory.curve.strengths),
            names=[_name(mode) for mode in record.summaries],
            stated=record.stated or (),
            ax=canvas.subplots(),
        ),
    )


def _transitions(record: PhaseDiagramRecord) -> Figure:
    pairs = [
        [
            (t.predicted, t.measured, sweep.conditioned)
            for sweep in record.sweeps
            for t in sweep.transitions
            if t.mode == mode.mode and t.measured is not None
        ]
        for mode in record.summaries
    ]
    return Figure(
        name="fig3_transitions",
        size=(5.0, 4.0),
        caption=(
            "Measured transition of every data set against the prediction from its own moments. "
            "Ringed: the conditioned data set."
        ),
        alt=(
            "All points lie along the diagonal, a little above it: transitions come slightly late "
            "because the sweep is not infinitely slow."
        ),
        draw=lambda canvas: draw_transitions(
            [[x for x, _, _ in rows] for rows in pairs],
            [[y for _, y, _ in rows] for rows in pairs],
            names=[_name(mode) for mode in record.summaries],
            conditioned=[(x, y) for rows in pairs for x, y, special in rows if special],
            step=record.step,
            stated=record.stated or (),
            ax=canvas.subplots(),
        ),
    )


def _datasets(record: PhaseDiagramRecord) -> Table:
    return Table(
        name="fig3_transitions_by_dataset",
        caption="Transitions data set by data set.",
        columns=(
            "data set",
            "feature",
            "signal in the sample",
            "predicted",
            "measured",
            "full batch",
            "rungs half as long",
            "half as long, full batch",
        ),
        rows=[
            (
                "conditioned" if sweep.conditioned else str(sweep.dataset),
                _name(record.summaries[t.mode - 1]),
                sweep.signals[t.mode - 1],
                t.predicted,
                t.measured,
                t.noiseless,
                t.short,
                t.short_noiseless,
            )
            for sweep in sorted(record.sweeps, key=lambda s: not s.conditioned)
            for t in sweep.transitions
        ],
        digits=4,
        shown=2 * min(6, len(record.sweeps)),
        note=f"Measured on a grid of {record.step:g}, so known to within half a step.",
    )


def _fluctuation(record: PhaseDiagramRecord) -> str:
    parts = []
    for mode in record.summaries:
        text = (
            f"{_name(mode)}: {shown(mode.population, 4)} for the population, "
            f"{shown(mode.spread_mean, 4)} on average over samples, standard deviation "
            f"{shown(mode.spread, 2)} ± {shown(mode.spread_error, 1)}"
        )
        if mode.stated is not None and mode.stated_z is not None:
            text += f"; the stated {mode.stated:g} is {shown(mode.stated_z, 2)} deviations away"
        parts.append(text)
    rough = " and ".join(shown(mode.spread_signals_only, 2) for mode in record.summaries)
    text = (
        f"Predicted transitions of {record.spectra} samples of {record.samples}, none trained. "
        + "; ".join(parts[:1]).capitalize()
        + ". "
        + ". ".join(part.capitalize() for part in parts[1:])
        + ". "
    )
    if record.stated_joint is not None:
        text += (
            "Jointly, a fresh sample lies at least as far from the average as the stated pair with "
            f"probability {shown(record.stated_joint, 2)}. "
        )
        text += (
            "An ordinary fluctuation of a finite sample explains the offset; no bias of the output "
            "distribution has to be assumed. "
            if _ordinary(record)
            else "That is more than samples usually scatter. "
        )
    text += (
        f"Taking only the singular values of Sigma_{{yx}} would give deviations of {rough}: "
        "the input covariance of the sample fluctuates along with them and takes part of it back. "
    )
    first, last = record.summaries[0], record.summaries[-1]
    if first.spread_mean - last.spread_mean > first.population - last.population:
        text += (
            "On average the transitions of a sample lie further apart than the population's, "
            "because close singular values repel."
        )
    return text


def _spread(record: PhaseDiagramRecord) -> Figure:
    stronger, weaker = record.summaries[0], record.summaries[-1]
    rows = record.spectrum_spinodals
    stated = record.stated
    return Figure(
        name="fig3_spread",
        size=(5.0, 3.8),
        caption=(
            f"Predicted transitions of {record.spectra} samples, the population's, and the stated "
            "pair."
        ),
        alt=(
            "A cloud of samples around the population value, about "
            f"{shown(weaker.spread, 1)} wide each way; the stated pair lies well inside it."
        ),
        draw=lambda canvas: draw_spread(
            [row[-1] for row in rows],
            [row[0] for row in rows],
            population=(weaker.population, stronger.population),
            stated=None if stated is None else (stated[-1], stated[0]),
            ax=canvas.subplots(),
        ),
    )


def _spreads(record: PhaseDiagramRecord) -> Table:
    return Table(
        name="fig3_spread_of_samples",
        caption="The scatter of the predicted transitions.",
        columns=("", *(_name(mode) for mode in record.summaries)),
        rows=[
            ("paper states", *(mode.stated for mode in record.summaries)),
            ("population", *(mode.population for mode in record.summaries)),
            ("mean of samples", *(mode.spread_mean for mode in record.summaries)),
            ("standard deviation", *(mode.spread for mode in record.summaries)),
            ("its standard error", *(mode.spread_error for mode in record.summaries)),
            ("deviation, signals alone", *(mode.spread_signals_only for mode in record.summaries)),
            ("z of the stated value", *(mode.stated_z for mode in record.summaries)),
        ],
        digits=3,
    )


def _jump(record: PhaseDiagramRecord) -> str:
    parts = [
        f"For {_name(mode)} the strength falls from its value at the last rung below the predicted "
        f"transition to nothing: a jump of {_interval(mode.jump, 3)}, where theory gives "
        f"{_interval(mode.before_predicted, 3)} at the same rungs and "
        f"{_interval(mode.jump_predicted, 3)} at the end of the branch, the least a jump can be "
        f"(measured minus theory: {_interval(mode.jump_error, 1)} with minibatch noise, "
        f"{_interval(mode.jump_error_noiseless, 1)} with the full batch). "
        for mode in record.summaries
    ]
    areas = " and ".join(
        f"{_interval(mode.area, 3)} against {_interval(mode.area_predicted, 3)} predicted"
        for mode in record.summaries
    )
    return (
        "".join(parts)
        + f"The loop between the way up and the way down has the area {areas}; data set by data "
        "set the difference is "
        + " and ".join(_interval(mode.area_error, 1) for mode in record.summaries)
        + ", about the lag of the transition times the jump."
    )


def _order(record: PhaseDiagramRecord) -> Table:
    rows = []
    for mode in record.summaries:
        for what, measured, predicted in (
            ("transition", mode.measured, mode.predicted),
            ("jump of the strength", mode.jump, mode.before_predicted),
            ("area of the loop", mode.area, mode.area_predicted),
        ):
            rows.append(
                (
                    _name(mode), what, measured.mean, measured.standard_error,
                    predicted.mean, predicted.standard_error, measured.count,
                )
            )  # fmt: skip
    return Table(
        name="fig3_order_parameter",
        caption="Measured and predicted, means over the unconditioned data sets.",
        columns=(
            "feature", "quantity", "measured", "standard error", "predicted",
            "standard error of predicted", "data sets",
        ),
        rows=rows,
        digits=(4, 4, 4, 2, 4, 2, 4),
        note=(
            "Both columns scatter together, sample by sample; their difference is much better "
            "known than either."
        ),
    )  # fmt: skip


def _speed(record: PhaseDiagramRecord) -> str:
    parts = [
        f"{_name(mode)}: {_interval(mode.lag, 2)} with rungs of {record.rung_epochs} epochs, "
        f"{_interval(mode.lag_short, 2)} with {record.rung_epochs // 2}"
        for mode in record.summaries
    ]
    ghosts = " and ".join(shown(mode.ghost_time, 2) for mode in record.summaries)
    quiet = " and ".join(_interval(mode.lag_noiseless, 2) for mode in record.summaries)
    return (
        "Transitions come late, because just above a spinodal training still lingers where the "
        f"learned point was: one step above it, theory says for {ghosts} time units, and a rung "
        f"lasts {shown(record.rung_time, 2)}. Lag of the measured transition behind the predicted "
        f"one, {'; '.join(parts)}. With the full batch it is {quiet}"
        + (
            ", the same within errors: slowness, not noise. "
            if all(_agree(mode.lag, mode.lag_noiseless) for mode in record.summaries)
            else ". "
        )
        + "A network caught there looks converged and is not."
    )


def _agree(one: Mean, other: Mean) -> bool:
    """Equal within two standard errors of the difference, taken as independent."""
    if None in (one.mean, other.mean, one.standard_error, other.standard_error):
        return False
    errors = (one.standard_error or 0.0) ** 2 + (other.standard_error or 0.0) ** 2
    return abs((one.mean or 0.0) - (other.mean or 0.0)) <= 2 * errors**0.5


def _lags(record: PhaseDiagramRecord) -> Table:
    return Table(
        name="fig3_lags",
        caption="Measured minus predicted transition, means over data sets.",
        columns=("feature", "sweep", "lag", "standard error", "low", "high", "data sets"),
        rows=[
            (
                _name(mode), name, lag.mean, lag.standard_error, lag.low, lag.high, lag.count,
            )
            for mode in record.summaries
            for name, lag in (
                (f"{record.rung_epochs} epochs a rung", mode.lag),
                (f"{record.rung_epochs} epochs, full batch", mode.lag_noiseless),
                (f"{record.rung_epochs // 2} epochs a rung", mode.lag_short),
                (f"{record.rung_epochs // 2} epochs, full batch", mode.lag_short_noiseless),
            )
        ],
        digits=(4, 4, 2, 2, 2, 2, 4),
        note="low and high: 95 % interval (Student).",
    )  # fmt: skip


def _down(record: PhaseDiagramRecord) -> str:
    return (
        "At depth 3 and more the state without features is a minimum at every positive weight "
        "decay, so a downward sweep that starts without a feature must end without it. The paper "
        "describes its figure as a decreasing sweep in which the rank rises by one at each "
        "transition; with these rules that needs the opposite direction. "
        + " ".join(
            f"From {group.start}: {group.regained} of {group.lanes} regained a feature; the "
            f"largest strength of a lost one on the way was {shown(group.largest, 1)}."
            for group in record.regained
        )
    )


def _regained(record: PhaseDiagramRecord) -> Table:
    return Table(
        name="fig3_regained",
        caption="Downward sweeps.",
        columns=(
            "start",
            "networks",
            "regained a feature",
            "probability at most",
            "largest strength of a lost one",
        ),
        rows=[(g.start, g.lanes, g.regained, g.bound, g.largest) for g in record.regained],
        digits=2,
        note=(
            "One network on each data set. Probability at most: upper end of the exact 95 % "
            "interval, one-sided where none regained a feature."
        ),
    )


def _data(record: PhaseDiagramRecord) -> tuple[Table, ...]:
    modes = [f"strength {mode.mode}" for mode in record.summaries]
    rows = []
    for sweep in record.sweeps:
        curves = [("up", sweep.up), ("down", sweep.down), ("up, full batch", sweep.up_noiseless)]
        if sweep.turned is not None:
            curves.append(("turned back", sweep.turned))
        rows += [
            (
                "conditioned" if sweep.conditioned else str(sweep.dataset), name, decay,
                curve.test_error[i], curve.effective_rank[i],
                *(strengths[i] for strengths in curve.strengths),
            )
            for name, curve in curves
            for i, decay in enumerate(record.weight_decays)
            if name != "turned back" or decay <= (sweep.turned_from or 0) + 1e-9
        ]  # fmt: skip
    return (
        Table(
            name="fig3_sweeps",
            caption="Every rung of every sweep.",
            columns=("data set", "sweep", "weight decay", "test error", "effective rank", *modes),
            rows=rows,
            shown=0,
        ),
        Table(
            name="fig3_predicted_spinodals",
            caption="Predicted transitions of the untrained samples.",
            columns=tuple(_name(mode) for mode in record.summaries),
            rows=record.spectrum_spinodals,
            shown=0,
        ),
    )
