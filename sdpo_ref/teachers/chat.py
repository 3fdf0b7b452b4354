"""Chat messages beside the token ids that were made of them: a chat template is not invertible."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols.parts import Message
from sdpo_ref.types import Prompts, Rollouts


@dataclass(frozen=True)
class ChatPrompts(Prompts):
    """Tokenised prompts with the messages that each was made of.

    Attributes:
        messages: of each rollout's prompt; the last one is from the user.

    Raises:
        InvalidInputError: if there are more or fewer conversations than rows.

    Example:
        >>> import torch
        >>> ids, ask = torch.tensor([[7]]), {"role": "user", "content": "2+2?"}
        >>> ChatPrompts(ids, ids > 0, torch.tensor([0]), ((ask,),)).messages[0][0]["content"]
        '2+2?'
    """

    messages: tuple[tuple[Message, ...], ...]

    def __post_init__(self) -> None:
        """Refuse messages that cannot be matched to the rows."""
        if len(self.messages) != self.token_ids.shape[0]:
            raise InvalidInputError(
                f"received {len(self.messages)} conversations for {self.token_ids.shape[0]} prompts; give one to each"
            )


@dataclass(frozen=True)
class ChatRollouts(Rollouts):
    """Completions of :class:`ChatPrompts`; a selection of them keeps its messages."""

    prompts: ChatPrompts

    def select(self, rows: Int[Tensor, " selected"]) -> "ChatRollouts":
        """Some of the rollouts.

        Args:
            rows: which, in the order wanted.

        Returns:
            Copies of these rows, with their messages.
        """
        prompts = ChatPrompts(
            self.prompts.token_ids[rows],
            self.prompts.mask[rows],
            self.prompts.group_ids[rows],
            tuple(self.prompts.messages[row] for row in rows.tolist()),
        )
        return ChatRollouts(prompts, self.completions[rows], self.completion_mask[rows], self.behaviour_log_probs[rows])


def left_padded(rows: Sequence[Sequence[int]], group_ids: Int[Tensor, " rollout"]) -> Prompts:
    """Prompts of unequal length, padded on the left so that all end where the completion starts.

    Args:
        rows: token ids of each prompt.
        group_ids: equal for rollouts of the same prompt.

    Returns:
        The padded prompts, on the device of the groups.

    Example:
        >>> left_padded([[7], [8, 9]], torch.tensor([0, 1])).token_ids
        tensor([[0, 7],
                [8, 9]])
    """
    width = max((len(row) for row in rows), default=0)
    token_ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], dtype=torch.long)
    mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows], dtype=torch.bool)
    return Prompts(token_ids.to(group_ids.device), mask.to(group_ids.device), group_ids)


def encoded(
    conversations: Sequence[tuple[Message, ...]],
    group_ids: Int[Tensor, " rollout"],
    *,
    encode: Callable[[tuple[Message, ...]], list[int]],
) -> ChatPrompts:
    """Conversations as token ids, padded on the left, with their messages beside them.

    A conversation that stands in several rows as the same object is encoded once.

    Args:
        conversations: messages of each rollout's prompt.
        group_ids: equal for rollouts of the same prompt.
        encode: token ids of one conversation.

    Example:
        >>> ask = ({"role": "user", "content": "2+2?"},)
        >>> encoded([ask], torch.tensor([0]), encode=lambda messages: [len(messages[0]["content"])]).token_ids
        tensor([[4]])
    """
    ids = {id(messages): encode(messages) for messages in {id(it): it for it in conversations}.values()}
    padded = left_padded([ids[id(messages)] for messages in conversations], group_ids)
    return ChatPrompts(padded.token_ids, padded.mask, group_ids, tuple(conversations))


def messages_of(rollouts: Rollouts) -> tuple[tuple[Message, ...], ...]:
    """The messages of each rollout's prompt.

    Args:
        rollouts: whose prompts are :class:`ChatPrompts`.

    Raises:
        InvalidInputError: if they are not.
    """
    if not isinstance(rollouts.prompts, ChatPrompts):
        raise InvalidInputError(
            f"the prompts are {type(rollouts.prompts).__name__}, which hold token ids only; allowed are ChatPrompts, "
            "whose messages are known, as TransformersPolicy.prompts makes them"
        )
    return rollouts.prompts.messages
