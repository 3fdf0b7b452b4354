"""From ratings to latent scores, and conditioning on numbers whose common level is unknown (SIM-063, SIM-064)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FURTHEST = 0.005
"""Smallest distance of a mean from an end of the scale: half a hundredth."""


@dataclass(frozen=True)
class Linearized:
    """Ratings as noisy latent scores.

    Attributes:
        scores: in units of the latent score; 0 without feedback.
        noise: variance of the error of each kind of rating, in the same units.
    """

    scores: Float[Tensor, "group rollout rating"]
    noise: Float[Tensor, "group rating"]


def linearize(
    ratings: Float[Tensor, "group rollout rating"],
    has_feedback: Bool[Tensor, "group rollout"],
    *,
    slope: float,
    variance: float,
) -> Linearized:
    r"""First-order Taylor expansion of the logistic scale at each rating's mean in the group.

    .. math::
        y_{ij} = \tfrac1\beta \operatorname{logit}(\bar r_j) + \frac{r_{ij} - \bar r_j}{g_j}, \qquad
        g_j = \beta\, \bar r_j (1 - \bar r_j), \qquad \mathrm{Var} = \nu^2 / g_j^2

    Not the logit of each rating: ratings are clipped, so it can be infinite, and the mean of a noisy rating's logit is
    not the logit of its mean, so noise would turn the direction of what is learned. On a tangent, zero-mean noise stays
    zero-mean, and a group near an end of the scale, where ratings hardly differ, carries little information. Noise in
    the mean changes which tangent it is: how much is learned and from which level, and not what from which difference.
    Implements: SIM-063.

    Args:
        ratings: in the feedback, in [0, 1].
        has_feedback: False for rollouts without feedback.
        slope: of the reward in the latent score, beta; above 0.
        variance: of a rating's error.

    Returns:
        The linearised ratings, in float64; equal ratings give equal scores, to the last bit.

    Example:
        >>> ratings = torch.tensor([[[0.25], [0.75]]])  # the mean is 1/2, and the slope there 1/4
        >>> found = linearize(ratings, torch.tensor([[True, True]]), slope=1.0, variance=0.01)
        >>> found.scores.flatten().tolist(), round(found.noise.item(), 9)
        ([-1.0, 1.0], 0.16)
    """
    stated = torch.where(has_feedback[..., None], ratings.double(), 0.0)
    first = stated[torch.arange(len(stated)), has_feedback.int().argmax(-1)][:, None]
    deviations = torch.where(has_feedback[..., None], stated - first, 0.0)
    shift = deviations.sum(1, keepdim=True) / has_feedback.sum(-1).clamp_min(1)[:, None, None]
    inside = (first + shift).clamp(FURTHEST, 1 - FURTHEST)
    slopes = slope * inside * (1 - inside)
    scores = torch.logit(inside) / slope + (deviations - shift) / slopes
    return Linearized(torch.where(has_feedback[..., None], scores, 0.0), variance / slopes[:, 0].square())


def weigh_contrasts(
    covariance: Float[Tensor, "*batch row row"],
    present: Bool[Tensor, "*batch row"],
    numbers: Float[Tensor, "*batch row column"],
) -> Float[Tensor, "*batch row column"]:
    r"""Numbers times the inverse covariance given that their common level is unknown.

    .. math::
        M = S^{-1} - \frac{S^{-1} 1 1^\top S^{-1}}{1^\top S^{-1} 1}

    Numbers y with covariance S and a common mean with a flat prior: the posterior mean of anything that is normal
    together with them is its covariance with y times M y. Since M 1 = 0, numbers that are all equal change nothing.

    Args:
        covariance: of the numbers, S; positive definite.
        present: False for numbers that were not given; they have no weight.
        numbers: y, or several such columns; anything where nothing was given.

    Returns:
        M y; zero for numbers that are not present.

    Example:
        >>> weigh_contrasts(torch.eye(2), torch.tensor([True, True]), torch.eye(2))  # only the difference counts
        tensor([[ 0.5000, -0.5000],
                [-0.5000,  0.5000]])
    """
    both = present[..., :, None] & present[..., None, :]
    known = torch.where(both, covariance, torch.eye(covariance.shape[-1], dtype=covariance.dtype))
    ones = present[..., None].to(covariance)
    given = torch.where(present[..., None], numbers, 0.0)
    solved = torch.cholesky_solve(torch.cat([given, ones], dim=-1), torch.linalg.cholesky(known))
    weighed, to_level = solved[..., :-1], solved[..., -1:]
    information = to_level.sum(-2, keepdim=True)
    return weighed - to_level * (weighed.sum(-2, keepdim=True) / torch.where(information > 0, information, 1.0))
