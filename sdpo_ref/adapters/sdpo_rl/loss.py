"""sdpo-rl's scalar loss."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sdpo_ref.adapters.sdpo_rl.inputs import distillation_options, training_inputs
from sdpo_ref.adapters.sdpo_rl.trainer import constructed
from sdpo_ref.adapters.toys.padding import single_token_prompts
from sdpo_ref.adapters.toys.replay import ReplayModel
from sdpo_ref.types import DistillationBatch, Support


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
