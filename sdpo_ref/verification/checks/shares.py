"""What each of several processes is given and does, and what they must have done together (spec/05-trainer, C).

All processes make the same problem from the same seed, and each takes its own micro-batches of it. The joined problem
has those of all of them, in the order of their ranks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sdpo_ref.protocols.parts import MicroBatch, StepProblem
from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.hidden_form import as_hidden
from sdpo_ref.verification.checks.inputs import input_generator
from sdpo_ref.verification.checks.problems import step_problem
from sdpo_ref.verification.checks.processes import Report
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.suite.capabilities import has_part

VOCAB = 5
"""Tokens of the small models of losses."""

_WIDTH = 3
"""Of their inputs."""


@dataclass(frozen=True)
class Case:
    """What each process has.

    Attributes:
        lengths: of the completions: for each process its micro-batches, for each of these its rows.
        empty: processes and numbers of micro-batches in which no row has a teacher.
        groups: which processes make one update; all of them if there is none.
        seed: of the numbers.
    """

    lengths: tuple[tuple[tuple[int, ...], ...], ...]
    empty: frozenset[tuple[int, int]] = frozenset()
    groups: tuple[tuple[int, ...], ...] = ()
    seed: int = 31

    @property
    def world(self) -> int:
        """How many processes."""
        return len(self.lengths)

    def group_of(self, rank: int) -> tuple[int, ...]:
        """The processes that make one update with this one."""
        return next((group for group in self.groups if rank in group), tuple(range(self.world)))

    def describe(self, rank: int) -> dict[str, object]:
        """For a report."""
        words: dict[str, object] = {"completion lengths on each process, by micro-batch": list(self.lengths)}
        if self.empty:
            words["without a teacher (process, micro-batch)"] = sorted(self.empty)
        if self.groups:
            words["groups"] = list(self.groups)
        return {**words, "process": rank}


CASES: Mapping[str, Case] = {
    "two": Case((((4, 4, 3),), ((1, 2),))),
    "four": Case((((4, 3),), ((1,),), ((2, 4, 4),), ((1, 2),))),
    "one empty": Case((((4, 2),), ((3, 3),)), empty=frozenset({(1, 0)})),
    "one left": Case((((3, 1),), ((4,),), ((2,),), ((1, 1),)), empty=frozenset({(0, 0), (1, 0), (3, 0)})),
    "micro-batches": Case((((4, 4), (1,)), ((2,), (1, 3))), empty=frozenset({(1, 0)})),
    "groups": Case((((4, 4),), ((1,),), ((1, 2),), ((3,),)), groups=((0, 2), (1, 3))),
    "nothing": Case((((4, 2),), ((3,),)), empty=frozenset({(0, 0), (1, 0)})),
    "another": Case(
        (((1, 2), (4,)), ((3,), (4, 4)), ((2,), (1,)), ((4,), (4,))),
        empty=frozenset({(1, 0), (1, 1)}),
        groups=((0, 3), (1, 2)),
        seed=37,
    ),
}
"""By name; ``another`` is none of the checks', to prove that a mutant differs."""


def problem_of(case: Case, ranks: Sequence[int], setting: Setting) -> StepProblem:
    """Two updates on the micro-batches of some processes.

    Args:
        case: what each process has.
        ranks: whose micro-batches; one process, or all of a group.
        setting: alpha and support.

    Returns:
        The same model and options for all; plain gradient descent.
    """
    every = [rows for parts in case.lengths for rows in parts]
    problem = step_problem(steps_per_iteration=(every,), seed=case.seed, **setting.options)
    made = iter(problem.iterations[0])
    parts = [
        [_usable(next(made)[0], (rank, at) not in case.empty) for at in range(len(mine))]
        for rank, mine in enumerate(case.lengths)
    ]
    step = tuple(part for rank in ranks for part in parts[rank])
    return replace(problem, iterations=((step,), (step,)))


def _usable(part: MicroBatch, usable: bool) -> MicroBatch:  # noqa: FBT001
    return replace(part, self_distillation_mask=torch.full_like(part.self_distillation_mask, usable))


@dataclass(frozen=True)
class LinearBatch:
    """A batch whose student is a small linear model: logits are inputs times its weight.

    Attributes:
        batch: the student's logits at the model's start.
        inputs: of the model.
        weight: of the model, the same for every process.
    """

    batch: DistillationBatch
    inputs: Tensor
    weight: Tensor


def batch_of(case: Case, ranks: Sequence[int]) -> LinearBatch:
    """The rows of some processes, one micro-batch after the other.

    Args:
        case: what each process has.
        ranks: whose rows; one process, or all of a group.
    """
    generator = input_generator(case.seed)
    time = max(length for parts in case.lengths for rows in parts for length in rows)
    weight = torch.randn(VOCAB, _WIDTH, generator=generator, dtype=torch.float64)
    made: list[list[tuple[Tensor, ...]]] = []
    for rank, parts in enumerate(case.lengths):
        made.append([])
        for at, rows in enumerate(parts):
            inputs = torch.randn(len(rows), time, _WIDTH, generator=generator, dtype=torch.float64)
            teacher = torch.randn(len(rows), time, VOCAB, generator=generator, dtype=torch.float64)
            ids = torch.randint(VOCAB, (len(rows), time), generator=generator)
            mask = torch.arange(time) < torch.tensor(rows)[:, None]
            made[-1].append((inputs, teacher, ids, mask, torch.full((len(rows),), (rank, at) not in case.empty)))
    chosen = [part for rank in ranks for part in made[rank]]
    inputs, teacher, ids, mask, usable = (torch.cat([part[it] for part in chosen]) for it in range(5))
    return LinearBatch(DistillationBatch(inputs @ weight.T, teacher, ids, mask, usable), inputs, weight)


def _one_empty(implementation: Any, _case: str, setting: Setting, report: Report) -> None:
    """Two backward passes under DDP: with usable rows on both processes, then with none on rank 1 (TRAIN-005)."""
    rank = torch.distributed.get_rank()
    torch.manual_seed(rank)
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, VOCAB))
    for stage, usable in (("both usable", True), ("one empty", rank == 0)):
        true = torch.ones(2, 4, dtype=torch.bool)
        student_logits = model(torch.randn(2, 4, 3))
        teacher_logits = torch.randn(2, 4, VOCAB)
        batch = DistillationBatch(
            student_logits, teacher_logits, torch.zeros(2, 4).long(), true, torch.tensor([usable, usable])
        )
        _backward(implementation, batch, {**setting.options, "temperature": 1.0, "ratio_cap": None})
        torch.distributed.barrier()
        report(stage, {})


def _backward(implementation: Any, batch: DistillationBatch, options: Mapping[str, Any]) -> None:
    """The backward pass of the loss, in the form in which it is offered."""
    if has_part(implementation, "loss"):
        torch.autograd.backward(implementation.loss(batch, **options))
        return
    hidden = as_hidden(batch)
    (gradient,) = torch.autograd.grad(implementation.hidden_loss(hidden.batch, **options), hidden.student.leaf)
    torch.autograd.backward(batch.student_logits, hidden.student.of_logits(gradient))


def _group_of(case: Case) -> Any:
    """This process's group; every process makes all of them, in the same order."""
    made = {ranks: torch.distributed.new_group(list(ranks)) for ranks in case.groups}
    return made.get(case.group_of(torch.distributed.get_rank()), torch.distributed.group.WORLD)


def _step(implementation: Any, name: str, setting: Setting, report: Report) -> None:
    """The step on this process's micro-batches; what is found are the weights at every moment."""
    case = CASES[name]
    problem = problem_of(case, [torch.distributed.get_rank()], setting)
    trace = implementation.step(problem, group=_group_of(case))
    sides = {
        side: [{name: weight.detach().double().tolist() for name, weight in at.items()} for at in getattr(trace, side)]
        for side in ("student", "teacher")
    }
    report("finished", sides)


def _loss(implementation: Any, name: str, setting: Setting, report: Report) -> None:
    """The loss of this process's rows; what is found is the mean over its group of the gradients of the weight."""
    case = CASES[name]
    group = _group_of(case)
    mine = batch_of(case, [torch.distributed.get_rank()])
    weight = mine.weight.clone().requires_grad_()
    batch = replace(mine.batch, student_logits=mine.inputs @ weight.T)
    share = implementation.loss(batch, **setting.options, temperature=1.0, ratio_cap=None, group=group)
    torch.autograd.backward(share)
    gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
    torch.distributed.all_reduce(gradient, group=group)
    report("finished", {"gradient": (gradient / torch.distributed.get_world_size(group)).tolist()})


WORK: Mapping[str, Callable[[Any, str, Setting, Report], None]] = {
    "one empty": _one_empty,
    "step": _step,
    "loss": _loss,
}
"""What processes do, by name."""


def as_tensor(nested: Any) -> Tensor:
    """Numbers that came from another process, in float64."""
    return torch.tensor(nested, dtype=torch.float64)
