"""Golden vectors of divergence and loss: value and gradient, from a second derivation that shares no code."""

from collections.abc import Callable
from typing import NoReturn, get_args

import pytest
from torch import Tensor

from sdpo_ref.types import SAMPLED_TOKEN, DistillationBatch, Support, SupportKind
from sdpo_ref.vectors.store import Vector
from sdpo_ref.verification.checks.comparison import assert_close, recognised
from sdpo_ref.verification.checks.inputs import vector_parameters
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject


def _support(vector: Vector) -> Support:
    kind, k = vector.options.get("support", "full"), vector.options.get("k")
    assert kind in get_args(SupportKind)
    return Support(kind, k if isinstance(k, int) else None)  # type: ignore[arg-type]


def _number(vector: Vector, name: str) -> float:
    value = vector.options[name]
    assert isinstance(value, float)
    return value


def _setting(subject: Subject, part: str, vector: Vector, student: Tensor) -> Setting:
    """The vector's own alpha; the full vocabulary is asked on a top-k that leaves nothing out, if need be."""
    alpha, support = _number(vector, "alpha"), _support(vector)
    return subject.offered.exactly(part, alpha, support, vocab=student.shape[-1])


def _compare(vector: Vector, found: dict[str, Tensor], names: dict[str, str]) -> None:
    """Compare what was found with what the vector expects, under the vector's own names.

    The value of a surrogate means nothing (LOSS-030): it only tells known defects apart.
    """
    surrogate = _support(vector) == SAMPLED_TOKEN
    signs = [recognised(found[wrong.expected], [wrong]) for wrong in vector.known_wrong if wrong.expected in found]
    for name, what in names.items():
        if name in vector.expected and not (surrogate and name.startswith("value")):
            assert_close(
                found[name],
                vector.expected[name],
                what=what,
                relative=vector.tolerance.relative,
                absolute=vector.tolerance.absolute,
                given={"vector": vector.id, **vector.options, **vector.inputs},
                known_wrong=[wrong for wrong in vector.known_wrong if wrong.expected == name],
                looks_like=next(filter(None, signs), "") if surrogate else "",
            )


@pytest.mark.parametrize("vector", vector_parameters("divergence", part="divergence"))
def test_divergence(subject: Subject, not_applicable: Callable[[str], NoReturn], vector: Vector) -> None:
    """Value and gradient of each token's divergence equal the derived ones."""
    if vector.options.get("top_k_from", "student") != subject.profile.top_k_from and _support(vector).k is not None:
        not_applicable(f"the profile takes the top-k of the {subject.profile.top_k_from}")
    found = subject.divergence_gradient(
        vector.inputs["student_log_probs"],
        vector.inputs["teacher_log_probs"],
        **_setting(subject, "divergence", vector, vector.inputs["student_log_probs"]).options,
    )
    _compare(
        vector,
        {"value": found.value, "gradient": found.student},
        {"value": "divergence in nats", "gradient": "gradient w.r.t. the student's logits"},
    )


@pytest.mark.parametrize("vector", vector_parameters("loss", part="loss"))
def test_loss(subject: Subject, not_applicable: Callable[[str], NoReturn], vector: Vector) -> None:
    """Loss and gradient under the declared aggregation equal the derived ones."""
    if vector.options.get("top_k_from", "student") != subject.profile.top_k_from and _support(vector).k is not None:
        not_applicable(f"the profile takes the top-k of the {subject.profile.top_k_from}")
    cap = vector.options.get("ratio_cap")
    inputs = vector.inputs
    found = subject.loss(
        DistillationBatch(
            inputs["student_logits"],
            inputs["teacher_logits"],
            inputs["completions"],
            inputs["completion_mask"],
            inputs["self_distillation_mask"],
            inputs.get("behaviour_log_probs"),
        ),
        **_setting(subject, "loss", vector, inputs["student_logits"]).options,
        temperature=_number(vector, "temperature"),
        ratio_cap=cap if isinstance(cap, float) else None,
    )
    aggregation = subject.profile.aggregation
    _compare(
        vector,
        {f"value/{aggregation}": found.value, f"gradient/{aggregation}": found.student},
        {
            f"value/{aggregation}": f"loss in nats, aggregation {aggregation}",
            f"gradient/{aggregation}": "gradient w.r.t. the student's logits",
        },
    )
