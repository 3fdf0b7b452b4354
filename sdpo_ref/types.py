"""The data that the library passes around: named axes, and frozen dataclasses that are valid once they exist.

Axes, declared here once and used in every signature:

``rollout``
    one completion with its prompt (N = prompts x group size);
``prompt``
    position in the (padded) prompt;
``time``
    position in the (padded) completion;
``vocab``
    token of the vocabulary.

A mask is ``bool`` and ``True`` means *counts*. Log-probabilities are natural (nats).
Implements spec/00-notation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError

Aggregation = Literal["token_mean", "row_mean", "row_mean_all", "row_sum", "time_normalized_sum"]
"""How per-token losses become one number (LOSS-053)."""

SupportKind = Literal["full", "top_k_tail", "top_k_renormalized", "sampled_token"]
"""Which tokens of the vocabulary are compared (LOSS-020 to LOSS-032)."""

_SUPPORT_KINDS = get_args(SupportKind)

TopKFrom = Literal["student", "teacher"]
"""Whose most likely tokens make the top-k support (LOSS-022)."""


@dataclass(frozen=True)
class Support:
    """The part of the vocabulary on which student and teacher are compared.

    Attributes:
        kind: ``full``; ``top_k_tail`` (k tokens and one bucket for all others); ``top_k_renormalized`` (k tokens,
            both sides rescaled to sum to one); ``sampled_token`` (the token that was sampled, reverse KL only).
        k: number of tokens for the two top-k kinds, ``None`` for the others.

    Raises:
        InvalidInputError: if the kind is unknown, or ``k`` is missing for a top-k kind, below one, or given for another
            kind.

    Example:
        >>> Support("top_k_tail", k=20).k
        20
    """

    kind: SupportKind
    k: int | None = None

    def __post_init__(self) -> None:
        """Refuse a support that cannot be used."""
        if self.kind not in _SUPPORT_KINDS:
            allowed = ", ".join(map(repr, _SUPPORT_KINDS))
            raise InvalidInputError(f"support {self.kind!r} is unknown; allowed are {allowed}")
        if self.kind in ("top_k_tail", "top_k_renormalized"):
            if self.k is None or self.k < 1:
                raise InvalidInputError(
                    f"support {self.kind!r} needs k >= 1, received k={self.k}; pass Support({self.kind!r}, k=20)"
                )
        elif self.k is not None:
            raise InvalidInputError(f"support {self.kind!r} takes no k, received k={self.k}; leave it out")


FULL = Support("full")
"""The whole vocabulary."""

SAMPLED_TOKEN = Support("sampled_token")
"""The token that was sampled; reverse KL only."""


@dataclass(frozen=True)
class DistillationBatch:
    """Everything that the loss reads, aligned so that index ``t`` is about completion token ``t``.

    Attributes:
        student_logits: unnormalised scores of the student for completion token ``t``, given the prompt and the
            completion before ``t``. Gradient flows into these and nowhere else.
        teacher_logits: the same under the teacher's context. Never receives a gradient (LOSS-060).
        completions: the sampled token ids.
        completion_mask: True where a token was sampled by the policy (first end-of-sequence token included).
        self_distillation_mask: True for rows whose teacher has a context, so that the row teaches something.
        behaviour_log_probs: log-probability of each sampled token under the policy that sampled it, at the
            temperature of the loss; ``None`` if it was not recorded.

    Raises:
        InvalidInputError: if shapes disagree, a mask is not ``bool``, a dtype is not the stated kind, or a counted
            token id lies outside ``[0, vocab)``.
    """

    student_logits: Float[Tensor, "rollout time vocab"]
    teacher_logits: Float[Tensor, "rollout time vocab"]
    completions: Int[Tensor, "rollout time"]
    completion_mask: Bool[Tensor, "rollout time"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    behaviour_log_probs: Float[Tensor, "rollout time"] | None = None

    def __post_init__(self) -> None:
        """Refuse a batch from which a wrong number could be computed in silence."""
        if self.student_logits.ndim != 3:
            raise InvalidInputError(
                f"student_logits has shape {tuple(self.student_logits.shape)}; allowed is [rollout, time, vocab]"
            )
        student, teacher = self.student_logits, self.teacher_logits
        _require_aligned(self, student=(student.shape, student.dtype), teacher=(teacher.shape, teacher.dtype))

    @property
    def loss_mask(self) -> Bool[Tensor, "rollout time"]:
        """True where a token takes part in the loss: sampled, and in a row that has a teacher (LOSS-050)."""
        return self.completion_mask & self.self_distillation_mask[:, None]

    def project(self) -> "DistillationBatch":
        """This batch: its logits are there. :meth:`HiddenBatch.project` makes them."""
        return self


@dataclass(frozen=True)
class Head:
    """The last layer of a language model: hidden states in, logits out.

    Attributes:
        weight: one row for each token of the vocabulary.
        bias: added to the logits; ``None`` for most models.

    Raises:
        InvalidInputError: if the shapes disagree, or a dtype is not floating point.

    Example:
        >>> Head(torch.eye(2)).logits(torch.tensor([[3.0, 4.0]]))
        tensor([[3., 4.]])
    """

    weight: Float[Tensor, "vocab hidden"]
    bias: Float[Tensor, " vocab"] | None = None

    def __post_init__(self) -> None:
        """Refuse a head that cannot be applied."""
        bias = self.bias
        if self.weight.ndim != 2 or (bias is not None and tuple(bias.shape) != (self.weight.shape[0],)):
            received = "no bias" if bias is None else f"a bias of shape {tuple(bias.shape)}"
            raise InvalidInputError(
                f"received a weight of shape {tuple(self.weight.shape)} and {received}; "
                "allowed are [vocab, hidden] and [vocab]"
            )
        if not self.weight.is_floating_point() or (bias is not None and bias.dtype != self.weight.dtype):
            received = "no bias" if bias is None else f"a bias of {bias.dtype}"
            raise InvalidInputError(
                f"received a weight of {self.weight.dtype} and {received}; allowed is one floating dtype"
            )

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocab"]:
        """Scores of every token, materialised, in the dtype of the hidden states. Gradient flows everywhere."""
        return torch.nn.functional.linear(hidden, self.weight, self.bias)


@dataclass(frozen=True)
class HiddenBatch:
    """What the loss reads where logits would not fit into memory: hidden states, and heads that make logits of them.

    Student and teacher share a head if ``teacher_head is student_head``, as the self-teacher with current weights does;
    the teacher's side stays a constant also then.

    Attributes:
        student_hidden: the student's last hidden states, aligned to the completion tokens. Gradient flows.
        student_head: the student's head. Gradient flows if its weight asks for one.
        teacher_hidden: the same under the teacher's context; its width may differ. Never receives a gradient.
        teacher_head: the teacher's head, over the same vocabulary. Receives no gradient from the teacher's side.
        completions: as in :class:`DistillationBatch`.
        completion_mask: as in :class:`DistillationBatch`.
        self_distillation_mask: as in :class:`DistillationBatch`.
        behaviour_log_probs: as in :class:`DistillationBatch`.

    Raises:
        InvalidInputError: if shapes, dtypes or devices disagree, or a counted token id lies outside the vocabulary.
    """

    student_hidden: Float[Tensor, "rollout time hidden"]
    student_head: Head
    teacher_hidden: Float[Tensor, "rollout time teacher_hidden"]
    teacher_head: Head
    completions: Int[Tensor, "rollout time"]
    completion_mask: Bool[Tensor, "rollout time"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    behaviour_log_probs: Float[Tensor, "rollout time"] | None = None

    def __post_init__(self) -> None:
        """Refuse hidden states and heads that do not fit, and logits that would not be aligned."""
        for side, hidden, head in (
            ("student", self.student_hidden, self.student_head),
            ("teacher", self.teacher_hidden, self.teacher_head),
        ):
            if hidden.ndim != 3 or hidden.shape[-1] != head.weight.shape[-1]:
                raise InvalidInputError(
                    f"{side}_hidden has shape {tuple(hidden.shape)} and its head {tuple(head.weight.shape)}; "
                    "allowed are [rollout, time, hidden] and [vocab, hidden]"
                )
            if hidden.dtype != head.weight.dtype or hidden.device != head.weight.device:
                raise InvalidInputError(
                    f"{side}_hidden is {hidden.dtype} on {hidden.device} and its head {head.weight.dtype} on "
                    f"{head.weight.device}; allowed is one dtype and one device, so convert one of them before the call"
                )
        vocab, teacher_vocab = self.student_head.weight.shape[0], self.teacher_head.weight.shape[0]
        _require_aligned(
            self,
            student=((*self.student_hidden.shape[:2], vocab), self.student_hidden.dtype),
            teacher=((*self.teacher_hidden.shape[:2], teacher_vocab), self.teacher_hidden.dtype),
        )

    @property
    def loss_mask(self) -> Bool[Tensor, "rollout time"]:
        """True where a token takes part in the loss (LOSS-050)."""
        return self.completion_mask & self.self_distillation_mask[:, None]

    def project(self) -> DistillationBatch:
        """The same batch with its logits materialised: what the optimised losses avoid, and are compared with.

        Hidden states that do not count become zero first: a NaN among them would be inert in the loss, whose gradient
        is zero there, but zero times NaN would reach the gradient of the head (LOSS-051).
        Implements: LOSS-130, LOSS-131, LOSS-132, LOSS-133.

        Returns:
            Logits in the dtype of the hidden states. Gradient flows into the student's hidden states and head.
        """
        counts = self.loss_mask[..., None]
        with torch.no_grad():
            teacher = self.teacher_head.logits(torch.where(counts, self.teacher_hidden, 0.0))
        return DistillationBatch(
            self.student_head.logits(torch.where(counts, self.student_hidden, 0.0)),
            teacher,
            self.completions,
            self.completion_mask,
            self.self_distillation_mask,
            self.behaviour_log_probs,
        )


_Logits = tuple[tuple[int, ...], torch.dtype]
"""Shape and dtype of one side's logits, whether they are there or a head would make them."""


def _require_aligned(batch: DistillationBatch | HiddenBatch, *, student: _Logits, teacher: _Logits) -> None:
    """Refuse a batch in which a tensor is not about the same tokens as the student's logits, or of another kind.

    It waits for the device once, to look at the token ids.
    """
    rollout, time, vocab = logits = tuple(student[0])
    behaviour = batch.behaviour_log_probs
    expected: Mapping[str, tuple[_Logits, tuple[int, ...], str]] = {
        "student_logits": (student, logits, "float"),
        "teacher_logits": (teacher, logits, "float"),
        "completions": (_sized(batch.completions), (rollout, time), "int"),
        "completion_mask": (_sized(batch.completion_mask), (rollout, time), "bool"),
        "self_distillation_mask": (_sized(batch.self_distillation_mask), (rollout,), "bool"),
        **({} if behaviour is None else {"behaviour_log_probs": (_sized(behaviour), (rollout, time), "float")}),
    }
    for name, ((shape, dtype), allowed, kind) in expected.items():
        if tuple(shape) != allowed:
            raise InvalidInputError(
                f"{name} has shape {tuple(shape)}, but student_logits {logits} allows only {allowed}; align it to the "
                "completion tokens"
            )
        if _kind(dtype) != kind:
            raise InvalidInputError(f"{name} has dtype {dtype}, allowed is {kind}; convert it before the call")
    token_ids = batch.completions.long()  # a small integer type would wrap the size of the vocabulary
    if bool((((token_ids < 0) | (token_ids >= vocab)) & batch.completion_mask).any()):
        counted = token_ids[batch.completion_mask]
        raise InvalidInputError(
            f"completions holds ids from {int(counted.min())} to {int(counted.max())} at counted positions, "
            f"allowed is 0 to {vocab - 1}; student and teacher must share one tokenizer"
        )


def _sized(tensor: Tensor) -> _Logits:
    return tensor.shape, tensor.dtype


def _kind(dtype: torch.dtype) -> str:
    if dtype is torch.bool:
        return "bool"
    return "float" if dtype.is_floating_point else "int"


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts; padding may be on either side.

    Attributes:
        token_ids: token ids, anything at padded positions.
        mask: True where there is a token.
        group_ids: equal for rollouts of the same prompt.
    """

    token_ids: Int[Tensor, "rollout prompt"]
    mask: Bool[Tensor, "rollout prompt"]
    group_ids: Int[Tensor, " rollout"]


@dataclass(frozen=True)
class Rollouts:
    """Completions with the prompts they answer.

    Attributes:
        prompts: one row for each rollout.
        completions: sampled token ids, right-padded.
        completion_mask: True up to and including the first end-of-sequence token.
        behaviour_log_probs: log-probability of each sampled token when it was sampled, in nats.
    """

    prompts: Prompts
    completions: Int[Tensor, "rollout time"]
    completion_mask: Bool[Tensor, "rollout time"]
    behaviour_log_probs: Float[Tensor, "rollout time"]

    def select(self, rows: Int[Tensor, " selected"]) -> "Rollouts":
        """Some of the rollouts.

        Args:
            rows: which, in the order wanted.

        Returns:
            Copies of these rows.
        """
        prompts = Prompts(self.prompts.token_ids[rows], self.prompts.mask[rows], self.prompts.group_ids[rows])
        return Rollouts(prompts, self.completions[rows], self.completion_mask[rows], self.behaviour_log_probs[rows])


@dataclass(frozen=True)
class Feedback:
    """Why an attempt got its reward.

    Attributes:
        text: the words that a language model reads.
        ratings: the same as numbers, for readers that compute with them; empty if there are none.
    """

    text: str
    ratings: tuple[float, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What an oracle returns: one reward, and possibly feedback, for each rollout.

    Attributes:
        rewards: higher is better; finite.
        feedback: ``None`` where the oracle gives none.
    """

    rewards: Float[Tensor, " rollout"]
    feedback: tuple[Feedback | None, ...]

    def __post_init__(self) -> None:
        """Refuse a judgement that misses a rollout or carries a reward that cannot be ranked.

        Implements: ORACLE-001.
        """
        if len(self.feedback) != self.rewards.shape[0]:
            raise InvalidInputError(
                f"received {self.rewards.shape[0]} rewards and {len(self.feedback)} feedbacks; "
                "give one feedback (or None) for each reward"
            )
        if not bool(torch.isfinite(self.rewards).all()):
            raise InvalidInputError(
                f"rewards must be finite, received {self.rewards.tolist()}; drop or re-judge those rollouts"
            )

    def select(self, rows: Int[Tensor, " selected"]) -> "Judgement":
        """The judgement of some of the rollouts.

        Args:
            rows: which, in the order wanted.

        Returns:
            Copies of these rows.
        """
        return Judgement(self.rewards[rows], tuple(self.feedback[row] for row in rows.tolist()))


@dataclass(frozen=True)
class TeacherView:
    """The teacher's logits for the tokens of each rollout, after it has read the judgement.

    Attributes:
        logits: scores for every token at every completion position; carries no gradient.
        self_distillation_mask: True for rows where the teacher had a context to read.
    """

    logits: Float[Tensor, "rollout time vocab"]
    self_distillation_mask: Bool[Tensor, " rollout"]


@dataclass(frozen=True)
class StepReport:
    """What one training step did.

    Attributes:
        loss: the number whose gradient was taken, summed as the trainer's aggregation says.
        optimizer_steps: how many optimiser updates the step made.
        teacher_updates: how many times the teacher's weights were updated.
        metrics: further numbers, by name.
    """

    loss: float
    optimizer_steps: int
    teacher_updates: int
    metrics: Mapping[str, float]
