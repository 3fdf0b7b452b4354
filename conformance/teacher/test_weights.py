"""Whose weights the teacher reads with (spec/03-teacher, B)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import IntegrityError
from sdpo_ref.protocols.parts import StepProblem
from sdpo_ref.vectors.store import Vector
from sdpo_ref.verification.checks.closed_form import closed_form_trace
from sdpo_ref.verification.checks.comparison import allowed_after, assert_close, assert_that
from sdpo_ref.verification.checks.inputs import input_generator, vector_parameters
from sdpo_ref.verification.checks.problems import (
    VOCAB,
    problem_on,
    with_many_kinds_of_weights,
    with_tied_weights,
    without_a_context,
)
from sdpo_ref.verification.checks.subject import Subject

TWO_ITERATIONS = (((3, 2), (1, 4)), ((2, 2), (3, 1)))
"""Two iterations of two optimiser steps each: cadences that differ become visible."""
ONE_EACH = (((3, 2),), ((1, 4),))
"""Two iterations of one optimiser step each: every cadence is the same."""


def _problem(subject: Subject, **options: Any) -> StepProblem:
    """In whichever setting the step is offered: a teacher's weights do not depend on it."""
    return problem_on(subject.offered.one("step", near=0.0, vocab=VOCAB), **options)


def _compare(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    what: str,
    given: object,
    updates: Sequence[Mapping[str, Tensor]] = (),
) -> None:
    for name, weight in expected.items():
        assert_close(
            found[name],
            weight,
            what=f"teacher weight {name!r} {what}",
            relative=1e-9,
            absolute=1e-11 + allowed_after(updates),
            given={"problem": given},
        )


@pytest.mark.requirement("TEACH-022")
@pytest.mark.parametrize("teacher", ["ema", pytest.param("frozen", marks=pytest.mark.needs("step.frozen"))])
def test_starts_as_the_student(subject: Subject, teacher: Literal["ema", "frozen"]) -> None:
    """Before the first update the teacher has the weights that the given student has in memory."""
    problem = replace(_problem(subject), teacher=teacher)
    student = dict(problem.make_model().named_parameters())
    trace = subject.step(problem)
    _compare(trace.student[0], student, what="at the start (the student's own)", given=teacher)
    _compare(trace.teacher[0], student, what="at the start", given=f"{teacher} teacher of a student held in memory")


@pytest.mark.requirement("TEACH-022")
@pytest.mark.parametrize("teacher", ["ema", pytest.param("frozen", marks=pytest.mark.needs("step.frozen"))])
def test_starts_as_the_student_of_its_own_problem(subject: Subject, teacher: Literal["ema", "frozen"]) -> None:
    """A process that trained another student before takes this one's weights, and not those."""
    subject.step(replace(_problem(subject), teacher=teacher))
    problem = replace(_problem(subject, seed=11), teacher=teacher)
    student = dict(problem.make_model().named_parameters())
    trace = subject.step(problem)
    _compare(
        trace.teacher[0], student, what="at the start", given=f"the second student of a process, {teacher} teacher"
    )


@pytest.mark.requirement("TEACH-020")
def test_recursion_of_tied_weights(subject: Subject) -> None:
    """A weight that the model uses twice, as embedding and head, moves once in each update."""
    rate = 0.25
    problem = with_tied_weights(_problem(subject, steps_per_iteration=ONE_EACH, update_rate=rate))
    trace = subject.step(problem)
    for moment in (1, 2):
        before, student = trace.teacher[moment - 1], trace.student[moment]
        expected = {name: (1 - rate) * before[name] + rate * student[name] for name in student}
        given = f"two weights that are one, update_rate {rate}"
        _compare(trace.teacher[moment], expected, what=f"after {moment} updates", given=given)


@pytest.mark.requirement("TEACH-020")
def test_recursion_of_every_kind_of_weight(subject: Subject) -> None:
    """Embeddings, vectors and single numbers move as all others, whatever they are called."""
    rate = 0.25
    trace = subject.step(
        with_many_kinds_of_weights(_problem(subject, steps_per_iteration=ONE_EACH, update_rate=rate, learning_rate=0.5))
    )
    for moment in (1, 2):
        before, student = trace.teacher[moment - 1], trace.student[moment]
        expected = {name: (1 - rate) * before[name] + rate * student[name] for name in student}
        given = f"a model with an embedding, a vector and a number beside, update_rate {rate}"
        _compare(trace.teacher[moment], expected, what=f"after {moment} updates", given=given)


@pytest.mark.requirement("TEACH-020")
@pytest.mark.parametrize("update_rate", [1e-5, 0.0007, 0.001, 0.05, 0.25, 0.9, 0.995])
def test_recursion(subject: Subject, update_rate: float) -> None:
    """After each iteration of one step: (1 - rate) times its own weights plus rate times the student's."""
    trace = subject.step(_problem(subject, steps_per_iteration=ONE_EACH, update_rate=update_rate))
    for moment in (1, 2):
        before, student = trace.teacher[moment - 1], trace.student[moment]
        expected = {name: (1 - update_rate) * before[name] + update_rate * student[name] for name in student}
        _compare(trace.teacher[moment], expected, what=f"after {moment} updates", given=f"update_rate {update_rate}")


@pytest.mark.parametrize("vector", vector_parameters("average", part="step"))
def test_recursion_vectors(subject: Subject, vector: Vector) -> None:
    """The recursion above, over several updates, is the derived one; run on the vector's rate from its own weights."""
    rate = vector.options["update_rate"]
    assert isinstance(rate, float)
    problem = _problem(subject, steps_per_iteration=ONE_EACH, update_rate=rate)
    trace = subject.step(problem)
    found, derived = vector.inputs["teacher"], []
    for student in vector.inputs["students"]:
        found = (1 - rate) * found + rate * student
        derived.append(found)
    if not torch.allclose(torch.stack(derived), vector.expected["teachers"], rtol=1e-12, atol=1e-14):
        raise IntegrityError(f"the recursion of this file is not that of vector {vector.id}")
    expected = trace.teacher[0]
    for student in trace.student[1:]:
        expected = {name: (1 - rate) * expected[name] + rate * student[name] for name in expected}
    _compare(trace.teacher[-1], expected, what="after two updates", given=f"update_rate {rate} of {vector.id}")


@pytest.mark.requirement("TEACH-021")
def test_cadence(subject: Subject) -> None:
    """With two optimiser steps per iteration the teacher moves when the profile says so, and only then."""
    problem = _problem(subject, steps_per_iteration=TWO_ITERATIONS)
    trace = subject.step(problem)
    moved = [
        any(not torch.equal(before[name], after[name]) for name in before)
        for before, after in zip(trace.teacher, trace.teacher[1:], strict=False)
    ]
    every = subject.profile.ema_cadence == "optimizer_step"
    expected = [every, True, every, True]
    assert_that(
        moved == expected,
        f"the teacher moves after optimiser steps {expected} ({subject.profile.ema_cadence})",
        f"{moved}",
        {"optimiser steps per iteration": 2},
        looks_like="M288 EMA at another cadence, or never",
    )
    _compare(
        trace.teacher[-1],
        closed_form_trace(problem, subject.profile, teacher_start=trace.teacher[0]).teacher[-1],
        what="after two iterations of two optimiser steps",
        given=f"ema_cadence {subject.profile.ema_cadence}",
        updates=trace.student,
    )


@pytest.mark.requirement("TEACH-021")
def test_many_iterations(subject: Subject) -> None:
    """After six iterations of two optimiser steps the teacher still follows as declared."""
    problem = _problem(subject, steps_per_iteration=(((3, 2), (1, 4)),) * 6, learning_rate=0.1)
    trace = subject.step(problem)
    expected = closed_form_trace(problem, subject.profile, teacher_start=trace.teacher[0])
    given = f"six iterations of two optimiser steps, ema_cadence {subject.profile.ema_cadence}"
    for moment in (9, 10, 11, 12):
        updates = trace.student[: moment + 1]
        student, teacher = f"(the student's) at step {moment}", f"after {moment} steps"
        _compare(trace.student[moment], expected.student[moment], what=student, given=given, updates=updates)
        _compare(trace.teacher[moment], expected.teacher[moment], what=teacher, given=given, updates=updates)


@pytest.mark.requirement("TEACH-025")
def test_live_over_many_iterations(subject: Subject) -> None:
    """In the fourth iteration the live teacher is the student as well."""
    trace = subject.step(_problem(subject, steps_per_iteration=(((3, 2),),) * 4, teacher="live"))
    for moment, student in enumerate(trace.student):
        _compare(trace.teacher[moment], student, what=f"(live) after {moment} steps", given="live teacher")


@pytest.mark.requirement("TEACH-021")
def test_follows_without_a_usable_row(subject: Subject) -> None:
    """An iteration in which nobody has a context moves the teacher towards the student like any other."""
    problem = without_a_context(_problem(subject, steps_per_iteration=ONE_EACH), iteration=1)
    trace = subject.step(problem)
    _compare(
        trace.teacher[-1],
        closed_form_trace(problem, subject.profile, teacher_start=trace.teacher[0]).teacher[-1],
        what="after two iterations",
        given="no usable row in the second iteration",
        updates=trace.student,
    )


@pytest.mark.requirement("TEACH-023")
@pytest.mark.parametrize("update_rate", [0.0, 1.0])
def test_ends_of_the_rate(subject: Subject, update_rate: float) -> None:
    """Rate 0 keeps the teacher, rate 1 copies the student."""
    trace = subject.step(_problem(subject, steps_per_iteration=ONE_EACH, update_rate=update_rate))
    expected = trace.teacher[0] if update_rate == 0.0 else trace.student[-1]
    _compare(trace.teacher[-1], expected, what="after two updates", given=f"update_rate {update_rate}")


@pytest.mark.requirement("TEACH-024")
def test_frozen(subject: Subject) -> None:
    """Never moves, while the student does."""
    trace = subject.step(_problem(subject, steps_per_iteration=TWO_ITERATIONS, teacher="frozen"))
    _compare(trace.teacher[-1], trace.teacher[0], what="of a frozen teacher", given="two iterations")
    moved = any(not torch.equal(trace.student[-1][name], start) for name, start in trace.student[0].items())
    assert_that(moved, "a student that moves", "a student that does not")


@pytest.mark.requirement("TEACH-025")
def test_live(subject: Subject) -> None:
    """The teacher is the student, and its scores are constants of the step."""
    problem = _problem(subject, steps_per_iteration=TWO_ITERATIONS, teacher="live")
    trace = subject.step(problem)
    expected = closed_form_trace(problem, subject.profile, teacher_start=trace.teacher[0])
    for moment, student in enumerate(trace.student):
        _compare(trace.teacher[moment], student, what=f"(live) after {moment} steps", given="live teacher")
    for name, weight in expected.student[-1].items():
        assert_close(
            trace.student[-1][name],
            weight,
            what=f"student weight {name!r}",
            relative=1e-9,
            absolute=1e-10 + allowed_after(trace.student),
            given={"teacher": "live, its scores constants"},
        )


@pytest.mark.requirement("TEACH-029")
def test_optimiser_leaves_the_teacher_alone(subject: Subject) -> None:
    """With rate 0 and large steps the teacher is bit for bit what it was."""
    trace = subject.step(_problem(subject, steps_per_iteration=ONE_EACH, update_rate=0.0, learning_rate=10.0))
    for name, start in trace.teacher[0].items():
        assert_that(
            bool(torch.equal(trace.teacher[-1][name], start)),
            f"teacher weight {name!r} untouched at update_rate 0",
            f"changed by {float((trace.teacher[-1][name] - start).abs().max()):.3g}",
            looks_like="M297 teacher in the optimiser",
        )


@pytest.mark.parametrize("vector", vector_parameters("trust_region", part="trust_region"))
def test_trust_region(subject: Subject, vector: Vector) -> None:
    """The normalised geometric mixture."""
    mix = vector.options["mix"]
    assert isinstance(mix, float)
    found = subject.trust_region(vector.inputs["reference_logits"], vector.inputs["student_logits"], mix=mix)
    assert_close(
        found,
        vector.expected["log_probs"],
        what="log-probabilities of the teacher",
        relative=1e-10,
        absolute=1e-12,
        given={"vector": vector.id, "mix": mix, **vector.inputs},
        known_wrong=vector.known_wrong,
    )


@pytest.mark.requirement("TEACH-026")
@pytest.mark.parametrize("shift", [7.0, -50.0])
def test_trust_region_ignores_constants(subject: Subject, shift: float) -> None:
    """Adding a constant to either side's logits changes nothing."""
    reference, student = torch.randn(2, 3, 5, generator=input_generator(3), dtype=torch.float64)
    plain = subject.trust_region(reference, student, mix=0.25)
    shifted = subject.trust_region(reference + shift, student - 2 * shift, mix=0.25)
    assert_close(shifted, plain, what="log-probabilities", relative=1e-9, absolute=1e-10, given={"shift": shift})


@pytest.mark.requirement("TEACH-026")
@pytest.mark.parametrize("mix", [0.0, 0.25, 1.0])
def test_trust_region_row_by_row(subject: Subject, mix: float) -> None:
    """Logits of several rollouts and positions are the mixtures of single rows."""
    reference, student = torch.randn(2, 2, 3, 5, generator=input_generator(5), dtype=torch.float64)
    rows = [
        subject.trust_region(one[None], other[None], mix=mix)[0]
        for one, other in zip(reference.flatten(0, 1), student.flatten(0, 1), strict=True)
    ]
    assert_close(
        subject.trust_region(reference, student, mix=mix),
        torch.stack(rows).reshape(reference.shape),
        what="log-probabilities",
        given={"mix": mix, "shape": tuple(reference.shape)},
    )


def _geometric_mixture(reference: Tensor, student: Tensor, mix: float) -> Tensor:
    """The definition, written out."""
    return ((1 - mix) * reference.log_softmax(-1) + mix * student.log_softmax(-1)).log_softmax(-1)


@pytest.mark.requirement("TEACH-026")
@pytest.mark.parametrize("mix", [1e-5, 0.003, 0.35, 0.997, 1 - 1e-5])
def test_trust_region_of_peaked_logits(subject: Subject, mix: float) -> None:
    """Tokens that are hundreds of nats less likely than others, on either side, keep their log-probabilities."""
    reference, student = torch.randn(2, 3, 5, generator=input_generator(7), dtype=torch.float64)
    reference[0, 1], reference[1, 0], student[1, 2], student[2, 3] = -900.0, 700.0, -1200.0, 40.0
    assert_close(
        subject.trust_region(reference, student, mix=mix),
        _geometric_mixture(reference, student, mix),
        what="log-probabilities",
        relative=1e-10,
        absolute=1e-10,
        given={"mix": mix, "reference_logits": reference, "student_logits": student},
    )


@pytest.mark.requirement("TEACH-026")
@pytest.mark.parametrize("mix", [0.1, 0.5])
def test_trust_region_of_exclusions(subject: Subject, mix: float) -> None:
    """Between the ends a token that either side excludes is excluded."""
    sides = torch.tensor([[0.3, -0.4, -torch.inf, -torch.inf], [0.1, -torch.inf, 0.2, -torch.inf]], dtype=torch.float64)
    reference, student = sides[:, None]
    excluded = torch.tensor([[0.0, -torch.inf, -torch.inf, -torch.inf]])
    given = {"mix": mix, "reference_logits": reference, "student_logits": student}
    assert_close(subject.trust_region(reference, student, mix=mix), excluded, what="log-probabilities", given=given)


@pytest.mark.requirement("TEACH-026")
def test_trust_region_of_many_positions(subject: Subject) -> None:
    """All of 70,000 positions are mixed, however they are cut."""
    reference, student = torch.randn(2, 2, 35_000, 3, generator=input_generator(8), dtype=torch.float64)
    assert_close(
        subject.trust_region(reference, student, mix=0.35),
        _geometric_mixture(reference, student, 0.35),
        what="log-probabilities",
        relative=1e-10,
        absolute=1e-12,
        given={"mix": 0.35, "positions": 70_000},
    )


@pytest.mark.requirement("TEACH-026")
@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_trust_region_ends(subject: Subject, mix: float) -> None:
    """At an end one side is left, also where the other excludes a token that it allows."""
    allows, excludes = torch.tensor([[0.3, -0.4, 1.1], [0.3, -torch.inf, 0.2]], dtype=torch.float64)[:, None]
    reference, student = (allows, excludes) if mix == 0.0 else (excludes, allows)
    assert_close(
        subject.trust_region(reference, student, mix=mix),
        allows.log_softmax(-1),
        what="log-probabilities",
        given={"mix": mix, "reference_logits": reference, "student_logits": student},
    )


def _students(rank: int = 2, updates: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator, moments = input_generator(4), range(updates + 1)
    return [(torch.randn(3, rank, generator=generator), torch.randn(rank, 4, generator=generator)) for _ in moments]


@pytest.mark.requirement("TEACH-028")
@pytest.mark.parametrize("rank", [2, 1, 5])
def test_low_rank_start(subject: Subject, rank: int) -> None:
    """The teacher's weight change at the start is the student's."""
    students = _students(rank)
    found = subject.low_rank_average(students, update_rate=0.25)
    assert_close(
        found[0],
        students[0][0] @ students[0][1],
        what="weight change of the teacher at the start",
        relative=1e-5,
        absolute=1e-6,
        given={"B": students[0][0], "A": students[0][1]},
    )


@pytest.mark.requirement("TEACH-027")
@pytest.mark.parametrize(("rate", "updates"), [(0.25, 3), (0.05, 1), (0.8, 7), (1.0, 2), (0.0, 2)])
def test_low_rank_average(subject: Subject, rate: float, updates: int) -> None:
    """Averages of products, not products of averages, at any rate and after any number of updates."""
    students = _students(updates=updates)
    found = subject.low_rank_average(students, update_rate=rate)
    assert_that(
        len(found) == updates + 1,
        f"{updates + 1} weight changes, at the start and after each update",
        f"{len(found)}",
        {"update_rate": rate},
    )
    expected = found[0]
    for moment, (b, a) in enumerate(students[1:], start=1):
        expected = (1 - rate) * expected + rate * (b @ a)
        assert_close(
            found[moment],
            expected,
            what=f"weight change of the teacher after {moment} updates",
            relative=1e-5,
            absolute=1e-6,
            given={
                "update_rate": rate,
                "size": f"{float(found[moment].norm() / expected.norm()):.3f} of the average's",
            },
        )
