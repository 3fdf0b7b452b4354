"""RLOO with credit for each span: feedback on parts, without a teacher (spec/06-simulation, D).

How it departs from RLOO: it reads the ratings of the spans, whose mean RLOO gets as reward, and each rating moves the
tokens of its own span only. The information is the same; it is credited where it belongs. How it departs from SDPO:
no model infers what a rating says about tokens that were not sampled, and inside a span every token gets the same.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.policy_gradient import leave_one_out_advantages
from sdpo_ref.protocols import Policy
from sdpo_ref.trainers.update import Penalty, PolicyGradient
from sdpo_ref.types import Aggregation, Feedback, Judgement, Rollouts, StepReport


class SpanRlooTrainer:
    r"""Policy gradient with one advantage a span; implements :class:`~sdpo_ref.protocols.Trainer`.

    .. math::
        A_{it} = r_{is(t)} - \frac{1}{n - 1} \sum_{j \neq i} r_{js(t)}

    where s(t) is the span of position t and :math:`r_{is}` its rating. What an early token does to later spans is not
    credited to it: the expected step is the gradient of the sum of the expected ratings only as far as the choices of
    a span do not depend on earlier ones. With one span, whose rating is the reward, it is RLOO.
    Implements: SIM-174.

    Args:
        policy: the policy that is trained.
        optimizer: over its weights.
        spans: how many ratings the feedback on a rollout holds, one for each span; at least 1.
        aggregation: how tokens become one number; ``row_sum`` as in RLOO.
        reference: the policy to stay near to; a copy, not the policy itself.
        kl_weight: of the KL divergence to the reference, in units of rating per nat and token.

    Raises:
        InvalidInputError: if ``spans`` is below one, or a penalty has no reference.

    References:
        arXiv:2306.01693 for rewards of parts of a text; arXiv:2402.14740 for the baseline.
    """

    def __init__(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        *,
        spans: int,
        aggregation: Aggregation = "row_sum",
        reference: Policy | None = None,
        kl_weight: float = 0.0,
    ) -> None:
        if spans < 1:
            raise InvalidInputError(f"spans must be at least 1, received {spans}; take the number of the critique")
        self._gradient = PolicyGradient(policy, optimizer, Penalty(policy, reference, kl_weight), aggregation)
        self._spans = spans

    @property
    def policy(self) -> Policy:
        """The policy as trained so far."""
        return self._gradient.policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Raise the spans that were rated above those of their siblings, lower the others.

        Args:
            rollouts: sampled by the policy.
            judgement: the ratings of their spans; rewards are not read. Rollouts without feedback change nothing, and
                still count in the mean over rollouts.

        Returns:
            The loss.

        Raises:
            InvalidInputError: as :func:`span_advantages`.
        """
        # Advantage of each span (SIM-174)
        advantages = span_advantages(rollouts, judgement, spans=self._spans)
        # Loss and update
        return self._gradient.update(rollouts, advantages)


def span_advantages(rollouts: Rollouts, judgement: Judgement, *, spans: int) -> Float[Tensor, "rollout time"]:
    """How much better each span was rated than the same span of the siblings on average, at each of its tokens.

    Spans are neighbours of equal length, as ``torch.tensor_split`` cuts the positions; where they do not divide the
    completion, the first are one token longer.
    Implements: SIM-174, SIM-175.

    Args:
        rollouts: only the prompts' group ids and the number of positions are read.
        judgement: feedback with one rating for each span, or ``None``. A rollout without feedback has advantage zero
            and is no sibling of others; one without siblings has advantage zero.
        spans: how many ratings are expected; from 1 to the number of positions.

    Returns:
        Advantages in the unit of the ratings, in float64; they sum to zero over the group at each position.

    Raises:
        InvalidInputError: if feedback has another number of ratings, a rating is not finite, or there are more spans
            than positions.

    Example:
        >>> from sdpo_ref.types import Prompts
        >>> ids = torch.zeros(2, 3).long()
        >>> two = Rollouts(Prompts(ids, ids.bool(), ids[:, 0]), ids, ~ids.bool(), torch.zeros(2, 3))
        >>> judgement = Judgement(torch.zeros(2), (Feedback("", (1.0, 0.0)), Feedback("", (0.5, 0.25))))
        >>> span_advantages(two, judgement, spans=2).tolist()
        [[0.5, 0.5, -0.25], [-0.5, -0.5, 0.25]]
    """
    time = rollouts.completions.shape[-1]
    if not 1 <= spans <= time:
        raise InvalidInputError(f"spans must lie in [1, {time}], the positions of a completion, received {spans}")
    rated_rows = [row for row, feedback in enumerate(judgement.feedback) if feedback is not None]
    ratings = [_rated(feedback, spans) for feedback in judgement.feedback if feedback is not None]
    # A rating's siblings are those of the same span in the same group: every such pair is a group of its own.
    pairs = rollouts.prompts.group_ids[rated_rows, None] * spans + torch.arange(spans)
    own = torch.tensor(ratings, dtype=torch.float64).flatten()
    of_spans = torch.zeros(len(judgement.feedback), spans, dtype=torch.float64)
    of_spans[rated_rows] = leave_one_out_advantages(own, pairs.flatten()).reshape(-1, spans)
    lengths = torch.tensor([len(span) for span in torch.arange(time).tensor_split(spans)])
    return of_spans.repeat_interleave(lengths, dim=-1)


def _rated(feedback: Feedback, spans: int) -> tuple[float, ...]:
    """The ratings of one rollout, if they can be those of its spans. Implements: SIM-176."""
    if len(feedback.ratings) != spans:
        raise InvalidInputError(
            f"received feedback with {len(feedback.ratings)} ratings, allowed is one for each of {spans} spans; "
            "judge with a critique, and set spans to its number"
        )
    if not all(math.isfinite(rating) for rating in feedback.ratings):
        raise InvalidInputError(
            f"ratings must be finite, received {feedback.ratings}; pass None for a rollout unjudged"
        )
    return feedback.ratings
