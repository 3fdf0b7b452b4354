"""The peers' training steps behind our Protocols."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sdpo_ref.adapters import sdpo_rl, trl
from sdpo_ref.errors import UnsupportedError
from tests.adapters.problems import TokenCounts, row_beside, step_problem

pytestmark = pytest.mark.peers

Factory = Callable[..., SimpleNamespace]
everywhere = pytest.mark.parametrize("factory", [trl.sdpo, trl.sdft, sdpo_rl.make])
START = TokenCounts().weight.detach()


def moves(side: Sequence[Mapping[str, Tensor]]) -> list[bool]:
    """Whether the weights changed at each optimiser step."""
    values = [weights["weight"] for weights in side]
    return [not torch.equal(before, after) for before, after in itertools.pairwise(values)]


@everywhere
@pytest.mark.parametrize("teacher", ["ema", "frozen"])
def test_a_step_moves_the_student(factory: Factory, teacher: str) -> None:
    """The student starts at its weights in memory and moves at each step; only an EMA teacher moves."""
    trace = factory().step(step_problem(teacher=teacher))
    assert torch.equal(trace.student[0]["weight"], START)
    assert moves(trace.student) == [True, True]
    assert moves(trace.teacher) == [teacher == "ema"] * 2


@pytest.mark.parametrize("factory", [trl.sdpo, trl.sdft])
def test_trl_loads_its_teacher_from_the_file(factory: Factory) -> None:
    """TRL's frozen teacher is what lies on disk (half of each weight), not the student that the trainer was given."""
    trace = factory().step(step_problem(teacher="frozen"))
    assert torch.equal(trace.teacher[0]["weight"], START / 2)


@pytest.mark.parametrize("factory", [trl.sdpo, trl.sdft])
def test_trls_live_teacher_is_the_student(factory: Factory) -> None:
    """The live teacher has the student's weights after each step."""
    trace = factory().step(step_problem(teacher="live"))
    assert [torch.equal(t["weight"], s["weight"]) for t, s in zip(trace.teacher, trace.student, strict=True)] == [
        True
    ] * 3


def test_sdpo_rl_copies_the_student_and_has_no_live_teacher() -> None:
    """sdpo-rl's teacher starts at the student's weights; a live one is refused."""
    assert torch.equal(sdpo_rl.make().step(step_problem(teacher="frozen")).teacher[0]["weight"], START)
    with pytest.raises(UnsupportedError, match="no live teacher"):
        sdpo_rl.make().step(step_problem(teacher="live"))


@pytest.mark.parametrize(("factory", "growth"), [(trl.sdpo, 1.0), (trl.sdft, 1.0), (sdpo_rl.make, 2.0)])
def test_who_divides_by_the_accumulation_steps(factory: Factory, growth: float) -> None:
    """The same micro-batch twice is the same first update under TRL and twice the update under sdpo-rl."""
    once, twice = (
        factory().step(step_problem(teacher="frozen", accumulation=count)).student[1]["weight"] - START
        for count in (1, 2)
    )
    assert torch.allclose(twice, growth * once, atol=1e-15)


@pytest.mark.parametrize(("factory", "side"), [(trl.sdpo, "left"), (trl.sdft, "left"), (sdpo_rl.make, "right")])
def test_where_the_teachers_prompts_are_padded(factory: Factory, side: str) -> None:
    """A longer reprompt of another row changes nothing under TRL, and the update under sdpo-rl.

    sdpo-rl pads where the tokenizer does, on the right by default, and so reads the first token's scores off padding.
    """
    problem = step_problem(teacher="frozen")
    first, second = (
        factory().step(replace(problem, iterations=(((batch,),),))).student[1]["weight"]
        for batch in (row_beside(extra_tokens=0), row_beside(extra_tokens=4))
    )
    assert torch.allclose(first, second, atol=1e-15) is (side == "left")


def test_how_often_the_teacher_moves() -> None:
    """With two passes over the same rollouts TRL's teacher moves at each optimiser step, sdpo-rl's at every second."""
    problem = step_problem(teacher="ema", passes=2)
    assert moves(trl.sdpo().step(problem).teacher) == [True] * 4
    assert moves(sdpo_rl.make().step(problem).teacher) == [False, True] * 2
