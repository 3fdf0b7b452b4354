"""The four kinds of teacher on a policy whose vocabulary is letters, through texts and back to tokens."""

import math

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.averaging import trust_region_log_probs
from sdpo_ref.protocols import Teacher
from sdpo_ref.protocols.parts import Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.teachers.chat import encoded
from sdpo_ref.teachers.reprompt import Reprompter
from sdpo_ref.teachers.weights import EmaTeacher, FrozenTeacher, LiveTeacher, TrustRegionTeacher
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import Feedback, Judgement, Rollouts

ALPHABET = "\n abcdefghijklmnopqrstuvwxyzANSWTH:."
JUDGEMENT = Judgement(torch.tensor([0.0, 1.0, 0.0]), (Feedback("too low"), None, None))


def encode(messages: tuple[Message, ...]) -> list[int]:
    return [ALPHABET.index(letter) for message in messages for letter in message["content"]]


def decode(token_ids: list[int]) -> str:
    return "".join(ALPHABET[token] for token in token_ids)


REPROMPTER = Reprompter(
    encode=encode,
    decode_completion=decode,
    rules=ContextRules(own_success="exclude"),
)


def sampled(seed: int = 0) -> tuple[PrefixSumPolicy, Rollouts]:
    """A policy and three rollouts: two of one prompt, of which the second succeeds, and one of another."""
    generator = torch.Generator().manual_seed(seed)
    size = len(ALPHABET)
    policy = PrefixSumPolicy(
        torch.randn(size, size, generator=generator, dtype=torch.float64),
        0.1 * torch.randn(size, size, generator=generator, dtype=torch.float64),
    )
    asked = [({"role": "user", "content": text},) for text in ("ask", "ask", "other")]
    prompts = encoded(asked, torch.tensor([0, 0, 1]), encode=encode)
    return policy, policy.sample(prompts, num_tokens=5, generator=generator)


def test_reprompts_hold_the_evidence() -> None:
    """Row 0 sees the success of row 1; rows 1 and 2 have nothing to learn from and see their prompts."""
    _, rollouts = sampled()
    prompts, usable = REPROMPTER.reprompts(rollouts, JUDGEMENT)
    texts = [decode(row[mask].tolist()) for row, mask in zip(prompts.token_ids, prompts.mask, strict=True)]
    assert usable.tolist() == [True, False, False]
    assert decode(rollouts.completions[1].tolist()) in texts[0]
    assert texts[1:] == ["ask", "other"]


def test_left_padding_is_nobodys_business() -> None:
    """The logits of a short prompt are the same beside a long one and alone."""
    policy, rollouts = sampled()
    together = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    alone = policy.logits(
        encoded([({"role": "user", "content": "ask"},)], torch.tensor([0]), encode=encode),
        rollouts.completions[:1],
        rollouts.completion_mask[:1],
    )
    assert torch.allclose(together[:1], alone)


def test_sampling_depends_on_its_generator_only() -> None:
    """The same seed, the same rollouts; and their log-probabilities are those of the policy."""
    policy, first = sampled(7)
    _, second = sampled(7)
    assert torch.equal(first.completions, second.completions)
    scores = policy.logits(first.prompts, first.completions, first.completion_mask).log_softmax(-1)
    chosen = scores.gather(-1, first.completions[..., None]).squeeze(-1)
    assert torch.allclose(first.behaviour_log_probs, chosen)


@pytest.mark.parametrize("kind", ["live", "frozen", "ema", "trust_region"])
def test_first_view_is_the_conditioned_student(kind: str) -> None:
    """At the start every kind says what the student says under the context, without gradient."""
    policy, rollouts = sampled()
    teachers: dict[str, Teacher] = {
        "live": LiveTeacher(policy, REPROMPTER),
        "frozen": FrozenTeacher(policy, REPROMPTER),
        "ema": EmaTeacher(policy, REPROMPTER, update_rate=0.5),
        "trust_region": TrustRegionTeacher(policy, REPROMPTER, mix=0.5),
    }
    view = teachers[kind].view(rollouts, JUDGEMENT)
    expected = REPROMPTER.view(policy, rollouts, JUDGEMENT)
    assert not view.logits.requires_grad
    assert torch.allclose(view.logits.log_softmax(-1), expected.logits.log_softmax(-1))


def moved(policy: PrefixSumPolicy) -> None:
    """Change the student, as training would."""
    with torch.no_grad():
        policy.current.add_(1.0)
        policy.current[:, 0].add_(2.0)  # what shifts whole rows is no change to a softmax


def test_after_an_update() -> None:
    """Frozen stays, live follows whole, EMA half-way, trust region in the logarithm."""
    policy, rollouts = sampled()
    initial = REPROMPTER.view(policy, rollouts, JUDGEMENT).logits
    start = policy.current.detach().clone()
    live, frozen = LiveTeacher(policy, REPROMPTER), FrozenTeacher(policy, REPROMPTER)
    ema = EmaTeacher(policy, REPROMPTER, update_rate=0.5)
    trust = TrustRegionTeacher(policy, REPROMPTER, mix=0.25)
    moved(policy)
    for teacher in (live, frozen, ema, trust):
        teacher.update(policy)
    current = REPROMPTER.view(policy, rollouts, JUDGEMENT).logits
    assert torch.equal(frozen.view(rollouts, JUDGEMENT).logits, initial)
    assert torch.equal(live.view(rollouts, JUDGEMENT).logits, current)
    half = PrefixSumPolicy((start + policy.current.detach()) / 2, policy.prefix.detach())
    expected = REPROMPTER.view(half, rollouts, JUDGEMENT).logits
    assert torch.allclose(ema.view(rollouts, JUDGEMENT).logits, expected)
    mixture = trust_region_log_probs(initial, current, mix=0.25)
    assert torch.allclose(trust.view(rollouts, JUDGEMENT).logits, mixture)


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_rates_out_of_range_are_refused(bad: float) -> None:
    """Before anything is copied."""
    policy, _ = sampled()
    with pytest.raises(InvalidInputError):
        EmaTeacher(policy, REPROMPTER, update_rate=bad)
    with pytest.raises(InvalidInputError):
        TrustRegionTeacher(policy, REPROMPTER, mix=bad)


@pytest.mark.parametrize("cadence", ["iteration", "optimizer_step"])
def test_trainer_learns_what_its_teacher_knows(cadence: str) -> None:
    """Forty steps against a frozen teacher on fixed rollouts lower the loss to a tenth; unusable rows keep theirs."""
    policy, rollouts = sampled()
    teacher = FrozenTeacher(policy, REPROMPTER)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    trainer = SdpoTrainer(policy, teacher, optimizer, optimizer_steps=1, ema_cadence=cadence)  # type: ignore[arg-type]
    reports = [trainer.step(rollouts, JUDGEMENT) for _ in range(40)]
    assert trainer.policy is policy
    assert reports[-1].loss < 0.1 * reports[0].loss
    assert reports[0].metrics["self_distillation/reprompt_sample_fraction"] == pytest.approx(1 / 3)


def test_trainer_counts_teacher_updates() -> None:
    """Two optimiser steps per call: one teacher update, or two."""
    for cadence, updates in (("iteration", 1), ("optimizer_step", 2)):
        policy, rollouts = sampled()
        trainer = SdpoTrainer(
            policy,
            EmaTeacher(policy, REPROMPTER),
            torch.optim.SGD(policy.parameters(), lr=0.1),
            optimizer_steps=2,
            ema_cadence=cadence,  # type: ignore[arg-type]
        )
        report = trainer.step(rollouts, JUDGEMENT)
        assert (report.optimizer_steps, report.teacher_updates) == (2, updates)


def test_micro_batches_change_nothing_but_memory() -> None:
    """Three backward passes make the update of one."""
    moved_to = []
    for micro_batches in (1, 3):
        policy, rollouts = sampled()
        judged = Judgement(torch.tensor([0.0, 1.0, 0.0]), (Feedback("too low"), None, Feedback("too long")))
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.5)
        trainer = SdpoTrainer(policy, FrozenTeacher(policy, REPROMPTER), optimizer, micro_batches=micro_batches)
        trainer.step(rollouts, judged)
        moved_to.append(policy.current.detach())
    assert torch.allclose(moved_to[0], moved_to[1], rtol=1e-12, atol=1e-14)


def test_trainer_refuses_more_steps_than_rollouts() -> None:
    """Every optimiser step needs a rollout."""
    policy, rollouts = sampled()
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    trainer = SdpoTrainer(policy, FrozenTeacher(policy, REPROMPTER), optimizer, optimizer_steps=4)
    with pytest.raises(InvalidInputError, match="3 rollouts for 4"):
        trainer.step(rollouts, JUDGEMENT)
