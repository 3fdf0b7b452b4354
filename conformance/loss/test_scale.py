"""What small tests do not have: large vocabularies and batches, large divergences, and NaN (spec/04-loss, E)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch, Support
from sdpo_ref.verification.checks.closed_form import divergences, losses_and_gradient, token_weights
from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.inputs import input_generator, on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.subject import Gradient, Subject

VOCAB = 40_000
IDS = torch.tensor([[33_001, 257, VOCAB - 1, 0, 2_049, 12_345]])
"""Ids that eight bits, sixteen bits, or the mantissa of a half-precision number cannot hold, and the first."""


def _random(seed: int, rollout: int, time: int, vocab: int) -> DistillationBatch:
    """Every token counts, except the first of the first completion."""
    generator = input_generator(seed)
    student, teacher = torch.randn(2, rollout, time, vocab, generator=generator, dtype=torch.float64)
    mask = torch.ones(rollout, time, dtype=torch.bool)
    mask[0, 0] = False
    completions = torch.randint(vocab, (rollout, time), generator=generator)
    return DistillationBatch(student, teacher, completions, mask, mask.any(-1))


def _of_many_tokens(seed: int) -> DistillationBatch:
    """One completion over the large vocabulary, whose sampled tokens are likely."""
    batch = _random(seed, 1, IDS.shape[1], VOCAB)
    likely = torch.zeros(1, IDS.shape[1], VOCAB, dtype=torch.float64).scatter_(-1, IDS[..., None], 9.0)
    return replace(batch, student_logits=batch.student_logits + likely, completions=IDS)


def _at(log_probs: Tensor, ids: Tensor) -> Tensor:
    return log_probs.gather(-1, ids[..., None]).squeeze(-1)


@pytest.mark.parametrize(
    ("rollout", "time", "vocab"),
    [
        pytest.param(1, 1_100, 3, marks=pytest.mark.requirement("LOSS-104")),
        pytest.param(300, 1, 3, marks=pytest.mark.requirement("LOSS-105")),
        pytest.param(1, 2, VOCAB, marks=pytest.mark.requirement("LOSS-103")),
    ],
)
def test_sizes(subject: Subject, rollout: int, time: int, vocab: int) -> None:
    """One side is as large as in training, and the loss is still the aggregated divergence."""
    batch = _random(90, rollout, time, vocab)
    on = subject.offered.one("loss", near=1.0, vocab=vocab)
    found = subject.loss(batch, **on.options)
    value, gradient = losses_and_gradient(batch, subject.profile, **on.options)
    inputs = {"rollouts": rollout, "tokens of each": time, "vocab": vocab, **on.given}
    if not on.is_surrogate:
        assert_close(found.value, value, what="loss in nats", relative=1e-9, given=inputs)
    assert_close(
        found.student,
        gradient,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-13,
        given=inputs,
    )


@pytest.mark.requirement("LOSS-106")
def test_any_sampled_id(subject: Subject) -> None:
    """Ids all over a large vocabulary are scored as themselves."""
    batch = _of_many_tokens(91)
    p, q = (side.log_softmax(-1) for side in (batch.student_logits, batch.teacher_logits))
    weighted = token_weights(batch.loss_mask, subject.profile.aggregation) * (_at(p, IDS) - _at(q, IDS))
    score = torch.nn.functional.one_hot(IDS, VOCAB) - p.exp()
    assert_close(
        subject.loss(batch, alpha=1.0, support=SAMPLED_TOKEN).student,
        weighted[..., None] * score,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-13,
        given={"completions": IDS, "vocab": VOCAB},
    )


@pytest.mark.requirement("LOSS-107")
def test_any_weighted_id(subject: Subject) -> None:
    """The importance ratio is that of the sampled id; two are large, 33 and 90, the second above the cap."""
    batch = _of_many_tokens(92)
    behaviour = _at(batch.student_logits.log_softmax(-1), IDS) + torch.tensor([[0.5, -0.3, -3.5, 0.9, -4.5, 0.1]])
    batch = replace(batch, behaviour_log_probs=behaviour)
    on = subject.offered.one("loss", near=1.0, vocab=VOCAB)
    found = subject.loss(batch, **on.options, ratio_cap=50.0)
    value, gradient = losses_and_gradient(batch, subject.profile, **on.options, ratio_cap=50.0)
    inputs = {"completions": IDS, "vocab": VOCAB, "ratio_cap": 50.0, **on.given}
    if on.is_surrogate:
        assert_close(found.student, gradient, what="weighted gradient", relative=1e-9, absolute=1e-13, given=inputs)
    else:
        assert_close(found.value, value, what="weighted loss in nats", relative=1e-9, given=inputs)


@pytest.mark.requirement("LOSS-108")
def test_any_id_in_the_head(subject: Subject) -> None:
    """The tokens that both sides find likeliest may have any id, and many unlikely ones make up the tail."""
    batch = _of_many_tokens(93)
    head = torch.stack([IDS, IDS.roll(1, -1)], -1)
    likely = torch.zeros_like(batch.student_logits).scatter_(-1, head, 8.0)
    batch = replace(
        batch, student_logits=batch.student_logits + likely, teacher_logits=batch.teacher_logits + 1.5 * likely
    )
    sides = [logits.log_softmax(-1) for logits in (batch.student_logits, batch.teacher_logits)]
    tails = [side.scatter(-1, head, -torch.inf).logsumexp(-1, keepdim=True) for side in sides]
    p, q = (torch.cat([side.gather(-1, head), tail], -1) for side, tail in zip(sides, tails, strict=True))
    weights = token_weights(batch.loss_mask, subject.profile.aggregation)
    on = subject.offered.on("loss", Support("top_k_tail", 2), near=0.0)
    assert_close(
        subject.loss(batch, **on.options).value,
        (weights * divergences(p, q, alpha=on.alpha, support=FULL)).sum(),
        what="loss in nats",
        relative=1e-9,
        given={"head": head, "vocab": VOCAB, **on.given},
    )


@pytest.mark.requirement("LOSS-109")
def test_any_rewarded_id(subject: Subject) -> None:
    """The reward of a group of two moves the sampled ids, one up and one down."""
    logits = torch.zeros(2, 1, VOCAB, dtype=torch.float64)
    completions, true = torch.tensor([[33_001], [257]]), torch.tensor([[True], [True]])
    batch = DistillationBatch(logits, logits, completions, true, true[:, 0])
    rewards, groups = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([0, 0])
    found = subject.hybrid_loss(batch, rewards, groups, reward_weight=1.0, support=SAMPLED_TOKEN).student
    advantage = 0.5 if subject.profile.group_advantage == "centered" else 0.5 / (0.5**0.5 + 1e-4)
    expected = torch.zeros_like(logits).scatter_(-1, completions[..., None], 1.0) - 1 / VOCAB
    expected *= advantage / 2 * torch.tensor([-1.0, 1.0])[:, None, None]
    assert_close(
        found,
        expected,
        what="gradient w.r.t. the student's logits",
        relative=1e-6,  # rewards may pass through float32
        absolute=1e-9,
        given={"completions": completions, "rewards": rewards, "vocab": VOCAB},
    )


@pytest.mark.requirement("LOSS-111")
@pytest.mark.parametrize(("first", "second"), [(2**40, 2**40 + 1), (5, 5 + 256), (5, 5 + 65_536), (-3, 3)])
def test_any_group_id(subject: Subject, first: int, second: int) -> None:
    """Two groups, each with equal rewards, have no advantage, whatever their ids."""
    batch = on_policy(random_batch(95))
    rewards = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    groups = torch.tensor([first, first, second, second])
    assert_close(
        subject.hybrid_loss(batch, rewards, groups, reward_weight=1.0, support=SAMPLED_TOKEN).student,
        torch.zeros_like(batch.student_logits),
        what="gradient w.r.t. the student's logits",
        absolute=1e-9,
        given={"rewards": rewards, "group_ids": groups},
    )


@pytest.mark.requirement("LOSS-116")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_any_memory_layout(subject: Subject, alpha: float) -> None:
    """Logits with time or the vocabulary in front, as some models return them, and a batch cut from a longer one."""
    batch = on_policy(random_batch(99))
    settings = subject.offered.each("loss", at=alpha)
    expected = {on: subject.loss(batch, **on.options) for on in settings}

    def check(turned: DistillationBatch, layout: str) -> None:
        for on in settings:
            found, inputs = subject.loss(turned, **on.options), {"layout": layout, **on.given}
            assert_close(found.value, expected[on].value, what="loss in nats", relative=1e-10, given=inputs)
            assert_close(found.student, expected[on].student, what="gradient", relative=1e-9, given=inputs)

    for axes in ((1, 0, 2), (2, 1, 0), (0, 2, 1)):
        back = sorted(range(3), key=axes.__getitem__)
        turned = [
            side.permute(axes).contiguous().permute(back) for side in (batch.student_logits, batch.teacher_logits)
        ]
        logits = {"student_logits": turned[0], "teacher_logits": turned[1]}
        check(replace(batch, **logits), f"axes {axes} of the logits in memory")
    masks = {
        "completions": batch.completions.T.contiguous().T,
        "completion_mask": batch.completion_mask.T.contiguous().T,
    }
    check(replace(batch, **masks), "ids and masks with time in front")


@pytest.mark.requirement("LOSS-115")
def test_implicit_reward_of_a_long_completion(subject: Subject) -> None:
    """Of 5,000 tokens every one counts."""
    logits = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).expand(1, 5_000, 3)
    zeros, ids = torch.zeros_like(logits), torch.zeros(1, 5_000, dtype=torch.long)
    share = logits[0, 0].log_softmax(-1)[0] + torch.tensor(3.0, dtype=torch.float64).log()
    assert_close(
        subject.implicit_reward(logits, zeros, ids, torch.ones_like(ids, dtype=torch.bool)),
        5_000 * share[None],
        what="implicit reward in nats",
        relative=1e-9,
        given={"tokens": 5_000, "each token's share in nats": float(share)},
    )


@pytest.mark.parametrize(
    "factor",
    [
        pytest.param(1.0, marks=pytest.mark.requirement("LOSS-110")),
        pytest.param(100.0, marks=pytest.mark.requirement("LOSS-114")),
    ],
)
def test_any_implicit_reward(subject: Subject, factor: float) -> None:
    """Of ids all over a large vocabulary, also where each token's share is hundreds of nats."""
    batch = _of_many_tokens(94)
    sides = (factor * batch.student_logits, factor * batch.teacher_logits)
    conditioned, reference = (_at(side.log_softmax(-1), IDS) for side in sides)
    assert_close(
        subject.implicit_reward(*sides, IDS, batch.completion_mask),
        torch.where(batch.completion_mask, conditioned - reference, 0.0).sum(-1),
        what="implicit reward in nats",
        relative=1e-9,
        given={"completions": IDS, "vocab": VOCAB, "logits times": factor},
    )


@pytest.mark.requirement("LOSS-112")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_hundreds_of_nats(subject: Subject, alpha: float) -> None:
    """A divergence that is large is not cut."""
    on = subject.offered.one("loss", at=alpha, vocab=2)
    if on.is_surrogate:
        raise NotAskedError("the sampled token has a requirement of its own, LOSS-113")
    student = torch.tensor([[[0.0, -400.0]]], dtype=torch.float64)
    true = torch.tensor([[True]])
    batch = DistillationBatch(student, student.flip(-1), torch.tensor([[0]]), true, true[0])
    weight = token_weights(batch.loss_mask, subject.profile.aggregation).sum()
    assert_close(
        subject.loss(batch, **on.options).value,
        400.0 * weight,
        what="loss in nats",
        relative=1e-9,
        given={"student_logits": batch.student_logits, "teacher_logits": batch.teacher_logits, **on.given},
    )


@pytest.mark.requirement("LOSS-113")
@pytest.mark.parametrize("teacher", [-400.0, 400.0])
def test_sampled_log_ratio_of_hundreds_of_nats(subject: Subject, teacher: float) -> None:
    """The advantage of a sampled token is not cut."""
    even, true = torch.zeros(1, 1, 2, dtype=torch.float64), torch.tensor([[True]])
    logits = torch.tensor([[[0.0, -teacher]]], dtype=torch.float64)
    student = even if teacher < 0 else torch.tensor([[[-300.0, 0.0]]], dtype=torch.float64)
    batch = DistillationBatch(student, logits, torch.tensor([[0]]), true, true[0])
    advantage = float((logits.log_softmax(-1) - student.log_softmax(-1))[0, 0, 0])
    weight = token_weights(batch.loss_mask, subject.profile.aggregation).sum()
    score = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64) - student.softmax(-1)
    assert_close(
        subject.loss(batch, alpha=1.0, support=SAMPLED_TOKEN).student,
        -advantage * weight * score,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        given={"student_logits": student, "teacher_logits": logits},
    )


@pytest.mark.requirement("LOSS-008")
@pytest.mark.needs("loss")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_infinite_loss(subject: Subject, alpha: float) -> None:
    """A token that is possible for the side that weights, and not for the other, makes the loss infinite."""
    on = subject.offered.one("loss", at=alpha, vocab=3)
    if on.is_surrogate:
        raise NotAskedError("the sampled token has no divergence")
    all_possible = torch.tensor([[[0.0, 1.0, 0.5]]], dtype=torch.float64)
    one_excluded = torch.tensor([[[0.0, 1.0, -torch.inf]]], dtype=torch.float64)
    student, teacher = (all_possible, one_excluded) if alpha == 1.0 else (one_excluded, all_possible)
    true = torch.tensor([[True]])
    assert_close(
        subject.loss(DistillationBatch(student, teacher, torch.tensor([[0]]), true, true[0]), **on.options).value,
        torch.tensor(torch.inf),
        what="loss in nats",
        given={"student_logits": student, "teacher_logits": teacher, **on.given},
    )


def _in_place_of_nan(subject: Subject, part: str, call: Callable[[Subject], Gradient]) -> str | None:
    """What came back instead of NaN or an error, as value or, which is all that training sees, as gradient."""
    answers: list[Gradient] = []
    if subject.raises(part, lambda it: answers.append(call(it))) is not None:
        return None
    if not answers:
        return "something that is no loss"
    for name, found in (("value", answers[0].value), ("gradient", answers[0].student)):
        if not bool(found.isnan().any()):
            return f"a {name} of size {float(found.abs().max()):.6g}"
    return None


def _loss(batch: DistillationBatch, **options: Any) -> Callable[[Subject], Gradient]:
    return lambda it: it.loss(batch, **options)


@pytest.mark.requirement("LOSS-069")
@pytest.mark.parametrize("side", ["student_logits", "teacher_logits"])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_nan_logits_are_not_hidden(subject: Subject, side: str, alpha: float) -> None:
    """A single NaN, at a token that counts."""
    batch = on_policy(random_batch(96))
    heads = getattr(batch, f"{subject.profile.top_k_from}_logits")  # on renormalised support, only the head counts
    likeliest = int(heads[1, 2].argmax())
    logits = getattr(batch, side).clone()
    logits[1, 2, likeliest] = torch.nan
    batch = replace(batch, **{side: logits})
    for on in subject.offered.each("loss", at=alpha):
        found = _in_place_of_nan(subject, "loss", _loss(batch, **on.options))
        inputs = {side: "one NaN that counts", **on.given}
        assert_that(found is None, "a loss and a gradient of NaN, or an error", str(found), inputs)


@pytest.mark.requirement("LOSS-069")
@pytest.mark.needs("loss.importance")
def test_nan_behaviour_is_not_hidden(subject: Subject) -> None:
    """A sampler that recorded NaN for a token that counts."""
    batch = random_batch(97)
    assert batch.behaviour_log_probs is not None
    recorded = batch.behaviour_log_probs.clone()
    recorded[1, 2] = torch.nan
    batch = replace(batch, behaviour_log_probs=recorded)
    for on in subject.offered.each("loss"):
        found = _in_place_of_nan(subject, "loss", _loss(batch, **on.options, ratio_cap=2.0))
        inputs = {"behaviour_log_probs": "one NaN that counts", "ratio_cap": 2.0, **on.given}
        assert_that(found is None, "a loss and a gradient of NaN, or an error", str(found), inputs)


@pytest.mark.requirement("LOSS-069")
@pytest.mark.needs("hybrid_loss")
def test_nan_reward_is_not_hidden(subject: Subject) -> None:
    """A reward that is no number, in a group that is rewarded."""
    batch, groups = on_policy(random_batch(98)), torch.tensor([0, 0, 0, 0])
    rewards = torch.tensor([1.0, torch.nan, 0.0, 0.5], dtype=torch.float64)
    options: dict[str, Any] = {"reward_weight": 0.5, "support": SAMPLED_TOKEN}
    found = _in_place_of_nan(subject, "hybrid_loss", lambda it: it.hybrid_loss(batch, rewards, groups, **options))
    inputs = {"rewards": rewards, "reward_weight": 0.5}
    assert_that(found is None, "a surrogate and a gradient of NaN, or an error", str(found), inputs)


@pytest.mark.requirement("LOSS-069")
@pytest.mark.needs("hybrid_loss")
@pytest.mark.parametrize("side", ["student_logits", "teacher_logits"])
def test_nan_logits_of_the_hybrid_are_not_hidden(subject: Subject, side: str) -> None:
    """NaN at a token that counts, beside rewards that differ; row 2 has no teacher, and counts by its reward."""
    rewards, groups = torch.tensor([1.0, 0.0, 0.3, 0.5], dtype=torch.float64), torch.tensor([0, 0, 0, 0])
    options: dict[str, Any] = {"reward_weight": 0.5, "support": SAMPLED_TOKEN}
    for row in (1, 2) if side == "student_logits" else (1,):
        batch = on_policy(random_batch(96))
        logits = getattr(batch, side).clone()
        logits[row, 2] = torch.nan
        dirty = replace(batch, **{side: logits})

        def call(it: Subject, dirty: DistillationBatch = dirty) -> Gradient:
            return it.hybrid_loss(dirty, rewards, groups, **options)

        found, given = _in_place_of_nan(subject, "hybrid_loss", call), {side: "NaN that counts", "row": row}
        assert_that(found is None, "a surrogate and a gradient of NaN, or an error", str(found), given)
