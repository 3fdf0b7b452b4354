"""Conditioning on numbers whose common level is unknown (SIM-064)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def weigh_contrasts(
    covariance: Float[Tensor, "*batch row row"],
    present: Bool[Tensor, "*batch row"],
    numbers: Float[Tensor, "*batch row column"],
) -> Float[Tensor, "*batch row column"]:
    r"""Numbers times the inverse covariance of what they say once their level is unknown.

    .. math::
        M = S^{-1} - \frac{S^{-1} 1 1^\top S^{-1}}{1^\top S^{-1} 1}

    Numbers y with covariance S and a common mean with a flat prior: the posterior mean of anything that is normal
    together with them is its covariance with y times M y. Since M 1 = 0, numbers that are all equal say nothing.

    Args:
        covariance: of the numbers, S; positive definite.
        present: False for numbers that were not given; they have no say.
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
