"""sdpo-rl's training step: its teacher, its loss, its teacher update."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from sdpo_ref.adapters.sdpo_rl.inputs import distillation_options, training_inputs
from sdpo_ref.adapters.sdpo_rl.trainer import constructed
from sdpo_ref.adapters.toys.loop import run_steps
from sdpo_ref.adapters.toys.model import student_changed_after_loading
from sdpo_ref.adapters.toys.padding import pad_anew
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import Iteration, MicroBatch, StepProblem, StepTrace


def step(problem: StepProblem) -> StepTrace:
    """sdpo-rl's constructor, then ``training_step`` and its callback for each optimiser step.

    Nobody divides by the number of accumulation steps: ``GRPOTrainer`` says ``loss_is_scaled_for_ga = True``, so
    ``transformers.Trainer.training_step`` leaves the loss as it is, accelerate is given ``num_steps = 1``, and
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
