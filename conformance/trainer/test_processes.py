"""Steps and losses on several processes (spec/05-trainer, C, and TRAIN-005)."""

from collections.abc import Callable
from typing import NoReturn

import pytest
import torch

from sdpo_ref.errors import IntegrityError
from sdpo_ref.protocols.parts import StepTrace
from sdpo_ref.verification.checks.closed_form import closed_form_trace, losses_and_gradient
from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, NotAskedError
from sdpo_ref.verification.checks.outside import LOADING
from sdpo_ref.verification.checks.problems import VOCAB as VOCAB_OF_STEPS
from sdpo_ref.verification.checks.processes import Outcome, gloo_is_there, run_processes, run_two_processes
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.shares import CASES, VOCAB, as_tensor, batch_of, problem_of
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.isolation.plugin import name_of_implementation

NotApplicable = Callable[[str], NoReturn]


@pytest.fixture(autouse=True)
def processes_can_talk(not_applicable: NotApplicable) -> None:
    """Where they cannot, nothing here applies."""
    if not gloo_is_there():
        not_applicable("this build of torch has no gloo, or this system does not fork")


@pytest.mark.requirement("TRAIN-005")
def test_one_empty_process(request: pytest.FixtureRequest, subject: Subject) -> None:
    """Rank 1 has no usable row; both ranks finish."""
    on = subject.offered.one("loss", near=1.0, vocab=VOCAB)
    found = run_two_processes(name_of_implementation(request.config), on)
    if "loaded" in found.reached:
        raise IntegrityError(
            f"two processes cannot take a step with usable rows on both, nor can the reference's: {found.messages}; "
            "can processes on this machine talk to each other over the loopback interface?"
        )
    assert_that(
        found.reached == ("one empty", "one empty"),
        "both processes finish a step in which rank 1 has no usable row",
        f"rank 0: {found.messages[0] or 'finished'}; rank 1: {found.messages[1] or 'finished'}",
        {"control": "with usable rows on both, both finished", **on.given},
        looks_like="M114 a rank returns early, before a collective that the other is waiting in",
    )


@pytest.mark.requirement("TRAIN-030")
@pytest.mark.parametrize("case", ["two", "four"])
def test_unequal_processes(request: pytest.FixtureRequest, subject: Subject, case: str) -> None:
    """Processes with unequally many rows and tokens, one micro-batch on each."""
    _compare_steps(request, subject, case)


@pytest.mark.requirement("TRAIN-031")
@pytest.mark.parametrize("case", ["one empty", "one left"])
def test_processes_on_which_nothing_counts(request: pytest.FixtureRequest, subject: Subject, case: str) -> None:
    """One of two, and three of four."""
    _compare_steps(request, subject, case)


@pytest.mark.requirement("TRAIN-032")
def test_micro_batches_on_processes(request: pytest.FixtureRequest, subject: Subject) -> None:
    """Two micro-batches on each process, one of them without a usable row."""
    _compare_steps(request, subject, "micro-batches")


@pytest.mark.requirement("TRAIN-033")
def test_groups_of_processes(request: pytest.FixtureRequest, subject: Subject) -> None:
    """Two groups of two: what the other group has changes nothing."""
    _compare_steps(request, subject, "groups")


@pytest.mark.requirement("TRAIN-035")
def test_nothing_counts_anywhere(request: pytest.FixtureRequest, subject: Subject) -> None:
    """No process has a usable row."""
    _compare_steps(request, subject, "nothing")


@pytest.mark.requirement("TRAIN-034")
@pytest.mark.parametrize("case", ["two", "four", "one empty", "groups"])
def test_mean_gradient(request: pytest.FixtureRequest, subject: Subject, case: str) -> None:
    """The mean over the group of the gradients of each process's share."""
    on = subject.offered.one("loss", near=1.0, vocab=VOCAB)
    for rank, outcome in enumerate(_outcomes(request, "loss", case, on)):
        joined = batch_of(CASES[case], CASES[case].group_of(rank))
        _, of_logits = losses_and_gradient(joined.batch, subject.profile, **on.options)
        expected = torch.einsum("btv,btw->vw", of_logits, joined.inputs)
        assert_close(
            as_tensor(outcome.found["gradient"]).to(subject.precision),
            expected,
            what="mean over the group of the gradients of a weight",
            relative=1e-9,
            absolute=1e-12,
            given={**CASES[case].describe(rank), "aggregation": subject.profile.aggregation, **on.given},
        )


def _compare_steps(request: pytest.FixtureRequest, subject: Subject, case: str) -> None:
    """Every process has the weights of one process with the micro-batches of its group, after both updates."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB_OF_STEPS)
    for rank, outcome in enumerate(_outcomes(request, "step", case, on)):
        found = StepTrace(*(_side(subject, outcome, side) for side in ("student", "teacher")))
        problem = problem_of(CASES[case], CASES[case].group_of(rank), on)
        expected = closed_form_trace(problem, subject.profile, teacher_start=found.teacher[0])
        assert_that(
            len(found.student) == len(expected.student),
            f"{len(expected.student)} snapshots of the weights",
            f"{len(found.student)}",
            CASES[case].describe(rank),
        )
        for moment, (at, wanted) in enumerate(zip(found.student, expected.student, strict=True)):
            for name, weight in wanted.items():
                assert_close(
                    at[name],
                    weight,
                    what=f"student weight {name!r} after {moment} steps",
                    relative=1e-9,
                    absolute=1e-10,
                    given={**CASES[case].describe(rank), "aggregation": subject.profile.aggregation, **on.given},
                )


def _side(subject: Subject, outcome: Outcome, side: str) -> tuple[dict[str, torch.Tensor], ...]:
    return tuple({name: subject.weight(as_tensor(weight)) for name, weight in at.items()} for at in outcome.found[side])


def _outcomes(request: pytest.FixtureRequest, work: str, case: str, on: Setting) -> tuple[Outcome, ...]:
    """What came of each process, once all have finished."""
    found = run_processes(name_of_implementation(request.config), work, on, world=CASES[case].world, case=case)
    for rank, outcome in enumerate(found):
        if outcome.not_offered:
            raise NotAskedError(f"not offered: {outcome.message}")
        if not outcome.reached:
            raise ImplementationRaisedError(LOADING, outcome.message, outcome.message)
        if outcome.message or outcome.reached != "finished":
            said = "; ".join(f"process {at}: {it.message or it.reached}" for at, it in enumerate(found))
            raise ImplementationRaisedError(f"{work}, on process {rank} of {len(found)},", said, said)
    return found
