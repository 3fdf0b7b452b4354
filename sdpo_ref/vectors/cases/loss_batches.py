"""Losses of drawn batches: padding on both sides, rows without a teacher, temperatures, and everything at once."""

from typing import TypedDict

from sdpo_ref.vectors.case import Case
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import FORWARD, REVERSE, LossInputs, loss_case, random_batch

RAGGED = [(0, 5), (2, 6), (1, 3), (0, 6)]
"""Padding at the end, at the start, on both sides, and none; the counts 5, 4, 2 and 6 differ."""

USABLE = [True, True, True, False]
LOG_RATIOS = (1.1, -0.4, 0.3, -1.5, 0.6)
"""With a cap of 2 (log 0.69): above it, below one, between one and the cap, far below one, just under the cap."""


class _Options(TypedDict, total=False):
    alpha: float
    support: str
    k: int
    top_k_from: str


def _masks() -> list[Case]:
    layouts = {
        "ragged": ([(0, 4), (0, 2), (0, 1)], [True, True, True], "rows of 4, 2 and 1 tokens"),
        "left-padded": ([(0, 4), (2, 4), (3, 4)], [True, True, True], "padding at the start of the rows"),
        "both-padded": ([(1, 3), (0, 3), (2, 4)], [True, True, True], "padding at either end"),
        "unusable-rows": ([(0, 4), (0, 3), (0, 2)], [False, True, False], "two of three rows have no teacher"),
        "empty-row": ([(0, 3), (0, 0), (1, 4)], [True, True, False], "a row without tokens and one without teacher"),
    }
    return [
        loss_case(
            f"mask-{name}-alpha-{alpha:g}",
            "LOSS-053",
            f"Drawn logits over five tokens; {sentence}.",
            hazards.MASKS,
            random_batch(31 + index, vocab=5, time=4, bounds=bounds, usable=usable),
            alpha=alpha,
        )
        for index, (name, (bounds, usable, sentence)) in enumerate(layouts.items())
        for alpha in (FORWARD, 0.1, REVERSE)
    ]


def _temperatures() -> list[Case]:
    def batch(temperature: float) -> LossInputs:
        return random_batch(
            41,
            vocab=7,
            time=3,
            bounds=[(0, 3), (1, 3)],
            usable=[True, True],
            temperature=temperature,
            log_ratios=LOG_RATIOS,
        )

    return [
        loss_case(
            f"temperature-{temperature:g}-alpha-{alpha:g}{'-ratio' if cap else ''}",
            "LOSS-044" if cap else "POLICY-003 LOSS-062",
            f"Both sides' logits divided by {temperature:g}" + (", the ratio at that temperature too." if cap else "."),
            hazards.TEMPERATURE,
            batch(temperature),
            alpha=alpha,
            temperature=temperature,
            ratio_cap=cap,
        )
        for temperature in (0.5, 1.7)
        for alpha, cap in ((FORWARD, None), (0.25, None), (REVERSE, None), (0.25, 2.0))
    ]


def _sides_agree() -> Case:
    inputs = random_batch(42, vocab=5, time=2, bounds=[(0, 2)], usable=[True])
    return loss_case(
        "temperature-0.5-equal-logits",
        "POLICY-003",
        "Equal logits on both sides give zero at every temperature.",
        hazards.TEMPERATURE,
        {**inputs, "teacher_logits": inputs["student_logits"]},
        alpha=0.25,
        temperature=0.5,
    )


def _supports() -> list[Case]:
    inputs = random_batch(51, vocab=9, time=4, bounds=[(0, 4), (1, 3)], usable=[True, True])
    options: list[_Options] = [
        {"alpha": 0.25, "support": "top_k_tail", "k": 3, "top_k_from": "student"},
        {"alpha": 0.25, "support": "top_k_tail", "k": 3, "top_k_from": "teacher"},
        {"alpha": 0.25, "support": "top_k_renormalized", "k": 3, "top_k_from": "student"},
        {"alpha": 0.25, "support": "top_k_renormalized", "k": 3, "top_k_from": "teacher"},
        {"alpha": REVERSE, "support": "top_k_tail", "k": 1},
        {"alpha": REVERSE, "support": "top_k_renormalized", "k": 1},
        {"alpha": 0.25, "support": "top_k_tail", "k": 8},
        {"alpha": 0.25, "support": "top_k_tail", "k": 9},
        {"alpha": REVERSE, "support": "sampled_token"},
    ]
    return [
        loss_case(
            "-".join(
                ["support", *(f"{value:g}" if isinstance(value, float) else str(value) for value in option.values())]
            ),
            "LOSS-028",
            "Two drawn rows over nine tokens, with the given support.",
            hazards.SAMPLED if option["support"] == "sampled_token" else hazards.TOP_K_OWNER,
            inputs,
            **option,
        )
        for option in options
    ]


def _everything() -> list[Case]:
    options: list[_Options] = [
        {"alpha": 0.1},
        {"alpha": 0.9},
        {"alpha": FORWARD},
        {"alpha": REVERSE},
        {"alpha": 0.25, "support": "top_k_tail", "k": 3},
        {"alpha": 0.75, "support": "top_k_tail", "k": 3, "top_k_from": "teacher"},
        {"alpha": 0.25, "support": "top_k_renormalized", "k": 4},
        {"alpha": REVERSE, "support": "sampled_token"},
    ]

    def case(index: int, option: _Options) -> Case:
        temperature = 0.7 if index % 2 else 1.7
        name = "-".join(f"{value:g}" if isinstance(value, float) else str(value) for value in option.values())
        return loss_case(
            f"everything-{name}",
            "LOSS-067",
            f"Four rows padded at either end, one without a teacher, ratios around the cap, at {temperature:g}.",
            hazards.EVERYTHING,
            random_batch(
                61 + index,
                vocab=8,
                time=6,
                bounds=RAGGED,
                usable=USABLE,
                temperature=temperature,
                log_ratios=LOG_RATIOS,
            ),
            temperature=temperature,
            ratio_cap=2.0,
            **option,
        )

    return [case(index, option) for index, option in enumerate(options)]


def cases() -> list[Case]:
    """All of this file."""
    return [*_masks(), *_temperatures(), _sides_agree(), *_supports(), *_everything()]
