"""What the paper states, as data: 46 claims with the numbers it prints."""

from __future__ import annotations

from typing import Any

from spinodal.protocols.audit_rows.row import Claim, Entry


def _claim(number: int, where: str, claim: str, stated: Entry = None) -> Claim:
    return Claim(id=f"row-{number:02d}", where=where, claim=claim, stated=stated)


CLAIMS: tuple[Claim, ...] = (
    _claim(
        1,
        "equation (1)",
        "The regulariser of the strengths is beta/2 times the sum of strength^{2/L}.",
        {"coefficient in units of beta": 0.5},
    ),
    _claim(
        2,
        "equations (2), (7), (8)",
        "Non-zero stationary strengths solve strength - eta + beta strength^{2/L - 1} = 0.",
    ),
    _claim(
        3,
        "equations (3), (9)",
        "The critical strength is eta (1 - k)/(2 - k), k = 2/L, and fixes the critical beta.",
    ),
    _claim(
        4,
        "coexistence",
        "For L >= 3 the coexistence value beta* lies below the critical value beta_{c}.",
    ),
    _claim(
        5,
        "number of transitions",
        "There are as many metastable states as features, d (figure 1: two).",
        2,
    ),
    _claim(
        6,
        "equation (4)",
        "SGD noise acts as a constant, isotropic temperature proportional to lr/B.",
    ),
    _claim(
        7,
        "equation (5)",
        "That ln tau is linear in B/lr is a falsifiable prediction of escape over a loss barrier.",
    ),
    _claim(
        8,
        "section 3.1",
        "At beta = 0.32 the global minimum is the phase of rank 2.",
        {"rank of the global minimum": 2},
    ),
    _claim(
        9,
        "section 3.1 (i), figure 1a",
        "From random weights the network reaches rank 2 in about 10 epochs.",
        {"epochs": 10},
    ),
    _claim(
        10,
        "section 3.1 (ii), figure 1a",
        "SGD noise takes the network out of the rank-1 trap after about 5500 epochs.",
        {"epochs": 5500},
    ),
    _claim(
        11,
        "section 3.1 (iii), figure 1a",
        "SGD noise takes the network out of the trivial trap after more than 7000, later "
        "more than 10,000 epochs.",
        {"epochs at least": 7000},
    ),
    _claim(
        12,
        "figure 1a",
        "Trapping delays learning by two orders of magnitude.",
        {"decades": 2, "epochs of the three starts": (10, 5500, 10_000)},
    ),
    _claim(
        13,
        "figure 1a, caption; section 3.1, appendix A",
        "Figure 1a was computed at one value of beta: 0.32 in the text, 0.03 in its caption.",
        {"text": 0.32, "caption": 0.03},
    ),
    _claim(
        14,
        "figure 1b",
        "The sparse run uses 25 samples, 0.5% of 5000, and escapes by minibatch noise at B = 64.",
        {"samples": 25, "share of the pool": 0.005, "batch size": 64},
    ),
    _claim(
        15,
        "figure 1b",
        "The plateau of the sparse run lasts about 1500 epochs.",
        {"epochs": 1500},
    ),
    _claim(
        16,
        "figure 2a",
        "At beta = 0.32, eta = 0.8, L = 3 the saddle stands at strength 0.41.",
        0.41,
    ),
    _claim(17, "figure 2a", "The smallest barrier at these settings is about 0.003.", 0.003),
    _claim(
        18,
        "equation (10)",
        "The barrier is the fit at the saddle minus that at 0, plus L beta/2 strength^{2/L}.",
    ),
    _claim(
        19,
        "figure 2b",
        "ln tau is linear in 1/T_{eff} with R^{2} = 0.991 over five learning rates: Arrhenius.",
        0.991,
    ),
    _claim(
        20,
        "figures 1a and 2b",
        "The escape at lr = 0.08 (5500 epochs) and the sweep over lr = 5e-4 ... 5e-3 in runs of "
        "20,000 epochs show one activated process.",
        {"epochs at lr 0.08": 5500, "longest run in epochs": 20_000},
    ),
    _claim(
        21,
        "figure 2b",
        "The slope gives an effective barrier 0.15 +- 0.05 for T = lr/(B C), C from the trace of "
        "the gradient covariance.",
        {"barrier": 0.15, "error": 0.05},
    ),
    _claim(
        22,
        "figure 2b",
        "The effective barrier 0.15 +- 0.05 belongs to this landscape.",
        {"barrier": 0.15, "error": 0.05},
    ),
    _claim(
        23, "figures 2a and 2b", "The measured barrier exceeds the bare one about fifty times.", 50
    ),
    _claim(24, "size of the network", "The network has D = 170 weights.", 170),
    _claim(
        25,
        "equation (11)",
        "The Kramers-Langer time has D curvatures at the saddle over D - 1 in the well, and is "
        "the mean time to the saddle.",
        {"power of curvature in the time": None, "share of the time spent up to the saddle": 1.0},
    ),
    _claim(
        26,
        "equation (11)",
        "All curvatures but the unstable one are positive, so equation (11) applies here.",
        {"flat directions of the trap": 0, "flat directions of the saddle": 0},
    ),
    _claim(
        27,
        "equation (12)",
        "Its logarithm gives an effective barrier dE - T/2 sum ln(w_{saddle}/w_{min}).",
    ),
    _claim(
        28,
        "equation (12)",
        "That term explains a measured slope fifty times the barrier.",
        50,
    ),
    _claim(
        29,
        "Hessian spectra of the prefactor",
        "Most directions are much softer at the saddle than in the trap.",
    ),
    _claim(
        30,
        "equation (12), figure 2b",
        "Entropy of the many weights raises the effective barrier, about fifty times.",
        50,
    ),
    _claim(
        31,
        "appendix F.3",
        "Noise proportional to the loss (Mori et al.) does not alter the conclusion.",
    ),
    _claim(
        32,
        "appendix F.4",
        "Counting in epochs instead of time does not matter, as B, lr and N are fixed in a sweep.",
    ),
    _claim(33, "length of an epoch", "An epoch has 8 steps.", 8),
    _claim(
        34,
        "main text, appendices A, B, D",
        "The transitions are labelled beta_{c}^{(1)} = 0.36 < beta_{c}^{(2)} = 0.42, while "
        "appendix D has beta_{c}^{(1)} > beta_{c}^{(2)} with eta_{1} = 0.9 > eta_{2} = 0.8.",
        (0.36, 0.42),
    ),
    _claim(
        35,
        "figure 3, appendix B",
        "The two transitions of the sweep stand at beta = 0.36 and beta = 0.42.",
        (0.36, 0.42),
    ),
    _claim(
        36,
        "appendices A and B, figure 3",
        "The sweep of beta, increasing from 0 (A) or quasi-statically decreasing (B), shows the "
        "rank changing by one at each transition.",
    ),
    _claim(37, "appendix C", "The barrier grows as beta approaches beta_{c}."),
    _claim(
        38,
        "equation (4), shuffled epochs",
        "With 8 shuffled batches per epoch the noise temperature is proportional to lr/B.",
        {"noise relative to independent batches": 1.0},
    ),
    _claim(
        39,
        "appendix C",
        "For L = 2 equation (2) has a unique positive solution for all beta > 0.",
        {"positive solutions": 1},
    ),
    _claim(
        40,
        "appendix C",
        "Below beta_{c} equation (2) has three solutions, strength 0 among them.",
        {"solutions": 3},
    ),
    _claim(
        41,
        "prediction 1",
        "Grokking is staged: up to d stages, one per singular value.",
        {"stages at most": 2},
    ),
    _claim(
        42,
        "prediction 2",
        "Deeper networks have higher barriers, since beta_{c} falls with L while beta* remains "
        "finite.",
    ),
    _claim(43, "prediction 3", "ln tau is proportional to B/lr."),
    _claim(
        44,
        "appendix G",
        "Sigmoid and tanh networks behave alike (by reference, nothing is shown).",
    ),
    _claim(
        45,
        "Bayes floor",
        "The test loss levels off at its Bayes floor (the covariance of the outputs is not given).",
    ),
    _claim(
        46,
        "reference list",
        "Entries 15 to 18 and 20 of the reference list, among them the proof that SGD goes from "
        "low to high rank with probability zero, are not cited in the text.",
    ),
)
"""Every claim in the order of the audit."""

STATED: dict[str, Any] = {claim.id: claim.stated for claim in CLAIMS}
"""What is stated in the row of this id, for rows that confront two statements."""
