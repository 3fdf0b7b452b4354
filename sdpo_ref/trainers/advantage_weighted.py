"""Advantage-weighted policy gradient: tokens share the advantage by their quality (spec/06-simulation, D; PUB-015).

How it departs from the policy gradients: a completion's advantage is not the same for all of its tokens. How it departs
from SDPO: quality only says which tokens share how much of the reward's advantage; nothing is distilled. The published
method is given the true quality, which no method of this study is. What stands for it is what the self-teacher credits
tokens with: in both studies the teacher's tilt and these shares are of one quality.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.advantages import group_advantages
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.trainers.update import Penalty, PolicyGradient, logits_of
from sdpo_ref.types import Aggregation, Judgement, Rollouts, StepReport, TeacherView

SHARE_EPSILON = 1e-8
"""Added to the sum by which shares are divided, as published."""


class AdvantageWeightedTrainer:
    r"""Policy gradient with shares of the advantage; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        A_{it} = (r_i - \bar r_g)\, \frac{a_{it}}{\sum_u |a_{iu}| + \epsilon}, \qquad
        a_{it} = D_{it}(y_{it}) - \tfrac1V \sum_v D_{it}(v), \qquad D = \ell_T - \ell_S

    with :math:`\ell` the logits of teacher and student. As published, shares have the sign of :math:`a`. Then a token
    of high quality is raised because it is frequent in the better completions, and one of low quality because it is
    rare in them: both ends rise, and the expected reward hardly moves. With :math:`|a|` in the numerator a token of
    either kind moves with the reward, and the more the further it is from the mean.
    Implements: SIM-187, SIM-188.

    Args:
        policy: the policy that is trained.
        teacher: the self-teacher, built from the same policy; only which tokens it prefers is used.
        optimizer: over the policy's weights only.
        signed: whether shares have the sign of the quality, as published, or are all positive.
        aggregation: how tokens become one number; ``row_sum`` as published.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference, in units of reward per nat and token.

    Raises:
        InvalidInputError: if a penalty has no reference.

    References:
        The published simulation study, advantage-weighted baseline (PUB-015).
    """

    def __init__(
        self,
        policy: Policy,
        teacher: Teacher,
        optimizer: torch.optim.Optimizer,
        *,
        signed: bool = True,
        aggregation: Aggregation = "row_sum",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        self._gradient = PolicyGradient(policy, optimizer, Penalty(policy, reference, kl_weight), aggregation)
        self._teacher = teacher
        self._signed = signed

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._gradient.policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Raise what is good in completions that did better than their group, lower it in those that did worse.

        Args:
            rollouts: sampled by the policy.
            judgement: rewards, and the feedback that the teacher reads.

        Returns:
            The loss, and which share of the rows had a teacher with feedback.
        """
        # Teacher: reads the judgement, without gradient (TEACH-029)
        view = self._teacher.view(rollouts, judgement)
        # Advantage of each token (SIM-187, SIM-188)
        with torch.no_grad():
            logits = logits_of(self.policy, rollouts)
        advantages = weighted_advantages(rollouts, judgement, view, logits, signed=self._signed)
        # Loss and update, then update of the teacher (TRAIN-001, TEACH-020)
        report = self._gradient.update(rollouts, advantages)
        self._teacher.update(self.policy)
        usable = float(view.self_distillation_mask.double().mean())
        metrics = {**report.metrics, "self_distillation/reprompt_sample_fraction": usable}
        return replace(report, teacher_updates=1, metrics=metrics)


def weighted_advantages(
    rollouts: Rollouts,
    judgement: Judgement,
    view: TeacherView,
    student_logits: Float[Tensor, "rollout time vocab"],
    *,
    signed: bool = True,
) -> Float[Tensor, "rollout time"]:
    r"""The centred reward of each rollout, shared out over its tokens by how much the teacher prefers them.

    Implements: SIM-187, SIM-188.

    Args:
        rollouts: sampled tokens, mask and group ids.
        judgement: rewards. Feedback is not read here.
        view: of the teacher. A rollout that it has no feedback for has advantage zero.
        student_logits: of the same tokens.
        signed: whether shares have the sign of the quality.

    Returns:
        Advantages in the unit of the reward. The sizes of a rollout's add up to that of its centred reward, or to 0
        where the teacher prefers nothing.

    Example:
        >>> from sdpo_ref.types import Prompts
        >>> ids, even = torch.tensor([[0, 1], [0, 0]]), torch.zeros(2, 2, 2)
        >>> two = Rollouts(Prompts(ids, ids >= 0, torch.zeros(2).long()), ids, ids >= 0, torch.zeros(2, 2))
        >>> view = TeacherView(torch.tensor([[[2.0, 0.0], [2.0, 0.0]]] * 2), torch.tensor([True, True]))
        >>> weighted_advantages(two, Judgement(torch.tensor([1.0, 0.0]), (None, None)), view, even).tolist()
        [[0.25, -0.25], [-0.25, -0.25]]
    """
    counted = rollouts.completion_mask & view.self_distillation_mask[:, None]
    preference = view.logits - student_logits
    known = counted[..., None] & preference.isfinite()  # a token that is impossible has no logit to compare
    preference = torch.where(known, preference, 0.0)
    of_tokens = preference.gather(-1, torch.where(counted, rollouts.completions, 0)[..., None]).squeeze(-1)
    above = torch.where(counted, of_tokens - preference.sum(-1) / known.sum(-1).clamp_min(1), 0.0)
    sizes = above.abs()
    shares = (above if signed else sizes) / (sizes.sum(-1, keepdim=True) + SHARE_EPSILON)
    centered = group_advantages(judgement.rewards, rollouts.prompts.group_ids, kind="centered")
    return centered.to(shares)[:, None] * shares
