"""The last layer of a transformers model as an affine head, or a refusal: a model may do more than a matrix does."""

from typing import Any

import torch
from torch import nn

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import Head

_SETTINGS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier_scale")
"""Settings of configurations under which logits are more than a matrix times hidden states."""


def head_of(model: Any) -> Head:
    """The head of a causal language model, live.

    Two things are looked at: named settings of the configuration (soft caps of Gemma, scales of Cohere and Granite),
    and a few tokens, on which the head must give the model's own logits: an unknown last step is refused, too.

    Args:
        model: of transformers, without adapters around it.

    Returns:
        Weight and bias of the output embeddings; gradient flows into both.

    Raises:
        UnsupportedError: if the last layer is no plain linear layer, or the logits are not those of the model.
    """
    last = model.get_output_embeddings()
    if type(last) is not nn.Linear:
        raise UnsupportedError(
            f"the model's last layer is a {type(last).__name__}; allowed is torch.nn.Linear, so leave adapters off the "
            "head, or compute the loss from logits"
        )
    head = Head(last.weight, last.bias)
    changed = [name for name in _SETTINGS if getattr(model.config, name, None) not in (None, 1, 1.0)]
    if changed or not _makes_the_logits(model, head):
        named = ", ".join(f"{name}={getattr(model.config, name)}" for name in changed) or "an unknown last step"
        raise UnsupportedError(
            f"the model's logits are not its last matrix times its hidden states ({named}); allowed is an affine head, "
            "so compute the loss from logits"
        )
    return head


def _makes_the_logits(model: Any, head: Head) -> bool:
    """Whether the head gives the model's logits on a few tokens (on one alone, they may be zero: padding's are)."""
    few = torch.arange(min(4, head.weight.shape[0]), device=head.weight.device)[None]
    with torch.no_grad():
        own = model(input_ids=few, use_cache=False).logits
        found = head.logits(model.get_decoder()(input_ids=few, use_cache=False).last_hidden_state)
    tolerance = 1e-2 if own.itemsize < 4 else 1e-4
    return bool((own - found).abs().max() <= tolerance * own.abs().max())
