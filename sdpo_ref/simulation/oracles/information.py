r"""How informative each regime's feedback is, in bits (spec/06-simulation, B): the x axis of the five regimes.

The linear-Gaussian model of a regime:

- token qualities are independent standard normal, so z is standard normal, and there is no coherence;
- an aspect's contributions are independent normal, and taste weighs all aspects alike: :math:`w_k^2 = 1/K`;
- the logistic function is its tangent in the middle, :math:`r = 1/2 + (\beta/4)\, h + \nu \epsilon`, and no clipping.

Then a rating of something with latent variance v carries the signal-to-noise ratio :math:`\gamma v` with
:math:`\gamma = (\beta / 4\nu)^2`. The numbers are those of one completion; a group informs about taste as well.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.regimes import LEVELS
from sdpo_ref.simulation.settings import RegimeSettings, WorldSettings

_GRID = torch.linspace(-9, 9, 3601, dtype=torch.float64)
"""Latent scores for the integral over z; 18 standard deviations in steps of 1/200."""


@dataclass(frozen=True)
class Informativeness:
    """Mutual information between one completion's feedback and the truth about it.

    Attributes:
        score_bits: about its latent score z: what a scalar reward could carry at best.
        token_bits: about the qualities of its tokens: what credit assignment can use. At least ``score_bits``.
    """

    score_bits: float
    token_bits: float


def feedback_information(world: WorldSettings, regime: RegimeSettings) -> Informativeness:
    r"""Bits per completion under the linear-Gaussian model.

    .. math::
        \text{scalar:} \quad & \tfrac12 \log_2 (1 + \gamma) \\
        \text{rubric:} \quad & \tfrac12 \log_2 (\gamma + 1/v), \qquad
            v = \psi + \frac{1 - \psi}{1 + K (1 - \psi) \gamma} \\
        \text{critique:} \quad & -\tfrac12 \log_2 \sum_s \frac{T_s / T}{1 + \gamma T / T_s} \ \text{(score)}, \qquad
            \tfrac12 \sum_s \log_2 (1 + \gamma T / T_s) \ \text{(tokens)}

    with :math:`T_s` the length of span s. All but the critique are equally informative about every position, hence not
    about tokens beyond the score. The information of a level, binary or ordinal, is integrated numerically; it alone
    stays finite without noise.
    Implements: SIM-052.

    Args:
        world: sizes, slope and idiosyncrasy.
        regime: what is rated, with which noise.

    Returns:
        The two informations in bits; infinite without noise, except for a level's.

    Raises:
        InvalidInputError: if a critique has more spans than positions.

    Example:
        >>> world = WorldSettings()
        >>> round(feedback_information(world, RegimeSettings(noise=0.25)).score_bits, 6)  # gamma = 1
        0.5
    """
    if regime.regime in LEVELS:
        bits = _level_bits(world.slope / 4, regime.noise, levels=LEVELS[regime.regime])
        return Informativeness(bits, bits)
    gamma = (world.slope / (4 * regime.noise)) ** 2 if regime.noise else math.inf
    if regime.regime == "critique":
        return _critique(world.time, regime.spans, gamma)
    if math.isinf(gamma):
        return Informativeness(math.inf, math.inf)
    precision = 1 + gamma
    if regime.regime == "rubric":
        psi = world.idiosyncrasy
        precision = gamma + 1 / (psi + (1 - psi) / (1 + world.aspects * (1 - psi) * gamma))
    bits = 0.5 * math.log2(precision)
    return Informativeness(bits, bits)


def _critique(time: int, spans: int, gamma: float) -> Informativeness:
    if spans > time:
        raise InvalidInputError(f"spans must lie in [1, {time}], the positions of a completion, received {spans}")
    if math.isinf(gamma):
        return Informativeness(math.inf, math.inf)
    shares = [len(span) / time for span in torch.tensor_split(torch.arange(time), spans)]
    score = -0.5 * math.log2(sum(share / (1 + gamma / share) for share in shares))
    return Informativeness(score, 0.5 * sum(math.log2(1 + gamma / share) for share in shares))


def _level_bits(slope: float, noise: float, *, levels: int) -> float:
    """Entropy of the level, minus the entropy given z."""
    edges = (torch.arange(1, levels, dtype=torch.float64) - 0.5) / (levels - 1)
    level = _level_entropy((edges - 0.5) / math.hypot(slope, noise))
    if not noise:
        return float(level)
    known = _level_entropy((edges - 0.5 - slope * _GRID[:, None]) / noise)
    density = torch.exp(-(_GRID**2) / 2) / math.sqrt(2 * math.pi)
    return float(level - torch.trapezoid(known * density, _GRID))


def _level_entropy(edges: Float[Tensor, "*score edge"]) -> Float[Tensor, "*score"]:
    """Entropy in bits of a standard normal number that is cut at the edges."""
    below = torch.special.ndtr(edges)
    ends = torch.zeros_like(below[..., :1])
    probs = torch.cat([ends, below, ends + 1], dim=-1).diff(dim=-1)
    nats: Tensor = torch.special.entr(probs)
    return nats.sum(-1) / math.log(2)
