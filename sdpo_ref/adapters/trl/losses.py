"""TRL's loss side: its trainer without a constructor, its batch, its divergence and its scalar losses."""

from collections import defaultdict
from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.adapters.toys.models import Processes, ReplayModel
from sdpo_ref.adapters.toys.texts import PaddedIds, single_token_prompts
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import DistillationBatch, HiddenBatch, Support

# A trainer of TRL and its names for our options


def default_arguments(config_class: Any, **chosen: object) -> SimpleNamespace:
    """A configuration with every field at TRL's own default, but for the chosen ones.

    The dataclass is read and not constructed: its constructor sets up devices, logging and an output folder.
    """
    defaults: dict[str, object] = {}
    for field in fields(config_class):
        if field.default is not MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not MISSING:
            defaults[field.name] = field.default_factory()
    return SimpleNamespace(**{**defaults, **chosen})


def unconstructed(trainer_class: Any, args: SimpleNamespace, **attributes: object) -> Any:
    """A trainer of TRL's class with the attributes that its methods read."""
    trainer = object.__new__(trainer_class)
    common = {
        "args": args,
        "accelerator": Processes(),
        "temperature": args.temperature,
        "use_teacher_server": False,
        "num_loss_tokens_to_skip": getattr(args, "num_loss_tokens_to_skip", 0),
        "model_kwarg_keys": (),
        "current_gradient_accumulation_steps": 1,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
    }
    for name, value in {**common, **attributes}.items():
        setattr(trainer, name, value)
    return trainer


def distillation_options(support: Support, *, alpha: float, ratio_cap: float | None) -> dict[str, object]:
    """TRL's names for the support, the divergence and the cap of the importance ratio."""
    modes = {"full": "full_logits", "sampled_token": "sampled_token"}
    return {
        "distillation_mode": modes.get(support.kind, "topk_logits"),
        "distillation_topk": support.k,
        "distillation_add_tail": support.kind == "top_k_tail",
        "distillation_alpha": alpha,
        "distillation_is_clip": ratio_cap,
    }


# A training batch under TRL's names and dtypes


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


# Per-token divergence


def divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """``compute_full_logit_…`` and ``compute_topk_self_distillation_loss``, which take log-probabilities as logits.

    Raises:
        UnsupportedError: for the sampled token, which has a surrogate loss and no divergence.
    """
    from trl.experimental.sdpo import loss_utils

    if support.kind == "full":
        per_token = loss_utils.compute_full_logit_self_distillation_loss(
            student_log_probs, teacher_log_probs, distillation_alpha=alpha
        )
    elif support.kind == "sampled_token":
        raise UnsupportedError("TRL's sampled-token mode is a surrogate, not a divergence; ask the loss for it")
    else:
        per_token = loss_utils.compute_topk_self_distillation_loss(
            student_log_probs,
            teacher_log_probs,
            distillation_topk=support.k,
            distillation_alpha=alpha,
            distillation_add_tail=support.kind == "top_k_tail",
        )
    result: Tensor = per_token
    return result


# Scalar losses of SDPO and SDFT


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


# The stable DistillationTrainer, which computes from hidden states and heads


def chunked_divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
) -> Float[Tensor, "*batch"]:
    """``ChunkedDivergenceFunction`` on heads that make these log-probabilities.

    A head makes no infinite logit of finite hidden states: a token without mass has a bias of minus infinity, and
    tokens of the batch that exclude different ids are computed apart.

    Raises:
        UnsupportedError: for another support than the full vocabulary.
    """
    if support.kind != "full":
        raise UnsupportedError(f"TRL's kernel compares the full vocabulary, received {support.kind!r}")
    student, teacher = (side.reshape(-1, side.shape[-1]) for side in (student_log_probs, teacher_log_probs))
    excluded = torch.cat([student == -torch.inf, teacher == -torch.inf], dim=-1)
    if not excluded.any():
        return _of_one_pattern(student, teacher, alpha).reshape(student_log_probs.shape[:-1])
    patterns, of_token = torch.unique(excluded, dim=0, return_inverse=True)
    places = [(of_token == number).nonzero()[:, 0] for number in range(len(patterns))]
    found = torch.cat([_of_one_pattern(student[place], teacher[place], alpha) for place in places])
    return found[torch.cat(places).argsort()].reshape(student_log_probs.shape[:-1])


def _of_one_pattern(
    student: Float[Tensor, "token vocab"], teacher: Float[Tensor, "token vocab"], alpha: float
) -> Tensor:
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    heads = [part for side in (student, teacher) for part in _head_of(side)]
    per_token: Tensor
    per_token, _entropy = ChunkedDivergenceFunction.apply(*heads, alpha)
    return per_token


def _head_of(scores: Float[Tensor, "token vocab"]) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, weight and bias that make these scores; an identity is whichever of the two is smaller."""
    finite = scores.masked_fill(scores == -torch.inf, 0.0)
    bias = torch.zeros_like(scores[0]).masked_fill(scores[0] == -torch.inf, -torch.inf)
    tokens, vocab = scores.shape
    if tokens < vocab:
        return torch.eye(tokens, dtype=scores.dtype), finite.T, bias
    return finite, torch.eye(vocab, dtype=scores.dtype), bias


def chunked_divergence_loss(
    batch: HiddenBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``_chunked_divergence_loss``, with the number of counted tokens as ``compute_loss`` passes it on.

    Glue on the trainer's behalf: the mask of rows, which it does not have, is part of the completion mask.

    Raises:
        UnsupportedError: for another support than the full vocabulary, and for importance weights.
    """
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    if support.kind != "full" or ratio_cap is not None:
        raise UnsupportedError(
            f"TRL's DistillationTrainer compares the full vocabulary without importance weights, received "
            f"{support.kind!r} and ratio_cap={ratio_cap}; leave them out of the capabilities"
        )
    result: Tensor
    result, _entropy, _counted = _chunked_divergence_loss(
        batch.student_hidden,
        batch.teacher_hidden,
        batch.student_head.weight,
        batch.teacher_head.weight,
        batch.loss_mask.long(),
        alpha,
        num_items_in_batch=batch.loss_mask.sum().clamp(min=1.0),
        student_lm_head_bias=batch.student_head.bias,
        teacher_lm_head_bias=batch.teacher_head.bias,
        temperature=temperature,
    )
    return result


# The mixture of policy loss and self-distillation loss


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
    """The batch after TRL has scored it by a reward function, which returns the given rewards."""

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
