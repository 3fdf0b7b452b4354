"""A training batch under TRL's names and dtypes."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sdpo_ref.adapters.toys.padding import PaddedIds


def training_inputs(
    trainer_class: Any,
    prompts: PaddedIds,
    teacher_prompts: PaddedIds,
    *,
    completions: Int[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
    self_distillation_mask: Bool[Tensor, " rollout"],
) -> dict[str, Tensor]:
    """What TRL's ``_prepare_training_batch`` hands to ``compute_loss``.

    SDFT has no mask of rows, since each of its rows comes with a demonstration: a row that teaches nothing reaches
    it as a completion of which no token counts.
    """
    row_mask = self_distillation_mask.float()
    inputs: dict[str, Tensor] = {}
    if trainer_class.__name__ == "SDFTTrainer":
        completion_mask = completion_mask & self_distillation_mask[:, None]
    else:
        inputs["self_distillation_mask"] = row_mask
    counted = completion_mask.long()
    inputs["prompt_ids"], inputs["prompt_mask"] = prompts
    inputs["completion_ids"], inputs["completion_mask"] = completions, counted
    inputs["teacher_input_ids"] = torch.cat([teacher_prompts[0], completions], dim=1)
    inputs["teacher_attention_mask"] = torch.cat([teacher_prompts[1], counted], dim=1)
    return inputs
