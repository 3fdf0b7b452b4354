"""The training step on a given problem: what ``verify`` checks on a level-3 implementation, done by the reference.

Where :mod:`sdpo_ref.trainers.sdpo` samples, judges and reads, here rollouts and reprompts are given, so that every
weight after every update has a closed form (TRAIN-001).
"""

import copy
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from sdpo_ref.functional.averaging import exponential_moving_average_
from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.trainers.processes import accumulate_over_processes, average_gradients_
from sdpo_ref.trainers.sdpo import accumulate_gradient
from sdpo_ref.types import DistillationBatch, Prompts


def run_steps(problem: StepProblem, *, profile: Profile, group: ProcessGroup | None = None) -> StepTrace:
    """Every optimiser step of a problem by plain gradient descent.

    Implements: TRAIN-001, TRAIN-007, TRAIN-009, TEACH-021, TEACH-022, TEACH-024, TEACH-025, TEACH-029.

    Args:
        problem: the model, what it is trained on, and how.
        profile: which aggregation, accumulation, top-k and EMA cadence.
        group: processes that each have rollouts of their own and make one update; ``None`` for this process alone.

    Returns:
        The weights of student and teacher before the first and after each optimiser step.
    """
    # Student, teacher and optimiser at the start (TEACH-022, TEACH-024, TEACH-025)
    student = problem.make_model()
    teacher = student if problem.teacher == "live" else copy.deepcopy(student)
    optimizer = torch.optim.SGD(student.parameters(), lr=problem.learning_rate)
    students, teachers = [_snapshot(student)], [_snapshot(teacher)]
    accumulate = accumulate_gradient if group is None else partial(accumulate_over_processes, group=group)

    for iteration in problem.iterations:
        for number, micro_batches in enumerate(iteration, start=1):
            # Loss and gradient of one optimiser step (TRAIN-002, TRAIN-003, TRAIN-004, TRAIN-010)
            optimizer.zero_grad()
            accumulate(
                [partial(_batch, student, teacher, micro_batch) for micro_batch in micro_batches],
                alpha=problem.alpha,
                support=problem.support,
                temperature=problem.temperature,
                aggregation=profile.aggregation,
                accumulation=profile.accumulation,
                top_k_from=profile.top_k_from,
                loss_masks=[part.loss_mask for part in micro_batches],
            )
            # Mean over the processes (TRAIN-030)
            if group is not None:
                average_gradients_(student.parameters(), group=group)
            # Update of the student (TRAIN-001, TRAIN-007)
            optimizer.step()
            # Update of the teacher (TEACH-020, TEACH-021)
            due = profile.ema_cadence == "optimizer_step" or number == len(iteration)
            if problem.teacher == "ema" and due:
                exponential_moving_average_(_weights(teacher), _weights(student), update_rate=problem.update_rate)
            students.append(_snapshot(student))
            teachers.append(_snapshot(teacher))
    return StepTrace(tuple(students), tuple(teachers))


def _batch(student: nn.Module, teacher: nn.Module, micro_batch: MicroBatch) -> DistillationBatch:
    """Student and teacher on the same completions, each after its own prompt; the teacher without gradient.

    Implements: POLICY-005, TRAIN-006, TRAIN-021.
    """
    with torch.no_grad():
        teacher_logits = _completion_logits(teacher, micro_batch.reprompts, micro_batch)
    return DistillationBatch(
        _completion_logits(student, micro_batch.prompts, micro_batch),
        teacher_logits,
        micro_batch.completions,
        micro_batch.completion_mask,
        micro_batch.self_distillation_mask,
    )


def _completion_logits(model: nn.Module, prompts: Prompts, micro_batch: MicroBatch) -> Tensor:
    """Logits that predict each completion token: those at the position before it.

    Implements: POLICY-001, POLICY-004, POLICY-007, POLICY-008.
    """
    input_ids = torch.cat([prompts.token_ids, micro_batch.completions], dim=-1)
    attention_mask = torch.cat([prompts.mask, micro_batch.attended], dim=-1).long()
    logits: Tensor = model(input_ids, attention_mask)
    return logits[:, prompts.token_ids.shape[-1] - 1 : -1]


def _weights(model: nn.Module) -> Mapping[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in _weights(model).items()}
