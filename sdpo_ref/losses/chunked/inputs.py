"""From a batch to the source of its chunks, and what is refused before anything is computed."""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.losses import reference
from sdpo_ref.losses.chunked.chunks import tokens_per_chunk
from sdpo_ref.losses.chunked.evaluate import Options
from sdpo_ref.losses.chunked.from_hidden import FromHidden
from sdpo_ref.losses.chunked.from_logits import FromLogits
from sdpo_ref.types import DistillationBatch, HiddenBatch

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def source_of(batch: DistillationBatch | HiddenBatch) -> FromHidden | FromLogits:
    """Where a batch's logits come from; the teacher's side is cut off from any graph (LOSS-060).

    Args:
        batch: logits, or hidden states and heads. A teacher's head that is the student's is read once for both.
    """
    if isinstance(batch, DistillationBatch):
        return FromLogits(batch.student_logits, batch.teacher_logits.detach())
    head, teacher_head = batch.student_head, batch.teacher_head
    is_shared = teacher_head.weight is head.weight and teacher_head.bias is head.bias
    has_own_bias = not is_shared and teacher_head.bias is not None
    return FromHidden(
        batch.student_hidden,
        head.weight,
        head.bias,
        batch.teacher_hidden.detach(),
        None if is_shared else teacher_head.weight.detach(),
        teacher_head.bias.detach() if has_own_bias and teacher_head.bias is not None else None,
    )


def differentiable_inputs(source: FromHidden | FromLogits) -> tuple[tuple[Tensor | None, ...], tuple[bool, ...]]:
    """The inputs that may have a gradient, and which of them want one now.

    Args:
        source: of the batch.
    """
    inputs: tuple[Tensor | None, ...] = (source.student,)
    if isinstance(source, FromHidden):
        inputs = (source.student, source.weight, source.bias)
    return inputs, tuple(torch.is_grad_enabled() and each is not None and each.requires_grad for each in inputs)


def checked_dtype(batch: DistillationBatch | HiddenBatch) -> torch.dtype:
    """The dtype in which a batch is computed: float64 if a side is, else float32.

    Args:
        batch: its sides may differ.

    Raises:
        UnsupportedError: if a side has another dtype than these, float16 or bfloat16.
        InvalidInputError: if the two sides are on different devices.
    """
    if isinstance(batch, DistillationBatch):
        student, teacher = batch.student_logits, batch.teacher_logits
    else:
        student, teacher = batch.student_hidden, batch.teacher_hidden
    for side, tensor in (("student", student), ("teacher", teacher)):
        if tensor.dtype not in _DTYPES:
            raise UnsupportedError(
                f"the {side}'s side is {tensor.dtype}; the chunked loss takes float16, bfloat16, float32 and float64, "
                "so convert it before the call; no other variant takes more"
            )
    if student.device != teacher.device:
        raise InvalidInputError(
            f"the student's side is on {student.device} and the teacher's on {teacher.device}; allowed is one device, "
            "so move one of them before the call"
        )
    return torch.float64 if torch.float64 in (student.dtype, teacher.dtype) else torch.float32


def checked_options(
    batch: DistillationBatch | HiddenBatch,
    options: Options,
    *,
    vocab: int,
    token_weights: Float[Tensor, "..."] | None,
) -> None:
    """Refuse options that mean nothing: the reference does, on a batch of no rows.

    Args:
        batch: for its shape, and for whether it has behaviour log-probabilities.
        options: of the loss.
        vocab: number of tokens of the vocabulary.
        token_weights: as given by the user.

    Raises:
        InvalidInputError: as :func:`~sdpo_ref.losses.chunked.sdpo_loss` says.
    """
    tokens_per_chunk(options.chunk_bytes, vocab=vocab, dtype=options.dtype)
    if token_weights is not None and token_weights.shape != batch.completions.shape:
        raise InvalidInputError(
            f"token_weights has shape {tuple(token_weights.shape)}, allowed is that of the completions, "
            f"{tuple(batch.completions.shape)}; expand it before the call"
        )
    none = torch.zeros(0, 1)
    empty = DistillationBatch(
        none[..., None],
        none[..., None],
        none.long(),
        none.bool(),
        none.bool()[:, 0],
        None if batch.behaviour_log_probs is None else none,
    )
    reference.sdpo_token_losses(
        empty,
        alpha=options.alpha,
        support=options.support,
        temperature=options.temperature,
        ratio_cap=options.ratio_cap,
        top_k_from=options.top_k_from,
    )
