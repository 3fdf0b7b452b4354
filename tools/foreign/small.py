"""Small parts, each written as a few lines of a trainer: ends of completions, implicit rewards, hybrids."""

import time
from collections.abc import Collection
from types import SimpleNamespace

import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch, Support


def ends(slip: str = "") -> object:
    """The completion mask, by counting ends with a cumulative sum.

    Args:
        slip: ``without_the_end``, ``one_end`` or ``to_the_last``.
    """

    def completion_mask(completions: Tensor, *, end_ids: Collection[int]) -> Tensor:
        known = list(end_ids)[:1] if slip == "one_end" else list(end_ids)
        is_end = torch.isin(completions, torch.tensor(known, dtype=completions.dtype))
        if slip == "to_the_last":
            later = is_end.flip(1).long().cumsum(1).flip(1) > 0
            return later | ~is_end.any(1, keepdim=True)
        before = is_end.long().cumsum(1) - (0 if slip == "without_the_end" else is_end.long())
        return before == 0

    return SimpleNamespace(completion_mask=completion_mask)


def credit(slip: str = "") -> object:
    """The implicit reward, from cross-entropies.

    Args:
        slip: ``mean``, ``swapped``, ``padding`` or ``logits``.
    """

    def implicit_reward(conditioned: Tensor, reference: Tensor, completions: Tensor, mask: Tensor) -> Tensor:
        if slip == "swapped":
            conditioned, reference = reference, conditioned
        safe = completions * mask

        def score(logits: Tensor) -> Tensor:
            if slip == "logits":
                return torch.take_along_dim(logits, safe[..., None], 2)[..., 0]
            flat = torch.nn.functional.cross_entropy(logits.double().flatten(0, 1), safe.flatten(), reduction="none")
            return -flat.view_as(safe)

        each = score(conditioned) - score(reference)
        if slip != "padding":
            each = torch.where(mask, each, each.new_zeros(()))
        total = each.sum(1)
        return total / mask.sum(1).clamp(min=1) if slip == "mean" else total

    return SimpleNamespace(implicit_reward=implicit_reward)


def hybrid(slip: str = "") -> object:
    """Reward and teacher in one advantage.

    Args:
        slip: ``deviation``, ``other_way``, ``batch_mean``, ``sum`` (of both, unweighted), ``sign`` or ``masked``
            (rows without a teacher lose their reward).
    """

    def hybrid_loss(
        batch: DistillationBatch, rewards: Tensor, group_ids: Tensor, *, reward_weight: float, support: Support
    ) -> Tensor:
        if not 0 <= reward_weight <= 1:
            raise ValueError(f"{reward_weight} is no share")
        del support
        scores = rewards.double()
        same = group_ids[:, None] == group_ids[None, :]
        if slip == "batch_mean":
            same = torch.ones_like(same)
        sizes = same.sum(1)
        mean = (same * scores[None, :]).sum(1) / sizes
        gain = scores - mean
        if slip == "deviation":
            spread = ((same * (scores[None, :] - mean[:, None]) ** 2).sum(1) / (sizes - 1).clamp(min=1)).sqrt()
            gain = gain / (spread + 1e-4)
        tokens = batch.completion_mask
        zero = torch.zeros((), dtype=torch.float64)
        ids = torch.where(tokens, batch.completions, 0)[..., None]

        def picked(logits: Tensor) -> Tensor:
            safe = torch.where(tokens[..., None], logits.double(), zero)
            return (safe - safe.logsumexp(-1, keepdim=True)).gather(-1, ids)[..., 0]

        ours, theirs = picked(batch.student_logits), picked(batch.teacher_logits.detach())
        taught = torch.where(batch.loss_mask, theirs - ours.detach(), zero)
        if slip == "sign":
            taught = -taught
        share = 1 - reward_weight if slip == "other_way" else reward_weight
        both = share * gain[:, None] + (1 - share) * taught
        advantage = gain[:, None] + taught if slip == "sum" else both
        if slip == "masked":
            advantage = advantage * batch.self_distillation_mask[:, None]
        return -torch.where(tokens, advantage * ours, zero).sum() / tokens.sum().clamp(min=1)

    return SimpleNamespace(hybrid_loss=hybrid_loss, capabilities={"hybrid_loss"})


def broken(how: str) -> object:
    """A divergence that has no defect of SDPO's, but answers nothing, or nothing of use.

    Args:
        how: ``refuses``, ``nan``, ``not_implemented`` (between the ends), ``float32`` or ``slow``.
    """

    def divergence(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
        if support.kind != "full":
            raise NotImplementedError(support.kind)
        if not 0 <= alpha <= 1:
            raise ValueError("alpha")
        if how == "refuses":
            raise ValueError(f"expected a batch of 3 dimensions, got {student.ndim + 7}")
        if how == "slow":
            time.sleep(3600)
        if how == "not_implemented" and 0 < alpha < 1:
            raise NotImplementedError("forward or reverse")
        p, q = (student.float(), teacher.float()) if how == "float32" else (student, teacher)
        p, q = p.clamp(min=-1e30), q.clamp(min=-1e30)
        there_p, there_q = student > -torch.inf, teacher > -torch.inf
        if alpha == 0:
            each = torch.where(there_q, q.exp() * (q - torch.where(there_p, p, -torch.inf)), 0.0)
        elif alpha == 1:
            each = torch.where(there_p, p.exp() * (p - torch.where(there_q, q, -torch.inf)), 0.0)
        else:
            a = torch.tensor(alpha, dtype=p.dtype)
            m = torch.logaddexp(p + torch.log1p(-a), q + torch.log(a))
            each = (1 - a) * p.exp() * (p - m) + a * q.exp() * (q - m)
        total = each.sum(-1).double()
        return total * torch.nan if how == "nan" else total

    return SimpleNamespace(divergence=divergence, capabilities={"divergence"})
