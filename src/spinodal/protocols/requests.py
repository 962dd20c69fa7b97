"""What the paper, its referee and its readers ask for, and what answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["claim", "figure", "prediction", "referee", "practitioner"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. `section` is a section of the report or 'atlas'; None means not yet.

    `answer` says in a line what is found there, or what is still missing.
    """

    source: Source
    where: str
    request: str
    section: str | None
    command: str | None
    answer: str = ""


def _reproduce(section: str) -> str:
    return f"spinodal reproduce --only {section}"


def _answered(source: Source, where: str, request: str, section: str, answer: str) -> Request:
    command = (
        "spinodal atlas --depth 3 --width 10 --signals 0.9 0.8 --weight-decay 0.32"
        if section == "atlas"
        else _reproduce(section)
    )
    return Request(
        source=source,
        where=where,
        request=request,
        section=section,
        command=command,
        answer=answer,
    )


def _open(source: Source, where: str, request: str, answer: str = "") -> Request:
    return Request(
        source=source, where=where, request=request, section=None, command=None, answer=answer
    )


REQUESTS: tuple[Request, ...] = (
    _answered(
        "claim",
        "claim 1",
        "First-order transitions in the regularisation, one per feature, with coexisting phases "
        "and barriers between them",
        "fig4",
        "Branches, spinodal and coexistence of both features in closed form; figure 3 sweeps them.",
    ),
    _answered(
        "claim",
        "claim 2",
        "Escape is activated by SGD noise: ln tau linear in batch size over learning rate",
        "fig2b",
        "The sweep with real minibatches, its noise-free null law, and additive noise beside it. "
        "The same trap under six noises: noise-arms.",
    ),
    _answered(
        "claim",
        "claim 3",
        "Deliberate trapping reproduces grokking: delay, abruptness, sensitivity to the start, "
        "and the gap between train and test with sparse samples",
        "fig1a",
        "Delay, abruptness and basins as numbers with their controls; the sparse gap in fig1b.",
    ),
    _answered(
        "figure",
        "figure 1a",
        "Test error of three starts: random, rank-1 trap, trivial trap",
        "fig1a",
        "At weight decay 0.32 and at the caption's 0.03, with noise-off twins and additive noise.",
    ),
    _answered(
        "figure",
        "figure 1b",
        "Train and test error with 25 samples: apart on a plateau, then together at once",
        "fig1b",
        "The delay follows the residual of the checkpoint, with and without noise.",
    ),
    _answered(
        "figure",
        "figure 2a",
        "Loss along the minimal path at three weight decays, saddle and barrier",
        "fig2a",
        "Saddle and barrier from theory, and found again by training.",
    ),
    _answered(
        "figure",
        "figure 2b",
        "ln tau against 1/T over five learning rates, 50 seeds each",
        "fig2b",
        "Censored times and a likelihood fit instead of averaged escapes.",
    ),
    _answered(
        "figure",
        "figure 2b",
        "An effective temperature from the trace of the gradient covariance",
        "noise-arms",
        "Minibatch noise beside isotropic, local and frozen Gaussian noise of known covariance, "
        "from one trap.",
    ),
    _answered(
        "figure",
        "figure 3",
        "Test error and effective rank against the weight decay",
        "fig3",
        "Sweeps up and down, each transition beside its prediction from the sample's spectrum.",
    ),
    _answered(
        "figure",
        "figure 4",
        "Stable and unstable branches of both features",
        "fig4",
        "For any depth and signals.",
    ),
    _answered(
        "figure",
        "appendix A",
        "Settings and protocol of the experiments; transitions on the way up",
        "fig3",
        "Every setting stands in the section that uses it.",
    ),
    _answered(
        "figure",
        "appendices B and D",
        "Critical strength and number of transitions",
        "audit",
        "Rows 3 to 5 and 34 to 36.",
    ),
    _answered(
        "figure",
        "appendix C",
        "Order of the transition at depth 2 and beyond, and the barrier",
        "audit",
        "Rows 18, 37, 39 and 40.",
    ),
    _answered(
        "figure",
        "appendix E",
        "Kramers-Langer prefactor from Hessian spectra",
        "audit",
        "Rows 25 to 30: formula, count of flat directions, sign of the entropy. Rates that include "
        "the flat directions, beside waiting and splitting: route-agreement.",
    ),
    _answered(
        "figure",
        "appendix F",
        "Correction for multiplicative noise, and units of time",
        "downward-jumps",
        "The jumps that minibatch noise does make, against the exponent of SGD, that of its "
        "diffusion, and both ways; units and the logarithmic law: rows 31 and 32 of the audit.",
    ),
    _answered(
        "figure",
        "appendix G",
        "Sigmoid and tanh networks behave alike",
        "audit",
        "Row 44: what minibatch noise does to unused units differs; the order of their transitions "
        "and their escape times are still to come.",
    ),
    _answered(
        "prediction",
        "prediction 1",
        "Staged grokking, one stage per singular value",
        "fig1a",
        "Stages under additive noise, none under minibatch noise.",
    ),
    _answered(
        "prediction",
        "prediction 2",
        "Deeper networks wait longer",
        "audit",
        "Row 42: the barriers at any depth; measured times per depth are still to come.",
    ),
    _answered(
        "prediction",
        "prediction 3",
        "ln tau proportional to batch size over learning rate, usable to speed up or hold back "
        "grokking",
        "fig2b",
        "The measured sweep; rows 7, 19, 20 and 43 of the audit. Learning rate and batch size "
        "varied independently: downward-jumps.",
    ),
    _open(
        "prediction",
        "prediction 3",
        "The same law in existing grokking benchmarks",
    ),
    _answered(
        "referee",
        "bistability",
        "Bistability shown independently of grokking: landscape, jump of the order parameter, "
        "saddle-point analysis",
        "balance",
        "Rates both ways, the exact equilibrium of both phases, and a jump that sharpens with "
        "width, under additive noise; loops in fig3, saddles in fig2a.",
    ),
    _answered(
        "referee",
        "loss",
        "The loss written out",
        "atlas",
        "With every factor, and how it maps to a PyTorch set-up.",
    ),
    _answered(
        "referee",
        "barrier",
        "The definition of the barrier",
        "fig2a",
        "Loss at the saddle minus loss in the phase that is left.",
    ),
    _answered(
        "referee",
        "fit",
        "The fitting procedure and its error bars",
        "fig2b",
        "Censored likelihood over single runs with profile intervals. Additive noise acts on the "
        "exact population, so runs are the unit; the sweep with minibatches has data sets as unit.",
    ),
    _answered(
        "referee",
        "exclusion",
        "The rule by which runs were excluded",
        "fig2b",
        "None is: a run that does not escape counts with the time it was watched.",
    ),
    _answered(
        "referee",
        "independence",
        "Barriers computed independently of the escape times that they explain",
        "route-agreement",
        "From the equations, beside times by waiting and by splitting; tests show that no barrier "
        "has seen an escape time.",
    ),
    _open(
        "practitioner",
        "own training",
        "Find signs of grokking or of metastable states in one's own training",
    ),
    _open(
        "practitioner",
        "schedules",
        "Escape sooner by controlled noise or a regularisation schedule",
        "Which noise frees a network and which cannot: noise-arms. Schedules: not yet.",
    ),
    _answered(
        "practitioner",
        "landscapes",
        "See energy landscapes and phase transitions",
        "fig2a",
        "Landscapes here, phases in fig3 and fig4; any other network with `spinodal atlas`.",
    ),
    _answered(
        "practitioner",
        "delay",
        "Judge from the complexity of the task how much delay to expect",
        "atlas",
        "Barriers, and with --temperature times, for linear networks; other tasks are still to "
        "come.",
    ),
    _open(
        "practitioner",
        "suggested",
        "L2 schedules and noise at chosen epochs that remove the delay",
    ),
    _answered(
        "practitioner",
        "suggested",
        "Count traps by the rank of the data covariance, not by the size of the model",
        "atlas",
        "The number of phases depends on the signals and the weight decay, not on the width.",
    ),
    _answered(
        "practitioner",
        "suggested",
        "The same escape in other non-convex problems",
        "other-problems",
        "Regularised matrix completion and sparse regression with a concave penalty, by the same "
        "sweeps, paths, waiting and splitting.",
    ),
)
"""Every request, in the order claims, figures, predictions, referee, practitioners."""
