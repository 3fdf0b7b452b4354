"""How exactly an implementation computes: a part is asked twice, with one logit moved by 1e-12.

Float32 has no such logit. What is computed in it gives both questions the same answer, bit for bit, whatever dtype the
answer has; what is computed in float64 does not.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from sdpo_ref.protocols.parts import StepProblem, StepTrace
from sdpo_ref.types import SAMPLED_TOKEN, DistillationBatch, Support
from sdpo_ref.verification.checks.mismatch import (
    ImplementationRaisedError,
    Mismatch,
    NoAnswerError,
    NotAskedError,
    NotOfferedError,
)
from sdpo_ref.verification.checks.problems import step_problem
from sdpo_ref.verification.checks.settings import Offers, Setting
from sdpo_ref.verification.suite.capabilities import is_declared

MOVED = 2.0**-40
"""By how much a logit is moved so that float32 does not notice, and float64 does."""

_NOTICED = 0.25
"""By how much it is moved so that every precision notices; what does not is a constant."""

_ALPHAS = (1.0, 0.0, 0.25)
"""The last stands for everything between."""

_LIMIT = 5.0
"""Seconds for all questions; what was not asked until then counts as computed in float64. A compiler, or a program at
the other end of a pipe, may need seconds for one."""

Answers = tuple[Tensor, ...]
"""A value, and its gradient if it has one."""

Ask = Callable[[float, float], Answers]
"""From how far a logit of the student and one of the teacher are moved to the answers."""


@dataclass(frozen=True)
class Question:
    """What is asked: a part under some of its options.

    Attributes:
        part: its name.
        alpha: 0, 1, or 0.25 for every other; ``None`` where there is none.
        support: kind of the support; empty where there is none.
    """

    part: str
    alpha: float | None = None
    support: str = ""

    @classmethod
    def of(cls, part: str, alpha: float | None = None, support: Support | None = None) -> "Question":
        """The question that stands for a call.

        Example:
            >>> Question.of("loss", 0.9).alpha
            0.25
        """
        kind = "" if support is None else support.kind
        return cls(part, alpha if alpha is None or alpha in {0.0, 1.0} else _ALPHAS[-1], kind)

    @property
    def options(self) -> str:
        """For a report.

        Example:
            >>> Question("loss", 0.0, "full").options
            'alpha 0 on full'
        """
        alpha = "" if self.alpha is None else f"alpha {self.alpha:g}"
        return f"{alpha} on {self.support}" if self.support else alpha


def measure(
    capabilities: Collection[str],
    offered: Offers,
    ask: Mapping[str, Callable[[Setting, float, float], Answers]],
) -> dict[Question, torch.dtype]:
    """Ask every offered part at every offered alpha and support.

    Args:
        capabilities: what is declared.
        offered: on which alphas and supports.
        ask: how each part is asked, by name.

    Returns:
        The questions whose answers are coarser than float64, with the precision that they have.
    """
    found: dict[Question, torch.dtype] = {}
    until = time.monotonic() + _LIMIT
    for question, setting in _questions(capabilities, offered):
        if time.monotonic() > until:
            break
        try:
            dtype = precision(partial(ask[question.part], setting))
        except NoAnswerError:
            break
        except (NotOfferedError, ImplementationRaisedError, Mismatch):
            continue
        if dtype is not torch.float64:
            found[question] = dtype
    return found


def precision(ask: Ask) -> torch.dtype:
    """The precision in which a part computes.

    Args:
        ask: the part.

    Returns:
        The dtype of the value, if that is not float64; float32, if value or gradient does not notice that a logit of
        either side has moved; else float64.

    Example:
        >>> logits = torch.tensor([0.5, 0.3], dtype=torch.float64)
        >>> precision(lambda student, _: ((logits + student).float().exp().sum().double(),))
        torch.float32
    """
    still = ask(0.0, 0.0)
    if still[0].dtype is not torch.float64:
        return still[0].dtype
    for sides in ((1.0, 0.0), (0.0, 1.0)):
        moved = ask(*(MOVED * side for side in sides))
        same = [torch.equal(one, other) for one, other in zip(still, moved, strict=True)]
        if not any(same):
            continue
        noticed = ask(*(_NOTICED * side for side in sides))
        depends = [not torch.allclose(one, far, rtol=1e-3, atol=1e-6) for one, far in zip(still, noticed, strict=True)]
        if any(one and other for one, other in zip(same, depends, strict=True)):
            return torch.float32
    return torch.float64


def two_sides(student: float, teacher: float) -> tuple[Tensor, Tensor]:
    """Logits of three tokens, whose second one is moved; it is among the two likeliest of both sides.

    Args:
        student: by how much the student's is moved.
        teacher: by how much the teacher's is moved.

    Returns:
        Logits of student and teacher, ``[1, 1, 3]``.
    """
    first, second = torch.tensor([[[[0.9, 0.4, -0.3]]], [[[-0.2, 0.5, 0.8]]]], dtype=torch.float64)
    middle = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return first + student * middle, second + teacher * middle


def one_token(student: float, teacher: float) -> DistillationBatch:
    """A batch of one token, whose sampled id is the first.

    Args:
        student: by how much a logit of the student is moved.
        teacher: by how much a logit of the teacher is moved.
    """
    true = torch.ones(1, 1, dtype=torch.bool)
    return DistillationBatch(*two_sides(student, teacher), torch.zeros(1, 1).long(), true, true[0])


def two_rollouts(student: float, teacher: float) -> DistillationBatch:
    """The same token twice, for what compares the rollouts of a group."""
    tensors = {name: torch.cat([it, it]) for name, it in vars(one_token(student, teacher)).items() if it is not None}
    return DistillationBatch(**tensors)


def weights_after(step: Callable[[StepProblem], StepTrace], *, moved: float) -> Tensor:
    """By how much one update has changed the student's weights.

    Args:
        step: of the implementation.
        moved: by how much one weight is moved before the update.
    """
    problem = step_problem(learning_rate=100.0)  # so large that the slope is seen beside the weights

    def make_model() -> nn.Module:
        model = problem.make_model()
        with torch.no_grad():
            next(model.parameters()).view(-1)[0] += moved
        return model

    before, after = step(replace(problem, make_model=make_model)).student
    return torch.cat([(after[name] - before[name]).flatten() for name in after])


def _questions(capabilities: Collection[str], offered: Offers) -> Iterator[tuple[Question, Setting]]:
    """Those that concern what is offered."""
    for part in ("divergence", "loss", "sdft_loss"):
        for alpha in _ALPHAS if is_declared(part, capabilities) else ():
            with suppress(NotAskedError):
                for setting in offered.each(part, at=alpha):
                    yield Question.of(part, setting.alpha, setting.support), setting
    for part in ("hybrid_loss", "implicit_reward", "trust_region", "step"):
        if is_declared(part, capabilities):
            yield Question.of(part), Setting(1.0, SAMPLED_TOKEN)
