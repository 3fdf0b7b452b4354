"""A ``transformers`` model around a small module, loaded from a file that no longer tells its weights."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
