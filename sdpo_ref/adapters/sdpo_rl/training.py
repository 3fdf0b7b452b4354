"""sdpo-rl's training side: what its teacher reads, its training step, its teachers' weights, and its defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.adapters.sdpo_rl.losses import constructed, distillation_options, training_inputs
from sdpo_ref.adapters.toys.loop import run_steps
from sdpo_ref.adapters.toys.models import delta, lora_student, set_factors, student_changed_after_loading
from sdpo_ref.adapters.toys.texts import (
    NO_LIMIT,
    character_tokenizer,
    chat,
    pad_anew,
    read_contexts,
    runs_of_equal_groups,
    texts_of,
    tokenized_completions,
    tokenized_prompts,
)
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import (
    Attempt,
    Iteration,
    LowRankFactors,
    MicroBatch,
    StepProblem,
    StepTrace,
    TeacherContext,
)
from sdpo_ref.protocols.profile import ContextRules

# What the teacher reads


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


# The training step


def step(problem: StepProblem) -> StepTrace:
    """sdpo-rl's constructor, then ``training_step`` and its callback for each optimiser step.

    The loss is never divided by the number of accumulation steps: ``GRPOTrainer`` sets ``loss_is_scaled_for_ga``, so
    ``transformers.Trainer.training_step`` does not divide the loss, accelerate is given ``num_steps = 1``, and
    sdpo-rl's ``compute_loss`` overrides the one that would divide. GRPO pads student prompts on the left; teacher
    prompts are padded where the tokenizer pads, which is on the right unless the user says otherwise.

    Raises:
        UnsupportedError: for the live teacher, which sdpo-rl does not have, and for the sampled token, for which it
            has a loss that its trainer never takes.
    """
    from accelerate import Accelerator

    if problem.teacher == "live":
        raise UnsupportedError("sdpo-rl has no live teacher; allowed are 'ema' and 'frozen'")
    if problem.support.kind == "sampled_token":
        raise UnsupportedError(
            "sdpo-rl's trainer has no loss on the sampled token; allowed are full and top-k supports"
        )
    with TemporaryDirectory() as folder:
        student = student_changed_after_loading(problem.make_model, Path(folder))
    first = problem.iterations[0][0][0]
    with torch.no_grad():
        vocabulary_size = student(first.prompts.token_ids, first.prompts.mask).logits.shape[-1]
    options = {
        "teacher_mode": problem.teacher,
        "teacher_update_rate": problem.update_rate,
        "alpha": problem.alpha,
        "is_clip": None,
        **distillation_options(problem.support, vocabulary_size=vocabulary_size),
    }
    trainer = constructed(student, options, num_iterations=_passes(problem.iterations[0]))
    trainer.accelerator = Accelerator(cpu=True)

    def inputs_of(micro_batch: MicroBatch) -> dict[str, Tensor]:
        return training_inputs(
            pad_anew(micro_batch.prompts, "left"),
            pad_anew(micro_batch.reprompts, "right"),
            completions=micro_batch.completions,
            completion_mask=micro_batch.completion_mask,
            self_distillation_mask=micro_batch.self_distillation_mask,
        )

    return run_steps(problem, trainer, student=student, teacher=trainer.ref_model, inputs_of=inputs_of)


def _passes(iteration: Iteration) -> int:
    """GRPO's ``num_iterations``: how often the same rollouts are trained on.

    Several optimiser steps on different rollouts of one sampling round are GRPO's ``steps_per_generation``, which
    sdpo-rl's teacher update does not look at.
    """
    different = {tuple(map(id, step)) for step in iteration}
    return len(iteration) // len(different)


# The trust-region teacher, which the configuration accepts


def trust_region(
    reference_logits: Float[Tensor, "*batch vocab"],
    student_logits: Float[Tensor, "*batch vocab"],
    *,
    mix: float,
) -> Float[Tensor, "*batch vocab"]:
    """The constructor of a trainer with ``teacher_mode="trust_region"``.

    Raises:
        NotImplementedError: from that constructor, in release 0.0.3.
        UnsupportedError: if the constructor should not raise, since no function computes such a teacher.
    """
    constructed(nn.Identity(), {"teacher_mode": "trust_region", "teacher_update_rate": mix})
    raise UnsupportedError("sdpo-rl accepts teacher_mode='trust_region' and computes no such teacher; use 'ema'")


# The EMA teacher of a LoRA student


def low_rank_average(student: Sequence[LowRankFactors], *, update_rate: float) -> tuple[Float[Tensor, "out in"], ...]:
    """``init_lora_ema_teacher`` and ``ema_update_lora_adapters`` on one LoRA layer."""
    from sdpo_rl import teacher

    model = lora_student(student[0])
    teacher.init_lora_ema_teacher(model)
    changes = [delta(model, teacher.LORA_EMA_TEACHER_ADAPTER)]
    for factors in student[1:]:
        set_factors(model, factors)
        teacher.ema_update_lora_adapters(model, rate=update_rate)
        changes.append(delta(model, teacher.LORA_EMA_TEACHER_ADAPTER))
    return tuple(changes)


# Defaults of the configuration, under our names


def defaults() -> dict[str, object]:
    """What a user gets who sets nothing; the temperature is that of TRL's ``GRPOConfig``, which goes with it."""
    from sdpo_rl import SDPOConfig
    from trl import GRPOConfig

    config = SDPOConfig()
    only_without = config.environment_feedback_only_without_solution
    (temperature,) = (field.default for field in fields(GRPOConfig) if field.name == "temperature")
    return {
        "alpha": config.alpha,
        "support": "top_k_tail" if config.distillation_add_tail else "top_k_renormalized",
        "k": config.distillation_topk,
        "ratio_cap": config.is_clip,
        "teacher": config.teacher_mode,
        "update_rate": config.teacher_update_rate,
        "success_threshold": config.success_reward_threshold,
        "own_success": "exclude" if config.dont_reprompt_on_self_success else "include",
        "feedback_when": "without_demonstration" if only_without else "always",
        "use_feedback": config.include_environment_feedback,
        "strip_thinking": config.remove_thinking_from_demonstration,
        "temperature": temperature,
    }
