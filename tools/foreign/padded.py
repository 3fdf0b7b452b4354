"""A loss in the style of trainer libraries: padded arrays, a mask of ones and zeros, and options for everything."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch, Support


@dataclass(frozen=True)
class Padded:
    """Loss with all supports and with importance weights; each field that is not at its default is a slip.

    Attributes:
        mask: how tokens that do not count are kept out: ``before`` or ``times``.
        denominator: ``counted``, ``sampled`` (rows without a teacher as well) or ``rows`` (mean of row means).
        shift: columns by which the mask is moved.
        weight: of importance: ``constant``, ``alive`` (with gradient), ``both`` (cut on both sides), ``upside_down``,
            ``uncut``, ``sequence``.
        tail: ``summed``, ``complement`` (one minus the head) or ``none``.
        estimator: on the sampled token: ``score``, ``k3``, ``reversed``, ``direct``, ``neighbour``.
        head_of: whose most likely tokens are compared.
    """

    mask: str = "before"
    denominator: str = "counted"
    shift: int = 0
    weight: str = "constant"
    tail: str = "summed"
    estimator: str = "score"
    head_of: str = "student"
    capabilities: frozenset[str] = frozenset(
        f"loss{option}"
        for option in ("", ".temperature", ".importance", ".top_k_tail", ".top_k_renormalized", ".sampled_token")
    )

    def loss(
        self, batch: DistillationBatch, *, alpha: float, support: Support, temperature: float, ratio_cap: float | None
    ) -> Tensor:
        """Masks, scores, weighs, averages."""
        if not 0 <= alpha <= 1 or not temperature > 0 or (ratio_cap is not None and not ratio_cap > 0):
            raise ValueError("out of range")
        if ratio_cap is not None and batch.behaviour_log_probs is None:
            raise ValueError("no behaviour")
        mask = torch.roll(batch.completion_mask, self.shift, 1) & batch.self_distillation_mask.unsqueeze(1)
        student, teacher = batch.student_logits.double(), batch.teacher_logits.detach().double()
        if self.mask == "before":
            student, teacher = (side.masked_fill(~mask.unsqueeze(-1), 0.0) for side in (student, teacher))
        student, teacher = (torch.log_softmax(side / temperature, 2) for side in (student, teacher))
        ids = batch.completions.masked_fill(~mask, 0).unsqueeze(2)
        chosen = student.gather(2, ids).squeeze(2)
        if support.kind == "sampled_token":
            if alpha != 1.0:
                raise NotImplementedError("reverse only")
            losses = self._sampled(teacher, chosen, ids)
        else:
            losses = _mix(*self._cells(student, teacher, support), alpha)
        if ratio_cap is not None:
            assert batch.behaviour_log_probs is not None  # noqa: S101 - seen above
            behaviour = batch.behaviour_log_probs.double().masked_fill(~mask, 0.0)
            losses = losses * self._weights(chosen, behaviour, mask, ratio_cap)
        kept = losses.masked_fill(~mask, 0.0) if self.mask == "before" else losses * mask
        return self._average(kept, mask, batch)

    def _sampled(self, teacher: Tensor, chosen: Tensor, ids: Tensor) -> Tensor:
        if self.estimator == "neighbour":
            ids = torch.roll(ids, -1, 1)
        their = teacher.gather(2, ids).squeeze(2)
        if self.estimator == "k3":
            return (their - chosen).exp() - 1 - (their - chosen)
        if self.estimator == "direct":
            return chosen - their
        advantage = (their - chosen).detach()
        return chosen * (advantage if self.estimator == "reversed" else -advantage)

    def _cells(self, student: Tensor, teacher: Tensor, support: Support) -> tuple[Tensor, Tensor]:
        if support.kind == "full":
            return student, teacher
        k = min(support.k or 0, student.shape[2])
        head = (student if self.head_of == "student" else teacher).detach().topk(k, 2).indices
        ours, theirs = student.gather(2, head), teacher.gather(2, head)
        if support.kind == "top_k_renormalized":
            return ours.log_softmax(2), theirs.log_softmax(2)
        if self.tail == "none":
            return ours, theirs
        if self.tail == "complement":
            left = [torch.log((1 - side.exp().sum(2, keepdim=True)).clamp(min=1e-7)) for side in (ours, theirs)]
        else:
            rest = torch.ones_like(student, dtype=torch.bool).scatter(2, head, value=False)
            left = [
                torch.logsumexp(side.masked_fill(~rest, -torch.inf), 2, keepdim=True) for side in (student, teacher)
            ]
            if k == student.shape[2]:
                return ours, theirs
        return torch.cat([ours, left[0]], 2), torch.cat([theirs, left[1]], 2)

    def _weights(self, chosen: Tensor, behaviour: Tensor, mask: Tensor, cap: float) -> Tensor:
        logarithm = chosen if self.weight == "alive" else chosen.detach()
        logarithm = (logarithm - behaviour).clamp(-20, 20)
        if self.weight == "sequence":
            mean = (logarithm * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
            logarithm = mean.expand_as(logarithm)
        if self.weight == "upside_down":
            logarithm = -logarithm
        ratio = logarithm.exp()
        if self.weight == "uncut":
            return ratio
        return ratio.clamp(1 / cap, cap) if self.weight == "both" else ratio.clamp(max=cap)

    def _average(self, losses: Tensor, mask: Tensor, batch: DistillationBatch) -> Tensor:
        if self.denominator == "rows":
            counts = mask.sum(1)
            means = losses.sum(1) / counts.clamp(min=1)
            return means.sum() / (counts > 0).sum().clamp(min=1)
        if self.denominator == "sampled":
            return losses.sum() / batch.completion_mask.sum().clamp(min=1)
        return losses.sum() / mask.sum().clamp(min=1)


def _mix(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    if alpha == 0:
        return _against(teacher, student)
    if alpha == 1:
        return _against(student, teacher)
    one = torch.zeros((), dtype=student.dtype)
    middle = torch.logaddexp(_shifted(student, (one + 1 - alpha).log()), _shifted(teacher, (one + alpha).log()))
    return (1 - alpha) * _against(student, middle) + alpha * _against(teacher, middle)


def _shifted(logs: Tensor, by: Tensor) -> Tensor:
    """A cell without mass stays one, and has no gradient that is not a number."""
    return torch.where(logs != -torch.inf, logs, -1e300) + by


def _against(of: Tensor, other: Tensor) -> Tensor:
    there = of != -torch.inf
    difference = torch.where(there, of, 0.0) - torch.where(there, other, 0.0)
    return (torch.where(there, of.exp(), 0.0) * difference).sum(2)
