"""The EMA teacher of a model that trains low-rank adapters: the average of products, without a second model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.functional.averaging import exponential_moving_average_
from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Judgement, Rollouts, TeacherView


class LowRankEmaTeacher:
    r"""The moving average of a LoRA student; implements :class:`~sdpo_ref.protocols.Teacher`.

    .. math::
        \Delta W_T \leftarrow (1 - \rho)\, \Delta W_T + \rho\, s B A, \qquad \text{teacher} = W_0 + \Delta W_T

    For each adapted layer the average of the weight change is kept in float32, out times in numbers. To read, the
    adapters are switched off and the average is added to what each layer returns; there is no second model. Averaging A
    and B would be another teacher (TEACH-027): from zero, a rate of .05 moves the product by .0025.
    Implements: TEACH-020, TEACH-022, TEACH-027, TEACH-028.

    Args:
        student: a policy whose model is a PEFT model; the average starts as its change now.
        conditioning: how it reads the judgement.
        update_rate: share of the student in each update, in ``[0, 1]``.

    Raises:
        InvalidInputError: if the rate is out of range.
        UnsupportedError: if something else than plain low-rank changes of linear layers is trained.
    """

    def __init__(self, student: TransformersPolicy, conditioning: Conditioning, *, update_rate: float = 0.05) -> None:
        if not 0.0 <= update_rate <= 1.0:
            raise InvalidInputError(f"update_rate must lie in [0, 1], received {update_rate}")
        _require_low_rank_only(student.model)
        self._student = student
        self._conditioning = conditioning
        self._update_rate = update_rate
        self._average = {name: change.clone() for name, change in weight_changes(student.model).items()}

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The average's scores under the context."""
        with self._instead_of_the_adapters():
            return self._conditioning.view(self._student, rollouts, judgement)

    def update(self, student: TransformersPolicy) -> None:
        """Move every change towards the student's, by name."""
        self._student = student
        exponential_moving_average_(self._average, weight_changes(student.model), update_rate=self._update_rate)

    @contextmanager
    def _instead_of_the_adapters(self) -> Iterator[None]:
        """The student's model with the average in place of its adapters, for a while."""
        model: Any = self._student.model
        hooks = [layer.register_forward_hook(_adding(self._average[name])) for name, layer in _adapted(model).items()]
        try:
            with model.disable_adapter():
                yield
        finally:
            for hook in hooks:
                hook.remove()


def weight_changes(model: nn.Module) -> dict[str, Float[Tensor, "out in"]]:
    """What the active adapters add to the weight of each adapted layer, in float32 or more; no gradient flows.

    Args:
        model: a PEFT model.
    """
    found = {}
    with torch.no_grad():
        for name, layer in _adapted(model).items():
            parts = [layer.get_delta_weight(adapter) for adapter in layer.active_adapters if adapter in layer.lora_A]
            change = torch.stack([part.to(torch.promote_types(part.dtype, torch.float32)) for part in parts]).sum(0)
            found[name] = change.T if layer.fan_in_fan_out else change
    return found


def _adapted(model: nn.Module) -> dict[str, Any]:
    """Layers with a low-rank change, by name."""
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "get_delta_weight")}


def _adding(change: Tensor) -> Any:
    """A hook that adds a change to what a linear layer returns."""

    def add(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + nn.functional.linear(inputs[0].to(change), change).to(output)

    return add


def _require_low_rank_only(model: nn.Module) -> None:
    """Refuse a student of which the average of weight changes would be a part only."""
    layers = _adapted(model)
    other = [name for name, weight in model.named_parameters() if weight.requires_grad and ".lora_" not in name]
    strange = [
        name
        for name, layer in layers.items()
        if not hasattr(layer, "fan_in_fan_out") or len(layer.lora_embedding_A) or any(layer.use_dora.values())
    ]
    if not layers or other or strange:
        what = f"trained besides: {other[:3]}" if other else f"layers of another kind: {strange[:3]}"
        raise UnsupportedError(
            f"the average of low-rank changes is that of a LoRA model alone, received one with {len(layers)} adapted "
            f"layers, {what}; allowed are linear layers with bias='none', without DoRA and modules_to_save"
        )
