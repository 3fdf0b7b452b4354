"""Judged attempts as a trainer sees them: groups by position, token ids instead of text."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from sdpo_ref.adapters.toys.padding import PaddedIds, pad_rows
from sdpo_ref.protocols.parts import Attempt, Message

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
    """Every text of the attempts, for the tokenizer to know its characters."""
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
