"""Right variants of a training step on several processes, each as published trainers have it (spec/05-trainer, C)."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.mutants.mutant import GOOD
from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.types import DistillationBatch

Averaged = Callable[[nn.Module, StepProblem, Sequence[MicroBatch], nn.Module, Any], None]
"""Adds the mean over the group of one step's gradient to the ``grad`` of a model's weights."""


def step_with(averaged: Averaged) -> Callable[..., StepTrace]:
    """A training step that averages in its own way; in one process it is the reference's."""

    def step(problem: StepProblem, *, group: Any = None) -> StepTrace:
        if group is None:
            return GOOD.step(problem)
        student = problem.make_model()
        teacher = student if problem.teacher == "live" else copy.deepcopy(student)
        students, teachers = [_copied(student)], [_copied(teacher)]
        for iteration in problem.iterations:
            for number, parts in enumerate(iteration, start=1):
                student.zero_grad()
                averaged(student, problem, parts, teacher, group)
                with torch.no_grad():
                    for weight in student.parameters():
                        weight.sub_(problem.learning_rate * weight.grad)  # type: ignore[operator]
                    if problem.teacher == "ema" and number == len(iteration):
                        for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
                            old.lerp_(new, problem.update_rate)
                students.append(_copied(student))
                teachers.append(_copied(teacher))
        return StepTrace(tuple(students), tuple(teachers))

    return step


def under_ddp(
    student: nn.Module, problem: StepProblem, parts: Sequence[MicroBatch], teacher: nn.Module, group: Any
) -> None:
    """As transformers and TRL do: each micro-batch is a sum over ``num_items_in_batch``, times the processes.

    DistributedDataParallel averages in the backward pass of the last micro-batch.
    """
    counts = torch.tensor(float(sum(_mask(part).sum() for part in parts)))
    torch.distributed.all_reduce(counts, group=group)
    items, processes = max(float(counts), 1.0), torch.distributed.get_world_size(group)
    model = nn.parallel.DistributedDataParallel(student, process_group=group, find_unused_parameters=True)
    for at, part in enumerate(parts):
        model.require_backward_grad_sync = at == len(parts) - 1
        torch.autograd.backward(_summed(model, problem, part, teacher) / items * processes)


def of_gathered_counts(
    student: nn.Module, problem: StepProblem, parts: Sequence[MicroBatch], teacher: nn.Module, group: Any
) -> None:
    """As Megatron does: plain sums, whose gradients and counts are summed over the processes and divided at the end."""
    count = torch.zeros(())
    for part in parts:
        count += _mask(part).sum()
        torch.autograd.backward(_summed(student, problem, part, teacher))
    counts = [torch.zeros(()) for _ in range(torch.distributed.get_world_size(group))]
    torch.distributed.all_gather(counts, count, group=group)
    for weight in student.parameters():
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        torch.distributed.all_reduce(gradient, group=group)
        weight.grad = gradient / max(float(sum(counts)), 1.0)


def _summed(model: nn.Module, problem: StepProblem, part: MicroBatch, teacher: nn.Module) -> Tensor:
    """The sum of the counted tokens' losses."""
    with torch.no_grad():
        read = _logits(teacher, part, part.reprompts)
    batch = DistillationBatch(
        _logits(model, part, part.prompts), read, part.completions, part.completion_mask, part.self_distillation_mask
    )
    mean = sdpo_loss(batch, alpha=problem.alpha, support=problem.support, temperature=problem.temperature)
    return mean * batch.loss_mask.sum()


def _logits(model: nn.Module, part: MicroBatch, prompts: Any) -> Tensor:
    ids = torch.cat([prompts.token_ids, part.completions], -1)
    attended = torch.cat([prompts.mask, part.completion_mask], -1).long()
    logits: Tensor = model(ids, attended)
    return logits[:, prompts.token_ids.shape[-1] - 1 : -1]


def _mask(part: MicroBatch) -> Tensor:
    return part.completion_mask & part.self_distillation_mask[:, None]


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
