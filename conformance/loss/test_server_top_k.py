"""The loss on the k most likely tokens that a server gives of its teacher (spec/04-loss, J)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.protocols.top_k import LIST_SUPPORTS, ListSupport, ServerTopK
from sdpo_ref.types import DistillationBatch, Support
from sdpo_ref.vectors.store import Vector
from sdpo_ref.verification.checks.closed_form import losses_and_gradient, token_weights
from sdpo_ref.verification.checks.comparison import assert_close, assert_finite, assert_that, recognised
from sdpo_ref.verification.checks.inputs import lists_of, on_policy, random_batch, vector_parameters
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.subject import Gradient, Subject
from sdpo_ref.verification.suite.capabilities import SUPPORTS

K = 4
Setting = tuple[ListSupport, float]
"""What is compared, and alpha."""


def _settings(subject: Subject, *kinds: ListSupport) -> list[Setting]:
    """Every support that is offered at every alpha that exists: the cross-entropy at 0, the others at 0, 0.25 and 1."""
    exist = (0.0, 0.25, 1.0) if subject.profile.alphas == "all" else subject.profile.alphas
    found = [
        (kind, alpha)
        for kind in kinds or LIST_SUPPORTS
        if subject.offers(SUPPORTS["top_k_loss"][kind])
        for alpha in exist
        if kind != "cross_entropy" or alpha == 0.0
    ]
    if not found:
        raise NotAskedError(f"top_k_loss is not offered on {', '.join(kinds or LIST_SUPPORTS)}")
    return found


def _given(setting: Setting) -> dict[str, object]:
    return {"support": setting[0], "alpha": setting[1]}


def _asked(subject: Subject, batch: ServerTopK, setting: Setting, **options: Any) -> Gradient:
    return subject.top_k_loss(batch, support=setting[0], alpha=setting[1], **options)


def _expected(
    batch: DistillationBatch, subject: Subject, setting: Setting, k: int = K, **options: Any
) -> tuple[Tensor, Tensor]:
    """From the whole teacher: its own head on the two top-k supports; the cross-entropy written out."""
    kind, alpha = setting
    if kind != "cross_entropy":
        profile = subject.profile.model_copy(update={"top_k_from": "teacher"})
        return losses_and_gradient(batch, profile, alpha=alpha, support=Support(kind, k), **options)
    student = batch.student_logits.detach().double().requires_grad_()
    listed = lists_of(batch, k)
    q = listed.teacher_log_probs.softmax(-1)
    tokens = -(q * student.log_softmax(-1).gather(-1, listed.teacher_ids)).sum(-1)
    value = (token_weights(batch.loss_mask, subject.profile.aggregation) * tokens).sum()
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


def _compare(found: Gradient, expected: tuple[Tensor, Tensor], given: dict[str, object]) -> None:
    value, gradient = expected
    size = float(gradient.abs().max())
    assert_close(found.value, value, what="loss in nats", relative=1e-9, given=given)
    what = "gradient w.r.t. the student's logits"
    assert_close(found.student, gradient, what=what, relative=1e-9, absolute=1e-9 * size, given=given)


def _server(vector: Vector) -> ServerTopK:
    names = ("student_logits", "teacher_ids", "teacher_log_probs", "completions", "completion_mask")
    tensors: dict[str, Any] = {name: vector.inputs[name] for name in (*names, "self_distillation_mask")}
    temperature = vector.options["temperature"]
    assert isinstance(temperature, float)
    return ServerTopK(**tensors, behaviour_log_probs=vector.inputs.get("behaviour_log_probs"), temperature=temperature)


@pytest.mark.parametrize("vector", vector_parameters("top_k_loss", part="top_k_loss"))
def test_vector(subject: Subject, vector: Vector) -> None:
    """Loss and gradient equal the derived ones."""
    options = vector.options
    wanted = next((it for it in _settings(subject) if it == (options["support"], options["alpha"])), None)
    if wanted is None:
        raise NotAskedError(f"alpha {options['alpha']} on {options['support']} is not offered")
    found = _asked(subject, _server(vector), wanted, temperature=options["temperature"], ratio_cap=options["ratio_cap"])
    aggregation = subject.profile.aggregation
    names = {f"value/{aggregation}": found.value, f"gradient/{aggregation}": found.student}
    for name, got in names.items():
        known = [wrong for wrong in vector.known_wrong if wrong.expected == name]
        assert_close(
            got,
            vector.expected[name],
            what=name,
            relative=vector.tolerance.relative,
            absolute=vector.tolerance.absolute,
            given={"vector": vector.id, **options, **vector.inputs},
            known_wrong=known,
            looks_like=recognised(got, known),
        )


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("top_k_tail", marks=pytest.mark.requirement("LOSS-134")),
        pytest.param("top_k_renormalized", marks=pytest.mark.requirement("LOSS-135")),
        pytest.param("cross_entropy", marks=pytest.mark.requirement("LOSS-136")),
    ],
)
def test_lists(subject: Subject, kind: ListSupport) -> None:
    """Masks, padding and rows without a teacher; all tokens listed; and ids up to 40,000."""
    large = on_policy(random_batch(161, vocab=40_000))
    ends = torch.tensor([39_999, 33_001, 32_768]), torch.tensor([9.0, 8.5, 8.0], dtype=torch.float64)
    teacher = large.teacher_logits[:, :2].clone()
    teacher[..., ends[0]] = ends[1]
    few = DistillationBatch(
        large.student_logits[:, :2],
        teacher,
        large.completions[:, :2],
        large.completion_mask[:, :2],
        large.self_distillation_mask,
    )
    for batch, k in ((on_policy(random_batch(160)), K), (on_policy(random_batch(162, vocab=5)), 5), (few, 20)):
        for setting in _settings(subject, kind):
            found = _asked(subject, lists_of(batch, k), setting)
            vocab = batch.student_logits.shape[-1]
            _compare(found, _expected(batch, subject, setting, k), {"vocab": vocab, "k": k, **_given(setting)})


@pytest.mark.requirement("LOSS-134")
def test_sure_student(subject: Subject) -> None:
    """What the student leaves outside the list is 1e-11: its tail is summed, and has its gradient."""
    student = torch.tensor([[[25.0, 24.0, 0.0, -1.0, 0.5]]], dtype=torch.float64)
    teacher = torch.tensor([[[0.7, 0.6, 0.1, 0.0, -0.2]]], dtype=torch.float64)
    true = torch.ones(1, 1, dtype=torch.bool)
    batch = DistillationBatch(student, teacher, torch.zeros(1, 1).long(), true, true[0])
    for setting in _settings(subject, "top_k_tail"):
        found = _asked(subject, lists_of(batch, 2), setting)
        _compare(found, _expected(batch, subject, setting, 2), {"student_logits": student, **_given(setting)})


@pytest.mark.requirement("LOSS-128")
def test_weights(subject: Subject) -> None:
    """Each token's ratio."""
    batch = random_batch(163)
    for setting in _settings(subject, "top_k_tail", "top_k_renormalized"):
        found = _asked(subject, lists_of(batch), setting, ratio_cap=1.5)
        _compare(found, _expected(batch, subject, setting, ratio_cap=1.5), {"ratio_cap": 1.5, **_given(setting)})


@pytest.mark.requirement("LOSS-129")
def test_another_order(subject: Subject) -> None:
    """The least likely first, and the second in front."""
    batch = lists_of(on_policy(random_batch(164)))
    for setting in _settings(subject):
        expected = _asked(subject, batch, setting)
        for order in ([3, 2, 1, 0], [1, 0, 2, 3]):
            other = replace(
                batch, teacher_ids=batch.teacher_ids[..., order], teacher_log_probs=batch.teacher_log_probs[..., order]
            )
            if subject.raises("top_k_loss", lambda it, other=other, on=setting: _asked(it, other, on)) is not None:  # type: ignore[misc]
                continue
            _compare(_asked(subject, other, setting), (expected.value, expected.student), {"order": order})


@pytest.mark.requirement("LOSS-137")
@pytest.mark.parametrize(("token", "score"), [(-1, torch.nan), (10**6, -torch.inf), (0, 0.0), (-100, 3.0)])
def test_garbage_where_nothing_counts(subject: Subject, token: int, score: float) -> None:
    """Whatever pads the lists of prompts, tools and rows without a teacher."""
    batch = lists_of(on_policy(random_batch(165)))
    counts = batch.loss_mask[..., None]
    dirty = replace(
        batch,
        teacher_ids=torch.where(counts, batch.teacher_ids, token),
        teacher_log_probs=torch.where(counts, batch.teacher_log_probs, score),
        student_logits=torch.where(counts, batch.student_logits, torch.nan),
    )
    given = {"ids that do not count": token, "their log-probabilities": score}
    for setting in _settings(subject):
        expected, found = _asked(subject, batch, setting), _asked(subject, dirty, setting)
        assert_finite(found.student, what="gradient", given={**given, **_given(setting)})
        _compare(found, (expected.value, expected.student), {**given, **_given(setting)})


def _twice(batch: ServerTopK) -> ServerTopK:
    """The sampled token listed beside the top k, of which it is one."""
    ids, scores = batch.teacher_ids.clone(), batch.teacher_log_probs.clone()
    ids[..., 1], scores[..., 1] = ids[..., 0], scores[..., 0]
    return replace(batch, teacher_ids=ids, teacher_log_probs=scores)


def _last_score(score: float) -> Callable[[ServerTopK], ServerTopK]:
    """A list that is one score short, which something stands for."""

    def change(batch: ServerTopK) -> ServerTopK:
        scores = batch.teacher_log_probs.clone()
        scores[..., -1] = score
        return replace(batch, teacher_log_probs=scores)

    return change


def _last_id(token: int) -> Callable[[ServerTopK], ServerTopK]:
    """A list that is one token short."""

    def change(batch: ServerTopK) -> ServerTopK:
        ids = batch.teacher_ids.clone()
        ids[..., -1] = token
        return replace(batch, teacher_ids=ids)

    return change


def _logits(batch: ServerTopK) -> ServerTopK:
    """Scores that are not normalised, but none of them positive."""
    scores = batch.teacher_log_probs
    return replace(batch, teacher_log_probs=scores - scores[..., :1] - 0.1)


FAULTS: dict[str, Callable[[ServerTopK], ServerTopK]] = {
    "an id twice": _twice,
    "NaN for a score": _last_score(torch.nan),
    "minus infinity for a score": _last_score(-torch.inf),
    "-9999 for a score": _last_score(-9999.0),
    "-100 for a score": _last_score(-100.0),
    "an id of -1": _last_id(-1),
    "an id beyond the vocabulary": _last_id(11),
    "more mass than one": _logits,
}


@pytest.mark.requirement("LOSS-138")
@pytest.mark.parametrize("fault", FAULTS)
def test_no_top_k(subject: Subject, fault: str) -> None:
    """What is no list of the k most likely tokens gives no number that looks right."""
    batch = FAULTS[fault](lists_of(on_policy(random_batch(166))))
    for setting in _settings(subject):
        refused = subject.raises("top_k_loss", lambda it, on=setting: _asked(it, batch, on))  # type: ignore[misc]
        value = None if refused is not None else _asked(subject, batch, setting).value
        assert_that(
            value is None or not bool(value.isfinite()),
            "an error, or a loss that is not finite",
            f"{value} nats",
            {"list": fault, **_given(setting)},
        )


@pytest.mark.requirement("LOSS-139")
def test_temperature_of_lists(subject: Subject) -> None:
    """The student's logits are divided; the list is taken as it was made, or refused."""
    batch = on_policy(random_batch(167))
    for setting in _settings(subject):
        tempered = lists_of(batch, temperature=0.5)
        divided = replace(tempered, student_logits=tempered.student_logits / 0.5, temperature=1.0)
        expected = _asked(subject, divided, setting)
        found = _asked(subject, tempered, setting, temperature=0.5)
        _compare(found, (expected.value, expected.student / 0.5), {"temperature": 0.5, **_given(setting)})
        for of_list, of_loss in ((1.0, 0.5), (0.5, 1.0)):
            other = replace(tempered, temperature=of_list)
            refused = subject.raises(
                "top_k_loss",
                lambda it, on=setting, other=other, at=of_loss: _asked(it, other, on, temperature=at),  # type: ignore[misc]
            )
            given = {"temperature of the list": of_list, "of the loss": of_loss, **_given(setting)}
            assert_that(refused is not None, "an error that names the temperature", "a result", given)
