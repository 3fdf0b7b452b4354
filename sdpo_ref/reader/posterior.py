"""Conditioning on numbers whose common level is unknown (SIM-064)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def contrast_precision(
    covariance: Float[Tensor, "*batch row row"], present: Bool[Tensor, "*batch row"]
) -> Float[Tensor, "*batch row row"]:
    r"""Inverse covariance of what numbers say once their level is unknown.

    .. math::
        M = S^{-1} - \frac{S^{-1} 1 1^\top S^{-1}}{1^\top S^{-1} 1}

    Numbers y with covariance S and a common mean with a flat prior: the posterior mean of anything that is normal
    together with them is its covariance with y times M y. Since M 1 = 0, numbers that are all equal say nothing.

    Args:
        covariance: of the numbers, S; positive definite.
        present: False for numbers that were not given; they have no say.

    Returns:
        M; zero for numbers that are not present.

    Example:
        >>> contrast_precision(torch.eye(2), torch.tensor([True, True]))  # only the difference counts
        tensor([[ 0.5000, -0.5000],
                [-0.5000,  0.5000]])
    """
    both = present[..., :, None] & present[..., None, :]
    known = torch.where(both, covariance, torch.eye(covariance.shape[-1], dtype=covariance.dtype))
    precision = torch.cholesky_inverse(torch.linalg.cholesky(known)) * both
    to_level = precision.sum(-1)
    information = to_level.sum(-1)[..., None, None]
    shared = to_level[..., :, None] * to_level[..., None, :]
    return precision - shared / torch.where(information > 0, information, 1.0)
