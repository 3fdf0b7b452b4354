"""sdpo-rl's loss side: its trainer by its own constructor, its batch, its divergence and its scalar loss."""

from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sdpo_ref.adapters.toys.loop import Callbacks
from sdpo_ref.adapters.toys.models import Processes, ReplayModel
from sdpo_ref.adapters.toys.texts import PaddedIds, single_token_prompts
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import DistillationBatch, Support

# A trainer above a GRPO trainer whose constructor is replaced


def constructed(
    model: nn.Module,
    options: Mapping[str, object],
    *,
    tokenizer: Any = None,
    reward_function: Any = None,
    group_size: int = 1,
    num_iterations: int = 1,
) -> Any:
    """``SDPOTrainer(model, ...)``: sdpo-rl sets up its teacher and its callback, GRPO gets what it would read.

    Args:
        model: the student.
        options: fields of sdpo-rl's ``SDPOConfig``, which validates them.
        tokenizer: the processing class; the constructor sets its truncation side.
        reward_function: has ``last_feedback``.
        group_size: completions of each prompt.
        num_iterations: optimiser steps on the same rollouts.
    """
    from sdpo_rl import SDPOConfig, SDPOTrainer
    from trl import GRPOTrainer

    def grpo_constructor(self: Any, *, model: nn.Module, args: Any, processing_class: Any, **_unused: object) -> None:
        self.model = model
        self.ref_model = None  # as GRPO leaves it where beta is zero
        self.args = args
        self.processing_class = processing_class
        self.reward_funcs = [reward_function]
        self.reward_weights = torch.ones(1)
        self.accelerator = Processes()
        self.callback_handler = Callbacks()
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}

    args = SimpleNamespace(
        beta=0.0,
        num_generations=group_size,
        num_iterations=num_iterations,
        torch_empty_cache_steps=None,
        optim="sgd",
        n_gpu=0,
    )
    with mock.patch.object(GRPOTrainer, "__init__", grpo_constructor):
        return SDPOTrainer(
            model,
            args,
            SDPOConfig(**options),
            tokenizer or SimpleNamespace(),
            reward_funcs=[reward_function],
        )


# A training batch under sdpo-rl's names and dtypes


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


# Per-token divergence


def divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """``top_k_kl_divergence`` on both sides' log-probabilities at the student's top k, as its trainer gathers them.

    Raises:
        UnsupportedError: for the sampled token, which has a surrogate loss and no divergence.
    """
    from sdpo_rl.distillation import top_k_kl_divergence

    if support.kind == "sampled_token":
        raise UnsupportedError("sdpo-rl's sampled-token mode is a surrogate, not a divergence; ask the loss for it")
    k = support.k or student_log_probs.shape[-1]
    student_top, indices = torch.topk(student_log_probs, k=k, dim=-1)
    teacher_top = torch.gather(teacher_log_probs, dim=-1, index=indices)
    per_token: Tensor = top_k_kl_divergence(
        student_top, teacher_top, alpha=alpha, add_tail=support.kind == "top_k_tail"
    )
    return per_token


# The scalar loss


def loss(
    batch: DistillationBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``compute_loss`` on models that answer with the batch's logits.

    The temperature reaches no code of sdpo-rl's loss: GRPO samples with it and records behaviour log-probabilities
    at it, which is how they are passed on, while the loss reads the logits as they are.
    """
    if support.kind == "sampled_token":
        return _sampled_token_loss(batch, alpha=alpha, ratio_cap=ratio_cap)
    options = {
        "teacher_mode": "frozen",
        "alpha": alpha,
        "is_clip": ratio_cap,
        **distillation_options(support, vocabulary_size=batch.student_logits.shape[-1]),
    }
    trainer = constructed(nn.Identity(), options)
    trainer.ref_model = ReplayModel(batch.teacher_logits)
    prompts = single_token_prompts(batch.completions)
    inputs = training_inputs(
        prompts,
        prompts,
        completions=batch.completions,
        completion_mask=batch.completion_mask,
        self_distillation_mask=batch.self_distillation_mask,
    )
    if batch.behaviour_log_probs is not None:
        inputs["old_per_token_logps"] = batch.behaviour_log_probs
    result: Tensor = trainer.compute_loss(ReplayModel(batch.student_logits), inputs)
    return result


def _sampled_token_loss(batch: DistillationBatch, *, alpha: float, ratio_cap: float | None) -> Float[Tensor, ""]:
    """``compute_self_distillation_loss`` without top-k tensors, a path that its trainer never takes."""
    from sdpo_rl.distillation import compute_self_distillation_loss

    def at_completions(logits: Tensor) -> Tensor:
        index = batch.completions.unsqueeze(-1)
        return torch.gather(torch.log_softmax(logits, dim=-1), dim=-1, index=index).squeeze(-1)

    result: Tensor
    result, _metrics = compute_self_distillation_loss(
        student_log_probs=at_completions(batch.student_logits),
        teacher_log_probs=at_completions(batch.teacher_logits),
        response_mask=batch.completion_mask.long(),
        alpha=alpha,
        is_clip=ratio_cap,
        old_log_probs=batch.behaviour_log_probs,
        self_distillation_mask=batch.self_distillation_mask.float(),
    )
    return result
