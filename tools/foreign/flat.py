"""A loss in the style of large training codes: counted tokens are packed into one long array first."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sdpo_ref.types import DistillationBatch, Support

Pair = Callable[[Tensor, Tensor, float], Tensor]
"""From log-probabilities of student and teacher, [token, vocab], and alpha, to nats of each token."""


def _kl(of: Tensor, against: Tensor) -> Tensor:
    """KL(of || against) with torch's own function, which takes its arguments the other way round."""
    return functional.kl_div(against, of, reduction="none", log_target=True).sum(-1)


def right(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """What every slip below departs from."""
    if alpha in (0.0, 1.0):
        return _kl(student, teacher) if alpha else _kl(teacher, student)
    weights = torch.tensor([1 - alpha, alpha], dtype=student.dtype).log()
    middle = torch.logsumexp(torch.stack([student + weights[0], teacher + weights[1]]), 0)
    return alpha * _kl(teacher, middle) + (1 - alpha) * _kl(student, middle)


def arguments_of_kl_div(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """``kl_div(input, target)`` read as KL(input || target)."""
    if alpha in (0.0, 1.0):
        return _kl(teacher, student) if alpha else _kl(student, teacher)
    return right(student, teacher, alpha)


def beta_of_the_other_paper(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """The weights before the two divergences belong to the other side; the mixture is right."""
    if alpha in (0.0, 1.0):
        return right(student, teacher, alpha)
    weights = torch.tensor([1 - alpha, alpha], dtype=student.dtype).log()
    middle = torch.logsumexp(torch.stack([student + weights[0], teacher + weights[1]]), 0)
    return (1 - alpha) * _kl(teacher, middle) + alpha * _kl(student, middle)


def mixture_by_lerp(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """``lerp`` starts from the wrong end."""
    if alpha in (0.0, 1.0):
        return right(student, teacher, alpha)
    middle = torch.lerp(teacher.exp(), student.exp(), alpha).log()
    return alpha * _kl(teacher, middle) + (1 - alpha) * _kl(student, middle)


def mean_of_everything(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """``reduction="mean"``: the vocabulary is averaged as well."""
    return right(student, teacher, alpha) / student.shape[-1]


def only_forward(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """The option for the direction is not read at its end."""
    return right(student, teacher, 0.0 if alpha == 1 else alpha)


def uphill(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """A reward where a loss was wanted."""
    return -right(student, teacher, alpha)


def unweighted(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """The two halves are added as they are."""
    if alpha in (0.0, 1.0):
        return right(student, teacher, alpha)
    middle = ((1 - alpha) * student.exp() + alpha * teacher.exp()).log()
    return _kl(teacher, middle) + _kl(student, middle)


def one_formula(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """No case for the ends: the mixture is one of the sides there."""
    alpha = min(max(alpha, 1e-6), 1 - 1e-6)
    return right(student, teacher, alpha)


def hellinger(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """Another divergence altogether."""
    del alpha
    return 1 - (0.5 * (student + teacher)).exp().sum(-1)


def by_surprise(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """Tokens weighted by the teacher's confidence."""
    return right(student, teacher, alpha) * teacher.max(-1).values.exp().detach()


def cross_entropy_bonus(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """A bonus for entropy that nobody asked for."""
    return right(student, teacher, alpha) + 0.01 * (student.exp() * student).sum(-1)


@dataclass(frozen=True)
class Flat:
    """The loss alone, on the whole vocabulary.

    Attributes:
        pair: the divergence of each token.
        student_heat: the power of the temperature by which the student is divided.
        teacher_heat: the same for the teacher.
        loss_heat: the power of the temperature by which the loss is multiplied.
        keeps_teacher: whether the teacher stays on the graph.
        smoothing: share of a uniform distribution in the teacher.
        largest: of a logit's magnitude.
        ranks: processes by whose number the loss is multiplied.
    """

    pair: Pair = right
    student_heat: int = 1
    teacher_heat: int = 1
    loss_heat: int = 0
    keeps_teacher: bool = False
    smoothing: float = 0.0
    largest: float = float("inf")
    ranks: int = 1
    capabilities: frozenset[str] = frozenset({"loss", "loss.temperature"})

    def loss(
        self, batch: DistillationBatch, *, alpha: float, support: Support, temperature: float, ratio_cap: float | None
    ) -> Tensor:
        """Packs, scores, averages."""
        if support.kind != "full" or ratio_cap is not None:
            raise NotImplementedError(support.kind)
        if not temperature > 0 or not 0 <= alpha <= 1:
            raise ValueError((temperature, alpha))
        rows, columns = torch.nonzero(batch.loss_mask, as_tuple=True)
        if not rows.numel():
            return batch.student_logits.flatten()[:0].sum()
        ours = batch.student_logits[rows, columns].to(torch.float64) / temperature**self.student_heat
        theirs = batch.teacher_logits[rows, columns].to(torch.float64) / temperature**self.teacher_heat
        ours, theirs = ours.clamp(-self.largest, self.largest), theirs.clamp(-self.largest, self.largest)
        theirs = functional.log_softmax(theirs if self.keeps_teacher else theirs.detach(), -1)
        if self.smoothing:
            theirs = ((1 - self.smoothing) * theirs.exp() + self.smoothing / theirs.shape[-1]).log()
        each = self.pair(functional.log_softmax(ours, -1), theirs, alpha)
        return each.mean() * temperature**self.loss_heat * self.ranks
