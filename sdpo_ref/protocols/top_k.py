"""What a loss is given where the teacher is behind a server: its most likely tokens and their log-probabilities."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError

ListSupport = Literal["top_k_tail", "top_k_renormalized", "cross_entropy"]
"""What is compared on a list (LOSS-134 to LOSS-136)."""

LIST_SUPPORTS: tuple[ListSupport, ...] = get_args(ListSupport)

_ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-10}
"""By how much the probabilities of a list may add up to more than they are, and a rest is not known any more."""


@dataclass(frozen=True)
class ServerTopK:
    """What a server answered, beside the student's logits: nothing of it is checked.

    Attributes:
        student_logits: as in :class:`~sdpo_ref.types.DistillationBatch`. Gradient flows into these and nowhere else.
        teacher_ids: the teacher's k most likely tokens, most likely first; distinct.
        teacher_log_probs: their log-probabilities in nats, over the whole vocabulary; float32 or float64.
        completions: as in :class:`~sdpo_ref.types.DistillationBatch`, and so are the masks.
        completion_mask: True where a token was sampled by the policy.
        self_distillation_mask: True for rows whose teacher has a context.
        behaviour_log_probs: of each sampled token, at the temperature of the loss; ``None`` if they were not recorded.
        temperature: at which the server computed its log-probabilities; the loss must have the same.
    """

    student_logits: Float[Tensor, "rollout time vocab"]
    teacher_ids: Int[Tensor, "rollout time listed"]
    teacher_log_probs: Float[Tensor, "rollout time listed"]
    completions: Int[Tensor, "rollout time"]
    completion_mask: Bool[Tensor, "rollout time"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    behaviour_log_probs: Float[Tensor, "rollout time"] | None = None
    temperature: float = 1.0

    @property
    def loss_mask(self) -> Bool[Tensor, "rollout time"]:
        """True where a token takes part in the loss (LOSS-050)."""
        return self.completion_mask & self.self_distillation_mask[:, None]


@dataclass(frozen=True)
class TopKBatch(ServerTopK):
    """A batch whose teacher is known by its k most likely tokens at each position, as an inference server gives them.

    Nothing is said of the other tokens but what follows: together they have the rest of the mass, and none of them is
    more likely than the last that is listed.
    Implements: LOSS-138.

    Attributes:
        least_rest: mass for which the rest is taken at least, in ``[0, 1)``; 0 for what the list leaves. A server's
            rounding hides a rest that is smaller than that, and the reverse KL would be infinite there.

    Raises:
        InvalidInputError: if shapes, dtypes or devices disagree, or if at a position that counts the list is no top k:
            an id outside the vocabulary or twice, a score that is missing (NaN, infinite, or a constant in its place),
            one above zero, more mass than one, or an order that is not the most likely first. Anything may stand at
            positions that do not count.

    Example:
        >>> ids, scores = torch.tensor([[[1, 0]]]), torch.tensor([[[0.6, 0.3]]]).log()
        >>> mask = torch.tensor([[True]])
        >>> batch = TopKBatch(torch.zeros(1, 1, 3), ids, scores, torch.tensor([[0]]), mask, mask[0])
        >>> batch.rest()
        tensor([[0.1000]])
    """

    least_rest: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no list of the k most likely tokens, so that no score is made up in silence."""
        self._require_aligned()
        if not 0.0 <= self.least_rest < 1.0:
            raise InvalidInputError(
                f"least_rest is {self.least_rest}; allowed is [0, 1), and 0 for what the list leaves"
            )
        counts = self.loss_mask
        ids, scores = self.teacher_ids[counts].long(), self.teacher_log_probs[counts]
        vocab, rounding = self.student_logits.shape[-1], self.rounding
        in_order = ids.sort(dim=-1).values
        mass = scores.double().exp().sum(dim=-1)
        left = (vocab - scores.shape[-1]) * scores[:, -1:].double().exp().squeeze(-1)
        faults = (
            (~scores.isfinite(), "misses scores (NaN or infinite)", "ask the server for at least k of every position"),
            ((ids < 0) | (ids >= vocab), f"has ids outside 0 to {vocab - 1}", "lists shorter than k are often padded"),
            (in_order[:, 1:] == in_order[:, :-1], "has an id twice", "drop the sampled token that is listed beside"),
            (scores > rounding, "has log-probabilities above zero", "pass natural log-probabilities, not logits"),
            (scores[:, 1:] > scores[:, :-1], "is not in order, most likely first", "sort it, and keep the k largest"),
            (mass > 1.0 + rounding, "has more mass than one", "log-probabilities are those of the whole vocabulary"),
            (
                1.0 - mass > left * (1.0 + rounding) + rounding,
                f"leaves more mass than {vocab - scores.shape[-1]} tokens no more likely than its last one can have",
                "it is no top k: a constant stands for a missing score, a token is missing, or the temperature differs",
            ),
        )
        for fault, what, remedy in faults:
            if bool(fault.any()):
                bad = fault if fault.ndim == 1 else fault.any(dim=-1)
                row, time = counts.nonzero()[int(bad.long().argmax())].tolist()
                raise InvalidInputError(
                    f"the teacher's list {what} at {int(bad.sum())} of {len(bad)} positions that count, first at "
                    f"rollout {row}, time {time}: ids {self.teacher_ids[row, time].tolist()[:5]}, log-probabilities "
                    f"{[round(it, 4) for it in self.teacher_log_probs[row, time].tolist()[:5]]}; {remedy}"
                )

    @classmethod
    def of(cls, answer: ServerTopK, *, least_rest: float = 0.0) -> "TopKBatch":
        """The same, once it is known to be a list of the k most likely tokens.

        Args:
            answer: of a server.
            least_rest: see the class.
        """
        return cls(**{**vars(answer), "least_rest": least_rest})

    @property
    def rounding(self) -> float:
        """Mass that is not known: that of the rounding of the log-probabilities."""
        return _ROUNDING[self.teacher_log_probs.dtype]

    def rest(self) -> Float[Tensor, "rollout time"]:
        """Mass of all tokens that are not listed, at least ``least_rest``; zero where every token is listed."""
        if self.teacher_ids.shape[-1] == self.student_logits.shape[-1]:
            return torch.zeros_like(self.teacher_log_probs[..., 0])
        scores = torch.where(self.loss_mask[..., None], self.teacher_log_probs, -torch.inf)
        return (1.0 - scores.double().exp().sum(dim=-1)).clamp(min=self.least_rest).to(scores.dtype)

    def require_rest(self, why: str) -> None:
        """Refuse a batch whose rest is lost in rounding where it counts.

        Args:
            why: what needs it, as the beginning of a sentence.

        Raises:
            InvalidInputError: if at a position that counts the listed tokens have all the mass that is known.
        """
        is_lost = (self.rest() <= self.rounding) & self.loss_mask
        if self.teacher_ids.shape[-1] < self.student_logits.shape[-1] and bool(is_lost.any()):
            raise InvalidInputError(
                f"{why} needs the mass that a list leaves, which is lost in rounding at {int(is_lost.sum())} of "
                f"{int(self.loss_mask.sum())} positions that count; declare least_rest, such as 1e-4, or take another "
                "alpha or support"
            )

    def _require_aligned(self) -> None:
        if self.student_logits.ndim != 3:
            raise InvalidInputError(
                f"student_logits has shape {tuple(self.student_logits.shape)}; allowed is [rollout, time, vocab]"
            )
        rows, time, vocab = self.student_logits.shape
        listed = self.teacher_ids.shape[-1] if self.teacher_ids.ndim == 3 else 0
        if not 1 <= listed <= vocab:
            raise InvalidInputError(
                f"teacher_ids has shape {tuple(self.teacher_ids.shape)}; allowed is [rollout, time, k] with k from 1 "
                f"to {vocab}, the same k at every position"
            )
        shapes = {
            "teacher_ids": (self.teacher_ids, (rows, time, listed)),
            "teacher_log_probs": (self.teacher_log_probs, (rows, time, listed)),
            "completions": (self.completions, (rows, time)),
            "completion_mask": (self.completion_mask, (rows, time)),
            "self_distillation_mask": (self.self_distillation_mask, (rows,)),
            "behaviour_log_probs": (self.behaviour_log_probs, (rows, time)),
        }
        for name, (tensor, allowed) in shapes.items():
            if tensor is None:
                continue
            if tuple(tensor.shape) != allowed:
                raise InvalidInputError(f"{name} has shape {tuple(tensor.shape)}; allowed is {allowed}")
            if tensor.device != self.student_logits.device:
                raise InvalidInputError(
                    f"{name} is on {tensor.device} and student_logits on {self.student_logits.device}; allowed is one "
                    "device, so move one of them before the call"
                )
            is_mask, is_ids = name.endswith("_mask"), name in ("teacher_ids", "completions")
            if (is_mask and tensor.dtype is not torch.bool) or (is_ids and tensor.dtype not in _INTEGERS):
                raise InvalidInputError(
                    f"{name} has dtype {tensor.dtype}; allowed is {'bool' if is_mask else 'an integer'}"
                )
        if self.teacher_log_probs.dtype not in _ROUNDING:
            raise InvalidInputError(
                f"teacher_log_probs has dtype {self.teacher_log_probs.dtype}; allowed are float32 and float64, because "
                "half precision cannot hold the mass that a list leaves"
            )
        ids = self.completions[self.completion_mask].long()
        if bool(((ids < 0) | (ids >= vocab)).any()):
            raise InvalidInputError(
                f"completions holds ids from {int(ids.min())} to {int(ids.max())} at counted positions, allowed is 0 "
                f"to {vocab - 1}; student and teacher must share one tokenizer"
            )


_INTEGERS = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8})
