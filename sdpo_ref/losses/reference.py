"""The SDPO loss as the specification states it, in its order: all logits in memory, any precision, float64 included.

Read it beside spec/04-loss. Each step below is one section there and one file in ``sdpo_ref.functional``.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import convex_combination, group_advantages, self_distillation_advantages
from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.functional.sampled_token import sampled_token_surrogate
from sdpo_ref.functional.support import on_support
from sdpo_ref.losses.options import missing_behaviour, require_one_weight_per_token
from sdpo_ref.protocols.loss import SdpoLoss
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Aggregation, DistillationBatch, HiddenBatch, Support, TopKFrom


def sdpo_loss(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    token_weights: Float[Tensor, "rollout time"] | None = None,
    aggregation: Aggregation = "token_mean",
    top_k_from: TopKFrom = "student",
) -> Float[Tensor, ""]:
    r"""The SDPO loss: divergence between student and feedback-conditioned teacher, aggregated over sampled tokens.

    .. math::
        L = \sum_{i,t} w_{it}\, \rho_{it}\, D_\alpha\!\left(p_S(\cdot \mid x_i, y_{i,<t}),\;
            \mathrm{sg}\, p_T(\cdot \mid x_i, c_i, y_{i,<t})\right)

    The prefixes are sampled by the student but treated as fixed: no score-function term. The teacher is a constant,
    however its logits were computed.
    Implements: LOSS-061, LOSS-065, LOSS-067, LOSS-094, LOSS-095, LOSS-096, LOSS-097, LOSS-103, LOSS-120, LOSS-122,
    LOSS-123.

    The options are those of :class:`~sdpo_ref.losses.options.LossOptions`. ``token_weights`` is a further factor of
    each token's loss, a constant that does not change the aggregation's denominator: anything where nothing counts,
    ``None`` for one everywhere. Gradient flows into the student's logits only, or, from hidden states, into these and
    the student's head.

    Returns:
        The loss in nats (``sampled_token``: a surrogate, see there); zero if nothing counts.

    Raises:
        InvalidInputError: if an option is out of range, ``ratio_cap`` is set without behaviour log-probabilities, or
            ``token_weights`` has another shape than the completions.

    References:
        arXiv:2601.20802, equations 1 and 11.

    Example:
        >>> student, teacher = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.9, 0.1]]]).log()
        >>> mask = torch.tensor([[True]])
        >>> sdpo_loss(DistillationBatch(student, teacher, torch.tensor([[0]]), mask, mask[0]), alpha=1.0)
        tensor(0.5108)
    """
    # A. to D. The loss of each token (LOSS-001 to LOSS-044)
    token_losses = sdpo_token_losses(
        batch, alpha=alpha, support=support, temperature=temperature, ratio_cap=ratio_cap, top_k_from=top_k_from
    )
    if token_weights is not None:
        require_one_weight_per_token(token_weights, batch)
        token_losses = token_losses * torch.where(batch.loss_mask, token_weights.detach(), 0.0)

    # E. Aggregation (LOSS-053 to LOSS-056)
    return aggregate(token_losses, batch.loss_mask, aggregation=aggregation)


def sdpo_token_losses(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float,
    support: Support = FULL,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    top_k_from: TopKFrom = "student",
) -> Float[Tensor, "rollout time"]:
    r"""The loss of each token before any mean, to be logged, weighted or aggregated by the caller.

    .. math::
        \ell_{it} = \rho_{it}\, D_\alpha\!\left(p_S(\cdot \mid x_i, y_{i,<t}),\;
            \mathrm{sg}\, p_T(\cdot \mid x_i, c_i, y_{i,<t})\right)

    The options are those of :class:`~sdpo_ref.losses.options.LossOptions`.
    Implements: LOSS-028, LOSS-043, LOSS-044, LOSS-050, LOSS-069.

    Returns:
        Nats (``sampled_token``: nats squared); exactly zero, and without gradient, where the token does not count.

    Raises:
        InvalidInputError: if an option is out of range, or ``ratio_cap`` is set without behaviour log-probabilities.

    Example:
        >>> student, teacher = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.9, 0.1]]]).log()
        >>> mask = torch.tensor([[True]])
        >>> sdpo_token_losses(DistillationBatch(student, teacher, torch.tensor([[0]]), mask, mask[0]), alpha=1.0)
        tensor([[0.5108]])
    """
    # E. Log-probabilities of both sides, the teacher's a constant (LOSS-060, LOSS-091, LOSS-092, POLICY-003)
    batch = batch.project()
    student, teacher = _student_and_teacher(batch, temperature=temperature)
    token_ids = torch.where(batch.loss_mask, batch.completions, 0)

    # C. Sampled token (LOSS-030 to LOSS-032)
    if support.kind == "sampled_token":
        token_losses = sampled_token_surrogate(
            token_log_probs(student, token_ids), token_log_probs(teacher, token_ids), alpha=alpha
        )
    # A. Divergence (LOSS-001 to LOSS-012) on B. the cells of the support (LOSS-020 to LOSS-028)
    else:
        token_losses = generalized_jsd(
            *on_support(student, teacher, support=support, top_k_from=top_k_from), alpha=alpha
        )

    # D. Importance weights (LOSS-040 to LOSS-044)
    if ratio_cap is not None:
        if batch.behaviour_log_probs is None:
            raise InvalidInputError(missing_behaviour(ratio_cap))
        behaviour = torch.where(batch.loss_mask, batch.behaviour_log_probs, 0.0)
        token_losses = token_losses * importance_ratio(
            token_log_probs(student, token_ids), behaviour, ratio_cap=ratio_cap
        )

    # E. Masks (LOSS-050 to LOSS-052)
    return torch.where(batch.loss_mask, token_losses, 0.0)


def policy_gradient_loss(
    batch: DistillationBatch | HiddenBatch, advantages: Float[Tensor, "rollout time"]
) -> Float[Tensor, ""]:
    r"""The surrogate whose gradient is the policy gradient of the given advantages, on-policy and without clipping.

    .. math::
        L = -\frac{1}{\sum_i |y_i|} \sum_{i,t} \mathrm{sg}[A_{it}] \log p_S(y_{it})

    Every sampled token counts, also in rows without a teacher. Only the gradient is meaningful.
    Implements: LOSS-071.

    Args:
        batch: logits or hidden states, sampled tokens and mask. Gradient flows into the student's side only.
        advantages: one for each token; treated as constants.

    Returns:
        The surrogate; zero if nothing counts.

    Example:
        >>> even, mask = torch.zeros(1, 1, 2), torch.tensor([[True]])
        >>> batch = DistillationBatch(even, even, torch.tensor([[0]]), mask, mask[0])
        >>> policy_gradient_loss(batch, torch.tensor([[2.0]]))  # 2 log 2
        tensor(1.3863)
    """
    # F. Policy gradient of constant advantages (LOSS-071)
    batch = batch.project()
    student = token_log_probs(
        log_probs(_neutral_where_masked(batch.student_logits, batch.completion_mask)),
        torch.where(batch.completion_mask, batch.completions, 0),
    )
    return aggregate(-advantages.detach().to(student) * student, batch.completion_mask, aggregation="token_mean")


def hybrid_loss(
    batch: DistillationBatch | HiddenBatch,
    rewards: Float[Tensor, " rollout"],
    group_ids: Int[Tensor, " rollout"],
    *,
    reward_weight: float,
    support: Support = SAMPLED_TOKEN,
    mixing: Literal["advantage", "loss"] = "advantage",
    group_advantage: Literal["centered", "standardized"] = "centered",
    aggregation: Aggregation = "token_mean",
    distillation_loss: SdpoLoss = sdpo_loss,
) -> Float[Tensor, ""]:
    r"""Reverse-KL self-distillation and the reward's policy gradient in one step.

    .. math::
        \text{advantage:}\quad & A_{it} = \lambda\, A^{\mathrm{GRPO}}_i + (1 - \lambda)\, A^{\mathrm{SDPO}}_{it} \\
        \text{loss:}\quad & L = \lambda\, L_{\mathrm{policy}} + (1 - \lambda)\, L_{\mathrm{SDPO}}

    The paper mixes advantages, on the sampled token; TRL mixes losses, with its ``distillation_weight`` equal to
    :math:`1 - \lambda`. Both agree on sampled tokens if every row has a teacher and the means are the same. A row
    without a teacher has no self-distillation advantage but keeps its reward's.
    Implements: LOSS-072, LOSS-093, LOSS-109, LOSS-117.

    Args:
        batch: logits or hidden states, sampled tokens and masks. Gradient flows into the student's side only.
        rewards: one for each rollout; raised to the precision of the logits if that is higher, never rounded to it.
        group_ids: equal for rollouts of the same prompt.
        reward_weight: the paper's λ in ``[0, 1]``, the weight of the *reward*.
        support: of the self-distillation; mixing advantages needs ``sampled_token``.
        mixing: what is combined.
        group_advantage: whether the reward's advantage is divided by the group's deviation.
        aggregation: of the self-distillation loss when losses are mixed.
        distillation_loss: which implementation computes that loss.

    Returns:
        The surrogate; zero if nothing counts.

    Raises:
        InvalidInputError: if ``reward_weight`` is out of range, or advantages are to be mixed on another support.

    References:
        arXiv:2601.20802, equation 3.

    Example:
        >>> even, mask = torch.zeros(2, 1, 2), torch.tensor([[True], [True]])
        >>> batch = DistillationBatch(even, even, torch.tensor([[0], [1]]), mask, mask[:, 0])
        >>> hybrid_loss(batch, torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), reward_weight=1.0)  # advantages cancel
        tensor(0.)
    """
    # F. Advantage of the reward within its group, never rounded to the logits (LOSS-093, LOSS-117)
    batch = batch.project()
    precise = torch.promote_types(rewards.dtype, batch.student_logits.dtype)
    rewards = rewards.to(batch.student_logits.device, precise)
    reward_advantages = group_advantages(rewards, group_ids, kind=group_advantage)

    # F. Mixture of losses (LOSS-072)
    if mixing == "loss":
        broadcast = reward_advantages[:, None].expand(batch.completions.shape)
        policy = policy_gradient_loss(batch, broadcast)
        distillation = distillation_loss(batch, alpha=1.0, support=support, aggregation=aggregation)
        return convex_combination(policy, distillation, weight=reward_weight)

    # F. Mixture of advantages on the sampled token (LOSS-071, LOSS-072)
    if support.kind != "sampled_token":
        raise InvalidInputError(
            f"mixing advantages needs support 'sampled_token', received {support.kind!r}; use mixing='loss'"
        )
    student, teacher = _student_and_teacher(batch, temperature=1.0)
    token_ids = torch.where(batch.loss_mask, batch.completions, 0)
    distillation_advantages = torch.where(
        batch.loss_mask,
        self_distillation_advantages(token_log_probs(student, token_ids), token_log_probs(teacher, token_ids)),
        0.0,
    )
    advantages = convex_combination(reward_advantages[:, None], distillation_advantages, weight=reward_weight)
    return policy_gradient_loss(batch, advantages)


def _student_and_teacher(
    batch: DistillationBatch, *, temperature: float
) -> tuple[Float[Tensor, "rollout time vocab"], Float[Tensor, "rollout time vocab"]]:
    """Log-probabilities of both sides; masked positions are harmless constants, the teacher carries no gradient.

    A masked position may hold anything, NaN included. It is replaced *before* it is computed with: multiplying by a
    zero mask afterwards would leave NaN in the gradient even where the value looks right.
    Implements: LOSS-051, LOSS-060, LOSS-092.
    """
    student = log_probs(_neutral_where_masked(batch.student_logits, batch.loss_mask), temperature=temperature)
    teacher = log_probs(_neutral_where_masked(batch.teacher_logits.detach(), batch.loss_mask), temperature=temperature)
    common = torch.promote_types(student.dtype, teacher.dtype)
    return student.to(common), teacher.to(common)


def _neutral_where_masked(
    logits: Float[Tensor, "rollout time vocab"], mask: Bool[Tensor, "rollout time"]
) -> Float[Tensor, "rollout time vocab"]:
    return torch.where(mask[..., None], logits, 0.0)
