"""Where TRL's sampling ends a completion."""

from collections.abc import Collection
from contextlib import nullcontext
from sys import modules
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sdpo_ref.adapters.trl.trainer import default_arguments, unconstructed


def completion_mask(
    trainer_class: Any, completions: Int[Tensor, "rollout time"], *, end_ids: Collection[int]
) -> Bool[Tensor, "rollout time"]:
    """``sample_rollouts`` of a model that generates the given completions.

    TRL cuts each completion after the first token of its ``eos_token_ids`` and pads the rest; positions that it cut
    from all rows come back as False.
    """
    rows, time = completions.shape
    args = default_arguments(trainer_class.config_cls, steps_per_generation=1, use_vllm=False)
    trainer = unconstructed(
        trainer_class,
        args,
        eos_token_ids=list(end_ids),
        mask_truncated_completions=False,
        generate_from_teacher=False,
        num_iterations=1,
        use_vllm=False,
        is_fsdp_enabled=False,
        generation_kwargs={},
        generation_config=None,
        model_wrapped=None,
        _tokenizer=SimpleNamespace(pad_token_id=0),
        _tokenize_prompts=lambda prompts: [[0]] * len(prompts),
        callback_handler=SimpleNamespace(callbacks=[]),
    )

    def generate(input_ids: Tensor, **_options: object) -> Tensor:
        return torch.cat([input_ids, completions], dim=1)

    model = nullcontext(SimpleNamespace(generate=generate))
    with mock.patch.object(modules[trainer_class.__module__], "unwrap_model_for_generation", return_value=model):
        batch = trainer.sample_rollouts([{"prompt": ""}] * rows)
    mask = torch.zeros(rows, time, dtype=torch.bool)
    counted: Tensor = batch["completion_mask"].bool()
    mask[:, : counted.shape[1]] = counted
    return mask
