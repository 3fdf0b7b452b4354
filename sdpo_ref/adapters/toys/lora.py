"""One linear layer with a LoRA adapter whose factors are given."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.adapters.peers import require_peft
from sdpo_ref.protocols.parts import LowRankFactors

STUDENT = "default"
"""PEFT's name for the adapter that is trained."""


class _OneLayer(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.layer(inputs)
        return result


def lora_student(factors: LowRankFactors) -> Any:
    """A PEFT model with scaling one, so that its weight change is the product of the factors.

    Raises:
        LoadError: if PEFT 0.21 is not installed.
    """
    require_peft()
    from peft import LoraConfig, get_peft_model

    left, right = factors
    rank = right.shape[0]
    layer = nn.Linear(right.shape[1], left.shape[0], bias=False, dtype=left.dtype)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=["layer"])
    model = get_peft_model(_OneLayer(layer), config, autocast_adapter_dtype=False)
    set_factors(model, factors)
    return model


def set_factors(model: Any, factors: LowRankFactors) -> None:
    """Give the student's adapter new factors, as an optimiser step would."""
    layer = model.get_base_model().layer
    with torch.no_grad():
        layer.lora_B[STUDENT].weight.copy_(factors[0])
        layer.lora_A[STUDENT].weight.copy_(factors[1])


def delta(model: Any, adapter: str) -> Float[Tensor, "out in"]:
    """The weight change that an adapter makes to the layer."""
    change: Tensor = model.get_base_model().layer.get_delta_weight(adapter)
    return change.detach().clone()
