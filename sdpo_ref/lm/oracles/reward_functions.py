"""Reward functions of TRL as an oracle: the same functions, and feedback beside them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.lm.oracles.partial import PartialJudgement
from sdpo_ref.lm.texts import Decode, completion_texts
from sdpo_ref.protocols.parts import Message
from sdpo_ref.teachers.chat import messages_of
from sdpo_ref.types import Feedback, Judgement, Rollouts

RewardFunction = Callable[..., Sequence[float | None]]
"""TRL's: called with ``prompts``, ``completions`` (both chat messages), ``completion_ids`` and columns, all by name and
with one entry for each rollout; returns a reward for each, or ``None`` where it does not apply."""

FeedbackFunction = Callable[..., Sequence[str | None]]
"""The same call; returns what to say about each attempt, or ``None``."""


class RewardFunctionOracle:
    """Functions that TRL's trainers call as ``reward_funcs``; implements :class:`~sdpo_ref.protocols.Oracle`.

    A reward is the weighted sum of what the functions return. As in TRL, a function may return ``None`` for every
    attempt at a prompt: it does not apply there. Other than in TRL, a rollout is missing, not zero, if no function
    judges it, if one judges only its siblings, or if a reward is not finite (ORACLE-001).

    Args:
        decode: text of a completion's token ids, as ``policy.decode``.
        reward_functions: called as TRL calls them.
        feedback: called in the same way, once for all rollouts; ``None`` gives no feedback.
        weights: of the functions; 1 if left out.
        columns: further columns of the data set, by the messages of the prompt.

    Raises:
        InvalidInputError: if there is no function, or weights do not fit.
    """

    def __init__(
        self,
        decode: Decode,
        reward_functions: Sequence[RewardFunction],
        *,
        feedback: FeedbackFunction | None = None,
        weights: Sequence[float] | None = None,
        columns: Callable[[tuple[Message, ...]], Mapping[str, Any]] | None = None,
    ) -> None:
        self._weights = (1.0,) * len(reward_functions) if weights is None else tuple(weights)
        if not reward_functions or len(self._weights) != len(reward_functions):
            raise InvalidInputError(
                f"received {len(reward_functions)} functions and {len(self._weights)} weights; give at least one "
                "function, and a weight to each"
            )
        self._decode = decode
        self._functions = tuple(reward_functions)
        self._feedback = feedback
        self._columns = columns

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Call every function once.

        Args:
            rollouts: what was sampled, for prompts whose messages are known.
            generator: not used; a function that draws has a generator of its own.

        Raises:
            InvalidInputError: if a rollout is not judged, or a function returns another number of entries.
        """
        return self.judge_some(rollouts, generator=generator).whole()

    def judge_some(self, rollouts: Rollouts, *, generator: torch.Generator) -> PartialJudgement:
        """The same with gaps. Arguments are those of :meth:`judge`."""
        del generator
        arguments = self._arguments(rollouts)
        count, groups = len(arguments["prompts"]), rollouts.prompts.group_ids.tolist()
        totals: list[float | None] = [None] * count
        broken: set[int] = set()
        for function, weight in zip(self._functions, self._weights, strict=True):
            rewards = _entries(function(**arguments), count, function)
            judged = {group for group, reward in zip(groups, rewards, strict=True) if reward is not None}
            for row, reward in enumerate(rewards):
                if reward is not None and math.isfinite(reward):
                    totals[row] = (totals[row] or 0.0) + weight * float(reward)
                elif reward is not None or groups[row] in judged:
                    broken.add(row)
        said = (
            [None] * count if self._feedback is None else _entries(self._feedback(**arguments), count, self._feedback)
        )
        return PartialJudgement(
            tuple(None if row in broken else total for row, total in enumerate(totals)),
            tuple(Feedback(text) if text and text.strip() else None for text in said),
            rollouts.completions.device,
        )

    def _arguments(self, rollouts: Rollouts) -> dict[str, list[Any]]:
        """What TRL passes, by name: lists with one entry for each rollout."""
        conversations = messages_of(rollouts)
        rows = zip(rollouts.completions, rollouts.completion_mask, strict=True)
        arguments: dict[str, list[Any]] = {
            "prompts": [[dict(message) for message in messages] for messages in conversations],
            "completions": [
                [{"role": "assistant", "content": text}] for text in completion_texts(rollouts, self._decode)
            ],
            "completion_ids": [ids[mask].tolist() for ids, mask in rows],
        }
        if self._columns is not None:
            columns = [self._columns(messages) for messages in conversations]
            names = {name for row in columns for name in row}
            if any(set(row) != names for row in columns) or names & set(arguments):
                raise InvalidInputError(
                    f"the columns are {sorted(names)}; every prompt must have the same, and none may be called "
                    f"{', '.join(arguments)}"
                )
            arguments |= {name: [row[name] for row in columns] for name in sorted(names)}
        return arguments


def _entries(answer: Sequence[Any], count: int, function: Callable[..., Any]) -> list[Any]:
    """What a function returned, one for each rollout."""
    if len(answer) != count:
        name = getattr(function, "__name__", type(function).__name__)
        raise InvalidInputError(f"{name} returned {len(answer)} entries for {count} rollouts; return one for each")
    return list(answer)
