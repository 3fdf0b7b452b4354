"""sdpo-rl's per-token divergence."""

import torch
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
    """``top_k_kl_divergence`` on both sides' log-probabilities at the student's top k, as its trainer gathers them.

    Raises:
        UnsupportedError: for the sampled token, which has a surrogate loss and no divergence.
    """
    from sdpo_rl.distillation import top_k_kl_divergence

    if support.kind == "sampled_token":
        raise UnsupportedError("sdpo-rl's sampled-token mode is a surrogate, not a divergence; ask the loss for it")
    k = support.k or student_log_probs.shape[-1]
    student_top, indices = torch.topk(student_log_probs, k=k, dim=-1)
    teacher_top = torch.gather(teacher_log_probs, dim=-1, index=indices)
    per_token: Tensor = top_k_kl_divergence(
        student_top, teacher_top, alpha=alpha, add_tail=support.kind == "top_k_tail"
    )
    return per_token
