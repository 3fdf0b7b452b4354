"""Losses from hidden states: two widths, biases, a row without a teacher, on each support."""

from sdpo_ref.vectors.array import Array, array
from sdpo_ref.vectors.case import Case, Option
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import FORWARD, REVERSE, Draws, rounding_tolerance, spans

_SETTINGS: dict[str, dict[str, Option]] = {
    "forward": {"alpha": FORWARD, "support": "full", "k": None},
    "between": {"alpha": 0.25, "support": "full", "k": None},
    "reverse-tail": {"alpha": REVERSE, "support": "top_k_tail", "k": 2},
    "between-renormalized": {"alpha": 0.25, "support": "top_k_renormalized", "k": 3},
    "sampled": {"alpha": REVERSE, "support": "sampled_token", "k": None},
}


def _inputs(seed: int) -> dict[str, Array]:
    draws, vocab, time = Draws(seed), 5, 3
    mask = spans(time, [(0, 3), (1, 2), (0, 2)])
    return {
        "student_hidden": array([draws.logits(time, 3, 1.5) for _ in mask]),
        "student_weight": array(draws.logits(vocab, 3, 1.5)),
        "student_bias": array(draws.logits(1, vocab, 1.0)[0]),
        "teacher_hidden": array([draws.logits(time, 2, 1.5) for _ in mask]),
        "teacher_weight": array(draws.logits(vocab, 2, 1.5)),
        "teacher_bias": array(draws.logits(1, vocab, 1.0)[0]),
        "completions": array([[draws.index(vocab) if counts else 0 for counts in row] for row in mask], "int64"),
        "completion_mask": array(mask, "bool"),
        "self_distillation_mask": array([True, True, False], "bool"),
    }


def cases() -> list[Case]:
    """All of this file."""
    found = []
    for number, (name, options) in enumerate(_SETTINGS.items()):
        inputs = _inputs(81 + number)
        requirements = ("LOSS-131",) if name == "sampled" else ("LOSS-130", "LOSS-131")
        found.append(
            Case(
                id=f"hidden_loss-{name}",
                kind="hidden_loss",
                requirements=requirements,
                comment="Drawn hidden states of widths 3 and 2, heads over five tokens with biases.",
                hazard=hazards.HEADS,
                options={**options, "top_k_from": "student", "temperature": 1.0, "ratio_cap": None},
                inputs=inputs,
                tolerance=rounding_tolerance(inputs, factor=64.0),
            )
        )
    return found
