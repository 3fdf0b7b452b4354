"""The published world: one prompt, and what every completion is worth (spec/09-published-study, A).

Tensors of several runs are stacked along ``run``; nothing is summed over it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.simulation.world import random_stream


@dataclass(frozen=True)
class World:
    r"""The ground truth of a seed.

    .. math::
        R(s) = \sigma\Big( \frac 1 T \Big[ \sum_t q(t, s_t) + \sum_{t < T} b(s_t, s_{t+1})
        + a \sum_t \mathbb 1[s_t = s^*_t] \Big] \Big)

    Attributes:
        quality: q, of a token at a position.
        neighbours: b, what it is worth that the second token follows the first.
        pattern: s*, the token of the target pattern at each position.
        pattern_weight: a.
    """

    quality: Float[Tensor, "*run time vocab"]
    neighbours: Float[Tensor, "*run vocab vocab"]
    pattern: Int[Tensor, "*run time"]
    pattern_weight: Float[Tensor, "*run"]

    @classmethod
    def draw(cls, settings: PublishedSettings, *, seed: int) -> "World":
        """The world of a seed: standard normal quality, normal bonuses, and the best tokens as the pattern.

        Implements: PUB-030.

        Args:
            settings: sizes and constants.
            seed: which world.

        Example:
            >>> world = World.draw(PublishedSettings(), seed=3)
            >>> torch.equal(world.pattern, world.quality.argmax(-1)), tuple(world.quality.shape)
            (True, (6, 8))
        """
        v, constants = settings.vocab, settings.constants
        quality = _normal(seed, "quality", settings.time, v)
        return cls(
            quality=quality,
            neighbours=constants.neighbour_spread * _normal(seed, "neighbours", v, v),
            pattern=quality.argmax(-1),
            pattern_weight=torch.tensor(constants.pattern_weight, dtype=torch.float64),
        )

    def reward(self, tokens: Int[Tensor, "*run rollout time"]) -> Float[Tensor, "*run rollout"]:
        """True reward of completions, in (0, 1).

        Implements: PUB-002.

        Args:
            tokens: ids.

        Example:
            >>> zero = torch.zeros(2, 2, dtype=torch.float64)
            >>> world = World(zero, zero, torch.tensor([0, 1]), torch.tensor(2.0, dtype=torch.float64))
            >>> world.reward(torch.tensor([[0, 0], [1, 0]])).tolist()  # one token of the pattern: sigmoid(2 / 2)
            [0.7310585786300049, 0.5]
        """
        of_tokens = at_tokens(self.worth(), tokens).sum(-1)
        pairs = self.neighbours.flatten(-2)[..., None, :].expand(*tokens.shape[:-1], -1)
        of_pairs = pairs.gather(-1, tokens[..., :-1] * self.quality.shape[-1] + tokens[..., 1:]).sum(-1)
        found: Tensor = torch.sigmoid((of_tokens + of_pairs) / tokens.shape[-1])
        return found

    def worth(self) -> Float[Tensor, "*run time vocab"]:
        """What a token adds by itself: its quality, and the weight of the pattern where it is of that."""
        of_pattern = torch.nn.functional.one_hot(self.pattern, self.quality.shape[-1]).to(self.quality)
        found: Tensor = self.quality + self.pattern_weight[..., None, None] * of_pattern
        return found

    def of_run(self, row: int) -> "World":
        """The world of one run, out of stacked ones.

        Args:
            row: of the run.
        """
        return World(self.quality[row], self.neighbours[row], self.pattern[row], self.pattern_weight[row])


def told_quality(settings: PublishedSettings, world: World, *, seed: int) -> Float[Tensor, "time vocab"]:
    """The quality that the teacher is told: the truth, or what correlates with it as a control says.

    Implements: PUB-042.

    Args:
        settings: whose control says how much of the truth is told.
        world: the truth.
        seed: of the rest.
    """
    share = settings.control.told
    if share == 1.0:
        return world.quality
    rest = _normal(seed, "told", settings.time, settings.vocab)
    told: Tensor = share * world.quality + (1 - share**2) ** 0.5 * rest
    return told


def at_tokens(
    table: Float[Tensor, "*run time vocab"], tokens: Int[Tensor, "*run rollout time"]
) -> Float[Tensor, "*run rollout time"]:
    """Entries of a table at the sampled tokens.

    Args:
        table: of every token at every position.
        tokens: ids.
    """
    found: Tensor = table.gather(-1, tokens.mT).mT
    return found


def _normal(seed: int, name: str, *shape: int) -> Float[Tensor, "..."]:
    return torch.randn(shape, generator=random_stream(seed, "published", name), dtype=torch.float64)
