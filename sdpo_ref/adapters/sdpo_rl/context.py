"""What sdpo-rl's teacher reads."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.adapters.sdpo_rl.trainer import constructed
from sdpo_ref.adapters.toys.chat import character_tokenizer, read_contexts
from sdpo_ref.adapters.toys.rollouts import (
    NO_LIMIT,
    chat,
    runs_of_equal_groups,
    texts_of,
    tokenized_completions,
    tokenized_prompts,
)
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import Attempt, TeacherContext
from sdpo_ref.protocols.profile import ContextRules


def context(attempts: Sequence[Attempt], rules: ContextRules) -> tuple[TeacherContext, ...]:
    """``_generate_and_score_completions`` on given completions, its token ids read back as chat messages.

    Feedback reaches the trainer as it asks for it, as ``last_feedback`` of the reward function. sdpo-rl has no switch
    for demonstrations; without them no reward is a success. Its limit on the length counts the whole chat, headers
    included, and cuts the end.

    Raises:
        UnsupportedError: for success by quantile, and for feedback that depends on the attempt's own failure.
    """
    options = _options(rules)
    return tuple(
        context
        for size, run in runs_of_equal_groups(attempts)
        for context in _contexts(run, group_size=size, options=options)
    )


def _options(rules: ContextRules) -> dict[str, object]:
    if rules.success_quantile is not None:
        raise UnsupportedError("sdpo-rl has no success by quantile; leave success_quantile at None")
    if rules.feedback_when == "failed_without_demonstration":
        raise UnsupportedError(
            "sdpo-rl does not look at the reward before it uses feedback, received feedback_when="
            "'failed_without_demonstration'; allowed are 'always' and 'without_demonstration'"
        )
    return {
        "success_reward_threshold": rules.success_threshold if rules.use_demonstrations else float("inf"),
        "dont_reprompt_on_self_success": rules.own_success == "exclude",
        "include_environment_feedback": rules.use_feedback,
        "environment_feedback_only_without_solution": rules.feedback_when == "without_demonstration",
        "remove_thinking_from_demonstration": rules.strip_thinking,
        "max_reprompt_length": rules.max_length or NO_LIMIT,
        "teacher_mode": "frozen",
    }


def _contexts(
    attempts: Sequence[Attempt], *, group_size: int, options: Mapping[str, object]
) -> tuple[TeacherContext, ...]:
    from sdpo_rl import reprompting
    from trl import GRPOTrainer

    templates = [
        reprompting.DEFAULT_REPROMPT_TEMPLATE,
        reprompting.DEFAULT_SOLUTION_TEMPLATE,
        reprompting.DEFAULT_FEEDBACK_TEMPLATE,
    ]
    tokenizer = character_tokenizer([*templates, *texts_of(attempts)])
    trainer = constructed(
        nn.Identity(),
        options,
        tokenizer=tokenizer,
        reward_function=SimpleNamespace(last_feedback=[attempt.feedback for attempt in attempts]),
        group_size=group_size,
    )
    rewards = torch.tensor([[attempt.reward] for attempt in attempts], dtype=torch.float32)
    prompts = [chat(attempt.prompt) for attempt in attempts]
    prompt_ids, prompt_mask = tokenized_prompts(prompts, tokenizer)
    completion_ids, completion_mask = tokenized_completions(attempts, tokenizer)

    def calculate_rewards(self: Any, *_inputs: object) -> Float[Tensor, "rollout function"]:
        return rewards

    def generate_and_score(self: Any, inputs: object) -> dict[str, Tensor]:
        self._calculate_rewards(inputs, None, None, None)
        return {
            "prompt_ids": prompt_ids,
            "prompt_mask": prompt_mask,
            "completion_ids": completion_ids,
            "completion_mask": completion_mask,
        }

    with (
        mock.patch.object(GRPOTrainer, "_calculate_rewards", calculate_rewards),
        mock.patch.object(GRPOTrainer, "_generate_and_score_completions", generate_and_score),
    ):
        built = trainer._generate_and_score_completions([{"prompt": prompt} for prompt in prompts])
    return read_contexts(built, tokenizer, time=completion_ids.shape[1])
