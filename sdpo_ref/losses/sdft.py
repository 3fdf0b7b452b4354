"""Self-distillation fine-tuning (spec/04-loss, H): the SDPO loss with a demonstration as the teacher's context.

Departs from :func:`sdpo_ref.losses.reference.sdpo_loss` in two points: every row counts, because every row has a
demonstration, and the first tokens of each completion may be left out.
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import skip_first_tokens
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.protocols.loss import SdpoLoss
from sdpo_ref.types import FULL, Aggregation, DistillationBatch, HiddenBatch, Support


def sdft_loss(
    batch: DistillationBatch | HiddenBatch,
    *,
    alpha: float = 0.0,
    support: Support = FULL,
    skip_tokens: int = 0,
    aggregation: Aggregation = "token_mean",
    distillation_loss: SdpoLoss = sdpo_loss,
) -> Float[Tensor, ""]:
    """The SDFT loss: forward KL(teacher‖student) by default, as in the runs that were published.

    The method's equation 1 is the reverse KL, for which the implicit-reward identity holds (LOSS-080); its authors'
    numbers come from ``alpha=0``.
    Implements: LOSS-090, LOSS-102.

    Args:
        batch: logits or hidden states, sampled tokens and mask; the self-distillation mask must be True everywhere.
            Gradient flows into the student's side only.
        alpha: interpolation coefficient in ``[0, 1]``.
        support: which tokens of the vocabulary are compared.
        skip_tokens: how many tokens to leave out at the start of each completion.
        aggregation: how tokens become one number.
        distillation_loss: which implementation computes the loss of what is left.

    Returns:
        The loss in nats.

    Raises:
        InvalidInputError: if a row has no demonstration, or ``skip_tokens`` is negative.

    References:
        arXiv:2601.19897.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 2), torch.tensor([[[9.0, 0.0], [0.0, 0.0]]])
        >>> mask = torch.tensor([[True, True]])
        >>> batch = DistillationBatch(student, teacher, torch.tensor([[0, 1]]), mask, mask[:, 0])
        >>> sdft_loss(batch, skip_tokens=1)  # only the second token counts, where both agree
        tensor(0.)
    """
    if skip_tokens < 0:
        raise InvalidInputError(f"skip_tokens must be at least 0, received {skip_tokens}; published runs use 0 and 3")
    if not bool(batch.self_distillation_mask.all()):
        rows = (~batch.self_distillation_mask).nonzero().flatten().tolist()
        raise InvalidInputError(f"SDFT needs a demonstration for every row, rows {rows} have none; drop them")
    kept = replace(batch, completion_mask=skip_first_tokens(batch.completion_mask, count=skip_tokens))
    return distillation_loss(kept, alpha=alpha, support=support, aggregation=aggregation)
