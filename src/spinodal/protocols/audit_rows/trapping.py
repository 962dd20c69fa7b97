"""Rows on the three starts of figure 1a: how long random, rank-1 and trivial starts really take."""

from __future__ import annotations

import numpy as np

from spinodal.dynamics import ensemble
from spinodal.dynamics.ensemble import Ensemble
from spinodal.dynamics.networks import Network
from spinodal.dynamics.updates import Update
from spinodal.protocols.audit_rows.bench import Bench, Row
from spinodal.protocols.audit_rows.compare import within_factor
from spinodal.protocols.audit_rows.noise import gaussian_task, gradient_noise
from spinodal.protocols.audit_rows.readings import StartName, Watched, arm, watched
from spinodal.protocols.audit_rows.row import Finding
from spinodal.statistics.proportion import escape_probability
from spinodal.theory import modes

WATCHED_EPOCHS = 60
"""Epochs after which a random start has long chosen its phase."""


def random_start(bench: Bench) -> Finding:
    """Row 9: gradient descent on the population from random weights."""
    s, stated = bench.settings, bench.stated["epochs"]
    learned = modes.stationary_points(
        depth=s.depth, signal=np.array(s.ordered), weight_decay=s.weight_decay
    ).learned
    goal = float(learned[-1])
    if not np.isfinite(goal) or s.width < len(s.signals):
        return bench.finding(
            {"reached": f"0 of {s.starts}"},
            "not reproduced as described",
            "At these settings the phase with every feature does not exist.",
        )
    per_epoch = max(1, s.samples // s.batch_size)
    trained = Ensemble(
        task=gaussian_task(s, None),
        network=Network(depth=s.depth, width=s.width),
        update=Update(
            learning_rate=s.learning_rate, weight_decay=s.weight_decay, sampling="population"
        ),
        steps=WATCHED_EPOCHS * per_epoch,
        check_every=per_epoch,
        record_at=tuple(range(0, WATCHED_EPOCHS * per_epoch + 1, per_epoch)),
    )
    bench.note(ensemble.run, "<gradient descent from random weights>", replicas=str(s.starts))
    outcome = ensemble.run(trained, seed=bench.seed, replicas=s.starts, workers=bench.workers)
    # Settled: every strength within 10% of the learned one from this epoch to the last.
    strengths = outcome.recorded_strengths[..., : len(learned)]
    settled = np.all(np.abs(strengths / learned - 1) < 0.1, axis=2)
    ever = settled[:, -1]
    events = int(ever.sum())
    late = settled.shape[1] - np.argmin(settled[:, ::-1], axis=1)
    epochs = np.where(ever, np.where(settled.all(axis=1), 0, late), np.inf)
    median = float(np.median(epochs))
    fraction = escape_probability(events, s.starts)
    holds = fraction.low > 0.5 and within_factor(stated, median, 3)
    return bench.finding(
        {"reached": f"{events} of {s.starts}", "median epochs": median},
        "reproduces" if holds else "not reproduced as described",
        "Random starts reach the phase with every feature within some epochs, as observed; "
        "whether it is the lowest (row-08) does not matter for that."
        if holds
        else f"{events} of {s.starts} random starts reach the phase with every feature"
        + (f", in {median:.1f} epochs." if np.isfinite(median) else "."),
        interval_of_the_fraction=(fraction.low, fraction.high),
        shortest_and_longest=(float(epochs.min()), float(epochs.max())),
        strengths_reached=tuple(map(float, learned)),
        **_by_sgd(bench),
    )


def _by_sgd(bench: Bench) -> dict[str, object]:
    """The same start with minibatches on finite data, where figure 1a has run it."""
    found = arm(bench, "random")
    if found is None:
        return {}
    return {
        "rank_2_by_SGD_on_finite_data": f"{found.final_rank_two} of {found.trajectories}",
        "median_epochs_until_its_test_error_settles": found.settled_epochs.value,
        "data_sets_that_cannot_hold_rank_2": _cannot_hold(bench),
    }


def _cannot_hold(bench: Bench) -> str:
    """Data sets whose second spinodal lies below the weight decay."""
    record = bench.records["fig1a"].minibatch
    place = record.weight_decays.index(bench.settings.weight_decay)
    return f"{record.cannot_hold_rank_two[place]} of {len(record.datasets)}"


def rank_one_trap(bench: Bench) -> Finding:
    """Row 10: SGD from converged rank-1 checkpoints."""
    rank = min(1, len(bench.settings.signals) - 1)
    return _trap(bench, rank=rank, stated=bench.stated["epochs"], exact=True)


def trivial_trap(bench: Bench) -> Finding:
    """Row 11: gradient and noise in the trivial state, and SGD from it."""
    noise = gradient_noise(bench.settings, rank=0, seed=bench.seed)
    bench.note(gradient_noise, "settings", rank="0", seed=str(bench.seed))
    return _trap(
        bench,
        rank=0,
        stated=bench.stated["epochs at least"],
        exact=False,
        trace_of_the_noise=None if noise is None else noise.trace,
    )


def _trap(bench: Bench, *, rank: int, stated: float, exact: bool, **evidence: object) -> Finding:
    """Escapes from the checkpoint of one rank; without a record, whether there is any noise.

    `stated` is the time itself if `exact`, else a lower limit of it.
    """
    start: StartName = "rank 1" if rank else "trivial"
    seen = watched(bench, start)
    if seen is not None:
        caption = watched(bench, start, bench.settings.caption_weight_decay)
        charity = bench.records["fig1a"].charity
        return _seen(
            bench,
            seen,
            stated,
            exact,
            {
                **evidence,
                "at_the_weight_decay_of_the_caption": None if caption is None else str(caption),
                "data_sets_that_cannot_hold_rank_2": _cannot_hold(bench),
                "unstated_settings_tried_that_give_all_stated_times": (
                    f"{charity.met_all} of {len(charity.rows)}"
                ),
            },
        )
    noise = gradient_noise(bench.settings, rank=0, seed=bench.seed) if rank == 0 else None
    if noise is None or noise.trace > 0:
        return bench.finding(
            None, "not checked", "Needs the runs of figure 1a: reproduce fig1a first.", **evidence
        )
    return bench.finding(
        {"largest gradient of any sample": 0.0},
        "not reproduced as described",
        "In the trivial state the gradient of every sample is exactly zero, and so is its noise: "
        "there is nothing to escape by.",
        **evidence,
    )


def _seen(
    bench: Bench, seen: Watched, stated: float, exact: bool, evidence: dict[str, object]
) -> Finding:
    in_time = (
        within_factor(stated, seen.median, 3)
        if exact
        else seen.median is not None and seen.median > stated
    )
    holds = seen.escaped > seen.trials / 2 and in_time
    due = ""
    if exact:
        # A lower limit of the time says nothing of how many escapes were due while watching.
        expected = seen.trials * -np.expm1(-seen.epochs / stated)
        due = (
            f", where the stated time as mean would give about {expected:.0f} if escapes are "
            "memoryless"
        )
    return bench.finding(
        {"escapes": seen.escaped, "trials": seen.trials, "median epochs": seen.median},
        "reproduces" if holds else "not reproduced as described",
        "The runs escape in about the stated time."
        if holds
        else f"{seen.escaped} of {seen.trials} runs from converged checkpoints on "
        f"{seen.data_sets.trials} data sets escaped in {seen.epochs:g} epochs"
        f"{_only_eligible(seen)}{due}{_for_ever(seen)}.",
        **seen.evidence,
        **evidence,
    )


def _only_eligible(seen: Watched) -> str:
    """The same count on the data sets that have a phase to escape to."""
    if seen.eligible is None:
        return ""
    escaped, trials = seen.eligible
    return f" ({escaped} of {trials} where the data set can hold the next rank)"


def _for_ever(seen: Watched) -> str:
    """What makes a longer look unnecessary."""
    if not seen.exactly_zero:
        return ""
    return (
        f"; {seen.exactly_zero} of them ended with only zero weights, which no batch can change, "
        "so that none of these ever escapes"
    )


def orders_of_magnitude(bench: Bench) -> Finding:
    """Row 12: decades between the stated times."""
    free, trapped, trivial = bench.stated["epochs of the three starts"]
    decades = {
        "random to rank-1 trap": float(np.log10(trapped / free)),
        "random to trivial trap": float(np.log10(trivial / free)),
        "rank-1 trap to trivial trap": float(np.log10(trivial / trapped)),
    }
    bench.note(np.log10, "ratios of the stated times")
    holds = any(round(value) == bench.stated["decades"] for value in decades.values())
    return bench.finding(
        decades,
        "reproduces" if holds else "cannot be derived",
        "One of the ratios is two decades."
        if holds
        else "The stated times lie {:.1f} to {:.1f} decades apart (free to trapped) or {:.2f} "
        "(between the traps), never two.".format(*decades.values()),
    )


ROWS: dict[str, Row] = {
    "row-09": random_start,
    "row-10": rank_one_trap,
    "row-11": trivial_trap,
    "row-12": orders_of_magnitude,
}
