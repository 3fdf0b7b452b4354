"""What others implement: ``Policy``, ``Oracle``, ``Teacher`` and ``Trainer``, in the order in which a step uses them.

A policy samples rollouts, an oracle judges them, a teacher scores them after it has read the judgement, and a trainer
updates the policy. Nothing has to be inherited. The parts that ``sdpo-ref verify`` checks one by one are in ``parts``,
the choices in which published variants differ in ``profile``.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.types import Judgement, Prompts, Rollouts, StepReport, TeacherView


@runtime_checkable
class Policy(Protocol):
    """**Protocol:** an autoregressive distribution over completions (spec/01-policy)."""

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """Scores for completion token ``t`` given the prompt and completion tokens before ``t`` (POLICY-001).

        All of these, whether or not they count: where ``completion_mask`` has a hole, a tool wrote, and what stands up
        to the last token that counts is attended (POLICY-007). Padding stands behind it.
        """
        ...

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """One completion for each prompt, at most ``num_tokens`` long, with its log-probabilities."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The live tensors that define the policy, by name: parameters and buffers, not copies."""
        ...


@runtime_checkable
class Oracle(Protocol):
    """**Protocol:** a source of rewards and feedback, which never sees the policy (spec/02-oracle)."""

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """A finite reward for each rollout, and feedback on that very attempt where there is any (ORACLE-002)."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """**Protocol:** a policy conditioned on feedback, with a rule for its weights (spec/03-teacher)."""

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The teacher's scores for every token of the rollouts; no gradient flows through them (TEACH-029)."""
        ...

    def update(self, student: Policy) -> None:
        """Move the teacher's weights as its kind says; called once for each update of its cadence (TEACH-021)."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """**Protocol:** an algorithm that updates its policy from judged rollouts, such as SDPO (spec/05-trainer)."""

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        ...

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Update the policy from rollouts that it sampled and their judgement."""
        ...
