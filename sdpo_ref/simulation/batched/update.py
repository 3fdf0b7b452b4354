"""What the methods' updates share: a step's rollouts and judgement, and the way back to the base policy.

The gradients are in closed form, so nothing here is differentiated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import FirstOrder, Tokens
from sdpo_ref.simulation.batched.oracle import Judgements, Oracles
from sdpo_ref.simulation.batched.runs import Run
from sdpo_ref.simulation.batched.student import Students
from sdpo_ref.simulation.settings import MethodBase, PenalizedBase

Settings = TypeVar("Settings", bound=MethodBase)


@dataclass(frozen=True)
class Moment:
    """Rollouts and their judgement.

    Attributes:
        step: from 1.
        policy: that sampled.
        tokens: of the rollouts.
        log_probs: of the tokens under the policy, in nats.
        judgements: of the oracles.
    """

    step: int
    policy: FirstOrder
    tokens: Tokens
    log_probs: Float[Tensor, "run prompt time rollout"]
    judgements: Judgements


@dataclass(frozen=True)
class Credit:
    """What the methods credit the sampled tokens with, before the update.

    Attributes:
        signal: of each token, in the method's own unit.
        direction: the teacher's scores less the student's; ``None`` for methods without a teacher.
    """

    signal: Float[Tensor, "run prompt time rollout"]
    direction: Float[Tensor, "run prompt time vocab"] | None = None


@runtime_checkable
class Update(Protocol):
    """**Protocol:** one method for many runs: an update from one moment."""

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run.

        Args:
            moment: rollouts and their judgement.
            credited: whether to return the credit of each token.

        Returns:
            The credit before the update if ``credited``, else ``None``.
        """


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
        weights = [method.kl_weight for run in runs if isinstance(method := run.settings.method, PenalizedBase)]
        self._students = students
        self._weights = torch.tensor(weights, dtype=torch.float64, device=students.base.device)[:, None, None, None]
        self.is_paid = self._weights.flatten() > 0
        self._any_is_paid = any(weights)

    def add_to(
        self, gradient: Float[Tensor, "run prompt time vocab"], policy: FirstOrder, tokens: Tokens
    ) -> Float[Tensor, "run prompt time vocab"]:
        """The gradient of the loss with that of the penalty.

        Args:
            gradient: of the loss, in the scores.
            policy: as it is now.
            tokens: over which the mean is taken.
        """
        if not self._any_is_paid:
            return gradient
        back = self._students.base - self._students.scores()
        share = torch.full_like(tokens.ids, 1, dtype=back.dtype) / tokens.ids[0].numel()
        pull = policy.spread(share * policy.expected(back, tokens), tokens) - back * policy.spread(share, tokens)
        return gradient + self._weights * pull


@dataclass(frozen=True)
class Batch:
    """What an update is made from.

    Attributes:
        runs: of one method.
        students: that are trained.
        oracles: of the runs; only which prompt has which regime may be read.
        penalties: for leaving the base policy.
        device: where the tensors live.
    """

    runs: Sequence[Run]
    students: Students
    oracles: Oracles
    penalties: Penalties
    device: torch.device

    def methods(self, kind: type[Settings]) -> list[Settings]:
        """The settings of the runs' method.

        Args:
            kind: their class.
        """
        return [method for run in self.runs if isinstance(method := run.settings.method, kind)]

    def numbers(self, values: Sequence[float]) -> Float[Tensor, " run"]:
        """One number for each run, in float64 on the device."""
        return torch.tensor(values, dtype=torch.float64, device=self.device)
