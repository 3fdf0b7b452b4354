"""Errors of a loss and of its gradients against the truth, which is the reference in float64 on the same numbers."""

from dataclasses import dataclass

from torch import Tensor

from benchmarks.contestants import Loss
from benchmarks.inputs import clear, in_float64, leaves
from sdpo_ref.types import HiddenBatch


@dataclass(frozen=True)
class Answer:
    """A loss and its gradients by name."""

    loss: Tensor
    gradients: dict[str, Tensor]


@dataclass(frozen=True)
class Errors:
    """Relative errors: of the loss, and of each gradient in the Euclidean norm."""

    loss: float
    gradients: dict[str, float]

    @property
    def worst_gradient(self) -> float:
        """Of the gradients, the one that is furthest off."""
        return max(self.gradients.values())


def answer(loss: Loss, batch: HiddenBatch) -> Answer:
    """What a loss says on a batch, with gradients.

    Args:
        loss: to ask.
        batch: its gradients are cleared before and after.

    Returns:
        Value and gradients, in their own dtypes.
    """
    clear(batch)
    value = loss(batch)
    value.backward()  # type: ignore[no-untyped-call]
    gradients = {name: leaf.grad for name, leaf in leaves(batch).items() if leaf.grad is not None}
    clear(batch)
    return Answer(value.detach(), gradients)


def truth(reference: Loss, batch: HiddenBatch) -> Answer:
    """The answer of a reference in float64."""
    return answer(reference, in_float64(batch))


def errors(given: Answer, right: Answer) -> Errors:
    """How far an answer is off.

    Args:
        given: of any dtype.
        right: the truth, or what stands for it.

    Returns:
        Relative errors; a gradient that is missing is off by infinity.
    """
    off = {
        name: _distance(given.gradients[name], gradient) if name in given.gradients else float("inf")
        for name, gradient in right.gradients.items()
    }
    return Errors(_distance(given.loss, right.loss), off)


def _distance(given: Tensor, right: Tensor) -> float:
    return float((given.double() - right.double()).norm() / right.double().norm())
