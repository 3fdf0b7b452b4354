"""TRL's per-token divergence."""

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import Support


def divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """``compute_full_logit_…`` and ``compute_topk_self_distillation_loss``, which take log-probabilities as logits.

    Raises:
        UnsupportedError: for the sampled token, which has a surrogate loss and no divergence.
    """
    from trl.experimental.sdpo import loss_utils

    if support.kind == "full":
        per_token = loss_utils.compute_full_logit_self_distillation_loss(
            student_log_probs, teacher_log_probs, distillation_alpha=alpha
        )
    elif support.kind == "sampled_token":
        raise UnsupportedError("TRL's sampled-token mode is a surrogate, not a divergence; ask the loss for it")
    else:
        per_token = loss_utils.compute_topk_self_distillation_loss(
            student_log_probs,
            teacher_log_probs,
            distillation_topk=support.k,
            distillation_alpha=alpha,
            distillation_add_tail=support.kind == "top_k_tail",
        )
    result: Tensor = per_token
    return result
