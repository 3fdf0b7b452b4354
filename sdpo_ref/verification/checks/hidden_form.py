"""A batch of logits as hidden states and heads that make exactly these logits, for what offers `hidden_loss` alone.

A small vocabulary has the logits for hidden states, and an identity for a head. A large one, of which checks have few
positions, has the logits in the columns of the head, and hidden states of which each picks one column: an identity over
40,000 tokens would take 12 GB. Products with zeros and ones lose no digit.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch, Head, HiddenBatch
from sdpo_ref.verification.checks.mismatch import NotAskedError

LARGEST_IDENTITY = 1_024
"""Tokens of a vocabulary whose head is an identity."""


@dataclass(frozen=True)
class Side:
    """Hidden states and a head of one side; each requires a gradient.

    Attributes:
        hidden: of each position.
        head: makes the logits of them.
        in_head: whether the logits stand in the head, one column for each position.
    """

    hidden: Tensor
    head: Head
    in_head: bool

    @property
    def leaf(self) -> Tensor:
        """Where the logits stand, and where their gradient arrives."""
        return self.head.weight if self.in_head else self.hidden

    def of_logits(self, at_leaf: Tensor) -> Tensor:
        """A tensor that belongs to the leaf, such as its gradient, in the shape of the logits."""
        return at_leaf.T.reshape(*self.hidden.shape[:2], -1) if self.in_head else at_leaf

    @property
    def logits(self) -> Tensor:
        """As they stand there now."""
        logits, bias = self.of_logits(self.leaf.detach()), self.head.bias
        return logits if bias is None else logits + bias.detach()

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """Hidden states, weight, and bias if there is one."""
        return (self.hidden, self.head.weight, *([] if self.head.bias is None else [self.head.bias]))


@dataclass(frozen=True)
class Hidden:
    """A batch in both forms.

    Attributes:
        batch: what `hidden_loss` is given; it shares no memory with the check's batch.
        student: its student's side.
        teacher: its teacher's side.
    """

    batch: HiddenBatch
    student: Side
    teacher: Side

    def seen(self, batch: DistillationBatch) -> DistillationBatch:
        """The batch of logits, as the tensors that `hidden_loss` was given say now.

        Args:
            batch: the check's.
        """
        others = {name: getattr(self.batch, name) for name in vars(batch) if not name.endswith("_logits")}
        return replace(batch, student_logits=self.student.logits, teacher_logits=self.teacher.logits, **others)


def as_hidden(batch: DistillationBatch) -> Hidden:
    """The same batch as hidden states.

    Args:
        batch: of logits.

    Returns:
        Both forms; the logits that count are the same, bit for bit.

    Raises:
        NotAskedError: if a head cannot make the logits: a token that some positions exclude and others do not, or an
            infinite logit that counts.

    Example:
        >>> logits, true = torch.tensor([[[0.5, 0.25]]]), torch.tensor([[True]])
        >>> found = as_hidden(DistillationBatch(logits, 2 * logits, torch.tensor([[0]]), true, true[0]))
        >>> found.batch.project().teacher_logits
        tensor([[[1.0000, 0.5000]]])
    """
    counts = batch.loss_mask
    student, teacher = _side(batch.student_logits, counts), _side(batch.teacher_logits, counts)
    given = HiddenBatch(
        student.hidden,
        student.head,
        teacher.hidden,
        teacher.head,
        batch.completions.detach().clone(),
        batch.completion_mask.detach().clone(),
        batch.self_distillation_mask.detach().clone(),
        None if batch.behaviour_log_probs is None else batch.behaviour_log_probs.detach().clone(),
    )
    return Hidden(given, student, teacher)


def _side(logits: Tensor, counts: Tensor) -> Side:
    logits, counted = logits.detach(), counts[..., None]
    excluded = logits == -torch.inf
    never = (excluded | ~counted).all(dim=0).all(dim=0) & (excluded & counted).any(dim=0).any(dim=0)
    finite = torch.where(never, 0.0, logits)
    if bool((finite.isinf() & counted).any()):
        raise NotAskedError("no head makes these logits: some are infinite, and others of the same token are not")
    bias = torch.where(never, -torch.inf, 0.0).to(logits.dtype) if bool(never.any()) else None
    rows, time, vocab = logits.shape
    in_head = vocab > LARGEST_IDENTITY and rows * time > 0
    if in_head:
        columns, whole = finite.reshape(-1, vocab), finite.isfinite().all(dim=-1).reshape(-1)
        weight = torch.where(whole[:, None], columns, 0.0).T.clone(memory_format=torch.contiguous_format)
        hidden = torch.eye(rows * time, dtype=logits.dtype)
        hidden = (hidden + torch.where(whole, 0.0, torch.nan).diag()).reshape(rows, time, -1)
    else:
        hidden, weight = finite.clone(), torch.eye(vocab, dtype=logits.dtype)
    bias = None if bias is None else bias.requires_grad_()
    return Side(hidden.requires_grad_(), Head(weight.requires_grad_(), bias), in_head)
