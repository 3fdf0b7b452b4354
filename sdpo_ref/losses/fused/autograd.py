"""The loss as operators of torch: torch.compile keeps each as one node and does not look inside.

Three of them, with the same arguments (:class:`Call`). ``fused_loss`` returns the loss together with its gradient,
which backward multiplies by the upstream factor. ``fused_token_losses`` returns the losses of single tokens; their
upstream factors are not known in forward, so its backward calls ``fused_gradient``, which computes everything again
with these factors as weights.

Gradients leave an operator divided by ``unit``, a power of two near their largest weight, so that half precision, where
it is used on the way, has its digits in the middle of its range. The upstream factor and the unit are multiplied in
float32 and applied together, and only then is a gradient rounded to the dtype of its input. Nothing that is stored is
changed: a graph may be differentiated more than once.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.losses.dispatch import require_kernels
from sdpo_ref.losses.options import LossOptions
from sdpo_ref.types import Support, SupportKind, TopKFrom


class Call(NamedTuple):
    """The arguments of each operator, in the order of :data:`_SCHEMA`.

    Attributes:
        student: logits or hidden states; gradient.
        weight: of the student's head, ``None`` beside logits; gradient.
        bias: of the student's head, or ``None``; gradient.
        teacher: logits or hidden states.
        teacher_weight: of the teacher's head; ``None`` beside logits, or if the student's head is shared.
        teacher_bias: of a head of the teacher's own.
        token_ids: sampled tokens; anything where nothing counts.
        mask: True where a token counts.
        behaviour: log-probabilities when sampled, or ``None``.
        weights: constant factor of each token in the loss; ``None`` for the losses of single tokens.
        alpha: see :class:`~sdpo_ref.losses.options.LossOptions`, as the next five.
        support: its kind.
        k: of the support.
        temperature: of both sides.
        ratio_cap: of the importance ratio.
        top_k_from: whose most likely tokens make a top-k support.
        chunk_bytes: budget for the logits of a chunk, or ``None``.
        room: how many packed tokens are computed.
        needs: which gradients are wanted: of ``student``, ``weight`` and ``bias``.
    """

    student: Tensor
    weight: Tensor | None
    bias: Tensor | None
    teacher: Tensor
    teacher_weight: Tensor | None
    teacher_bias: Tensor | None
    token_ids: Tensor
    mask: Tensor
    behaviour: Tensor | None
    weights: Tensor | None
    alpha: float
    support: SupportKind
    k: int | None
    temperature: float
    ratio_cap: float | None
    top_k_from: TopKFrom
    chunk_bytes: int | None
    room: int
    needs: list[bool]

    @property
    def options(self) -> LossOptions:
        """The options of the loss."""
        support = Support(self.support, self.k)
        return LossOptions(self.alpha, support, self.temperature, self.ratio_cap, self.top_k_from)

    @property
    def wanted(self) -> list[tuple[Tensor | None, bool]]:
        """The inputs that may have a gradient, each with whether it is wanted."""
        return list(zip((self.student, self.weight, self.bias), self.needs, strict=True))

    @property
    def dtypes(self) -> list[torch.dtype | None]:
        """Of the gradients of ``student``, ``weight`` and ``bias``; ``None`` where none is wanted."""
        return [each.dtype if each is not None and needed else None for each, needed in self.wanted]


_SCHEMA = (
    "Tensor student, Tensor? weight, Tensor? bias, Tensor teacher, Tensor? teacher_weight, Tensor? teacher_bias, "
    "Tensor token_ids, Tensor mask, Tensor? behaviour, Tensor? weights, float alpha, str support, int? k, "
    "float temperature, float? ratio_cap, str top_k_from, int? chunk_bytes, int room, bool[] needs"
)
_GRADIENTS = "Tensor student_gradient, Tensor weight_gradient, Tensor bias_gradient, Tensor unit"
_TENSORS = Call._fields[: Call._fields.index("alpha")]
"""Names of the arguments that are tensors, or ``None`` in the place of one."""


@torch.library.custom_op("sdpo_ref::fused_loss", mutates_args=(), schema=f"({_SCHEMA}) -> (Tensor loss, {_GRADIENTS})")
def fused_loss(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The weighted sum of the tokens' losses, and its gradient divided by the unit."""
    call = Call(*arguments)
    found = _evaluate(call)
    loss = (found.losses * call.weights).sum(dtype=torch.float64)
    student, weight, bias = found.gradients
    return torch.where(found.unit.isnan(), torch.nan, loss).float(), student, weight, bias, found.unit


@torch.library.custom_op("sdpo_ref::fused_token_losses", mutates_args=(), schema=f"({_SCHEMA}) -> Tensor")
def fused_token_losses(*arguments: Any) -> Tensor:
    """The loss of each position, unweighted."""
    call = Call(*arguments)
    found = _evaluate(call._replace(needs=[False, False, False]))
    losses: Tensor = torch.where(call.mask & found.unit.isnan(), torch.nan, found.losses)
    return losses


@torch.library.custom_op("sdpo_ref::fused_gradient", mutates_args=(), schema=f"({_SCHEMA}) -> ({_GRADIENTS})")
def fused_gradient(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of the weighted sum of the tokens' losses, divided by the unit."""
    found = _evaluate(Call(*arguments))
    student, weight, bias = found.gradients
    return student, weight, bias, found.unit


@fused_loss.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    call = Call(*arguments)
    student, weight, bias = _like_inputs(call)
    return _scalar(call), student, weight, bias, _scalar(call)


@fused_token_losses.register_fake
def _(*arguments: Any) -> Tensor:
    call = Call(*arguments)
    return call.student.new_empty(call.mask.shape, dtype=torch.float32)


@fused_gradient.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    call = Call(*arguments)
    student, weight, bias = _like_inputs(call)
    return student, weight, bias, _scalar(call)


def _save_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Backward of ``fused_loss`` needs nothing but what forward has computed."""
    _, *gradients, unit = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*gradients, unit)
    ctx.dtypes = Call(*inputs).dtypes
    ctx.save_for_backward(*gradients, unit)


def _return_gradient(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
    *gradients, unit = ctx.saved_tensors
    if upstream is None:
        return (None,) * len(Call._fields)
    return _gradients_of_inputs(gradients, upstream * unit, ctx.dtypes)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Backward of ``fused_token_losses`` computes again."""
    del output
    call = Call(*inputs)
    ctx.save_for_backward(*(getattr(call, name) for name in _TENSORS))
    ctx.others = {name: value for name, value in call._asdict().items() if name not in _TENSORS}


def _compute_again(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    call = Call(**dict(zip(_TENSORS, ctx.saved_tensors, strict=True)), **ctx.others)
    *gradients, unit = fused_gradient(*call._replace(weights=torch.where(call.mask, upstream, 0.0)))
    return _gradients_of_inputs(gradients, unit, call.dtypes)


fused_loss.register_autograd(_return_gradient, setup_context=_save_gradient)
fused_token_losses.register_autograd(_compute_again, setup_context=_save_inputs)


def _evaluate(call: Call) -> Any:
    """Refuse what can be known only when it runs, import what needs Triton, and compute."""
    options = call.options
    require_kernels(call.student.device, options.support)
    from sdpo_ref.losses.fused.evaluate import evaluate
    from sdpo_ref.losses.fused.sources import Inputs, Needs
    from sdpo_ref.losses.fused.tokens import Tokens

    weights = call.weights
    if weights is None:
        weights = torch.zeros(call.mask.shape, device=call.student.device)
    # Triton launches on the current device; the dtypes of the products are chosen here, not by autocast.
    on_device = torch.cuda.device_of(call.student)  # type: ignore[no-untyped-call]
    with on_device, torch.autocast(call.student.device.type, enabled=False):
        return evaluate(
            Inputs(call.student, call.weight, call.bias, call.teacher, call.teacher_weight, call.teacher_bias),
            Tokens(call.token_ids, call.mask, call.behaviour),
            weights,
            options,
            Needs(*call.needs),
            chunk_bytes=call.chunk_bytes,
            room=call.room,
        )


def _like_inputs(call: Call) -> list[Tensor]:
    """Gradients of student, weight and bias as to shape and dtype: contiguous, empty where none is wanted."""
    dtype = call.student.dtype if call.weight is None else torch.float32
    return [
        call.student.new_empty(each.shape if each is not None and needed else (0,), dtype=dtype)
        for each, needed in call.wanted
    ]


def _scalar(call: Call) -> Tensor:
    return call.student.new_empty((), dtype=torch.float32)


def _gradients_of_inputs(
    gradients: list[Tensor], factor: Tensor, dtypes: list[torch.dtype | None]
) -> tuple[Tensor | None, ...]:
    """One entry for each argument of an operator: the three gradients times the factor, and nothing for the rest."""
    if torch.is_grad_enabled():
        raise UnsupportedError(
            "received create_graph=True, but impl='fused' has a first derivative only; leave create_graph out, or use "
            "impl='reference'"
        )
    scaled = [
        None if dtype is None else _scaled(each, factor, dtype) for each, dtype in zip(gradients, dtypes, strict=True)
    ]
    return *scaled, *(None,) * (len(Call._fields) - len(scaled))


def _scaled(gradient: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """The product, multiplied in float32 and rounded once; a factor without axes would be rounded beforehand."""
    out = torch.empty_like(gradient, dtype=dtype)
    return torch.mul(gradient, factor.float().reshape(1), out=out)
