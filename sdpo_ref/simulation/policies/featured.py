"""A student that is given what tokens express: the table, and a combination of given features (spec/06-simulation, A).

Departs from :class:`~sdpo_ref.simulation.policies.first_order.FirstOrderPolicy` in its scores only. A reader of
feedback has an estimate of how much every token expresses each aspect; the table has none, and learns every token by
itself. With the reader's loadings as features, what one completion teaches about an aspect carries over to all tokens,
whatever the method that trains the policy.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.world.world import World


class FeaturedPolicy(FirstOrderPolicy):
    r"""Logits from a table plus, for each prompt, a learned combination of fixed features of tokens.

    .. math::
        \ell_{xt}(v \mid y_{<t}) = \theta_{xtv} + \sum_k c_{xk}\, \hat a_{tvk} + B_{y_{t-1} v} \; [t > 1]

    Implements: SIM-026.

    Attributes:
        combination: :math:`c`, one number for each prompt and feature; learned, and zero at first, so that the policy
            starts as the one without features.
        features: :math:`\hat a`, such as ``Knowledge.loadings``, which estimates what tokens express; fixed.
    """

    features: Tensor

    def __init__(
        self,
        table: Float[Tensor, "prompt time vocab"],
        grammar: Float[Tensor, "previous vocab"],
        features: Float[Tensor, "position token aspect"],
    ) -> None:
        super().__init__(table, grammar)
        if features.ndim != 3 or features.shape[:2] != table.shape[1:]:
            raise InvalidInputError(
                f"received features of shape {tuple(features.shape)} for a table of shape {tuple(table.shape)}; "
                "allowed is [time, vocab, aspect] with the table's time and vocab; take both from one world"
            )
        if not bool(torch.isfinite(features).all()):
            raise InvalidInputError("features must be finite, received NaN or infinity; look at the corpus")
        self.combination = nn.Parameter(table.new_zeros(table.shape[0], features.shape[-1]))
        self.register_buffer("features", features.detach().to(table, copy=True))

    @classmethod
    def base(  # type: ignore[override]  # a constructor, and this policy has one part more
        cls, world: World, features: Float[Tensor, "position token aspect"]
    ) -> "FeaturedPolicy":
        """The policy of a world before any training: that without features, until it learns to combine them.

        Args:
            world: gives the table and the grammar; they are copied.
            features: of every token at every position; copied.

        Returns:
            The base policy, in float64.

        Raises:
            InvalidInputError: if the features are not finite or not those of the world's positions and tokens.
        """
        return cls(world.base_logits, world.grammar, features)

    def scores(self) -> Float[Tensor, "prompt time vocab"]:
        """The table plus the combination of features.

        Returns:
            Logits. Gradient flows into the table and the combination.

        Example:
            >>> policy = FeaturedPolicy(torch.zeros(1, 1, 2), torch.zeros(2, 2), torch.tensor([[[1.0], [-2.0]]]))
            >>> policy.combination.data.fill_(0.5)
            tensor([[0.5000]])
            >>> policy.scores().tolist()
            [[[0.5, -1.0]]]
        """
        return self.table + torch.einsum("xk,tvk->xtv", self.combination, self.features)
