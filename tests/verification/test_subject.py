"""The wrapped implementation: whatever it raises is a failure of its own, and Ctrl-C stays the user's."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import FULL
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


def test_backward_as_well() -> None:
    """The same in a backward of its own."""

    class Skips(torch.autograd.Function):
        @staticmethod
        def forward(_: object, logits: Tensor) -> Tensor:
            return logits.sum(-1)

        @staticmethod
        def backward(*_: object) -> NoReturn:
            pytest.skip("not today")

    subject = Subject(SimpleNamespace(divergence=lambda student, _, **__: Skips.apply(student)))  # type: ignore[no-untyped-call]
    with pytest.raises(ImplementationRaisedError, match="backward: Skipped: not today"):
        subject.divergence_gradient(PAIR, PAIR, alpha=1.0, support=FULL)


def test_keyboard_interrupt_is_the_users() -> None:
    """Ctrl-C goes through."""

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _subject(interrupted)
