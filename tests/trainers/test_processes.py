"""Steps on several gloo processes under every aggregation, and the one collective of the count."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from sdpo_ref.bundled import Reference
from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses.denominator import global_denominator
from sdpo_ref.protocols.parts import StepProblem, StepTrace
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.trainers.step import run_steps
from sdpo_ref.types import FULL, Aggregation, DistillationBatch
from sdpo_ref.verification.checks.closed_form import closed_form_trace
from sdpo_ref.verification.checks.processes import run_processes
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.shares import CASES, as_tensor, problem_of

ON = Setting(1.0, FULL)


def under(aggregation: str, accumulation: str) -> SimpleNamespace:
    """The reference's step under a profile, to be loaded in other processes."""
    profile = Profile.model_validate({"aggregation": aggregation, "accumulation": accumulation})

    def step(problem: StepProblem, *, group: ProcessGroup | None = None) -> StepTrace:
        return run_steps(problem, profile=profile, group=group)

    return SimpleNamespace(step=step)


@pytest.mark.parametrize(
    ("aggregation", "accumulation"),
    [*((it, "global") for it in get_args(Aggregation)), ("token_mean", "micro_batch_mean")],
)
@pytest.mark.parametrize("case", ["micro-batches", "groups"])
def test_a_step_is_that_of_the_joined_batch(case: str, aggregation: str, accumulation: str) -> None:
    """Every process, after two updates, to 1e-12."""
    target = f"tests.trainers.test_processes:under,aggregation={aggregation},accumulation={accumulation}"
    found = run_processes(target, "step", ON, world=CASES[case].world, case=case)
    profile = Profile.model_validate({"aggregation": aggregation, "accumulation": accumulation})
    for rank, outcome in enumerate(found):
        assert outcome.reached == "finished", outcome.message
        start = {name: as_tensor(weight) for name, weight in outcome.found["teacher"][0].items()}
        problem = problem_of(CASES[case], CASES[case].group_of(rank), ON)
        expected = closed_form_trace(problem, profile, teacher_start=start)
        for name, weight in expected.student[-1].items():
            got = as_tensor(outcome.found["student"][-1][name])
            torch.testing.assert_close(got, weight, rtol=1e-12, atol=1e-12)


class Counting(Reference):
    """A loss that first compares what :func:`global_denominator` returns in its group, and counts collectives."""

    def loss(self, batch: DistillationBatch, *, group: ProcessGroup, **options: Any) -> Tensor:  # type: ignore[override]
        """The reference's."""
        for aggregation in get_args(Aggregation):
            self._compare(aggregation, batch.loss_mask, group)
        alone = [torch.distributed.new_group([rank]) for rank in range(4)]
        foreign = alone[(torch.distributed.get_rank() + 1) % 4]
        with pytest.raises(InvalidInputError, match="does not belong to the process group"):
            global_denominator([batch.loss_mask], group=foreign)
        return super().loss(batch, group=group, **options)

    @staticmethod
    def _compare(aggregation: Aggregation, mask: Tensor, group: ProcessGroup) -> None:
        calls: list[object] = []
        reduce = torch.distributed.all_reduce

        def counted(*arguments: Any, **options: Any) -> object:
            calls.append(arguments)
            return reduce(*arguments, **options)

        torch.distributed.all_reduce = counted
        try:
            own: Sequence[Tensor] = [mask] if torch.distributed.get_rank() else []
            averaged = global_denominator(own, aggregation=aggregation, group=group)
            summed = global_denominator(own, aggregation=aggregation, group=group, gradients="summed")
        finally:
            torch.distributed.all_reduce = reduce
        if len(calls) != 2 or float(summed) != 2 * float(averaged):
            raise AssertionError(f"{len(calls)} collectives, {averaged} and {summed}")
        # groups (0, 2) and (1, 3), of which process 0 gave nothing: rows of 1 and 2 tokens, and of 1 and 3
        first = torch.distributed.get_rank() % 2 == 0
        expected = {
            "token_mean": 3 if first else 4,
            "row_mean": 2,
            "row_mean_all": 2,
            "row_sum": 2,
            "time_normalized_sum": 4,
        }[aggregation]
        if float(summed) != expected:
            raise AssertionError(f"{aggregation}: {summed} instead of {expected}")


def counting() -> Counting:
    """To be loaded in other processes."""
    return Counting("paper")


def test_one_collective_on_every_process() -> None:
    """Whatever is counted, and where a process has no micro-batch at all; another group than one's own is refused."""
    found = run_processes("tests.trainers.test_processes:counting", "loss", ON, world=4, case="groups")
    assert [(it.reached, it.message) for it in found] == [("finished", "")] * 4
