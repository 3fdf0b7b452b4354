"""Models for a peer's trainer: given logits, a small transformers model, and one layer with a LoRA adapter."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from sdpo_ref.adapters.peers import require_peft
from sdpo_ref.protocols.parts import LowRankFactors

# Given logits, and the processes around one loss


class ReplayModel(nn.Module):
    """A causal language model whose forward pass returns given logits, for a prompt of one token.

    A language model's logits at position ``i`` are for the token at ``i + 1``, so the logits of the first completion
    token stand at the prompt's position, and one row of zeros follows that no trainer reads.
    """

    def __init__(self, completion_logits: Float[Tensor, "rollout time vocab"]) -> None:
        super().__init__()
        self._completion_logits = completion_logits

    def forward(self, **_inputs: object) -> SimpleNamespace:
        """The given logits, shifted as a language model's are; whatever the inputs say."""
        beyond = torch.zeros_like(self._completion_logits[:, :1])
        return SimpleNamespace(logits=torch.cat([self._completion_logits, beyond], dim=1))


class Processes:
    """What a trainer asks of ``accelerate.Accelerator`` while it computes a loss, on the CPU.

    ``gather`` is a collective call whenever ``torch.distributed`` is initialised, as accelerate's is: a process that
    does not take part keeps the others waiting.
    """

    device = torch.device("cpu")
    process_index = 0

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, one after the other."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return tensor
        row = tensor.detach().reshape(-1) if tensor.ndim == 0 else tensor.detach().contiguous()
        gathered = [torch.empty_like(row) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, row)
        return torch.cat(gathered)

    def pad_across_processes(self, tensor: Tensor, **_options: object) -> Tensor:
        """The tensor itself: one process has the longest completion."""
        return tensor

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model itself: it is on the CPU already."""
        return model

    def unwrap_model(self, model: nn.Module, **_options: object) -> nn.Module:
        """The model itself: nothing wraps it."""
        return model


# A transformers model around a small module, loaded from a file that holds other weights


MODULE = "module."
"""Prefix of the small module's weights inside the ``transformers`` model."""


@cache
def _config_class() -> Any:
    from transformers import AutoConfig, PretrainedConfig

    config_class: Any = type("ToyConfig", (PretrainedConfig,), {"model_type": "sdpo-ref-toy"})
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    return config_class


def _model_class(make_module: Callable[[], nn.Module]) -> Any:
    """A ``PreTrainedModel`` around ``make_module()`` that TRL finds by its name, as it finds the library's own."""
    import transformers
    from transformers.modeling_outputs import CausalLMOutput

    class ToyModel(transformers.PreTrainedModel):  # type: ignore[misc]
        config_class = _config_class()

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            with torch.device("cpu"):  # from_pretrained builds on the meta device; the module may hold constants
                self.module = make_module()
            self._tied_weights_keys = _tied(self)
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            """The module comes with its weights."""

        def forward(
            self,
            input_ids: Tensor,
            attention_mask: Tensor,
            logits_to_keep: int = 0,
            **_options: object,
        ) -> Any:
            logits = self.module(input_ids, attention_mask.bool())
            return CausalLMOutput(logits=logits[:, -logits_to_keep:])

    transformers.ToyModel = ToyModel
    return ToyModel


def _tied(model: nn.Module) -> dict[str, str]:
    """Further names of weights that a model uses twice, with the first name of each, as ``transformers`` wants them."""
    first: dict[int, str] = {}
    names = [(name, first.setdefault(id(it), name)) for name, it in model.named_parameters(remove_duplicate=False)]
    return {name: known for name, known in names if name != known}


def student_changed_after_loading(make_module: Callable[[], nn.Module], folder: Path) -> Any:
    """A student that was loaded from ``folder`` and then changed in memory, as any fine-tuned or patched model is.

    The file holds half of every weight; the student in memory has the weights of ``make_module()`` and still names
    the folder as where it came from. A trainer that wants the student's initial weights must therefore copy it.
    """
    model_class = _model_class(make_module)
    stored = model_class(_config_class()())
    for parameter in stored.parameters():
        parameter.data.mul_(0.5)
    stored.save_pretrained(folder)
    student = model_class.from_pretrained(folder, dtype=next(stored.parameters()).dtype)
    student.module.load_state_dict(make_module().state_dict())
    return student


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the small module's weights, under the names that they have there."""
    return {name.removeprefix(MODULE): parameter.detach().clone() for name, parameter in model.named_parameters()}


# One linear layer with a LoRA adapter whose factors are given


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
