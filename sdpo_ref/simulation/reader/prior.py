"""What a reader expects of tokens' quality before feedback: a linear function of taste, and what taste leaves open."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.simulation.reader.design import Design
from sdpo_ref.simulation.reader.knowledge import Knowledge


@dataclass(frozen=True)
class QualityPrior:
    r"""One joint normal distribution of taste and of what every token has beside it.

    .. math::
        c_{tvk} &= w_k \sqrt{1 - \psi}\, \hat a_{tvk} + \epsilon_{tvk}, &
        w &\sim \mathcal N(0, I/K), &
        \epsilon_{tvk} &\sim \mathcal N(0, (1 - \psi)\, u_{tvk} / K) \\
        c_{tv\cdot} &= \epsilon_{tv\cdot}, && &
        \epsilon_{tv\cdot} &\sim \mathcal N(0, \psi)

    and :math:`q = \sum_c c`. The effects :math:`\epsilon` are what taste cannot explain: the error of the estimated
    loadings times taste, with the variance that this product has, and the idiosyncratic component. They belong to one
    position and token, so only ratings of completions that sampled it inform about them.

    Attributes:
        taste_loadings: root of (1 - psi) times the estimated loadings.
        effect_variance: of each component's effect.
    """

    taste_loadings: Float[Tensor, "time vocab aspect"]
    effect_variance: Float[Tensor, "time vocab component"]

    @classmethod
    def from_knowledge(cls, knowledge: Knowledge, *, idiosyncrasy: float) -> "QualityPrior":
        """The prior that follows from this knowledge.

        Args:
            knowledge: estimated loadings and their variance.
            idiosyncrasy: share of quality that taste does not explain, psi.

        Returns:
            The prior.
        """
        explained = 1 - idiosyncrasy
        from_error = explained * knowledge.variance / knowledge.loadings.shape[-1]
        rest = torch.full_like(from_error[..., :1], idiosyncrasy)
        return cls(explained**0.5 * knowledge.loadings, torch.cat([from_error, rest], dim=-1))

    def taste_rows(
        self, design: Design, completions: Int[Tensor, "group rollout time"]
    ) -> Float[Tensor, "group rollout rating aspect"]:
        """How each rated score depends on taste: the rows of the regression.

        Args:
            design: what is rated.
            completions: token ids.

        Returns:
            Coefficients of taste.
        """
        sampled = self.taste_loadings[torch.arange(completions.shape[-1]), completions]
        return (design.positions @ sampled) * design.components[:, :-1]

    def covariance(
        self, left: Design, right: Design, completions: Int[Tensor, "group rollout time"]
    ) -> Float[Tensor, "group rollout left rollout right"]:
        r"""Prior covariance of two kinds of rated scores, between all completions of a group.

        Completions share taste, and the effects of tokens that they have in common:

        .. math::
            \mathrm{Cov}(h_{ij}, h_{ml}) = \frac1K \sum_k z_{ijk} z_{mlk}
                + \sum_t [y_{it} = y_{mt}]\, g_{jt} g_{lt} \sum_c b_{jc} b_{lc} \mathrm{Var}\, \epsilon_{t y_{it} c}

        with z the coefficients of taste.

        Args:
            left: what is rated.
            right: what else is rated.
            completions: token ids.

        Returns:
            Squared latent score.
        """
        rows = self.taste_rows(left, completions)
        columns = rows if right is left else self.taste_rows(right, completions)
        from_taste = torch.einsum("xijk,xmlk->xijml", rows, columns) / rows.shape[-1]

        variance = self.effect_variance[torch.arange(completions.shape[-1]), completions]
        positions = (left.positions[:, None] * right.positions).flatten(0, 1)  # [left right, time]
        components = (left.components[:, None] * right.components).flatten(0, 1)  # [left right, component]
        of_both = variance @ components.T * positions.T  # [group, rollout, time, left right]
        shared = completions[:, :, None, :] == completions[:, None, :, :]
        from_effects = (shared.double() @ of_both).reshape(*shared.shape[:3], rows.shape[2], columns.shape[2])
        return from_taste + from_effects.transpose(2, 3)

    def explain(
        self,
        design: Design,
        completions: Int[Tensor, "group rollout time"],
        weights: Float[Tensor, "group rollout rating"],
    ) -> tuple[Float[Tensor, "group aspect"], Float[Tensor, "group time vocab"]]:
        r"""Covariance of taste, and of every token's quality, with a weighted sum of rated scores.

        With the weights of a posterior mean this *is* the posterior mean: of taste, and of quality, in which the
        sampled tokens have their effects and all tokens the share of taste.
        Implements: SIM-065.

        Args:
            design: what is rated.
            completions: token ids.
            weights: of each rated score.

        Returns:
            Taste, and quality.
        """
        time, vocab, aspects = self.taste_loadings.shape
        at_sampled = torch.arange(time), completions
        shares = torch.einsum("jt,jc,xij->xitc", design.positions, design.components, weights)  # of each component
        taste = (self.taste_loadings[at_sampled] * shares[..., :-1]).sum((1, 2)) / aspects
        credited = (self.effect_variance[at_sampled] * shares).sum(-1)
        effects = torch.zeros(completions.shape[0], time, vocab, dtype=torch.float64)
        effects.scatter_add_(-1, completions.transpose(1, 2), credited.transpose(1, 2))
        return taste, torch.einsum("tvk,xk->xtv", self.taste_loadings, taste) + effects
