"""The KL divergence to the base policy for many runs, each with its own weight; zero changes nothing."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import FirstOrder, Tokens
from sdpo_ref.simulation.batched.runs import Run
from sdpo_ref.simulation.batched.student import Students


class Penalties:
    r"""The gradient of the exact KL(student‖base), mean over tokens; its direction is the way back.

    .. math::
        \frac{\beta}{N T} \sum_{i,t} p\,(\mathrm{E}_p D - D), \qquad D = S^{\mathrm{base}} - S

    Args:
        runs: whose methods have weights.
        students: that are trained.

    Attributes:
        is_paid: True for runs with a weight above zero.
    """

    is_paid: Bool[Tensor, " run"]

    def __init__(self, runs: Sequence[Run], students: Students) -> None:
        weights = [run.settings.method.kl_weight for run in runs if run.settings.method.method != "third_party"]
        self._students = students
        self._weights = torch.tensor(weights, dtype=torch.float64, device=students.base.device)[:, None, None, None]
        self.is_paid = self._weights.flatten() > 0
        self._anybody_pays = any(weights)

    def added(
        self, gradient: Float[Tensor, "run prompt time vocab"], policy: FirstOrder, tokens: Tokens
    ) -> Float[Tensor, "run prompt time vocab"]:
        """The gradient of the loss with that of the penalty.

        Args:
            gradient: of the loss, in the scores.
            policy: as it is now.
            tokens: over which the mean is taken.
        """
        if not self._anybody_pays:
            return gradient
        back = self._students.base - self._students.scores()
        share = torch.full_like(tokens.ids, 1, dtype=back.dtype) / tokens.ids[0].numel()
        pull = policy.spread(share * policy.expected(back, tokens), tokens) - back * policy.spread(share, tokens)
        return gradient + self._weights * pull
