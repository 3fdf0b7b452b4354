"""KL penalty to a reference policy, exact and not estimated from samples (spec/06-simulation, D)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.divergence import kl_divergence
from sdpo_ref.functional.log_probs import log_probs


def kl_penalty(
    student_logits: Float[Tensor, "rollout time vocab"],
    reference_logits: Float[Tensor, "rollout time vocab"],
    completion_mask: Bool[Tensor, "rollout time"],
) -> Float[Tensor, ""]:
    r"""Mean KL(student ‖ reference) of the tokens, over the whole vocabulary.

    .. math::
        \frac{1}{\sum_i |y_i|} \sum_{i,t} \mathrm{KL}\left(p_S(\cdot \mid x_i, y_{i,<t}) \,\|\,
            p_R(\cdot \mid x_i, y_{i,<t})\right)

    Departs from the penalties of RLOO (log-ratio of the sampled tokens, taken off the reward) and GRPO (an estimate
    from the sampled token): those are noisy, each in its own way, so that a comparison of methods would depend on their
    estimators. As in the loss of SDPO the prefixes are treated as fixed: no score-function term.
    Implements: SIM-100.

    Args:
        student_logits: scores of the policy that is trained. Gradient flows where the mask is True.
        reference_logits: scores of the policy that it should stay near to. No gradient flows.
        completion_mask: True where a token belongs to the completion; elsewhere anything.

    Returns:
        Nats per token, never negative; zero if nothing counts. Infinite where the reference excludes a token that
        the student allows.

    References:
        arXiv:2402.03300, equation 4 (the estimate); arXiv:1909.08593 (penalty to a reference).

    Example:
        >>> even, certain, mask = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[1.0, 0.0]]]), torch.tensor([[True]])
        >>> kl_penalty(certain.log(), even.log(), mask)  # log 2
        tensor(0.6931)
    """
    counts = completion_mask[..., None]
    student = log_probs(torch.where(counts, student_logits, 0.0))
    reference = log_probs(torch.where(counts, reference_logits.detach(), 0.0)).to(student.dtype)
    return aggregate(kl_divergence(student, reference), completion_mask, aggregation="token_mean")
