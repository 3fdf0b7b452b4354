"""TRL SDPO's mixture of policy loss and self-distillation loss."""

from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.adapters.toys.padding import single_token_prompts
from sdpo_ref.adapters.toys.replay import ReplayModel
from sdpo_ref.adapters.trl.inputs import training_inputs
from sdpo_ref.adapters.trl.trainer import default_arguments, distillation_options, unconstructed
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import DistillationBatch, Support


def hybrid_loss(
    batch: DistillationBatch,
    rewards: Float[Tensor, " rollout"],
    group_ids: Int[Tensor, " rollout"],
    *,
    reward_weight: float,
    support: Support,
) -> Float[Tensor, ""]:
    """``_prepare_training_batch`` (for the advantages) and ``compute_loss`` with ``distillation_weight = 1 - w``.

    Behaviour log-probabilities are not passed on, so that TRL takes every importance ratio to be one. TRL groups by
    position, so rows are put in the order of their groups first; its losses do not depend on the order of rows.

    Raises:
        UnsupportedError: if groups differ in size, which a TRL trainer cannot hold.
    """
    from trl.experimental.sdpo import SDPOTrainer

    sizes = torch.unique(group_ids, return_counts=True)[1]
    if len(set(sizes.tolist())) != 1:
        raise UnsupportedError(
            f"TRL has one group size for all prompts, received groups of {sizes.tolist()} rollouts; "
            "give groups of equal size"
        )
    order = torch.argsort(group_ids, stable=True)
    student, teacher = ReplayModel(batch.student_logits[order]), ReplayModel(batch.teacher_logits[order])
    args = default_arguments(
        SDPOTrainer.config_cls,
        distillation_weight=1.0 - reward_weight,
        teacher_model_kind="live",
        diagnostics_warning_interval=0,
        **distillation_options(support, alpha=1.0, ratio_cap=None),
    )
    trainer = unconstructed(
        SDPOTrainer,
        args,
        model=student,
        teacher_model=teacher,
        num_generations=int(sizes[0]),
        scale_rewards=args.scale_rewards,
        importance_sampling_level=args.importance_sampling_level,
        epsilon_low=args.epsilon,
        epsilon_high=args.epsilon,
        loss_type=args.loss_type,
        max_completion_length=args.max_completion_length,
    )
    prompts = single_token_prompts(batch.completions)
    inputs = training_inputs(
        SDPOTrainer,
        prompts,
        prompts,
        completions=batch.completions[order],
        completion_mask=batch.completion_mask[order],
        self_distillation_mask=batch.self_distillation_mask[order],
    )
    prepared = _with_advantages(trainer, inputs, rewards[order].tolist())
    result: Tensor = trainer.compute_loss(student, prepared)
    return result


def _with_advantages(trainer: Any, inputs: dict[str, Tensor], rewards: list[float]) -> dict[str, Tensor]:
    """The batch after TRL has scored it by a reward function, which here knows the rewards."""

    def score(**_columns: object) -> list[float]:
        return rewards

    rows = len(rewards)
    context = {name: inputs.pop(name) for name in [*inputs] if name.startswith(("teacher_", "self_"))}
    inputs["raw_completion_lengths"] = torch.full((rows,), inputs["completion_ids"].shape[1])
    attributes = {
        "sample_rollouts": lambda _examples: inputs,
        "processing_class": SimpleNamespace(batch_decode=lambda ids, **_options: [""] * len(ids)),
        "reward_funcs": [score],
        "reward_func_names": ["rewards"],
        "reward_processing_classes": [None],
        "reward_weights": torch.ones(1),
        "state": None,
        "eos_token_ids": [],
        "_tokenizer": SimpleNamespace(pad_token_id=-1),
        "teacher_context_builder": SimpleNamespace(build=lambda *_args, **_options: context, last_metrics={}),
        "callback_handler": SimpleNamespace(callbacks=[]),
        "_diagnostic_counters": {"train": {}, "eval": {}},
    }
    for name, value in attributes.items():
        setattr(trainer, name, value)
    prepared: dict[str, Tensor] = trainer._prepare_training_batch([{"prompt": ""}] * rows)
    return prepared
