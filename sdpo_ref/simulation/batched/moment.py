"""What has happened in a step before anything is learned from it."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import FirstOrder, Tokens
from sdpo_ref.simulation.batched.oracle import Judgements


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
