"""The wrapped implementation: whatever it raises is a failure of its own, and Ctrl-C stays the user's."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD
from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError
from sdpo_ref.verification.checks.subject import Subject

PAIR = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()


def _subject(says: Callable[[], object]) -> Subject:
    def divergence(*_: object, **__: object) -> NoReturn:
        says()
        raise AssertionError

    return Subject(SimpleNamespace(divergence=divergence))


@pytest.mark.parametrize(
    ("says", "summary"),
    [
        (lambda: sys.exit(0), "SystemExit: 0"),
        (lambda: pytest.skip("not today"), "Skipped: not today"),
        (lambda: pytest.xfail("as expected"), "XFailed: as expected"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
    ids=["exit", "skip", "xfail", "error"],
)
def test_whatever_it_raises(says: Callable[[], object], summary: str) -> None:
    """An implementation can neither end the run, nor skip a check, nor expect its failure."""
    subject = _subject(says)
    with pytest.raises(ImplementationRaisedError, match=summary):
        subject.divergence(PAIR, PAIR.flip(-1), alpha=1.0, support=FULL)


class Skips(torch.autograd.Function):
    """A sum that asks the test runner to skip, in its backward."""

    @staticmethod
    def forward(_: object, logits: Tensor) -> Tensor:
        """The sum."""
        return logits.sum(-1)

    @staticmethod
    def backward(*_: object) -> NoReturn:
        """Never returns."""
        pytest.skip("not today")


def test_backward_as_well() -> None:
    """The same in a backward of its own."""
    subject = Subject(SimpleNamespace(divergence=lambda student, _, **__: Skips.apply(student)))  # type: ignore[no-untyped-call]
    with pytest.raises(ImplementationRaisedError, match="backward: Skipped: not today"):
        subject.divergence_gradient(PAIR, PAIR, alpha=1.0, support=FULL)


def test_keyboard_interrupt_is_the_users() -> None:
    """Ctrl-C goes through."""

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _ = _subject(interrupted).precision


class Once(torch.autograd.Function):
    """The identity, whose graph can be differentiated once: as what ``torch.compile`` makes."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The same value."""
        ctx.left = True
        return value.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """The same slope, the first time."""
        if not ctx.left:
            raise RuntimeError("differentiated already")
        ctx.left = False
        return slope


def test_a_graph_that_is_differentiated_once() -> None:
    """Each upstream factor has a graph of its own then; one that can never be differentiated is an error."""
    batch, loss = on_policy(random_batch(3)), GOOD.loss
    once = Subject(SimpleNamespace(loss=lambda batch, **options: Once.apply(loss(batch, **options))))  # type: ignore[no-untyped-call]
    expected = Subject(GOOD).loss_backward(batch, alpha=0.5, support=FULL, upstream=(1.0, 3.0))
    found = once.loss_backward(batch, alpha=0.5, support=FULL, upstream=(1.0, 3.0))
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    never = Subject(SimpleNamespace(loss=lambda batch, **_: Skips.apply(batch.student_logits).sum()))  # type: ignore[no-untyped-call]
    with pytest.raises(ImplementationRaisedError, match="backward: Skipped"):
        never.loss_backward(batch, alpha=0.5, support=FULL, upstream=(1.0, 3.0))
