"""A training batch under sdpo-rl's names and dtypes, and its names for our options."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sdpo_ref.adapters.toys.padding import PaddedIds
from sdpo_ref.types import Support


def training_inputs(
    prompts: PaddedIds,
    teacher_prompts: PaddedIds,
    *,
    completions: Int[Tensor, "rollout time"],
    completion_mask: Bool[Tensor, "rollout time"],
    self_distillation_mask: Bool[Tensor, " rollout"],
) -> dict[str, Tensor]:
    """What ``_generate_and_score_completions`` hands to ``compute_loss``."""
    counted = completion_mask.long()
    attention = torch.cat([teacher_prompts[1], counted], dim=1)
    return {
        "prompt_ids": prompts[0],
        "prompt_mask": prompts[1],
        "completion_ids": completions,
        "completion_mask": counted,
        "teacher_input_ids": torch.cat([teacher_prompts[0], completions], dim=1),
        "teacher_attention_mask": attention,
        "teacher_position_ids": (attention.cumsum(dim=-1) - 1).masked_fill(attention == 0, 0),
        "self_distillation_mask": self_distillation_mask.float(),
    }


def distillation_options(support: Support, *, vocabulary_size: int) -> dict[str, object]:
    """Fields of ``SDPOConfig`` for a support.

    There is no full vocabulary in sdpo-rl (``full_logit_distillation`` is never read): its top-k without a tail is
    the full vocabulary where k is its size.
    """
    if support.kind == "full":
        return {"distillation_topk": vocabulary_size, "distillation_add_tail": False}
    return {"distillation_topk": support.k, "distillation_add_tail": support.kind == "top_k_tail"}
