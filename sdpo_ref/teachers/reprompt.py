"""A policy conditioned on feedback through its prompt: texts become tokens (spec/03-teacher, A)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.protocols import Policy
from sdpo_ref.protocols.parts import Attempt, Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.context import Template, teacher_contexts
from sdpo_ref.types import Judgement, Prompts, Rollouts, TeacherView


def left_padded(rows: Sequence[Sequence[int]], group_ids: Int[Tensor, " rollout"]) -> Prompts:
    """Prompts of unequal length, padded on the left so that all end where the completion starts.

    Args:
        rows: token ids of each prompt.
        group_ids: equal for rollouts of the same prompt.

    Returns:
        The padded prompts.

    Example:
        >>> left_padded([[7], [8, 9]], torch.tensor([0, 1])).token_ids
        tensor([[0, 7],
                [8, 9]])
    """
    width = max((len(row) for row in rows), default=0)
    token_ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], dtype=torch.long)
    mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows], dtype=torch.bool)
    return Prompts(token_ids, mask, group_ids)


@dataclass(frozen=True)
class Reprompter:
    """Shows a policy the prompt together with a demonstration or feedback, and reads off its logits.

    The tokens of the completion are scored verbatim: they are never turned into text and back.
    Implements: POLICY-005.

    Attributes:
        encode: token ids of chat messages, generation prompt included.
        decode_prompt: chat messages of a prompt's token ids.
        decode_completion: text of a completion's token ids.
        rules: which demonstration and which feedback are shown.
        template: the words around them.
    """

    encode: Callable[[tuple[Message, ...]], list[int]]
    decode_prompt: Callable[[list[int]], tuple[Message, ...]]
    decode_completion: Callable[[list[int]], str]
    rules: ContextRules
    template: Template = field(default_factory=Template)

    def reprompts(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Prompts, Tensor]:
        """The teacher's prompts, and which rows have a context.

        Args:
            rollouts: what was sampled.
            judgement: on it.

        Returns:
            Prompts of the teacher, and a mask over rollouts that is True where the row is usable.
        """
        attempts = [
            Attempt(
                group=int(rollouts.prompts.group_ids[row]),
                prompt=self.decode_prompt(_kept(rollouts.prompts.token_ids[row], rollouts.prompts.mask[row])),
                completion=self.decode_completion(_kept(rollouts.completions[row], rollouts.completion_mask[row])),
                reward=float(judgement.rewards[row]),
                feedback=None if feedback is None else feedback.text,
            )
            for row, feedback in enumerate(judgement.feedback)
        ]
        contexts = teacher_contexts(
            attempts, self.rules, template=self.template, length=lambda text: len(self.encode(_user(text)))
        )
        prompts = left_padded([self.encode(context.messages) for context in contexts], rollouts.prompts.group_ids)
        return prompts, torch.tensor([context.usable for context in contexts], dtype=torch.bool)

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of ``policy`` for the rollouts once it has read the judgement; without gradient.

        Implements: TEACH-029.

        Args:
            policy: whose weights to use.
            rollouts: what was sampled.
            judgement: on it.

        Returns:
            Logits for every completion token, and the usable rows.
        """
        prompts, usable = self.reprompts(rollouts, judgement)
        with torch.no_grad():
            logits: Float[Tensor, "rollout time vocab"] = policy.logits(
                prompts, rollouts.completions, rollouts.completion_mask
            )
        return TeacherView(logits.detach(), usable)


def _kept(token_ids: Tensor, mask: Tensor) -> list[int]:
    kept: list[int] = token_ids[mask].tolist()
    return kept


def _user(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)
