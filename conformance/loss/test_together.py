"""Two conditions at once, each of which is checked alone elsewhere (spec/04-loss)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from sdpo_ref.types import SAMPLED_TOKEN, DistillationBatch, Support
from sdpo_ref.verification.checks.closed_form import losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close, assert_finite, assert_that
from sdpo_ref.verification.checks.inputs import every_row, input_generator, on_policy, random_batch
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject

GROUPS = torch.tensor([0, 0, 0, 0])
REWARDS = torch.tensor([1.0, 0.0, 0.3, 0.5], dtype=torch.float64)


def _compare(
    subject: Subject, batch: DistillationBatch, on: Setting, given: Mapping[str, object], **options: Any
) -> None:
    """Value and gradient of the loss equal those written out."""
    found = subject.loss(batch, **on.options, **options)
    value, gradient = losses_and_gradient(batch, subject.profile, **on.options, **options)
    shown = {**given, **options, **on.given, "aggregation": subject.profile.aggregation}
    if not on.is_surrogate:
        assert_close(found.value, value, what="loss in nats", relative=1e-9, given=shown)
    assert_close(found.student, gradient, what="gradient", relative=1e-9, absolute=1e-13, given=shown)


def _holes(batch: DistillationBatch) -> DistillationBatch:
    """Rows of a tool's user: the tool's answers stand between sampled tokens."""
    mask = torch.ones_like(batch.completion_mask)
    mask[0, 2:4] = mask[1, 1] = mask[3, ::2] = False
    return replace(batch, completion_mask=mask)


@pytest.mark.requirement("LOSS-051")
@pytest.mark.parametrize("empty", ["no usable row", "no counted token"])
@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=pytest.mark.needs("loss.importance"))])
def test_nothing_counts_and_garbage(subject: Subject, empty: str, weighted: bool) -> None:  # noqa: FBT001 - pytest's
    """Where nothing counts, NaN everywhere and ids out of range give zero, with a gradient of exactly zero."""
    batch, none = random_batch(75), torch.zeros(4, 6, dtype=torch.bool)
    assert batch.behaviour_log_probs is not None
    ids = batch.completions
    if empty == "no counted token":
        ids = torch.where(torch.arange(6) % 2 == 0, -100, 10**6).expand(4, 6)
    batch = DistillationBatch(
        batch.student_logits * torch.nan,
        batch.teacher_logits * torch.nan,
        ids,
        none if empty == "no counted token" else batch.completion_mask,
        none[:, 0] if empty == "no usable row" else batch.self_distillation_mask,
        batch.behaviour_log_probs * torch.nan if weighted else None,
    )
    for on in subject.offered.each("loss"):
        found = subject.loss(batch, **on.options, ratio_cap=2.0 if weighted else None)
        given = {"batch": empty, "all logits": "NaN", **on.given}
        assert_close(found.value, torch.tensor(0.0), what="loss in nats", absolute=0.0, given=given)
        assert_close(found.student, torch.zeros(4, 6, 11), what="gradient", absolute=0.0, given=given)


@pytest.mark.requirement("LOSS-051")
@pytest.mark.needs("loss.importance")
@pytest.mark.parametrize("token", [-100, 10**6])
def test_ids_of_padding_beside_weights(subject: Subject, token: int) -> None:
    """Padding may hold any id also where sampled ids are looked up for the importance weights."""
    batch = random_batch(76)
    padded = replace(batch, completions=torch.where(batch.completion_mask, batch.completions, token))
    for on in subject.offered.each("loss"):
        clean, dirty = (subject.loss(it, **on.options, ratio_cap=2.0) for it in (batch, padded))
        given = {"id at padded positions": token, "ratio_cap": 2.0, **on.given}
        assert_close(dirty.value, clean.value, what="loss in nats", given=given)
        assert_close(dirty.student, clean.student, what="gradient", given=given)


@pytest.mark.requirement("LOSS-043")
def test_missing_behaviour_on_every_support(subject: Subject) -> None:
    """A cap without behaviour log-probabilities does as declared on each support."""
    batch = on_policy(random_batch(77))
    for on in subject.offered.each("loss"):
        refused = subject.raises("loss", lambda it, on=on: it.loss(batch, **on.options, ratio_cap=2.0))  # type: ignore[misc]
        given = {"ratio_cap": 2.0, "behaviour_log_probs": None, **on.given}
        wanted = subject.profile.missing_behaviour
        assert_that((refused is not None) == (wanted == "raise"), f"{wanted}, as declared", f"{refused}", given)


@pytest.mark.requirement("LOSS-040")
def test_weights_on_every_support(subject: Subject) -> None:
    """Weights multiply the loss of each token, whatever the support."""
    for on in subject.offered.each("loss"):
        _compare(subject, random_batch(78), on, {}, ratio_cap=1.5)


@pytest.mark.requirement("LOSS-040")
def test_cap_of_thousands(subject: Subject) -> None:
    """A cap of 5,000 leaves a ratio of 2,980 as it is."""
    batch = random_batch(90)
    assert batch.behaviour_log_probs is not None
    recorded = batch.behaviour_log_probs.clone()
    recorded[1, 2] = batch.student_logits.log_softmax(-1)[1, 2, batch.completions[1, 2]] - 8.0
    for on in subject.offered.each("loss"):
        _compare(subject, replace(batch, behaviour_log_probs=recorded), on, {"largest ratio": "e^8"}, ratio_cap=5_000.0)


@pytest.mark.requirement("LOSS-040")
def test_weights_of_single_tokens(subject: Subject) -> None:
    """Rows of one token each, beside each other: every one has its own ratio."""
    batch = random_batch(79)
    assert batch.behaviour_log_probs is not None
    one = slice(2, 3)
    batch = DistillationBatch(
        batch.student_logits[:, one],
        batch.teacher_logits[:, one],
        batch.completions[:, one],
        batch.completion_mask[:, one],
        batch.self_distillation_mask,
        batch.behaviour_log_probs[:, one],
    )
    for on in subject.offered.each("loss"):
        _compare(subject, batch, on, {"rows": "four of one token"}, ratio_cap=2.0)


@pytest.mark.requirement("LOSS-040")
@pytest.mark.parametrize("certain", ["one token", "all tokens"])
def test_weights_of_certain_tokens(subject: Subject, certain: str) -> None:
    """A behaviour log-probability of zero is known: the token was certain when it was sampled."""
    batch = random_batch(80)
    assert batch.behaviour_log_probs is not None
    recorded = batch.behaviour_log_probs.clone() if certain == "one token" else 0 * batch.behaviour_log_probs
    recorded[1, 2] = 0.0
    for on in subject.offered.each("loss"):
        given = {"behaviour_log_probs": f"0 for {certain}"}
        _compare(subject, replace(batch, behaviour_log_probs=recorded), on, given, ratio_cap=2.0)


@pytest.mark.requirement("POLICY-003")
@pytest.mark.parametrize("temperature", [0.5, 1.7, 300.0])
def test_temperature_on_every_support(subject: Subject, temperature: float) -> None:
    """Both sides are divided on each support, in value and gradient."""
    for on in subject.offered.each("loss"):
        _compare(subject, on_policy(random_batch(81)), on, {}, temperature=temperature)


@pytest.mark.requirement("LOSS-053")
def test_holes_have_no_weight(subject: Subject) -> None:
    """A row with the answers of a tool in it is as long as its sampled tokens."""
    for on in subject.offered.each("loss"):
        _compare(subject, _holes(every_row(random_batch(82))), on, {"completion_mask": "with holes"})


@pytest.mark.requirement("LOSS-028")
@pytest.mark.parametrize("k", [20, 100])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("top_k_tail", marks=pytest.mark.needs("loss.top_k_tail")),
        pytest.param("top_k_renormalized", marks=pytest.mark.needs("loss.top_k_renormalized")),
    ],
)
def test_heads_in_use(subject: Subject, kind: str, k: int) -> None:
    """The published sizes of the head, 20 and 100 of 160 tokens."""
    on = subject.offered.on("loss", Support(kind, k), near=0.25)  # type: ignore[arg-type]
    _compare(subject, on_policy(random_batch(83, vocab=160)), on, {"vocab": 160})


@pytest.mark.requirement("LOSS-112")
def test_gradient_of_hundreds_of_nats(subject: Subject) -> None:
    """An even student and a teacher that is sure: half of the gap reaches each logit under the reverse KL."""
    on = subject.offered.one("loss", at=1.0, vocab=2)
    true = torch.tensor([[True]])
    student, teacher = torch.zeros(1, 1, 2).double(), torch.tensor([[[0.0, -400.0]]]).double()
    batch = DistillationBatch(student, teacher, torch.tensor([[1]]), true, true[0])
    _compare(subject, batch, on, {"teacher_logits": teacher, "student_logits": student})


@pytest.mark.requirement("LOSS-007")
@pytest.mark.needs("loss")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_padded_vocabulary_in_the_loss(subject: Subject, alpha: float) -> None:
    """Logits of minus infinity behind the vocabulary, on both sides, change nothing on any support."""
    batch = on_policy(random_batch(84))
    padding = torch.full((4, 6, 3), -torch.inf, dtype=torch.float64)
    padded = replace(
        batch,
        student_logits=torch.cat([batch.student_logits, padding], -1),
        teacher_logits=torch.cat([batch.teacher_logits, padding], -1),
    )
    for on in subject.offered.each("loss", at=alpha):
        plain, found = (subject.loss(it, **on.options) for it in (batch, padded))
        given = {"tokens without mass": 3, **on.given}
        assert_close(found.value, plain.value, what="loss in nats", relative=1e-10, given=given)
        expected = torch.nn.functional.pad(plain.student, (0, 3))
        assert_close(found.student, expected, what="gradient", relative=1e-9, given=given)


@pytest.mark.requirement("LOSS-007")
@pytest.mark.needs("hybrid_loss")
def test_padded_vocabulary_in_the_hybrid(subject: Subject) -> None:
    """Tokens without mass have no gradient in the hybrid, and no NaN."""
    batch = on_policy(random_batch(85))
    sides = [
        torch.cat([it, torch.full((4, 6, 2), -torch.inf).double()], -1)
        for it in (batch.student_logits, batch.teacher_logits)
    ]
    padded = replace(batch, student_logits=sides[0], teacher_logits=sides[1])
    options: dict[str, Any] = {"reward_weight": 0.5, "support": SAMPLED_TOKEN}
    plain, found = (subject.hybrid_loss(it, REWARDS, GROUPS, **options) for it in (batch, padded))
    expected, given = torch.nn.functional.pad(plain.student, (0, 2)), {"tokens without mass": 2}
    assert_finite(found.value, what="surrogate", given=given)
    assert_close(found.student, expected, what="gradient", relative=1e-9, given=given)


@pytest.mark.requirement("LOSS-051")
@pytest.mark.needs("hybrid_loss")
@pytest.mark.parametrize("token", [-100, 10**6])
@pytest.mark.parametrize("reward_weight", [0.0, 0.5])
def test_garbage_in_the_hybrid(subject: Subject, token: int, reward_weight: float) -> None:
    """Padding may hold any id and NaN in the hybrid as well, and a row without a teacher NaN for its teacher."""
    batch = on_policy(random_batch(86))
    mask = batch.completion_mask
    dirty = replace(
        batch,
        student_logits=torch.where(mask[..., None], batch.student_logits, torch.nan),
        teacher_logits=torch.where(batch.loss_mask[..., None], batch.teacher_logits, torch.nan),
        completions=torch.where(mask, batch.completions, token),
    )
    options: dict[str, Any] = {"reward_weight": reward_weight, "support": SAMPLED_TOKEN}
    expected, found = (subject.hybrid_loss(it, REWARDS, GROUPS, **options).student for it in (batch, dirty))
    given = {"id at padded positions": token, "logits there": "NaN", "reward_weight": reward_weight}
    assert_finite(found, what="gradient", given=given)
    assert_close(found, expected, what="gradient", given=given)


@pytest.mark.requirement("LOSS-050")
@pytest.mark.needs("hybrid_loss")
def test_holes_in_the_hybrid(subject: Subject) -> None:
    """The reward moves sampled tokens, and not the answers of a tool between them."""
    batch = _holes(every_row(random_batch(87)))
    found = subject.hybrid_loss(batch, REWARDS, GROUPS, reward_weight=1.0, support=SAMPLED_TOKEN).student
    moved = found.abs().sum(-1) > 0
    expected = batch.completion_mask & (REWARDS.mean() != REWARDS)[:, None]
    assert_that(
        bool(torch.equal(moved, expected)),
        "a gradient at exactly the sampled tokens",
        f"another one at {(moved != expected).nonzero().tolist()}",
        {"completion_mask": batch.completion_mask},
    )


@pytest.mark.requirement("LOSS-106", "LOSS-107")
@pytest.mark.needs("loss.sampled_token", "loss.importance")
def test_gradient_reaches_the_sampled_id(subject: Subject) -> None:
    """Over a vocabulary of 40,000 the gradient on the sampled token is that of the id itself."""
    vocab, ids = 40_000, torch.tensor([[33_001, 39_999]])
    student, teacher = torch.randn(2, 1, 2, vocab, generator=input_generator(88), dtype=torch.float64)
    true = torch.ones(1, 2, dtype=torch.bool)
    recorded = student.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1) + 0.5
    batch = DistillationBatch(student, teacher, ids, true, true[:, 0], recorded)
    _compare(subject, batch, Setting(1.0, SAMPLED_TOKEN), {"completions": ids, "vocab": vocab}, ratio_cap=2.0)


@pytest.mark.requirement("LOSS-030")
def test_surrogate_of_a_sure_student(subject: Subject) -> None:
    """A sampled token that the student is sure of to a billionth, and the teacher is not, has its small gradient."""
    true = torch.tensor([[True]])
    student = torch.tensor([[[20.7, 0.0]]], dtype=torch.float64)
    batch = DistillationBatch(student, 0 * student, torch.tensor([[0]]), true, true[0])
    found = subject.loss(batch, alpha=1.0, support=SAMPLED_TOKEN).student
    _, expected = losses_and_gradient(batch, subject.profile, alpha=1.0, support=SAMPLED_TOKEN)
    assert_close(found, expected, what="gradient", relative=1e-6, given={"student_logits": student})


@pytest.mark.requirement("LOSS-122")
def test_without_recording(subject: Subject) -> None:
    """Evaluation: where no gradients are recorded the value is the same."""
    batch = on_policy(random_batch(89))
    for on in subject.offered.each("loss"):
        expected = subject.loss(batch, **on.options).value
        found = subject.loss_without_recording(batch, **on.options)
        assert_close(found, expected, what="loss in nats", relative=1e-10, given=on.given)
