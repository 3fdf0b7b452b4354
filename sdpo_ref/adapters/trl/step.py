"""TRL's training step: its teacher, its loss, its division by accumulation steps, its teacher update."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from sdpo_ref.adapters.toys.loop import Callbacks, run_steps
from sdpo_ref.adapters.toys.model import student_changed_after_loading
from sdpo_ref.adapters.toys.padding import pad_anew
from sdpo_ref.adapters.trl.inputs import training_inputs
from sdpo_ref.adapters.trl.trainer import default_arguments, distillation_options, unconstructed
from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace

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
