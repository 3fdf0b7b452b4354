"""Rows laid end to end without padding (spec/04-loss, E): what the loss reads of them, and the weights of their tokens.

The loss of a token does not look at its neighbours; only its weight asks which row it is in. So packed rows are taken
as rows of one token each, which is a view and no copy, and are given the weights of the rows that the boundaries say.
Every implementation computes them as it computes any batch; nothing of size rows x longest row is made.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.losses.denominator import Denominator, require_denominator
from sdpo_ref.types import Aggregation, DistillationBatch, Head, HiddenBatch


class _Rows(ABC):
    """What packed rows are, whether from logits or from hidden states."""

    completions: Int[Tensor, " total"]
    completion_mask: Bool[Tensor, " total"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    cu_seqlens: Int[Tensor, " boundary"]

    def __post_init__(self) -> None:
        """Refuse boundaries that do not fit, and a batch that would not be aligned."""
        _require_boundaries(self)
        self.as_single_tokens()

    @property
    def rows(self) -> Int[Tensor, " total"]:
        """The row of each token."""
        lengths = self.cu_seqlens.long().diff()
        numbers = torch.arange(lengths.shape[0], device=lengths.device)
        return torch.repeat_interleave(numbers, lengths, output_size=self.completions.shape[0])

    @property
    def loss_mask(self) -> Bool[Tensor, " total"]:
        """True where a token takes part in the loss (LOSS-050)."""
        return self.completion_mask & self.self_distillation_mask[self.rows]

    @property
    def counted_tokens(self) -> Int[Tensor, " rollout"]:
        """How many tokens of each row take part."""
        counted = torch.zeros_like(self.self_distillation_mask, dtype=torch.long)
        return counted.index_add(0, self.rows, self.loss_mask.long())

    @abstractmethod
    def as_single_tokens(self) -> DistillationBatch | HiddenBatch:
        """The same tokens as rows of one, views of the packed tensors."""


@dataclass(frozen=True)
class PackedBatch(_Rows):
    """Packed rows as a loss reads them; row ``i`` has the tokens from ``cu_seqlens[i]`` to before ``[i + 1]``.

    The boundaries are data. Nothing else says where a row ends: no id, no mask, no position, no end of a chunk.

    Attributes:
        student_logits: as in :class:`~sdpo_ref.types.DistillationBatch`, for each completion token given its own prompt
            and its own row before it. Gradient flows into these and nowhere else.
        teacher_logits: the same under the teacher's context. Never receives a gradient.
        completions: the sampled token ids.
        completion_mask: True where a token was sampled by the policy.
        self_distillation_mask: True for rows whose teacher has a context.
        cu_seqlens: the boundaries: 0, the number of tokens up to the end of each row, the last of them the total. A row
            may have one token, or none.
        behaviour_log_probs: log-probability of each sampled token when it was sampled; ``None`` if not recorded.

    Raises:
        InvalidInputError: if shapes or dtypes disagree, the boundaries do not cover the tokens in order, or a counted
            token id lies outside the vocabulary.

    Example:
        >>> logits, ids, true = torch.zeros(3, 2), torch.zeros(3).long(), torch.ones(3, dtype=torch.bool)
        >>> batch = PackedBatch(logits, logits, ids, true, true[:2], torch.tensor([0, 1, 3]))
        >>> batch.rows  # a row of one token, and one of two
        tensor([0, 1, 1])
    """

    student_logits: Float[Tensor, "total vocab"]
    teacher_logits: Float[Tensor, "total vocab"]
    completions: Int[Tensor, " total"]
    completion_mask: Bool[Tensor, " total"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    cu_seqlens: Int[Tensor, " boundary"]
    behaviour_log_probs: Float[Tensor, " total"] | None = None

    def as_single_tokens(self) -> DistillationBatch:
        """The same tokens as rows of one, views of the packed tensors."""
        return DistillationBatch(
            self.student_logits.unsqueeze(1),
            self.teacher_logits.unsqueeze(1),
            self.completions.unsqueeze(1),
            self.completion_mask.unsqueeze(1),
            self.self_distillation_mask[self.rows],
            None if self.behaviour_log_probs is None else self.behaviour_log_probs.unsqueeze(1),
        )


@dataclass(frozen=True)
class PackedHiddenBatch(_Rows):
    """The same from hidden states, where logits would not fit into memory; see :class:`~sdpo_ref.types.HiddenBatch`.

    Attributes:
        student_hidden: the student's last hidden states, aligned to the completion tokens. Gradient flows.
        student_head: the student's head. Gradient flows if its weight asks for one.
        teacher_hidden: the same under the teacher's context. Never receives a gradient.
        teacher_head: the teacher's head, over the same vocabulary.
        completions: as in :class:`PackedBatch`.
        completion_mask: as in :class:`PackedBatch`.
        self_distillation_mask: as in :class:`PackedBatch`.
        cu_seqlens: as in :class:`PackedBatch`.
        behaviour_log_probs: as in :class:`PackedBatch`.

    Raises:
        InvalidInputError: as for :class:`PackedBatch` and :class:`~sdpo_ref.types.HiddenBatch`.
    """

    student_hidden: Float[Tensor, "total hidden"]
    student_head: Head
    teacher_hidden: Float[Tensor, "total teacher_hidden"]
    teacher_head: Head
    completions: Int[Tensor, " total"]
    completion_mask: Bool[Tensor, " total"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    cu_seqlens: Int[Tensor, " boundary"]
    behaviour_log_probs: Float[Tensor, " total"] | None = None

    def as_single_tokens(self) -> HiddenBatch:
        """The same tokens as rows of one, views of the packed tensors."""
        return HiddenBatch(
            self.student_hidden.unsqueeze(1),
            self.student_head,
            self.teacher_hidden.unsqueeze(1),
            self.teacher_head,
            self.completions.unsqueeze(1),
            self.completion_mask.unsqueeze(1),
            self.self_distillation_mask[self.rows],
            None if self.behaviour_log_probs is None else self.behaviour_log_probs.unsqueeze(1),
        )


Packed = PackedBatch | PackedHiddenBatch
"""Packed rows, from logits or from hidden states."""


def packed_denominator(batch: Packed, *, aggregation: Aggregation) -> Float[Tensor, ""]:
    """What an aggregation divides by in one pack: :func:`~sdpo_ref.losses.denominator.own_denominator` of its rows.

    Args:
        batch: packed rows.
        aggregation: which mean. ``time_normalized_sum`` divides by a padded length, which a pack has not.

    Returns:
        Counted tokens, rows with a counted token, or rows; it may be zero.

    Raises:
        InvalidInputError: if the aggregation is ``time_normalized_sum``.

    Example:
        >>> logits, ids, true = torch.zeros(3, 2), torch.zeros(3).long(), torch.ones(3, dtype=torch.bool)
        >>> batch = PackedBatch(logits, logits, ids, true, torch.tensor([True, False]), torch.tensor([0, 1, 3]))
        >>> [int(packed_denominator(batch, aggregation=it)) for it in ("token_mean", "row_mean", "row_mean_all")]
        [1, 1, 2]
    """
    match aggregation:
        case "token_mean":
            return batch.loss_mask.sum(dtype=torch.float64)
        case "row_mean" | "row_sum":
            return (batch.counted_tokens > 0).sum(dtype=torch.float64)
        case "row_mean_all":
            rows = float(batch.self_distillation_mask.shape[0])
            return torch.full((), rows, dtype=torch.float64, device=batch.cu_seqlens.device)
    raise InvalidInputError(
        "aggregation 'time_normalized_sum' divides by a padded length, received packed rows, which have none; pass "
        "that length as denominator, or take another aggregation"
    )


def packed_weights(
    batch: Packed,
    denominator: Denominator | None,
    *,
    aggregation: Aggregation,
    token_weights: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "total 1"]:
    """The weight of each packed token in the loss, as :func:`~sdpo_ref.losses.denominator.weights_over` has it.

    Args:
        batch: packed rows.
        denominator: a count of tokens or rows over all pieces of the step; ``None`` for the pack's own.
        aggregation: which mean.
        token_weights: a further factor of each token's loss; anything where nothing counts.

    Returns:
        Weights, zero where a token does not count; in float64 if a side of the batch is, and else in float32.

    Raises:
        InvalidInputError: if the denominator is none, or is missing for ``time_normalized_sum``, or the token weights
            have another shape than the completions.

    Example:
        >>> logits, ids, true = torch.zeros(3, 2), torch.zeros(3).long(), torch.ones(3, dtype=torch.bool)
        >>> batch = PackedBatch(logits, logits, ids, true, true[:2], torch.tensor([0, 1, 3]))
        >>> packed_weights(batch, None, aggregation="row_mean").squeeze(1)  # each row weighs the same
        tensor([0.5000, 0.2500, 0.2500])
    """
    if denominator is None:
        denominator = packed_denominator(batch, aggregation=aggregation).clamp(min=1)
    require_denominator(denominator)
    if token_weights is not None and token_weights.shape != batch.completions.shape:
        raise InvalidInputError(
            f"token_weights has shape {tuple(token_weights.shape)}, allowed is that of the packed completions, "
            f"{tuple(batch.completions.shape)}; expand it before the call"
        )
    mask = batch.loss_mask
    divisor = torch.zeros((), dtype=torch.float64, device=mask.device) + denominator
    divisor = torch.where(divisor > 0, divisor, torch.nan)
    if aggregation in ("row_mean", "row_mean_all"):
        divisor = divisor * batch.counted_tokens.clamp(min=1)[batch.rows]
    factor = 1.0 if token_weights is None else token_weights.detach().double()
    weights = torch.where(mask, factor / divisor, 0.0)
    sides = (
        (batch.student_logits, batch.teacher_logits)
        if isinstance(batch, PackedBatch)
        else (batch.student_hidden, batch.teacher_hidden)
    )
    is_double = any(side.dtype is torch.float64 for side in sides)
    return (weights if is_double else weights.float()).unsqueeze(1)


def _require_boundaries(batch: _Rows) -> None:
    """Refuse boundaries that are not 0, ..., total in order, one more than there are rows.

    It waits for the device once, to look at them.
    """
    boundaries, rows, total = batch.cu_seqlens, batch.self_distillation_mask.shape[0], batch.completions.shape[0]
    if boundaries.is_floating_point() or tuple(boundaries.shape) != (rows + 1,):
        raise InvalidInputError(
            f"cu_seqlens is {boundaries.dtype} of shape {tuple(boundaries.shape)}; allowed are {rows + 1} integers for "
            f"the {rows} rows of self_distillation_mask: 0, and the end of each row"
        )
    found: list[int] = boundaries.tolist()
    if found[0] != 0 or found[-1] != total or any(one > other for one, other in pairwise(found)):
        raise InvalidInputError(
            f"cu_seqlens is {found if rows < _SHOWN else f'{found[:_SHOWN]} ...'}; allowed are numbers from 0 to the "
            f"{total} tokens of completions that do not fall; one row ends where the next begins"
        )


_SHOWN = 20
"""Boundaries that an error shows."""
