"""A policy, an oracle, a teacher and a trainer as a stranger would write them: plain classes, nothing inherited.

mypy reads this file in `test_typing.py`; the functions at the end are where it compares each class with its Protocol.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref import Judgement, Oracle, Policy, Rollouts, Teacher, Trainer
from sdpo_ref.types import Prompts, StepReport, TeacherView


class UnigramPolicy:
    """Draws every token from one categorical distribution."""

    def __init__(self, scores: Float[Tensor, " vocab"]) -> None:
        self.scores = scores

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """The same scores at every position."""
        del prompts, completion_mask
        return self.scores.expand(*completions.shape, -1)

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """Completions of exactly ``num_tokens`` tokens."""
        rows = prompts.token_ids.shape[0]
        log_probs = self.scores.log_softmax(-1)
        drawn = torch.multinomial(log_probs.exp(), rows * num_tokens, replacement=True, generator=generator)
        completions = drawn.reshape(rows, num_tokens)
        return Rollouts(prompts, completions, torch.ones_like(completions, dtype=torch.bool), log_probs[completions])

    def weights(self) -> Mapping[str, Tensor]:
        """The scores themselves."""
        return {"scores": self.scores}


class CountingOracle:
    """Rewards each rollout with the number of its tokens that equal one."""

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Rewards without feedback."""
        del generator
        hits = (rollouts.completions == 1) & rollouts.completion_mask
        return Judgement(hits.sum(-1).float(), (None,) * hits.shape[0])


class SilentTeacher:
    """Repeats the policy and has read nothing, so that no row teaches anything."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The policy's own scores."""
        del judgement
        scores = self.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        return TeacherView(scores.detach(), torch.zeros(scores.shape[0], dtype=torch.bool))

    def update(self, student: Policy) -> None:
        """Follow the student."""
        self.policy = student


class PatientTrainer:
    """Learns nothing."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def policy(self) -> Policy:
        """The policy that it was given."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Report the mean reward and change nothing."""
        del rollouts
        report = StepReport(loss=0.0, optimizer_steps=0, teacher_updates=0, metrics={})
        return replace(report, metrics={"reward": judgement.rewards.mean().item()})


def policy_is_accepted(policy: UnigramPolicy) -> Policy:
    """Compare the class with its Protocol."""
    return policy


def oracle_is_accepted(oracle: CountingOracle) -> Oracle:
    """Compare the class with its Protocol."""
    return oracle


def teacher_is_accepted(teacher: SilentTeacher) -> Teacher:
    """Compare the class with its Protocol."""
    return teacher


def trainer_is_accepted(trainer: PatientTrainer) -> Trainer:
    """Compare the class with its Protocol."""
    return trainer
