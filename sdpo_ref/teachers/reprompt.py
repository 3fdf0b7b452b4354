"""A policy conditioned on feedback through its prompt: texts become tokens (spec/03-teacher, A)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.protocols import Policy
from sdpo_ref.protocols.attention import up_to_the_last
from sdpo_ref.protocols.parts import Attempt, Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.chat import ChatPrompts, encoded, messages_of
from sdpo_ref.teachers.context import Template, teacher_contexts
from sdpo_ref.types import Judgement, Rollouts, TeacherView


@dataclass(frozen=True)
class Reprompter:
    """Shows a policy the prompt together with a demonstration or feedback, and reads off its logits.

    The tokens of the completion are scored verbatim: they are never turned into text and back. What a tool wrote inside
    it is attended, and belongs to the text of the attempt.
    Implements: POLICY-005, POLICY-007.

    Attributes:
        encode: token ids of chat messages, generation prompt included.
        decode_completion: text of a completion's token ids.
        rules: which demonstration and which feedback are shown.
        template: the words around them.
    """

    encode: Callable[[tuple[Message, ...]], list[int]]
    decode_completion: Callable[[list[int]], str]
    rules: ContextRules
    template: Template = field(default_factory=Template)

    def reprompts(self, rollouts: Rollouts, judgement: Judgement) -> tuple[ChatPrompts, Bool[Tensor, " rollout"]]:
        """The teacher's prompts, and which rows have a context.

        Args:
            rollouts: what was sampled, for prompts whose messages are known.
            judgement: on it.

        Returns:
            Prompts of the teacher, and a mask over rollouts that is True where the row is usable.

        Raises:
            InvalidInputError: if the prompts carry no messages.
        """
        conversations, attended = messages_of(rollouts), up_to_the_last(rollouts.completion_mask)
        attempts = [
            Attempt(
                group=int(rollouts.prompts.group_ids[row]),
                prompt=conversations[row],
                completion=self.decode_completion(_kept(rollouts.completions[row], attended[row])),
                reward=float(judgement.rewards[row]),
                feedback=None if feedback is None else feedback.text,
            )
            for row, feedback in enumerate(judgement.feedback)
        ]
        contexts = teacher_contexts(
            attempts, self.rules, template=self.template, length=lambda text: len(self.encode(_user(text)))
        )
        read = [context.messages for context in contexts]
        prompts = encoded(read, rollouts.prompts.group_ids, encode=self.encode)
        usable = torch.tensor([context.usable for context in contexts], dtype=torch.bool)
        return prompts, usable.to(rollouts.completions.device)

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
