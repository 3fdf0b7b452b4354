"""Completions in which tools wrote: attended, and not trained (spec/01-policy; spec/05-trainer)."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sdpo_ref.protocols.parts import StepProblem
from sdpo_ref.verification.checks.closed_form import compare_weights
from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.first_steps import (
    Ragged,
    compare_gradient,
    compare_steps,
    first_steps,
)
from sdpo_ref.verification.checks.inputs import repeated_seed
from sdpo_ref.verification.checks.problems import TOOLS, VOCAB, cut, problem_on, with_tools
from sdpo_ref.verification.checks.subject import Subject

ROWS = {"rows (s sampled, t by a tool, . padding)": ", ".join(TOOLS)}
AFTER_TOOLS = ("sttss.", "sts...", "tttts.", "ssstts")
"""Something is sampled after each tool's answer."""


def _problem(subject: Subject, rows: tuple[str, ...] = TOOLS, **options: float) -> StepProblem:
    on = subject.offered.one("step", **options or {"near": 0.0}, vocab=VOCAB)
    return with_tools(problem_on(on, steps_per_iteration=((((1,) * len(rows)),),)), rows)


def _reading_the_last_token(problem: StepProblem) -> StepProblem:
    """The model's scores depend on the token before and on nothing else."""

    def make_model() -> nn.Module:
        model = problem.make_model()
        with torch.no_grad():
            model.get_parameter("prefix").zero_()
        return model

    return replace(problem, make_model=make_model)


@pytest.mark.requirement("TRAIN-021")
@pytest.mark.parametrize("rows_each", [4, 2, 1])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_not_trained(subject: Subject, alpha: float, rows_each: int) -> None:
    """Tools at the beginning, in the middle and at the end, in one micro-batch and in two or four of unequal counts."""
    problem = _reading_the_last_token(_problem(subject, at=alpha))
    parts = cut(problem.iterations[0][0][0], rows_each)
    given = {**ROWS, "alpha": alpha, "micro-batches": len(parts), "accumulation": subject.profile.accumulation}
    problem = replace(problem, iterations=((parts,),))
    compare_weights(subject.step(problem), problem, subject.profile, given=given, weights={"current"})


@pytest.mark.requirement("TRAIN-021")
def test_nothing_sampled(subject: Subject) -> None:
    """Tools wrote all there is: nothing moves."""
    trace = subject.step(_problem(subject, ("tttt", "tt..")))
    for name, start in trace.student[0].items():
        assert_close(trace.student[-1][name], start, what=f"student weight {name!r}", given={"sampled tokens": 0})


@pytest.mark.requirement("POLICY-007")
@pytest.mark.parametrize("rows", [AFTER_TOOLS, TOOLS], ids=["a tool before what is sampled", "tools anywhere"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_attended(subject: Subject, alpha: float, rows: tuple[str, ...]) -> None:
    """Every token before, sampled or not, moves the scores of student and teacher."""
    problem = _problem(subject, rows, at=alpha)
    given = {"rows (s sampled, t by a tool, . padding)": ", ".join(rows), "alpha": alpha}
    compare_weights(subject.step(problem), problem, subject.profile, given=given)


@pytest.mark.requirement("POLICY-007")
def test_answers_matter(subject: Subject) -> None:
    """Another answer of a tool gives another step."""
    problem = _problem(subject, AFTER_TOOLS)
    batch = problem.iterations[0][0][0]
    answer = batch.attended & ~batch.completion_mask
    other = replace(batch, completions=torch.where(answer, (batch.completions + 1) % VOCAB, batch.completions))
    one, another = (subject.step(it).student[-1] for it in (problem, replace(problem, iterations=(((other,),),))))
    moved = any(not torch.allclose(another[name], weight, rtol=0, atol=1e-9) for name, weight in one.items())
    assert_that(
        moved,
        "another step for another answer of the tool",
        "the same step",
        {"rows (s sampled, t by a tool, . padding)": ", ".join(AFTER_TOOLS)},
        looks_like="M641 what does not count is not attended",
    )


@pytest.mark.requirement("POLICY-008")
def test_padding_behind_tools(subject: Subject) -> None:
    """Other ids stand in the padding."""
    problem = _problem(subject)
    batch = problem.iterations[0][0][0]
    other = replace(batch, completions=torch.where(batch.attended, batch.completions, (batch.completions + 1) % VOCAB))
    one, another = (subject.step(it).student[-1] for it in (problem, replace(problem, iterations=(((other,),),))))
    for name, weight in one.items():
        assert_close(another[name], weight, what=f"student weight {name!r}", given={**ROWS, "changed": "padded ids"})


@pytest.mark.requirement("TRAIN-022")
def test_calls_with_tools(subject: Subject) -> None:
    """Three calls on completions of three lengths, in the longer of which a tool wrote the second token."""
    inputs = Ragged(repeated_seed(0), tools=True)
    found = first_steps(subject.trainer(), inputs)
    given = {"written by a tool": "the second of three or four tokens", "aggregation": subject.profile.aggregation}
    compare_gradient(found, inputs, subject.profile, given=given)
    compare_steps(found, inputs, subject.profile, given=given)


@pytest.mark.requirement("TRAIN-022")
def test_ids_behind_tools(subject: Subject) -> None:
    """Other ids stand behind what is attended."""
    seed = repeated_seed(0)
    one, other = (
        first_steps(subject.trainer(), Ragged(seed, padding=ids, tools=True)) for ids in ((4, 1, 3), (2, 0, 4))
    )
    for call, (left, right) in enumerate(zip(one.log_probs, other.log_probs, strict=True)):
        what = f"log-probabilities after call {call}"
        assert_close(
            right, left, what=what, absolute=1e-9, given={"changed": "padded ids", "in the completions": "tools"}
        )
