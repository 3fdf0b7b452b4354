"""Losses that can be checked by hand: one token, three ratios, twelve tokens with a known value each."""

import math

from mpmath import exp, log, mpf, workdps

from sdpo_ref.vectors.case import Case, Tolerance
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import FORWARD, REVERSE, logs, loss_case, loss_inputs, spans
from sdpo_ref.vectors.derivation.numbers import DIGITS

TOKEN_VALUES = [[1, 2, 3, 9], [4, 8, 9, 9], [5, 5, 5, 5]]
"""Per-token losses of the aggregation example; only 1, 2, 3, 4 and 8 count."""


def _two_tokens(log_prob: str) -> list[float]:
    """Log-probabilities of two tokens, the first one given."""
    with workdps(DIGITS):
        return [float(log_prob), float(log(1 - exp(mpf(log_prob))))]


def _sampled() -> Case:
    return loss_case(
        "sampled-one-token",
        "LOSS-030",
        "One token with log S = -0.5 and log T = -1: the surrogate is (-0.5 + 1) * -0.5 = -0.25.",
        hazards.SAMPLED,
        loss_inputs([[_two_tokens("-0.5")]], [[_two_tokens("-1")]], [[0]], [[True]], [True]),
        alpha=REVERSE,
        support="sampled_token",
    )


def _aggregation() -> Case:
    """With a uniform student over two tokens, the reverse KL to logits (0, d) is log cosh(d / 2)."""
    teacher = [[[0.0, round(2 * math.acosh(math.exp(value)), 12)] for value in row] for row in TOKEN_VALUES]
    return loss_case(
        "aggregation",
        "LOSS-053",
        "Token losses ((1, 2, 3, 9), (4, 8, 9, 9), (5, 5, 5, 5)) to 1e-12; three, two and four tokens count; "
        "the third row has no teacher.",
        hazards.AGGREGATION,
        loss_inputs(
            [[[0.0, 0.0]] * 4] * 3,
            teacher,
            [[0, 1, 1, 0]] * 3,
            spans(4, [(0, 3), (0, 2), (0, 4)]),
            [True, True, False],
        ),
        alpha=REVERSE,
    )


def _ratio(cap: float | None) -> Case:
    """Student probabilities .4, .3, .05 of the sampled tokens against .1, .2, .2 under the behaviour policy."""
    student = logs([0.4, 0.35, 0.25], [0.5, 0.3, 0.2], [0.15, 0.8, 0.05])
    teacher = logs([0.2, 0.6, 0.2], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4])
    note = "not applied" if cap is None else "2, 1.5 and 0.25" if cap == 2 else "4, 1.5 and 0.25"
    return loss_case(
        f"ratio-cap-{'none' if cap is None else f'{cap:g}'}",
        "LOSS-040",
        f"Ratios 4, 1.5 and 0.25 with cap {cap}: weights are {note}.",
        hazards.RATIO,
        loss_inputs([student], [teacher], [[0, 1, 2]], [[True] * 3], [True], behaviour=logs([0.1, 0.2, 0.2])),
        alpha=0.25,
        ratio_cap=cap,
    )


def _extreme_ratio() -> list[Case]:
    student = [logs([0.5, 0.3, 0.2], [0.2, 0.3, 0.5])]
    teacher = [logs([0.2, 0.6, 0.2], [0.2, 0.6, 0.2])]
    unlikely = [[[0.0, -1.0, -1e4], [0.1, 0.2, 0.3]]]
    return [
        loss_case(
            "ratio-extreme-high",
            "LOSS-042",
            "A behaviour log-probability of -1e4: the log-ratio is about 1e4, the weight is the cap.",
            hazards.EXTREME_RATIO,
            loss_inputs(student, teacher, [[0, 1]], [[True, True]], [True], behaviour=[[-1e4, -1.5]]),
            alpha=0.25,
            ratio_cap=2.0,
        ),
        loss_case(
            "ratio-extreme-low",
            "LOSS-042",
            "A sampled token with logit -1e4 and behaviour log-probability -0.5: the weight is at most exp(-20).",
            hazards.EXTREME_RATIO,
            loss_inputs(unlikely, teacher, [[2, 1]], [[True, True]], [True], behaviour=[[-0.5, -1.5]]),
            alpha=REVERSE,
            ratio_cap=2.0,
            tolerance=Tolerance(
                relative=1e-10,
                absolute=1e-7,
                derivation="exp(-20) = 2e-9 times a divergence below 10: a weight of zero (no clamp) passes too",
            ),
        ),
    ]


def _nothing_counts() -> list[Case]:
    logits = [[[0.5, -0.2, 0.1], [0.0, 1.0, -1.0]], [[0.3, 0.3, 0.9], [-0.5, 0.7, 0.2]]]
    teacher = [[[0.1, 0.9, -0.3], [0.4, -1.0, 0.2]], [[-0.6, 0.8, 0.0], [0.5, 0.1, 0.3]]]
    masks = {
        "no-token": ([[False, False]] * 2, [True, True], "no token was sampled"),
        "no-teacher": ([[True, True], [True, False]], [False, False], "no row has a teacher"),
        "no-overlap": ([[False, False], [True, True]], [True, False], "tokens and teachers never meet in a row"),
    }
    return [
        loss_case(
            f"nothing-counts-{name}",
            "LOSS-054",
            f"Zero loss and zero gradient: {sentence}.",
            hazards.NOTHING,
            loss_inputs(logits, teacher, [[0, 1], [2, 1]], mask, usable),
            alpha=0.25,
        )
        for name, (mask, usable, sentence) in masks.items()
    ]


def _poisoned() -> list[Case]:
    """Masked positions hold what padding really holds: infinities and huge logits."""
    student = [[[0.5, 0.1, -0.2], [-math.inf, 0.4, 0.3]], [[0.2, -1e4, 0.0], [1e4, 0.0, -1e4]]]
    teacher = [[[0.1, 0.9, -0.3], [0.7, -math.inf, 0.2]], [[1e4, -1e4, 0.0], [0.0, 1e4, 0.2]]]
    return [
        loss_case(
            f"masked-infinities-alpha-{alpha:g}",
            "LOSS-051",
            "Only the first token counts; the masked ones have infinite divergence or logits of 1e4.",
            hazards.POISON,
            loss_inputs(student, teacher, [[0, 1], [2, 1]], spans(2, [(0, 1), (0, 2)]), [True, False]),
            alpha=alpha,
            tolerance=Tolerance(1e-10, 1e-12, "as for inputs up to 1: the larger ones are masked"),
        )
        for alpha in (FORWARD, 0.25, REVERSE)
    ]


def cases() -> list[Case]:
    """All of this file."""
    return [
        _sampled(),
        _aggregation(),
        *(_ratio(cap) for cap in (None, 2.0, 5.0)),
        *_extreme_ratio(),
        *_nothing_counts(),
        *_poisoned(),
    ]
