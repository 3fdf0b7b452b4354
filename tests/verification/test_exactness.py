"""What is computed in float32 is recognised, whatever dtype it returns, and compared as such; nothing else is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import UsageError
from sdpo_ref.mutants.mutant import GOOD, with_parts
from sdpo_ref.mutants.unusual import in_float32, step_in_float32
from sdpo_ref.mutants.variation import good, loss
from sdpo_ref.types import FULL, DistillationBatch, Support
from sdpo_ref.verification.checks import exactness
from sdpo_ref.verification.checks.comparison import TOLERANCES, assert_close
from sdpo_ref.verification.checks.exactness import MOVED, Question, precision
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import Mismatch
from sdpo_ref.verification.checks.problems import step_problem
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, part_of

OF_TWO = {name for name in CAPABILITIES if part_of(name) in {"divergence", "loss"}}
HEADS = Support("top_k_tail", 2), Support("top_k_renormalized", 2)


def _inside(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    """Float32 inside, float64 outside."""
    return good(in_float32(batch), options).double()


def _divergence(student: Tensor, teacher: Tensor, **options: Any) -> Tensor:
    return GOOD.divergence(student.float(), teacher.float(), **options).double()


def test_the_reference_is_exact() -> None:
    """Every part, at every alpha and support."""
    subject = Subject(GOOD)
    assert subject.coarse == {}
    assert subject.precision is torch.float64


@pytest.mark.parametrize("part", ["divergence", "loss"])
@pytest.mark.parametrize(
    ("support", "alpha"), [(FULL, 0.0), (HEADS[0], 0.6), (HEADS[1], 1.0)], ids=["full", "tail", "renormalized"]
)
def test_float32_inside_float64(part: str, support: Support, alpha: float) -> None:
    """Recognised at each alpha and support alone; the answers there are compared as float32, all others as float64."""
    asked = Question.of(part, alpha, support)

    def concerned(options: dict[str, Any]) -> bool:
        return Question.of(part, options["alpha"], options["support"]) == asked

    parts = {
        "loss": loss(lambda b, o: _inside(b, o) if concerned(o) else good(b, o)),
        "divergence": lambda s, t, **o: _divergence(s, t, **o) if concerned(o) else GOOD.divergence(s, t, **o),
    }
    subject = Subject(with_parts(**{part: parts[part]}, capabilities=OF_TWO))
    assert subject.coarse == {asked: torch.float32}
    assert subject.precision is torch.float32
    assert subject.slack == pytest.approx(1e-5)
    rows = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    for at in (0.0, 0.6, 1.0):
        expected = torch.float32 if Question.of(part, at, support) == asked else torch.float64
        if part == "divergence":
            assert subject.divergence(rows, rows.flip(-1), alpha=at, support=support).dtype is expected
            found = subject.divergence_gradient(rows, rows.flip(-1), alpha=at, support=support)
        else:
            found = subject.loss(on_policy(random_batch(1)), alpha=at, support=support)
        assert {found.value.dtype, found.student.dtype} == {expected}


@pytest.mark.parametrize("side", ["student_logits", "teacher_logits"])
def test_one_side_in_float32(side: str) -> None:
    """A teacher that is kept in float32 is enough."""
    found = Subject(
        with_parts(
            loss=loss(lambda b, o: good(type(b)(**{**vars(b), side: getattr(b, side).float().double()}), o)),
            capabilities={"loss"},
        )
    )
    assert found.coarse[Question.of("loss", 0.5, FULL)] is torch.float32


def test_other_parts() -> None:
    """The hybrid, SDFT, the implicit reward, the trust region and the step are asked as well."""
    parts: dict[str, Callable[..., Tensor]] = {
        "sdft_loss": lambda b, **o: GOOD.sdft_loss(in_float32(b), **o).double(),
        "hybrid_loss": lambda b, *r, **o: GOOD.hybrid_loss(in_float32(b), *r, **o).double(),
        "implicit_reward": lambda c, r, *m: GOOD.implicit_reward(c.float(), r.float(), *m).double(),
        "trust_region": lambda r, s, **o: GOOD.trust_region(r.float(), s.float(), **o).double(),
    }
    found = Subject(with_parts(**parts, step=step_in_float32))
    assert {asked.part for asked in found.coarse} == {*parts, "step"}
    assert found.step(step_problem()).student[-1]["prefix"].dtype is torch.float32


def test_declared_float32() -> None:
    """It is believed, for every answer, and nothing is asked."""
    subject = Subject(with_parts(precision="float32"))
    assert subject.coarse == {}
    assert subject.precision is torch.float32
    found = subject.loss(on_policy(random_batch(1)), alpha=0.5, support=FULL)
    assert {found.value.dtype, found.student.dtype} == {torch.float32}


def test_another_declaration_is_refused() -> None:
    """With what is allowed."""
    with pytest.raises(UsageError, match=r"'float16' is unknown; allowed are 'float64' and 'float32'"):
        Subject(with_parts(precision="float16"))


def test_half_precision_has_a_tolerance_of_its_own() -> None:
    """Answers in bfloat16 or float16, right but for their rounding, pass; what is off by more does not."""
    expected = torch.tensor([1.2345, -0.02], dtype=torch.float64)
    for dtype, (relative, _) in TOLERANCES.items():
        assert_close(expected.to(dtype), expected, what="a number", relative=1e-12)
        with pytest.raises(Mismatch) as raised:
            assert_close((1 + 3 * relative) * expected.to(dtype), expected, what="a number")
        assert str(dtype).removeprefix("torch.") in raised.value.tolerance
        with pytest.raises(Mismatch):
            assert_close(expected.to(dtype), expected, what="the same again", relative=0.0, absolute=0.0)
    with pytest.raises(Mismatch):
        assert_close(expected.bfloat16().double(), expected, what="a number", relative=1e-4)


def test_half_precision_of_the_answer_is_that_of_the_gradient() -> None:
    """Also where autograd returns it in the dtype of the leaf."""
    subject = Subject(with_parts(loss=loss(lambda b, o: good(b, o).bfloat16()), capabilities={"loss"}))
    assert subject.precision is torch.bfloat16
    assert subject.loss(on_policy(random_batch(1)), alpha=0.5, support=FULL).student.dtype is torch.bfloat16


@pytest.mark.parametrize(
    "answers",
    [
        lambda logits: logits.sum() * 0 + 3,  # a constant does not depend on the logit
        lambda logits: logits.sum() * torch.nan,
        lambda logits: logits.sum() + torch.rand((), dtype=torch.float64),
        lambda logits: logits.exp().sum(),
    ],
    ids=["constant", "NaN", "noise", "exact"],
)
def test_what_is_not_taken_for_float32(answers: Callable[[Tensor], Tensor]) -> None:
    """A fault is not excused with a wider tolerance."""
    logits = torch.tensor([0.5, 0.3], dtype=torch.float64)
    assert precision(lambda student, teacher: (answers(logits + student - teacher),)) is torch.float64


def test_slow_answers_end_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One question is always asked; what was not asked counts as exact."""
    monkeypatch.setattr(exactness, "_LIMIT", -1.0)
    assert Subject(with_parts(loss=loss(_inside))).coarse == {}
    monkeypatch.setattr(exactness, "_LIMIT", 60.0)
    assert len(Subject(with_parts(loss=loss(_inside))).coarse) == 10
    assert torch.finfo(torch.float32).eps > 1000 * MOVED
