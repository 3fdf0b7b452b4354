"""How a mutant is made from the reference: one function around each part that is replaced often."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.support import on_support
from sdpo_ref.mutants.mutant import GOOD
from sdpo_ref.protocols.parts import Attempt, MicroBatch, StepProblem, StepTrace, TeacherContext
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.trainers.step import run_steps
from sdpo_ref.types import DistillationBatch, Support

Formula = Callable[[Tensor, Tensor, float], Tensor]
"""From log-probabilities of student and teacher on their cells, and alpha, to nats."""

Options = dict[str, Any]
"""Keyword arguments of a loss."""


def divergence(formula: Formula) -> Callable[..., Tensor]:
    """A divergence whose cells are the reference's."""

    def part(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
        if not 0.0 <= alpha <= 1.0:
            raise InvalidInputError(f"alpha must lie in [0, 1], received {alpha}")
        return formula(*on_support(student, teacher, support=support, top_k_from="student"), alpha)

    return part


def jsd(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """The right formula."""
    return generalized_jsd(student, teacher, alpha=alpha)


def tail_cells(project: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]], formula: Formula = jsd) -> Any:
    """A divergence with other cells for a top-k support with a tail, and the reference's for every other support."""

    def part(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
        if support.kind != "top_k_tail" or support.k is None:
            return GOOD.divergence(student, teacher, alpha=alpha, support=support)
        return formula(*project(student, teacher, min(support.k, student.shape[-1])), alpha)

    return part


def loss(change: Callable[[DistillationBatch, Options], Tensor]) -> Callable[..., Tensor]:
    """A loss that is ``change(batch, options)``."""

    def part(batch: DistillationBatch, **options: Any) -> Tensor:
        return change(batch, options)

    return part


def good(batch: DistillationBatch, options: Options) -> Tensor:
    """The right loss."""
    return GOOD.loss(batch, **options)


def split_gradient(value: Tensor, share: float) -> Tensor:
    """The same value with a gradient that is ``share`` of the right one."""
    return share * value + (1 - share) * value.detach()


def reused(noise: float) -> Callable[..., Tensor]:
    """A divergence that returns the same buffer from every call, with the given noise in it."""
    buffers: dict[tuple[torch.Size, torch.dtype], Tensor] = {}

    def part(student: Tensor, teacher: Tensor, **options: Any) -> Tensor:
        found = GOOD.divergence(student, teacher, **options)
        kept = buffers.setdefault((found.shape, found.dtype), torch.empty_like(found)).detach()
        return kept.copy_(found * (1 + noise * torch.rand((), dtype=found.dtype)) if noise else found)

    return part


def hybrid(change: Callable[[DistillationBatch, Tensor, Tensor, Options], Tensor]) -> Callable[..., Tensor]:
    """A hybrid loss that is ``change(batch, rewards, group_ids, options)``."""

    def part(batch: DistillationBatch, rewards: Tensor, group_ids: Tensor, **options: Any) -> Tensor:
        return change(batch, rewards, group_ids, options)

    return part


def read(attempts: Sequence[Attempt], rules: Any, **changes: Any) -> list[TeacherContext]:
    """What the teacher reads under other rules."""
    return GOOD.context(attempts, rules.model_copy(update=changes))


def under(**changes: Any) -> Callable[..., list[TeacherContext]]:
    """Contexts under rules in which some fields are always the same."""
    return lambda attempts, rules: read(attempts, rules, **changes)


def of_attempts(change: Callable[[Attempt], Attempt]) -> Callable[..., list[TeacherContext]]:
    """Contexts of attempts that were changed first."""
    return lambda attempts, rules: read([change(attempt) for attempt in attempts], rules)


def each(change: Callable[[Attempt, TeacherContext], TeacherContext]) -> Callable[..., list[TeacherContext]]:
    """Contexts that were changed afterwards."""
    return lambda attempts, rules: [
        change(attempt, found) for attempt, found in zip(attempts, read(attempts, rules), strict=True)
    ]


def with_last_message(found: TeacherContext, content: str) -> TeacherContext:
    """A context whose last message says something else."""
    return replace(found, messages=(*found.messages[:-1], {"role": "user", "content": content}))


def steps(change: Callable[[StepProblem], StepProblem], **profile: Any) -> Callable[[StepProblem], StepTrace]:
    """The training step on another problem, or under other choices."""
    return lambda problem: run_steps(change(problem), profile=Profile(**profile))


def same(problem: StepProblem) -> StepProblem:
    """The problem without a change."""
    return problem


def micro_batches(change: Callable[[MicroBatch], MicroBatch]) -> Callable[[StepProblem], StepProblem]:
    """The problem with every micro-batch changed."""
    return lambda problem: replace(
        problem,
        iterations=tuple(
            tuple(tuple(change(part) for part in parts) for parts in iteration) for iteration in problem.iterations
        ),
    )


def parts_of(problem: StepProblem) -> list[MicroBatch]:
    """Every micro-batch of a problem."""
    return [part for iteration in problem.iterations for parts in iteration for part in parts]


def traces(change: Callable[[StepProblem, StepTrace], StepTrace]) -> Callable[[StepProblem], StepTrace]:
    """The right step, reported otherwise."""
    return lambda problem: change(problem, GOOD.step(problem))


def scaled(weights: Any, factor: float) -> dict[str, Tensor]:
    """Weights times a factor."""
    return {name: factor * weight for name, weight in weights.items()}


def mixed(one: Any, other: Any, share: float) -> dict[str, Tensor]:
    """Weights between two others; ``share`` of ``other``."""
    return {name: torch.lerp(one[name], other[name], share) for name in one}
