"""One training step, against weights written out by hand (spec/05-trainer; spec/01-policy)."""

from dataclasses import replace

import pytest
import torch

from sdpo_ref.protocols.parts import MicroBatch, StepProblem
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Prompts, Support
from sdpo_ref.verification.checks.closed_form import closed_form_trace, compare_weights, divergence_of
from sdpo_ref.verification.checks.comparison import allowed_after, assert_close, assert_finite, assert_that
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.problems import (
    DIRECTION,
    VOCAB,
    cut,
    problem_on,
    select,
    with_a_confident_teacher,
    with_many_kinds_of_weights,
    without_a_context,
)
from sdpo_ref.verification.checks.subject import Subject

EQUAL = (((3, 3, 3, 3),),)
"""One step on four rows with three tokens each."""
RAGGED = (((4, 1, 2, 3),),)
"""One step on four rows of unequal length."""


def _with_step(problem: StepProblem, *micro_batches: MicroBatch) -> StepProblem:
    return replace(problem, iterations=((micro_batches,),))


def _compare(subject: Subject, problem: StepProblem, *, given: dict[str, object], what: str = "") -> None:
    """The student after every step equals the written-out one."""
    compare_weights(subject.step(problem), problem, subject.profile, given=given, what=what)


@pytest.mark.requirement("POLICY-001", "TRAIN-001")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_one_step(subject: Subject, alpha: float) -> None:
    """Rows of equal length, one micro-batch, frozen at its start: only the position of logits and the loss matter."""
    on = subject.offered.one("step", at=alpha, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=EQUAL)
    _compare(subject, problem, given={**on.given, "rows": "four completions of three tokens"})


@pytest.mark.requirement("TRAIN-001")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_ragged_step(subject: Subject, alpha: float, seed: int) -> None:
    """Rows of unequal length."""
    on = subject.offered.one("step", at=alpha, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED, seed=seed)
    _compare(subject, problem, given={**on.given, "completion lengths": RAGGED[0][0]})


@pytest.mark.requirement("TRAIN-001")
@pytest.mark.parametrize("learning_rate", [5.0, 1e-4])
def test_step_of_any_size(subject: Subject, learning_rate: float) -> None:
    """A learning rate far above and far below the usual one is used as it is."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED, learning_rate=learning_rate)
    _compare(subject, problem, given={"learning rate": learning_rate})


@pytest.mark.requirement("TRAIN-001")
def test_step_of_every_kind_of_weight(subject: Subject) -> None:
    """Embeddings, vectors and single numbers move by their own gradient, whatever they are called."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    trace = subject.step(with_many_kinds_of_weights(problem_on(on, steps_per_iteration=RAGGED)))
    moved = {name: trace.student[-1][name] - start for name, start in trace.student[0].items()}
    in_all = moved["model.current"].sum(0)
    expected = {
        "embed_tokens.weight": moved["model.current"],
        "norm.bias": in_all,
        "norm.weight": in_all @ DIRECTION.to(in_all),
    }
    for name, update in expected.items():
        assert_close(
            moved[name],
            update,
            what=f"update of {name!r}",
            relative=1e-9,
            absolute=1e-11 + allowed_after(trace.student),
            given={"model": "logits are moved by an embedding, a vector and a number as well"},
        )


@pytest.mark.requirement("TRAIN-001")
@pytest.mark.parametrize("alpha", [0.25, 0.9])
def test_step_between_the_ends(subject: Subject, alpha: float) -> None:
    """An alpha between the ends reaches the loss of the step."""
    on = subject.offered.exactly("step", alpha, FULL, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED)
    _compare(subject, problem, given=on.given)


@pytest.mark.requirement("TRAIN-001")
def test_step_with_an_unusable_row(subject: Subject) -> None:
    """A row without a context, beside three with one, is not trained and does not count."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED)
    batch = replace(problem.iterations[0][0][0], self_distillation_mask=torch.tensor([True, False, True, True]))
    _compare(subject, _with_step(problem, batch), given={"usable rows": [0, 2, 3]})


@pytest.mark.requirement("TRAIN-001")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_step_on_one_token(subject: Subject, alpha: float) -> None:
    """A single row with a single token is the whole step."""
    on = subject.offered.one("step", at=alpha, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=(((1,),),))
    _compare(subject, problem, given={**on.given, "rows": "one completion of one token"})


@pytest.mark.requirement("TRAIN-001")
def test_large_gradient(subject: Subject) -> None:
    """A gradient with a norm far above ten is not cut."""
    on = subject.offered.one("step", at=1.0, vocab=VOCAB)
    problem = with_a_confident_teacher(problem_on(on, steps_per_iteration=RAGGED, learning_rate=0.1), factor=300.0)
    found = subject.step(problem)
    expected = closed_form_trace(problem, subject.profile, teacher_start=found.teacher[0]).student
    for name, start in expected[0].items():
        moved, wanted = found.student[-1][name] - found.student[0][name], expected[-1][name] - start
        assert_close(
            moved,
            wanted,
            what=f"update of {name!r}",
            relative=1e-8,
            absolute=1e-9,
            given={
                "norm of the gradient": f"{float(wanted.norm()) / problem.learning_rate:.4g}",
                "size of the update, relative to that": f"{float(moved.norm() / wanted.norm()):.4g}",
            },
        )


@pytest.mark.requirement("TRAIN-010")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_step_on_every_support(subject: Subject, alpha: float) -> None:
    """Alpha and support of the step reach its loss, whichever are offered."""
    for on in subject.offered.each("step", at=alpha):
        _compare(subject, problem_on(on, steps_per_iteration=RAGGED), given=on.given)


@pytest.mark.requirement("TRAIN-010")
@pytest.mark.needs("step", "loss.temperature")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_step_at_a_temperature(subject: Subject, alpha: float) -> None:
    """The temperature of the step reaches its loss."""
    on = subject.offered.one("step", at=alpha, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED, temperature=2.0)
    _compare(subject, problem, given={**on.given, "temperature": 2.0})


@pytest.mark.requirement("TRAIN-010")
@pytest.mark.needs("step", "loss.temperature")
@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize(
    "support",
    [
        pytest.param(SAMPLED_TOKEN, marks=pytest.mark.needs("loss.sampled_token")),
        pytest.param(Support("top_k_tail", 2), marks=pytest.mark.needs("loss.top_k_tail")),
        pytest.param(Support("top_k_renormalized", 3), marks=pytest.mark.needs("loss.top_k_renormalized")),
    ],
    ids=lambda it: it.kind if isinstance(it, Support) else None,
)
def test_step_on_a_support_at_a_temperature(subject: Subject, support: Support, temperature: float) -> None:
    """Support and temperature reach the loss together, above and below one."""
    on = subject.offered.on("step", support)
    problem = problem_on(on, steps_per_iteration=RAGGED, temperature=temperature)
    _compare(subject, problem, given={**on.given, "temperature": temperature})


@pytest.mark.requirement("TRAIN-010")
@pytest.mark.needs("step", "loss.top_k_tail")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("k", [1, 3])
def test_step_on_a_head_with_a_tail(subject: Subject, alpha: float, k: int) -> None:
    """A head of one or three tokens, and all others as one cell."""
    on = subject.offered.exactly("step", alpha, Support("top_k_tail", k), vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED)
    _compare(subject, problem, given=on.given)


@pytest.mark.requirement("TRAIN-010")
@pytest.mark.needs("step.frozen", "loss.temperature")
def test_step_towards_a_frozen_teacher_at_a_temperature(subject: Subject) -> None:
    """The temperature does not depend on the kind of teacher."""
    on = subject.offered.one("step", at=1.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED, temperature=0.5, teacher="frozen")
    _compare(subject, problem, given={"teacher": "frozen", "temperature": 0.5})


@pytest.mark.requirement("TRAIN-010")
@pytest.mark.needs("step", "loss.sampled_token")
def test_step_on_the_sampled_token(subject: Subject) -> None:
    """The support of the step reaches its loss."""
    problem = problem_on(subject.offered.on("step", SAMPLED_TOKEN), steps_per_iteration=RAGGED)
    _compare(subject, problem, given={"support": "sampled_token"})


@pytest.mark.requirement("POLICY-004")
def test_left_padding(subject: Subject) -> None:
    """Two more padded positions in front of prompts and reprompts."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=EQUAL)
    batch = problem.iterations[0][0][0]

    def wider(prompts: Prompts) -> Prompts:
        rows = prompts.token_ids.shape[0]
        return Prompts(
            torch.cat([torch.full((rows, 2), VOCAB - 1), prompts.token_ids], -1),
            torch.cat([torch.zeros(rows, 2, dtype=torch.bool), prompts.mask], -1),
            prompts.group_ids,
        )

    padded = replace(batch, prompts=wider(batch.prompts), reprompts=wider(batch.reprompts))
    before, after = subject.step(problem), subject.step(_with_step(problem, padded))
    for name, weight in before.student[-1].items():
        assert_close(
            after.student[-1][name],
            weight,
            what=f"student weight {name!r}",
            relative=1e-10,
            given={"padding added on the left": 2},
        )


@pytest.mark.requirement("POLICY-004")
@pytest.mark.parametrize("seed", [1, 2])
def test_prompts_of_unequal_length(subject: Subject, seed: int) -> None:
    """Prompts of two and three tokens and reprompts of four to six beside each other."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=EQUAL, ragged_prompts=True, seed=seed)
    _compare(subject, problem, given={"prompts": "2, 3, 2 and 3 tokens", "reprompts": "4, 6, 6 and 5 tokens"})


@pytest.mark.requirement("POLICY-005")
def test_sampled_ids_are_scored(subject: Subject) -> None:
    """Another sampled token gives another step; another id behind the mask gives the same."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED)
    batch = problem.iterations[0][0][0]
    plain = subject.step(problem).student[-1]
    behind = torch.where(batch.completion_mask, batch.completions, (batch.completions + 1) % VOCAB)
    same = subject.step(_with_step(problem, replace(batch, completions=behind))).student[-1]
    ahead = batch.completions.clone()
    ahead[0, 0] = (ahead[0, 0] + 1) % VOCAB
    other = subject.step(_with_step(problem, replace(batch, completions=ahead))).student[-1]
    for name, weight in plain.items():
        assert_close(same[name], weight, what=f"student weight {name!r}", given={"changed": "padded ids"})
    moved = any(not torch.allclose(other[name], weight, rtol=0, atol=1e-9) for name, weight in plain.items())
    assert_that(moved, "another step for another sampled token", "the same step")


@pytest.mark.requirement("TRAIN-002")
@pytest.mark.parametrize("rows_each", [2, 1])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_equal_micro_batches(subject: Subject, rows_each: int, alpha: float) -> None:
    """Two or four micro-batches with equal counts make the same update as one."""
    on = subject.offered.one("step", at=alpha, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=EQUAL)
    parts = cut(problem.iterations[0][0][0], rows_each)
    whole, pieces = subject.step(problem), subject.step(_with_step(problem, *parts))
    for name, start in whole.student[0].items():
        moved, expected = pieces.student[-1][name] - start, whole.student[-1][name] - start
        ratio = float(moved.norm() / expected.norm())
        assert_close(
            moved,
            expected,
            what=f"update of {name!r}",
            relative=1e-9,
            absolute=1e-11,
            given={"micro-batches": len(parts), "size of the update, relative to one micro-batch": f"{ratio:.6g}"},
        )


@pytest.mark.requirement("TRAIN-002")
def test_eight_micro_batches(subject: Subject) -> None:
    """Eight micro-batches of one row make the update of one of eight rows."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=(((3,) * 8,),))
    parts = cut(problem.iterations[0][0][0], 1)
    whole, pieces = subject.step(problem).student[-1], subject.step(_with_step(problem, *parts)).student[-1]
    for name, weight in whole.items():
        given = {"micro-batches": 8}
        assert_close(pieces[name], weight, what=f"student weight {name!r}", relative=1e-9, absolute=1e-11, given=given)


@pytest.mark.requirement("TRAIN-003")
@pytest.mark.parametrize("rows_each", [2, 1])
def test_unequal_micro_batches(subject: Subject, rows_each: int) -> None:
    """With unequal counts the update is the declared one."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED)
    parts = cut(problem.iterations[0][0][0], rows_each)
    _compare(
        subject,
        _with_step(problem, *parts),
        given={"micro-batches": len(parts), "accumulation": subject.profile.accumulation},
    )


@pytest.mark.requirement("TRAIN-004")
def test_empty_micro_batch(subject: Subject) -> None:
    """One of two micro-batches has no usable row."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=EQUAL)
    usable, unusable = cut(problem.iterations[0][0][0], 2)
    unusable = replace(unusable, self_distillation_mask=torch.zeros(2, dtype=torch.bool))
    with_empty = _with_step(problem, usable, unusable)
    for weight in subject.step(with_empty).student[-1].values():
        assert_finite(weight, what="student weight", given={"micro-batches": "one usable, one not"})
    _compare(subject, with_empty, given={"micro-batches": "one usable, one not"})


@pytest.mark.requirement("TRAIN-006")
def test_context_matters(subject: Subject) -> None:
    """Another reprompt gives another update."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=EQUAL)
    batch = problem.iterations[0][0][0]
    with_another_context = replace(
        batch, reprompts=replace(batch.reprompts, token_ids=(batch.reprompts.token_ids + 1) % VOCAB)
    )
    one, other = (subject.step(it).student[-1] for it in (problem, _with_step(problem, with_another_context)))
    moved = any(not torch.allclose(other[name], weight, rtol=0, atol=1e-9) for name, weight in one.items())
    assert_that(moved, "another update for another reprompt", "the same", looks_like="M330 teacher prompt ignored")


@pytest.mark.requirement("TRAIN-007")
def test_nothing_usable(subject: Subject) -> None:
    """No usable row, no change."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    trace = subject.step(problem_on(on, steps_per_iteration=EQUAL, usable=False))
    for name, start in trace.student[0].items():
        assert_close(trace.student[-1][name], start, what=f"student weight {name!r}", given={"usable rows": 0})


@pytest.mark.requirement("TRAIN-007")
def test_nothing_usable_any_more(subject: Subject) -> None:
    """After a step with usable rows, one without leaves the student where it is: no old gradient, no momentum."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = without_a_context(problem_on(on, steps_per_iteration=(((3, 3),), ((2, 4),))), iteration=1)
    trace = subject.step(problem)
    for name, before in trace.student[1].items():
        assert_close(
            trace.student[2][name],
            before,
            what=f"student weight {name!r}",
            given={"usable rows": "2 in the first step, 0 in the second"},
        )


@pytest.mark.requirement("TRAIN-009")
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_descends(subject: Subject, alpha: float) -> None:
    """A small step lowers the divergence to the teacher of before."""
    on = subject.offered.one("step", at=alpha, vocab=VOCAB)
    if on.is_surrogate:
        raise NotAskedError("the surrogate's step lowers the divergence on average only")
    problem = problem_on(on, steps_per_iteration=RAGGED, learning_rate=0.01)
    batch = problem.iterations[0][0][0]
    trace = subject.step(problem)
    before, after = (divergence_of(problem, batch, trace.student[at], trace.teacher[0]) for at in (0, -1))
    assert_that(
        after < before,
        f"a divergence below {before:.8g} nats",
        f"{after:.8g} nats",
        {**on.given, "learning_rate": 0.01},
        looks_like="M145 sign flipped: the divergence is maximised",
    )


@pytest.mark.requirement("TRAIN-001")
def test_rows_in_any_order(subject: Subject) -> None:
    """The rows of a step may come in any order."""
    on = subject.offered.one("step", near=0.0, vocab=VOCAB)
    problem = problem_on(on, steps_per_iteration=RAGGED)
    reordered = select(problem.iterations[0][0][0], [2, 0, 3, 1])
    one, other = subject.step(problem).student[-1], subject.step(_with_step(problem, reordered)).student[-1]
    for name, weight in one.items():
        assert_close(other[name], weight, what=f"student weight {name!r}", given={"order of rows": [2, 0, 3, 1]})
