"""Texts as token ids and back: padding, a tokenizer with one token for each character, and judged attempts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from sdpo_ref.protocols.parts import Attempt, Message, TeacherContext
from sdpo_ref.types import Prompts

# Token ids of different lengths as one tensor, padded by TRL as its trainers pad them


PaddedIds = tuple[Int[Tensor, "rollout _"], Int[Tensor, "rollout _"]]
"""Token ids and attention mask."""

Side = Literal["left", "right"]
"""Where padding goes."""


def pad_rows(rows: Sequence[Int[Tensor, " _"]], side: Side, *, padding_id: int = 0) -> PaddedIds:
    """Rows of token ids, padded by TRL's ``pad``, and the mask that tells them from the padding."""
    from trl.trainer.utils import pad

    ids = pad(list(rows), padding_value=padding_id, padding_side=side)
    mask = pad([torch.ones_like(row) for row in rows], padding_side=side)
    return ids, mask


def pad_anew(prompts: Prompts, side: Side) -> PaddedIds:
    """Prompts that may be padded on either side, padded on the side that a trainer chooses."""
    return pad_rows([ids[mask] for ids, mask in zip(prompts.token_ids, prompts.mask, strict=True)], side)


def single_token_prompts(completions: Int[Tensor, "rollout time"]) -> PaddedIds:
    """A prompt of one token in front of each completion, for models that do not read it."""
    ids = torch.zeros_like(completions[:, :1])
    return ids, torch.ones_like(ids)


# One token for each character, and the way back to chat messages


_PAD, _END_OF_SEQUENCE, _START, _END = "<|pad|>", "<|eos|>", "<|start|>", "<|end|>"
_TEMPLATE = (
    "{% for message in messages %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def character_tokenizer(texts: Iterable[str]) -> Any:
    """A ``PreTrainedTokenizerFast`` in memory with the characters of some texts, and printable ASCII.

    Apart from four special tokens (padding, end of sequence, start and end of a message) every token is one
    character, so that a length in tokens can be counted by hand. The chat template writes roles as text between
    special tokens, as ChatML does. Padding and truncation sides are left at the library's defaults.
    """
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    specials = [_PAD, _END_OF_SEQUENCE, _START, _END]
    characters = {chr(code) for code in range(32, 127)} | {"\n", "\t"} | {c for text in texts for c in text}
    vocabulary = {token: index for index, token in enumerate([*specials, *sorted(characters)])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=_PAD,
        eos_token=_END_OF_SEQUENCE,
        additional_special_tokens=[_START, _END],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def read_messages(text: str) -> tuple[Message, ...]:
    r"""The chat messages of a prompt that the template of :func:`character_tokenizer` rendered.

    The header that invites the answer is left out. What a truncation left of a message is kept: text before the
    first header gets the role ``""``, and a message without its end is as long as it is.

    Example:
        >>> read_messages("<|start|>user\nHello<|end|>\n<|start|>assistant\n")
        ({'role': 'user', 'content': 'Hello'},)
        >>> read_messages("ello<|end|>\n")
        ({'role': '', 'content': 'ello'},)
    """
    headless, *pieces = text.split(_START)
    messages = [{"role": "", "content": headless.partition(_END)[0]}] if headless else []
    for piece in pieces:
        role, _, rest = piece.partition("\n")
        messages.append({"role": role, "content": rest.partition(_END)[0]})
    if pieces and pieces[-1] == "assistant\n":
        messages.pop()
    return tuple(messages)


def read_contexts(batch: Mapping[str, Tensor], tokenizer: Any, *, time: int) -> tuple[TeacherContext, ...]:
    """The teacher's context of each row of a training batch.

    Args:
        batch: holds ``teacher_input_ids``, ``teacher_attention_mask`` and ``self_distillation_mask``.
        tokenizer: from :func:`character_tokenizer`.
        time: length of the padded completions, which end the teacher's input.
    """
    rows = zip(
        batch["teacher_input_ids"][:, :-time],
        batch["teacher_attention_mask"][:, :-time].bool(),
        batch["self_distillation_mask"].bool().tolist(),
        strict=True,
    )
    return tuple(TeacherContext(read_messages(tokenizer.decode(ids[counted])), usable) for ids, counted, usable in rows)


# Judged attempts as a trainer sees them: groups by position, token ids instead of text


NO_LIMIT = 10**6
"""A length in tokens that no prompt of a check reaches."""


def runs_of_equal_groups(attempts: Sequence[Attempt]) -> Iterator[tuple[int, list[Attempt]]]:
    """Group size and attempts of neighbouring groups that have the same size, in order.

    TRL's trainers have one group size and find a group by position (``i // num_generations``), so attempts in groups
    of different sizes are as many calls.
    """
    groups = [list(group) for _, group in groupby(attempts, key=lambda attempt: attempt.group)]
    for size, run in groupby(groups, key=len):
        yield size, [attempt for group in run for attempt in group]


def chat(prompt: Sequence[Message]) -> list[dict[str, str]]:
    """A prompt as the list of dictionaries that chat templates take."""
    return [dict(message) for message in prompt]


def texts_of(attempts: Sequence[Attempt]) -> list[str]:
    """Every text of the attempts, whose characters the tokenizer must have."""
    contents = [content for attempt in attempts for message in attempt.prompt for content in message.values()]
    return [*contents, *(attempt.completion for attempt in attempts), *(a.feedback or "" for a in attempts)]


def tokenized_completions(attempts: Sequence[Attempt], tokenizer: Any) -> PaddedIds:
    """Completions with their end-of-sequence token, right-padded, and their mask: as sampling leaves them."""
    rows = [torch.tensor([*tokenizer(attempt.completion)["input_ids"], tokenizer.eos_token_id]) for attempt in attempts]
    return pad_rows(rows, "right", padding_id=tokenizer.pad_token_id)


def tokenized_prompts(prompts: Sequence[list[dict[str, str]]], tokenizer: Any) -> PaddedIds:
    """Prompts in the chat template with the header that invites an answer, left-padded as TRL pads them."""
    encoded = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, tokenize=True, return_dict=True)
    rows = [torch.tensor(ids) for ids in encoded["input_ids"]]
    return pad_rows(rows, "left", padding_id=tokenizer.pad_token_id)
