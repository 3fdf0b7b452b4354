"""TRL's training side: where completions end, what teachers read, the training step, averages, and defaults."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from sys import modules
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.adapters.toys.loop import Callbacks, run_steps
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
)
from sdpo_ref.adapters.trl.losses import default_arguments, distillation_options, training_inputs, unconstructed
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import (
    Attempt,
    LowRankFactors,
    Message,
    MicroBatch,
    StepProblem,
    StepTrace,
    TeacherContext,
)
from sdpo_ref.protocols.profile import ContextRules

# Where sampling ends a completion


def completion_mask(
    trainer_class: Any, completions: Int[Tensor, "rollout time"], *, end_ids: Collection[int]
) -> Bool[Tensor, "rollout time"]:
    """``sample_rollouts`` of a model that generates the given completions.

    TRL cuts each completion after the first token of its ``eos_token_ids`` and pads the rest; positions that it cut
    from all rows come back as False.
    """
    rows, time = completions.shape
    args = default_arguments(trainer_class.config_cls, steps_per_generation=1, use_vllm=False)
    trainer = unconstructed(
        trainer_class,
        args,
        eos_token_ids=list(end_ids),
        mask_truncated_completions=False,
        generate_from_teacher=False,
        num_iterations=1,
        use_vllm=False,
        is_fsdp_enabled=False,
        generation_kwargs={},
        generation_config=None,
        model_wrapped=None,
        _tokenizer=SimpleNamespace(pad_token_id=0),
        _tokenize_prompts=lambda prompts: [[0]] * len(prompts),
        callback_handler=SimpleNamespace(callbacks=[]),
    )

    def generate(input_ids: Tensor, **_options: object) -> Tensor:
        return torch.cat([input_ids, completions], dim=1)

    model = nullcontext(SimpleNamespace(generate=generate))
    with mock.patch.object(modules[trainer_class.__module__], "unwrap_model_for_generation", return_value=model):
        batch = trainer.sample_rollouts([{"prompt": ""}] * rows)
    mask = torch.zeros(rows, time, dtype=torch.bool)
    counted: Tensor = batch["completion_mask"].bool()
    mask[:, : counted.shape[1]] = counted
    return mask


# What teachers read


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


# The training step


_TEACHER_KINDS = {"ema": "ema", "frozen": "base", "live": "live"}


def step(trainer_class: Any, problem: StepProblem) -> StepTrace:
    """``_setup_teacher_model``, then ``training_step`` and the trainer's callbacks for each optimiser step.

    The student was loaded from a folder and changed in memory since; the folder still holds other weights. TRL pads
    prompts on the left itself, so both prompts are padded there. No ratio is capped, so it is of no consequence that
    TRL would record log-probabilities of the behaviour when it takes several optimiser steps on the same rollouts.
    """
    from accelerate import Accelerator

    with TemporaryDirectory() as folder:
        student = student_changed_after_loading(problem.make_model, Path(folder))
        args = default_arguments(
            trainer_class.config_cls,
            temperature=problem.temperature,
            teacher_model_kind=_TEACHER_KINDS[problem.teacher],
            teacher_update_rate=problem.update_rate,
            n_gpu=0,
            distributed_state=SimpleNamespace(distributed_type="NO"),
            **distillation_options(problem.support, alpha=problem.alpha, ratio_cap=None),
        )
        trainer = unconstructed(
            trainer_class,
            args,
            model=student,
            accelerator=Accelerator(cpu=True),
            callback_handler=Callbacks(),
            is_deepspeed_enabled=False,
            is_fsdp_enabled=False,
        )
        trainer._setup_teacher_model()

        def inputs_of(micro_batch: MicroBatch) -> dict[str, Tensor]:
            return training_inputs(
                trainer_class,
                pad_anew(micro_batch.prompts, "left"),
                pad_anew(micro_batch.reprompts, "left"),
                completions=micro_batch.completions,
                completion_mask=micro_batch.completion_mask,
                self_distillation_mask=micro_batch.self_distillation_mask,
            )

        return run_steps(problem, trainer, student=student, teacher=trainer.teacher_model, inputs_of=inputs_of)


# The EMA teacher of a LoRA student


_TEACHER = "teacher"


def low_rank_average(student: Sequence[LowRankFactors], *, update_rate: float) -> tuple[Float[Tensor, "out in"], ...]:
    """``PEFTAdapterEMACallback`` on one LoRA layer: the teacher adapter's weight change, as PEFT computes it."""
    from trl.experimental.sdpo.teacher_sync import PEFTAdapterEMACallback

    model = lora_student(student[0])
    callback = PEFTAdapterEMACallback(model, teacher_adapter_name=_TEACHER, update_rate=update_rate)
    callback.on_train_begin(None, None, None)
    teacher = [delta(model, _TEACHER)]
    for global_step, factors in enumerate(student[1:], start=1):
        set_factors(model, factors)
        callback.on_step_end(None, SimpleNamespace(global_step=global_step), None)
        teacher.append(delta(model, _TEACHER))
    return tuple(teacher)


# Defaults of the configurations, under our names


_SUPPORTS = {"full_logits": "full", "sampled_token": "sampled_token"}
_TEACHERS = {"base": "frozen"}


def defaults(config_class: Any) -> dict[str, object]:
    """What a user gets who sets nothing; SDFT's configuration has no fields about success or feedback."""
    args = default_arguments(config_class)
    tail = "top_k_tail" if args.distillation_add_tail else "top_k_renormalized"
    values: dict[str, object] = {
        "alpha": args.distillation_alpha,
        "support": _SUPPORTS.get(args.distillation_mode, tail),
        "k": args.distillation_topk,
        "ratio_cap": args.distillation_is_clip,
        "teacher": _TEACHERS.get(args.teacher_model_kind, args.teacher_model_kind),
        "update_rate": args.teacher_update_rate,
        "temperature": args.temperature,
    }
    if hasattr(args, "success_reward_threshold"):
        only_without = args.environment_feedback_only_without_solution
        values |= {
            "success_threshold": args.success_reward_threshold,
            "own_success": "exclude" if args.dont_reprompt_on_self_success else "include",
            "feedback_when": "without_demonstration" if only_without else "always",
            "use_feedback": args.include_environment_feedback,
            "strip_thinking": args.remove_thinking_from_demonstration,
        }
    return values
