"""The loss as operators of torch: torch.compile keeps each as one node and does not look inside.

Three of them. ``fused_loss`` returns the loss together with its gradient, which backward multiplies by the upstream
factor. ``fused_token_losses`` returns the losses of single tokens; their upstream factors are not known in forward, so
its backward calls ``fused_gradient``, which computes everything again with these factors as weights.

Gradients leave an operator divided by ``unit``, a power of two near their largest weight, so that half precision, where
it is used on the way, has its digits in the middle of its range. The upstream factor and the unit are multiplied in
float32 and applied together, and only then is a gradient rounded to the dtype of its input. Nothing that is stored is
changed: a graph may be differentiated more than once.
"""

from typing import Any

import torch
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.losses.fused.options import Options
from sdpo_ref.losses.fused.requirements import check_device, check_options
from sdpo_ref.types import Support

_INPUTS = (
    "Tensor student, Tensor? weight, Tensor? bias, Tensor teacher, Tensor? teacher_weight, Tensor? teacher_bias, "
    "Tensor token_ids, Tensor mask, Tensor? behaviour"
)
_OPTIONS = (
    "float alpha, str support, int? k, str top_k_from, float temperature, float? ratio_cap, int chunk_bytes, int room, "
    "bool[] needs"
)
_GRADIENTS = "Tensor student_gradient, Tensor weight_gradient, Tensor bias_gradient, Tensor unit"
_INPUT_COUNT, _OPTION_COUNT = 9, 9


@torch.library.custom_op(
    "sdpo_ref::fused_loss",
    mutates_args=(),
    schema=f"({_INPUTS}, Tensor weights, {_OPTIONS}) -> (Tensor loss, {_GRADIENTS})",
)
def fused_loss(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The weighted sum of the tokens' losses, and its gradient divided by the unit."""
    weights = arguments[_INPUT_COUNT]
    found = _evaluate(arguments[:_INPUT_COUNT], weights, arguments[_INPUT_COUNT + 1 :])
    loss = (found.losses * weights).sum(dtype=torch.float64)
    student, weight, bias = found.gradients
    return torch.where(found.unit.isnan(), torch.nan, loss).float(), student, weight, bias, found.unit


@torch.library.custom_op("sdpo_ref::fused_token_losses", mutates_args=(), schema=f"({_INPUTS}, {_OPTIONS}) -> Tensor")
def fused_token_losses(*arguments: Any) -> Tensor:
    """The loss of each position, unweighted."""
    student, mask, needs = arguments[0], arguments[7], [False, False, False]
    none = torch.zeros(mask.shape, device=student.device)
    found = _evaluate(arguments[:_INPUT_COUNT], none, (*arguments[_INPUT_COUNT:-1], needs))
    losses: Tensor = torch.where(mask & found.unit.isnan(), torch.nan, found.losses)
    return losses


@torch.library.custom_op(
    "sdpo_ref::fused_gradient", mutates_args=(), schema=f"({_INPUTS}, Tensor weights, {_OPTIONS}) -> ({_GRADIENTS})"
)
def fused_gradient(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of the weighted sum of the tokens' losses, divided by the unit."""
    found = _evaluate(arguments[:_INPUT_COUNT], arguments[_INPUT_COUNT], arguments[_INPUT_COUNT + 1 :])
    student, weight, bias = found.gradients
    return student, weight, bias, found.unit


@fused_loss.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    student, weight, bias = _like_inputs(arguments)
    return _scalar(arguments), student, weight, bias, _scalar(arguments)


@fused_token_losses.register_fake
def _(*arguments: Any) -> Tensor:
    losses: Tensor = arguments[0].new_empty(arguments[7].shape, dtype=torch.float32)
    return losses


@fused_gradient.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    student, weight, bias = _like_inputs(arguments)
    return student, weight, bias, _scalar(arguments)


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Backward of ``fused_loss`` needs nothing but what forward has computed."""
    _, *gradients, unit = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*gradients, unit)
    ctx.dtypes = _dtypes(inputs)
    ctx.save_for_backward(*gradients, unit)


def _hand_out_gradient(ctx: Any, upstream: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
    *gradients, unit = ctx.saved_tensors
    if upstream is None:
        return (None,) * (_INPUT_COUNT + 1 + _OPTION_COUNT)
    return _gradients_of_inputs(gradients, upstream * unit, ctx.dtypes, others=1)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Backward of ``fused_token_losses`` computes again."""
    del output
    ctx.save_for_backward(*inputs[:_INPUT_COUNT])
    ctx.options = inputs[_INPUT_COUNT:]


def _compute_again(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    inputs = ctx.saved_tensors
    weights = torch.where(inputs[7], upstream, 0.0)
    *gradients, unit = fused_gradient(*inputs, weights, *ctx.options)
    return _gradients_of_inputs(gradients, unit, _dtypes((*inputs, *ctx.options)), others=0)


fused_loss.register_autograd(_hand_out_gradient, setup_context=_keep_gradient)
fused_token_losses.register_autograd(_compute_again, setup_context=_keep_inputs)


def _evaluate(inputs: tuple[Any, ...], weights: Tensor, options: tuple[Any, ...]) -> Any:
    """Refuse what can be known only when it runs, import what needs Triton, and compute."""
    student, weight, bias, teacher, teacher_weight, teacher_bias, token_ids, mask, behaviour = inputs
    alpha, kind, k, top_k_from, temperature, ratio_cap, chunk_bytes, room, needs = options
    token_options = Options(alpha, Support(kind, k), top_k_from, temperature, ratio_cap)
    check_device(student.device, token_options.support)
    check_options(token_options, has_behaviour=behaviour is not None)
    from sdpo_ref.losses.fused.evaluate import Tokens, evaluate
    from sdpo_ref.losses.fused.sources import Inputs, Needs

    # Triton launches on the current device; the dtypes of the products are chosen here, not by autocast.
    on_device = torch.cuda.device_of(student)  # type: ignore[no-untyped-call]
    with on_device, torch.autocast(student.device.type, enabled=False):
        return evaluate(
            Inputs(student, weight, bias, teacher, teacher_weight, teacher_bias),
            Tokens(token_ids, mask, behaviour),
            weights,
            token_options,
            Needs(*needs),
            chunk_bytes=chunk_bytes,
            room=room,
        )


def _like_inputs(arguments: tuple[Any, ...]) -> list[Tensor]:
    """Gradients of student, weight and bias as to shape and dtype: contiguous, empty where none is wanted."""
    student, weight = arguments[:2]
    dtype = student.dtype if weight is None else torch.float32
    return [
        student.new_empty(tensor.shape if needed else (0,), dtype=dtype)
        for tensor, needed in zip(arguments[:3], arguments[-1], strict=True)
    ]


def _dtypes(arguments: tuple[Any, ...]) -> list[torch.dtype | None]:
    """Of the gradients that student, weight and bias are given; ``None`` where none is wanted."""
    return [tensor.dtype if needed else None for tensor, needed in zip(arguments[:3], arguments[-1], strict=True)]


def _scalar(arguments: tuple[Any, ...]) -> Tensor:
    scalar: Tensor = arguments[0].new_empty((), dtype=torch.float32)
    return scalar


def _gradients_of_inputs(
    gradients: list[Tensor], factor: Tensor, dtypes: list[torch.dtype | None], *, others: int
) -> tuple[Tensor | None, ...]:
    """One entry for each argument of an operator: the three gradients times the factor, and nothing for the rest."""
    if torch.is_grad_enabled():
        raise UnsupportedError(
            "the fused loss has no second derivative, received create_graph=True; use impl='reference' for it"
        )
    scaled = [
        None if dtype is None else _scaled(each, factor, dtype) for each, dtype in zip(gradients, dtypes, strict=True)
    ]
    return *scaled, *(None,) * (_INPUT_COUNT - 3 + others + _OPTION_COUNT)


def _scaled(gradient: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """The product, multiplied in float32 and rounded once; a factor without axes would be rounded beforehand."""
    out = torch.empty_like(gradient, dtype=dtype)
    return torch.mul(gradient, factor.float().reshape(1), out=out)
