"""TRL's scalar loss, from the models' logits on: shift, temperature, masks, clipping, aggregation, logging."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.adapters.toys.padding import single_token_prompts
from sdpo_ref.adapters.toys.replay import ReplayModel
from sdpo_ref.adapters.trl.inputs import training_inputs
from sdpo_ref.adapters.trl.trainer import default_arguments, distillation_options, unconstructed
from sdpo_ref.types import DistillationBatch, Support


def loss(
    trainer_class: Any,
    batch: DistillationBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``compute_loss`` on models that answer with the batch's logits.

    While ``torch.distributed`` is initialised, the trainer's gathering of the logged loss is a collective call.
    """
    options = distillation_options(support, alpha=alpha, ratio_cap=ratio_cap)
    return _computed_loss(trainer_class, batch, {"temperature": temperature, **options})


def sdft_loss(batch: DistillationBatch, *, alpha: float, support: Support, skip_tokens: int) -> Float[Tensor, ""]:
    """``SDFTTrainer.compute_loss`` with ``num_loss_tokens_to_skip``."""
    from trl.experimental.sdft import SDFTTrainer

    options = distillation_options(support, alpha=alpha, ratio_cap=None)
    return _computed_loss(SDFTTrainer, batch, {"num_loss_tokens_to_skip": skip_tokens, **options})


def _computed_loss(trainer_class: Any, batch: DistillationBatch, options: dict[str, object]) -> Float[Tensor, ""]:
    args = default_arguments(trainer_class.config_cls, teacher_model_kind="live", **options)
    student, teacher = ReplayModel(batch.student_logits), ReplayModel(batch.teacher_logits)
    trainer = unconstructed(trainer_class, args, model=student, teacher_model=teacher)
    prompts = single_token_prompts(batch.completions)
    inputs = training_inputs(
        trainer_class,
        prompts,
        prompts,
        completions=batch.completions,
        completion_mask=batch.completion_mask,
        self_distillation_mask=batch.self_distillation_mask,
    )
    if batch.behaviour_log_probs is not None:
        inputs["old_per_token_logps"] = batch.behaviour_log_probs
    result: Tensor = trainer.compute_loss(student, inputs)
    return result
