"""Where the logits of a chunk come from, and where their gradient goes to: hidden states and heads, or logits.

Matrix products are library products into memory that is already there, in float32 whatever the factors are.
Half-precision factors are multiplied exactly and summed in float32. On CUDA the library does so by itself (torch 2.8
and later, ``out_dtype``). Elsewhere the factors are raised to float32 a block at a time and multiplied there, which
gives the same sums up to their order: a product of two half-precision numbers is exact in float32, and also in TF32,
which holds every digit of the factors. The result is never rounded to half precision.
"""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.losses.fused.tokens import PackedTokens

_BLOCK = 8192
"""Rows or columns of a factor that are raised to float32 at a time."""

Gradients = tuple[Tensor, Tensor, Tensor]
"""Of the student's input, weight and bias; empty where none is wanted.

In float32 from hidden states. From logits in their dtype: there the gradient is the largest tensor of all.
"""


@dataclass(frozen=True)
class Inputs:
    """The tensors of a batch, both sides.

    Attributes:
        student: the student's hidden states, or its logits if there is no weight; gradient.
        weight: the student's head; gradient.
        bias: of the student's head; gradient.
        teacher: the teacher's hidden states or logits.
        teacher_weight: the teacher's head; ``None`` beside a student's head if both share that, with its bias.
        teacher_bias: of a head of the teacher's own.
    """

    student: Float[Tensor, "rollout time input"]
    weight: Float[Tensor, "vocab input"] | None
    bias: Float[Tensor, " vocab"] | None
    teacher: Float[Tensor, "rollout time teacher_input"]
    teacher_weight: Float[Tensor, "vocab teacher_input"] | None
    teacher_bias: Float[Tensor, " vocab"] | None

    @property
    def vocab(self) -> int:
        """Number of tokens of the vocabulary."""
        return self.student.shape[-1] if self.weight is None else self.weight.shape[0]


@dataclass(frozen=True)
class Needs:
    """Which gradients are wanted."""

    student: bool
    weight: bool
    bias: bool

    def __bool__(self) -> bool:
        """Whether any is."""
        return self.student or self.weight or self.bias


class HiddenSource:
    """Hidden states and heads. Gradients are in float32; the head's is written by the first chunk, the others add.

    Args:
        inputs: with a weight.
        needs: which gradients are wanted.
        whole: whether every position will come, so that nothing has to be zero from the start.
    """

    def __init__(self, inputs: Inputs, weight: Float[Tensor, "vocab hidden"], needs: Needs, *, whole: bool) -> None:
        self._inputs, self._weight, self._needs = inputs, weight, needs
        self._hidden = inputs.student.new_empty(0)
        self._student_gradient = _start(inputs.student, torch.float32, wanted=needs.student, whole=whole)
        self._weight_gradient = torch.empty(weight.shape if needs.weight else 0, device=weight.device)
        self._bias_gradient = torch.zeros(weight.shape[0] if needs.bias else 0, device=weight.device)
        self._is_first = True

    def logits(self, rows: PackedTokens, *, out: Float[Tensor, "both vocab"]) -> None:
        """Project; a shared head is read once for both sides."""
        size, inputs = rows.places.shape[0], self._inputs
        if inputs.teacher_weight is None:
            stacked = torch.cat([hidden_rows(inputs.student, rows), hidden_rows(inputs.teacher, rows)])
            self._hidden = stacked[:size]
            project(stacked, self._weight, inputs.bias, out)
        else:
            self._hidden = hidden_rows(inputs.student, rows)
            project(self._hidden, self._weight, inputs.bias, out[:size])
            project(hidden_rows(inputs.teacher, rows), inputs.teacher_weight, inputs.teacher_bias, out[size:])

    def accumulate(self, rows: PackedTokens, gradient: Float[Tensor, "row vocab"]) -> None:
        """Two products, each only where it is wanted."""
        if self._needs.student:
            of_hidden = torch.empty(gradient.shape[0], self._weight.shape[1], device=gradient.device)
            multiply(gradient, self._weight, of_hidden)
            _put(self._student_gradient, rows.places, of_hidden)
        if self._needs.weight and self._is_first:
            multiply(gradient.T, self._hidden, self._weight_gradient)
        elif self._needs.weight:
            multiply_and_add(gradient.T, self._hidden, self._weight_gradient)
        if self._needs.bias:
            self._bias_gradient += gradient.sum(0, dtype=torch.float32)
        self._is_first = False

    def gradients(self) -> Gradients:
        """The sums; zero if no chunk came."""
        if self._is_first:
            self._weight_gradient.zero_()
        return self._student_gradient, self._weight_gradient, self._bias_gradient


class LogitsSource:
    """Logits that the caller has materialised: a chunk is a copy of them, the gradient as large as they are.

    Args:
        inputs: without weights.
        needs: which gradients are wanted.
        whole: whether every position will come, so that nothing has to be zero from the start.
    """

    def __init__(self, inputs: Inputs, needs: Needs, *, whole: bool) -> None:
        self._inputs, self._needs = inputs, needs
        self._gradient = _start(inputs.student, inputs.student.dtype, wanted=needs.student, whole=whole)

    def logits(self, rows: PackedTokens, *, out: Float[Tensor, "both vocab"]) -> None:
        """Copy rows, raised to float32."""
        size = rows.places.shape[0]
        out[:size] = _at(self._inputs.student, rows.places)
        out[size:] = _at(self._inputs.teacher, rows.places)

    def accumulate(self, rows: PackedTokens, gradient: Float[Tensor, "row vocab"]) -> None:
        """Copy rows back to their positions in the batch."""
        if self._needs.student:
            _put(self._gradient, rows.places, gradient)

    def gradients(self) -> Gradients:
        """One gradient; there is no head."""
        none = self._gradient.new_empty(0)
        return self._gradient, none, none.clone()


def source_of(inputs: Inputs, needs: Needs, *, whole: bool) -> HiddenSource | LogitsSource:
    """The source of a batch's logits: it writes one chunk of logits after the other, and adds up their gradients.

    Args:
        inputs: with a student's weight if they are hidden states.
        needs: which gradients are wanted.
        whole: whether every position will come.
    """
    if inputs.weight is None:
        return LogitsSource(inputs, needs, whole=whole)
    return HiddenSource(inputs, inputs.weight, needs, whole=whole)


def _start(
    student: Float[Tensor, "rollout time input"], dtype: torch.dtype, *, wanted: bool, whole: bool
) -> Float[Tensor, "..."]:
    """Room for the gradient of the student's input."""
    if not wanted:
        return torch.empty(0, dtype=dtype, device=student.device)
    return (torch.empty if whole else torch.zeros)(student.shape, dtype=dtype, device=student.device)


def _at(values: Float[Tensor, "rollout time input"], places: Int[Tensor, " row"]) -> Float[Tensor, "row input"]:
    """Copies of rows of a padded tensor, whatever its strides."""
    time = values.shape[1]
    return values[places // time, places % time]


def _put(
    target: Float[Tensor, "rollout time input"], places: Int[Tensor, " row"], rows: Float[Tensor, "row input"]
) -> None:
    target.view(-1, target.shape[-1]).index_copy_(0, places, rows.to(target.dtype))


def hidden_rows(values: Float[Tensor, "rollout time input"], rows: PackedTokens) -> Float[Tensor, "row input"]:
    """Rows of hidden states, zero where nothing counts, so that NaN there stays out of the sums over rows.

    Args:
        values: hidden states of a batch, any strides.
        rows: which.

    Returns:
        A copy, contiguous.
    """
    return _at(values, rows.places).masked_fill_(rows.past[:, None], 0.0)


def project(
    hidden: Float[Tensor, "row input"],
    weight: Float[Tensor, "vocab input"],
    bias: Float[Tensor, " vocab"] | None,
    out: Float[Tensor, "row vocab"],
) -> None:
    """Write logits.

    Args:
        hidden: rows of hidden states.
        weight: of the head.
        bias: of the head, or ``None``.
        out: float32.
    """
    multiply(hidden, weight.T, out)
    if bias is not None:
        out += bias


def multiply(left: Float[Tensor, "m k"], right: Float[Tensor, "k n"], out: Float[Tensor, "m n"]) -> None:
    """Write ``left @ right``.

    Args:
        left: any strides.
        right: of the same dtype: float32, bfloat16 or float16.
        out: float32; overwritten.
    """
    if left.dtype == torch.float32:
        torch.mm(left, right, out=out)
    elif left.is_cuda and _library_widens():
        torch.ops.aten.mm.dtype_out(left, right, torch.float32, out=out)
    elif right.shape[1] > left.shape[0]:
        raised = left.float()
        for start in range(0, right.shape[1], _BLOCK):
            columns = slice(start, start + _BLOCK)
            out[:, columns] = raised @ right[:, columns].float()
    else:
        raised = right.float()
        for start in range(0, left.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            out[rows] = left[rows].float() @ raised


def multiply_and_add(left: Float[Tensor, "m k"], right: Float[Tensor, "k n"], total: Float[Tensor, "m n"]) -> None:
    """Add ``left @ right``.

    Args:
        left: any strides.
        right: of the same dtype.
        total: float32; added to.
    """
    if left.dtype == torch.float32:
        torch.addmm(total, left, right, out=total)
    elif left.is_cuda and _library_adds():
        torch.ops.aten.addmm.dtype_out(total, left, right, torch.float32, out=total)
    else:
        for start in range(0, left.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            part = torch.empty_like(total[rows])
            multiply(left[rows], right, part)
            total[rows] += part


@cache
def _library_widens() -> bool:
    """Whether this torch multiplies half-precision matrices on CUDA into float32."""
    return hasattr(torch.ops.aten.mm, "dtype_out")


@cache
def _library_adds() -> bool:
    """Whether it also adds such a product to a float32 matrix; the first versions wanted one dtype of all three."""
    if not _library_widens():
        return False
    ones = torch.ones(16, 16, dtype=torch.bfloat16, device="cuda")
    total = torch.zeros(16, 16, device="cuda")
    try:
        torch.ops.aten.addmm.dtype_out(total, ones, ones, torch.float32, out=total)
    except RuntimeError:
        return False
    return True
