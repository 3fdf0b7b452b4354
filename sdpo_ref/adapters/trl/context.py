"""What TRL's teachers read: SDPO's rewritten prompts, and SDFT's demonstrations."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from sdpo_ref.adapters.toys.chat import character_tokenizer, read_contexts
from sdpo_ref.adapters.toys.rollouts import (
    NO_LIMIT,
    chat,
    runs_of_equal_groups,
    texts_of,
    tokenized_completions,
)
from sdpo_ref.adapters.trl.trainer import default_arguments, unconstructed
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import Attempt, Message, TeacherContext
from sdpo_ref.protocols.profile import ContextRules


def context(attempts: Sequence[Attempt], rules: ContextRules) -> tuple[TeacherContext, ...]:
    """``SuccessfulRolloutTeacherContextBuilder.build``, its token ids read back as chat messages.

    In TRL feedback is a column of the data set and hence one for each prompt, whatever the attempt did: all attempts
    of a group get the feedback of the group's first attempt. Rewards reach the builder in float32. TRL's limit on
    the length counts the whole chat, headers included, and keeps its end.

    Raises:
        UnsupportedError: for success by quantile, and for feedback that depends on the attempt's own failure.
    """
    args = _arguments(rules)
    return tuple(
        context
        for size, run in runs_of_equal_groups(attempts)
        for context in _contexts(run, group_size=size, args=args)
    )


def _arguments(rules: ContextRules) -> SimpleNamespace:
    from trl.experimental.sdpo import SDPOConfig

    if rules.success_quantile is not None:
        raise UnsupportedError("TRL has no success by quantile; leave success_quantile at None")
    if rules.feedback_when == "failed_without_demonstration":
        raise UnsupportedError(
            "TRL does not look at the reward before it uses feedback, received feedback_when="
            "'failed_without_demonstration'; allowed are 'always' and 'without_demonstration'"
        )
    return default_arguments(
        SDPOConfig,
        success_reward_threshold=rules.success_threshold,
        dont_reprompt_on_self_success=rules.own_success == "exclude",
        use_successful_as_teacher=rules.use_demonstrations,
        include_environment_feedback=rules.use_feedback,
        environment_feedback_only_without_solution=rules.feedback_when == "without_demonstration",
        remove_thinking_from_demonstration=rules.strip_thinking,
        max_reprompt_len=rules.max_length or NO_LIMIT,
    )


def _contexts(attempts: Sequence[Attempt], *, group_size: int, args: SimpleNamespace) -> tuple[TeacherContext, ...]:
    from accelerate import PartialState
    from trl.experimental.sdpo import SDPOTrainer
    from trl.experimental.sdpo.sdpo_trainer import SuccessfulRolloutTeacherContextBuilder

    PartialState(cpu=True)  # the builder's logger asks for it
    templates = [args.reprompt_template, args.solution_template, args.feedback_template]
    tokenizer: Any = character_tokenizer([*templates, *texts_of(attempts)])
    trainer = unconstructed(
        SDPOTrainer,
        args,
        model=SimpleNamespace(training=True),
        num_generations=group_size,
        processing_class=tokenizer,
        _tokenizer=tokenizer,
        chat_template_kwargs={},
    )
    completion_ids, completion_mask = tokenized_completions(attempts, tokenizer)
    built = SuccessfulRolloutTeacherContextBuilder(trainer).build(
        {"completion_ids": completion_ids, "completion_mask": completion_mask},
        [chat(attempt.prompt) for attempt in attempts],
        torch.tensor([attempt.reward for attempt in attempts], dtype=torch.float32),
        feedbacks=[attempts[i - i % group_size].feedback for i in range(len(attempts))],
    )
    return read_contexts(built, tokenizer, time=completion_ids.shape[1])


def demonstration_context(prompt: tuple[Message, ...], demonstration: str | None) -> tuple[Message, ...]:
    """``DemonstrationTeacherContextBuilder._compose_teacher_prompt`` with SDFT's own template."""
    from trl.experimental.sdft import SDFTConfig
    from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder

    trainer = SimpleNamespace(args=default_arguments(SDFTConfig))
    messages = DemonstrationTeacherContextBuilder(trainer)._compose_teacher_prompt(chat(prompt), demonstration)
    return tuple(messages)
