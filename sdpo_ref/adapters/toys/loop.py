"""The loop around a trainer: gradient accumulation, plain gradient descent, the trainer's own callbacks.

Each micro-batch is processed by ``transformers.Trainer.training_step`` itself, so that whether the loss is divided by
the number of accumulation steps is seen and not assumed.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from sdpo_ref.adapters.toys.models import weights
from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace


class Callbacks:
    """Callbacks that a trainer adds, called after each optimiser step."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def add_callback(self, callback: Any) -> None:
        """Remember a callback."""
        self.callbacks.append(callback)

    def on_step_end(self, args: Any, state: Any, model: nn.Module) -> None:
        """Tell every callback that an optimiser step was made."""
        for callback in self.callbacks:
            callback.on_step_end(args, state, None, model=model)


def run_steps(
    problem: StepProblem,
    trainer: Any,
    *,
    student: nn.Module,
    teacher: nn.Module,
    inputs_of: Callable[[MicroBatch], Mapping[str, Tensor]],
) -> StepTrace:
    """Every optimiser step of a problem, by a trainer whose attributes a peer's code has set up.

    Args:
        problem: what to train on, and the learning rate.
        trainer: a ``transformers.Trainer`` with ``compute_loss``, ``args``, ``accelerator`` and ``callback_handler``.
        student: the model that is trained.
        teacher: the model whose weights are reported as the teacher's.
        inputs_of: the trainer's batch for a micro-batch.
    """
    from transformers import Trainer

    trainer._prepare_inputs = dict  # rollouts are given, none are sampled
    trainer.optimizer = torch.optim.SGD(student.parameters(), lr=problem.learning_rate)
    state = SimpleNamespace(global_step=0)
    students, teachers = [weights(student)], [weights(teacher)]
    for step in (step for iteration in problem.iterations for step in iteration):
        trainer.current_gradient_accumulation_steps = len(step)
        trainer.optimizer.zero_grad()
        for micro_batch in step:
            Trainer.training_step(trainer, student, inputs_of(micro_batch))
        trainer.optimizer.step()
        state.global_step += 1
        trainer.callback_handler.on_step_end(trainer.args, state, student)
        students.append(weights(student))
        teachers.append(weights(teacher))
    return StepTrace(tuple(students), tuple(teachers))
