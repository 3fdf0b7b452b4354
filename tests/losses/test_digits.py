"""Digits, row by row, on what training hands to a loss: confident rows, close rows, rows behind a constant, or all.

The truth has fifty digits: mpmath on the very numbers that the loss receives, from the definitions in
``sdpo_ref.vectors.derivation``. Each row is held to its own size. A criterion over the whole gradient would be met by
the largest row alone, and the small gradient of a confident row could be anything.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mpf, workdps
from torch import Tensor

from sdpo_ref import losses
from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses.dispatch import Impl
from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch, Head, HiddenBatch, Support
from sdpo_ref.vectors.derivation.divergence import TokenSupport
from sdpo_ref.vectors.derivation.loss import Batch, LossOptions, slope, tokens
from sdpo_ref.vectors.derivation.numbers import DIGITS, exact
from tests.losses.equality import EACH, SLACK, VARIANTS, Variant, marks

VOCAB = 6
each_variant = pytest.mark.parametrize("variant", EACH, ids=str)


@dataclass(frozen=True)
class Kind:
    """A kind of row.

    Attributes:
        seed: of its numbers.
        scale: spread of the student's logits.
        confident: of the student; 3 gives .999 to one token, ``None`` leaves the logits as they are.
        gap: spread of the teacher's distance from the student; ``None`` for a teacher of its own.
        teacher_confident: likewise, on a token of its own choice.
        shift: constant in the student's logits.
        teacher_shift: constant in the teacher's.
    """

    seed: int = 0
    scale: float = 1.0
    confident: int | None = None
    gap: float | None = None
    teacher_confident: int | None = None
    shift: float = 0.0
    teacher_shift: float = 0.0


SHIFTS = (0.0, 0.0, 3.0, -100.0, 1e4, -1e5)
KINDS = st.builds(
    Kind,
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([0.1, 1.0, 5.0, 20.0]),
    confident=st.none() | st.integers(1, 7),
    gap=st.none() | st.sampled_from([1.0, 0.1, 1e-2, 1e-3, 1e-4]),
    teacher_confident=st.none() | st.integers(1, 7),
    shift=st.sampled_from(SHIFTS),
    teacher_shift=st.sampled_from(SHIFTS),
)


def row(kind: Kind, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The student's and the teacher's logits of one row, rounded to a dtype.

    Args:
        kind: what it is like.
        dtype: of both.
    """
    stream = torch.Generator().manual_seed(kind.seed)

    def normal() -> Tensor:
        return torch.randn(VOCAB, generator=stream, dtype=torch.float64)

    def raised(logits: Tensor, confident: int | None, token: int) -> Tensor:
        if confident is None:
            return logits
        rest = 10.0**-confident
        others = logits.index_fill(0, torch.tensor(token), -torch.inf).logsumexp(0)
        return logits.index_fill(0, torch.tensor(token), float(others + torch.tensor((1 - rest) / rest).log()))

    first, second = (int(torch.randint(VOCAB, (), generator=stream)) for _ in range(2))
    student = raised(kind.scale * normal(), kind.confident, first)
    teacher = kind.scale * normal() if kind.gap is None else student + kind.gap * normal()
    teacher = raised(teacher, kind.teacher_confident, second)
    return (student + kind.shift).to(dtype), (teacher + kind.teacher_shift).to(dtype)


@dataclass(frozen=True)
class Problem:
    """Rows as one batch of a single rollout, with the options of the loss."""

    student: Tensor
    teacher: Tensor
    completions: Tensor
    behaviour: Tensor | None
    options: dict[str, Any]
    from_hidden: bool = False

    @classmethod
    def of(
        cls, kinds: Sequence[Kind], dtype: torch.dtype, options: dict[str, Any], *, from_hidden: bool = False
    ) -> "Problem":
        """The rows of some kinds, with tokens that the student has sampled."""
        student, teacher = (torch.stack(side) for side in zip(*(row(kind, dtype) for kind in kinds), strict=True))
        stream = torch.Generator().manual_seed(kinds[0].seed)
        completions = torch.multinomial(student.double().softmax(-1), 1, generator=stream)[:, 0]
        behaviour = None
        if options["ratio_cap"] is not None:
            log_probs = student.double().log_softmax(-1).gather(-1, completions[:, None])[:, 0]
            behaviour = (log_probs + 0.3 * torch.randn(len(kinds), generator=stream)).float()
        return cls(student, teacher, completions, behaviour, options, from_hidden)

    def answers(self, impl: Impl) -> tuple[Tensor, Tensor]:
        """Values of the rows, and the gradient of each row's logits, by an implementation.

        From hidden states, these are the rows of the identity, and the logits the columns of the head: its gradient is
        that of the logits.
        """
        rows = len(self.completions)
        mask = torch.ones(1, rows, dtype=torch.bool)
        rest = (self.completions[None], mask, mask[:, 0], None if self.behaviour is None else self.behaviour[None])
        leaf = self.student.clone().requires_grad_()
        batch: DistillationBatch | HiddenBatch = DistillationBatch(leaf[None], self.teacher[None], *rest)
        if self.from_hidden:
            hidden = torch.eye(rows, dtype=leaf.dtype)[None]
            batch = HiddenBatch(hidden, Head(leaf.T), hidden, Head(self.teacher.T), *rest)
        values = losses.sdpo_token_losses(batch, impl=impl, **self.options)
        (gradient,) = torch.autograd.grad(values.sum(), [leaf])
        return values.detach()[0].double(), gradient.double()

    def truth(self) -> tuple[Tensor, Tensor]:
        """The same with fifty digits, then rounded to float64.

        Raises:
            InvalidInputError: if the top-k tokens of a row are not defined, because two are equally likely.
        """
        support: Support = self.options["support"]
        with workdps(DIGITS):
            batch = Batch(
                [[exact(each) for each in self.student.tolist()]],
                [[exact(each) for each in self.teacher.tolist()]],
                [self.completions.tolist()],
                [[True] * len(self.completions)],
                [True],
                None if self.behaviour is None else [exact(self.behaviour.tolist())],
            )
            cap = self.options["ratio_cap"]
            options = LossOptions(
                mpf(self.options["alpha"]),
                TokenSupport(support.kind, support.k, self.options["top_k_from"]),
                mpf(self.options["temperature"]),
                None if cap is None else mpf(cap),
            )
            found = tokens(batch, options).values()
            values = [float(each.ratio(each.student_logits) * each.value(each.student_logits)) for each in found]
            return torch.tensor(values, dtype=torch.float64), torch.tensor(
                [[float(entry) for entry in slope(each)] for each in found], dtype=torch.float64
            )


def relative(found: Tensor, truth: Tensor) -> Tensor:
    """Error of each row against the size of that row.

    Args:
        found: [row] or [row, vocab].
        truth: the same.
    """
    rows = len(truth)
    size = truth.reshape(rows, -1).norm(dim=1)
    error: Tensor = (found - truth).reshape(rows, -1).norm(dim=1) / torch.where(size > 0.0, size, 1.0)
    return error


def assert_no_further_than_plain_torch(variant: Variant, problem: Problem) -> None:
    """Value and gradient of each row: no further from the truth than the reference in the same dtype, plus the slack.

    Args:
        variant: under test.
        problem: in one of its dtypes.
    """
    dtype = problem.student.dtype
    try:
        truth = problem.truth()
    except InvalidInputError:
        assume(False)
    plain, found = problem.answers("reference"), problem.answers(variant.name)
    value_slack, gradient_slack = SLACK[dtype]
    slacks = (value_slack, gradient_slack * (variant.roundings if dtype.itemsize == 2 else 1))
    for name, ours, theirs, right, slack in zip(("value", "gradient"), found, plain, truth, slacks, strict=True):
        error, allowed = relative(ours, right), relative(theirs, right) + slack
        assert bool((error <= allowed).all()), f"{name}: {error.tolist()}, plain torch and slack {allowed.tolist()}"


TAIL, RENORMALIZED = Support("top_k_tail", 2), Support("top_k_renormalized", 3)


def _defined(options: dict[str, Any]) -> dict[str, Any]:
    """On the sampled token there is only the reverse divergence."""
    return {**options, "alpha": 1.0} if options["support"] == SAMPLED_TOKEN else options


OPTIONS = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.8, 0.99, 1.0]),
        "support": st.sampled_from([FULL, FULL, TAIL, RENORMALIZED, SAMPLED_TOKEN]),
        "top_k_from": st.sampled_from(["student", "teacher"]),
        "temperature": st.sampled_from([1.0, 0.6]),
        "ratio_cap": st.sampled_from([None, 1.2]),
    }
).map(_defined)

PLAIN = {"top_k_from": "student", "temperature": 1.0, "ratio_cap": None}
FORMULAS = [
    *({"alpha": alpha, "support": FULL, **PLAIN} for alpha in (0.0, 0.5, 1.0)),
    {"alpha": 0.2, "support": TAIL, **PLAIN},
    {"alpha": 1.0, "support": RENORMALIZED, **PLAIN, "temperature": 0.6},
    {"alpha": 1.0, "support": SAMPLED_TOKEN, **PLAIN},
]
ROWS = [
    Kind(1, confident=3, gap=0.7),
    Kind(2, confident=7, gap=1.0),
    Kind(3, teacher_confident=7),
    Kind(4, confident=7, teacher_confident=2),
    Kind(5, gap=1e-3, shift=1e4, teacher_shift=1e4),
    Kind(6, teacher_shift=1e4),
    Kind(7, confident=5, gap=1e-2, shift=-100.0, teacher_shift=1e4),
]
"""One of each kind; what hypothesis draws are their combinations."""


@pytest.mark.parametrize("options", FORMULAS, ids=lambda each: f"{each['support'].kind}-{each['alpha']}")
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_each_kind_of_row(variant: Variant, options: dict[str, Any]) -> None:
    """Confident on either side, close, behind constants: in float32, from hidden states."""
    assert_no_further_than_plain_torch(variant, Problem.of(ROWS, torch.float32, options, from_hidden=True))


@pytest.mark.parametrize("alpha", [0.01, 0.99])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_near_an_end_of_alpha(variant: Variant, alpha: float) -> None:
    """The mixture is nearly one of the sides, so that the terms of that side are far smaller than its probabilities."""
    rows = [Kind(seed, scale=scale) for seed, scale in ((364, 0.1), (365, 0.3), (366, 1.0), (367, 3.0))]
    options = {"alpha": alpha, "support": FULL, **PLAIN}
    assert_no_further_than_plain_torch(variant, Problem.of(rows, torch.float32, options, from_hidden=False))


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [
        pytest.param(variant, dtype, marks=marks(variant))
        for variant in VARIANTS
        for dtype in (torch.float32, torch.bfloat16)
    ],
    ids=lambda each: str(each).removeprefix("torch."),
)
@settings(max_examples=25)
@given(kinds=st.lists(KINDS, min_size=3, max_size=3), options=OPTIONS, from_hidden=st.booleans())
def test_any_kind_of_row(
    *, variant: Variant, dtype: torch.dtype, kinds: list[Kind], options: dict[str, Any], from_hidden: bool
) -> None:
    """Shift, confidence, scale and distance in any combination, whatever the options."""
    assert_no_further_than_plain_torch(variant, Problem.of(kinds, dtype, options, from_hidden=from_hidden))


@each_variant
@pytest.mark.parametrize("options", FORMULAS, ids=lambda each: f"{each['support'].kind}-{each['alpha']}")
def test_a_constant_in_the_logits_changes_nothing(variant: Variant, options: dict[str, Any]) -> None:
    """Logits that are multiples of 1/64, so that adding a thousand rounds nothing: not one bit differs."""
    student, teacher = ((64.0 * side).round() / 64.0 for side in row(Kind(8, scale=3.0, gap=1.0), torch.float32))
    token = torch.tensor([0])
    expected = Problem(student[None], teacher[None], token, None, options).answers(variant.name)
    for shift, teacher_shift in ((1000.0, 1000.0), (0.0, 1000.0), (-1000.0, 0.0)):
        shifted = Problem(student[None] + shift, teacher[None] + teacher_shift, token, None, options)
        for found, answer in zip(shifted.answers(variant.name), expected, strict=True):
            assert torch.equal(found, answer)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("options", FORMULAS, ids=lambda each: f"{each['support'].kind}-{each['alpha']}")
def test_nan_reaches_the_gradient(variant: Variant, options: dict[str, Any]) -> None:
    """A broken logit at a counted position is seen in the gradient, and only at its own row."""
    student, teacher = (torch.stack([side] * 3) for side in row(Kind(9, gap=1.0), torch.float32))
    student[0, 1], student[1, 1] = math.nan, math.inf
    problem = Problem(student, teacher, torch.tensor([1, 1, 1]), None, options)
    values, gradient = problem.answers(variant.name)
    assert bool(values[:2].isnan().all())
    assert bool(gradient[:2].isnan().any(-1).all())
    assert bool(values[2].isfinite())
    assert bool(gradient[2].isfinite().all())
