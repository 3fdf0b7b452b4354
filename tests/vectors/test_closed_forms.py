"""A third derivation: closed-form gradients and autograd agree with the stored central differences.

Written for these tests, in torch, from the closed forms; shares nothing with the derivation or the reference.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.vectors.store import Vector, load


def buckets(log_probs: Tensor, options: Any, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities on the compared support, and the bucket of each token (-1 for none)."""
    vocab = log_probs.shape[-1]
    probs = log_probs.double().softmax(-1)
    bucket = torch.full((vocab,), -1)
    bucket[chosen] = torch.arange(len(chosen))
    if options["support"] == "top_k_tail" and len(chosen) < vocab:
        bucket[bucket < 0] = len(chosen)
    size = int(bucket.max()) + 1
    mass = torch.stack([probs[bucket == index].sum() for index in range(size)])
    return mass / mass.sum(), bucket


def closed_form(student: Tensor, teacher: Tensor, options: Any) -> tuple[Tensor, Tensor]:
    """Value and gradient w.r.t. the student's logits: s_i / s_b * p_b * (g_b - sum p g), g = dD/dp."""
    vocab, k = student.shape[-1], options["k"]
    owner = student if options["top_k_from"] == "student" else teacher
    chosen = torch.arange(vocab) if k is None else owner.topk(min(k, vocab)).indices
    (p, bucket), (q, _) = buckets(student, options, chosen), buckets(teacher, options, chosen)
    alpha = options["alpha"]
    if alpha == 0:
        value, slope = torch.special.xlogy(q, q).sum() - torch.special.xlogy(q, p).sum(), torch.where(q > 0, -q / p, 0)
    elif alpha == 1:
        value = torch.special.xlogy(p, p).sum() - torch.special.xlogy(p, q).sum()
        slope = torch.where(p > 0, torch.log(p / q), 0)
    else:
        m = (1 - alpha) * p + alpha * q
        value = (1 - alpha) * (torch.special.xlogy(p, p) - torch.special.xlogy(p, m)).sum()
        value = value + alpha * (torch.special.xlogy(q, q) - torch.special.xlogy(q, m)).sum()
        slope = torch.where(p > 0, (1 - alpha) * torch.log(p / m), 0)
    of_bucket = p * (slope - torch.where(p > 0, p * slope, 0).sum())
    probs = student.double().softmax(-1)
    result = torch.zeros(vocab, dtype=torch.float64)
    for index in range(len(p)):
        members = bucket == index
        if p[index] > 0:
            result[members] = of_bucket[index] * probs[members] / probs[members].sum()
    return value, result


def test_divergence_gradients() -> None:
    """The closed form passes every divergence vector, value and gradient."""
    vectors = [vector for vector in load("divergence") if "gradient" in vector.expected]
    assert len(vectors) > 100
    assert [line for vector in vectors for line in wrong_divergences(vector)] == []


def wrong_divergences(vector: Vector) -> Iterator[str]:
    pairs = zip(vector.inputs["student_log_probs"], vector.inputs["teacher_log_probs"], strict=True)
    rows = [closed_form(student, teacher, vector.options) for student, teacher in pairs]
    yield from beyond(vector, "value", torch.stack([value for value, _ in rows]))
    yield from beyond(vector, "gradient", torch.stack([slope for _, slope in rows]))


def test_losses() -> None:
    """Closed forms, weighted by ratio and aggregation, pass every loss vector under all five aggregations."""
    vectors = load("loss")
    assert len(vectors) > 50
    assert [line for vector in vectors for line in wrong_losses(vector)] == []


def wrong_losses(vector: Vector) -> Iterator[str]:
    inputs, options = vector.inputs, dict(vector.options)
    tau: Any = options["temperature"]
    mask = inputs["completion_mask"] & inputs["self_distillation_mask"][:, None]
    values = torch.zeros(mask.shape, dtype=torch.float64)
    slopes = torch.zeros_like(inputs["student_logits"])
    for at in mask.nonzero().tolist():
        where = tuple(at)
        student = (inputs["student_logits"][where] / tau).log_softmax(-1)
        teacher = (inputs["teacher_logits"][where] / tau).log_softmax(-1)
        token = int(inputs["completions"][where])
        if options["support"] == "sampled_token":
            coefficient = student[token] - teacher[token]
            value = coefficient * student[token]
            slope = coefficient * (torch.eye(len(student), dtype=torch.float64)[token] - student.exp())
        else:
            value, slope = closed_form(student, teacher, options)
        ratio = torch.ones(())
        if options["ratio_cap"] is not None:
            log_ratio = (student[token] - inputs["behaviour_log_probs"][where]).clamp(-20, 20)
            ratio = log_ratio.exp().clamp(max=options["ratio_cap"])
        values[where], slopes[where] = ratio * value, ratio * slope / tau
    for name, weights in aggregations(mask).items():
        yield from beyond(vector, f"value/{name}", (weights * values).sum())
        yield from beyond(vector, f"gradient/{name}", weights[..., None] * slopes)


def aggregations(mask: Tensor) -> dict[str, Tensor]:
    flags = mask.double()
    lengths = flags.sum(1, keepdim=True)
    active = (lengths > 0).sum().clamp(min=1)
    row_means = flags / lengths.clamp(min=1)
    return {
        "token_mean": flags / flags.sum().clamp(min=1),
        "row_mean": row_means / active,
        "row_mean_all": row_means / len(mask),
        "row_sum": flags / active,
        "time_normalized_sum": flags / mask.shape[1],
    }


def test_hybrid_gradients() -> None:
    """Autograd of the hybrid loss with a detached advantage passes every hybrid vector."""
    vectors = load("hybrid")
    assert len(vectors) >= 10
    assert [line for vector in vectors for line in wrong_hybrids(vector)] == []


def wrong_hybrids(vector: Vector) -> Iterator[str]:
    inputs, weight = vector.inputs, vector.options["reward_weight"]
    assert isinstance(weight, float)
    logits = inputs["student_logits"].clone().requires_grad_()
    index = inputs["completions"][..., None]
    student = logits.log_softmax(-1).gather(-1, index)[..., 0]
    teacher = inputs["teacher_logits"].log_softmax(-1).gather(-1, index)[..., 0]
    same_group = (inputs["group_ids"][:, None] == inputs["group_ids"]).double()
    centred = inputs["rewards"] - same_group @ inputs["rewards"] / same_group.sum(1)
    distillation = (teacher - student) * inputs["self_distillation_mask"][:, None]
    advantage = (weight * centred[:, None] + (1 - weight) * distillation).detach()
    mask = inputs["completion_mask"]
    loss = -(advantage * student)[mask].sum() / mask.sum()
    yield from beyond(vector, "value", loss.detach())
    yield from beyond(vector, "gradient", torch.autograd.grad(loss, logits)[0])


def beyond(vector: Vector, name: str, got: Tensor) -> Iterator[str]:
    """A line if some number lies beyond the vector's tolerance."""
    expected = vector.expected[name]
    pairs = zip(got.flatten().tolist(), expected.flatten().tolist(), strict=True)
    bad = [(g, e) for g, e in pairs if not vector.tolerance.allows(g, e)]
    if bad:
        yield f"{vector.id} {name}: {bad[:3]} beyond {vector.tolerance.absolute}"
