"""verl's loss side: its scalar losses on a batch that is packed as its engines pack it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import DistillationBatch, Support

# verl's configuration, as `distillation.yaml` leaves it


def _configuration(**chosen: object) -> SimpleNamespace:
    from verl.workers.config import DistillationLossConfig

    fields = {"use_task_rewards": False, "loss_max_clamp": None, "log_prob_min_clamp": None, **chosen}
    return SimpleNamespace(distillation_loss=DistillationLossConfig(**fields))


def _forward_kl(topk: int) -> SimpleNamespace:
    return _configuration(loss_mode="forward_kl_topk", topk=topk, use_policy_gradient=False)


# Packing: rows one after the other, each behind a prompt of one token and without what stands behind its completion


def _attended(completion_mask: Bool[Tensor, "rollout time"]) -> Bool[Tensor, "rollout time"]:
    """Up to the last sampled token of each row."""
    return completion_mask.flip(1).long().cumsum(1).flip(1) > 0


def _packed(values: Float[Tensor, "rollout time *more"], attended: Bool[Tensor, "rollout time"]) -> Tensor:
    """What a model says at each token that it read: the value for completion token t stands one place before it."""
    behind = torch.zeros_like(values[:, :1])
    said = torch.cat([values, behind], dim=1)
    lengths = attended.sum(1) + 1
    return torch.cat([row[:length] for row, length in zip(said, lengths.tolist(), strict=True)])


def _nested(packed: Tensor, attended: Bool[Tensor, "rollout time"]) -> Tensor:
    nested: Tensor = torch.nested.nested_tensor_from_jagged(packed, _offsets(attended))
    return nested


def _offsets(attended: Bool[Tensor, "rollout time"]) -> Int[Tensor, " ends"]:
    ends = (attended.sum(1) + 1).cumsum(0)
    return torch.cat([ends.new_zeros(1), ends])


def _aggregated(
    batch: DistillationBatch, config: SimpleNamespace, model_output: Mapping[str, Tensor], **data: Tensor
) -> Float[Tensor, ""]:
    """``distillation_loss`` of one process that holds the whole batch."""
    from tensordict import TensorDict
    from verl.trainer.distillation.losses import distillation_loss

    attended, counts = _attended(batch.completion_mask), batch.loss_mask
    rows = counts.shape[0]
    held = {
        "prompts": torch.zeros(rows, 1, dtype=torch.long),
        "responses": batch.completions,
        "attention_mask": torch.cat([torch.ones(rows, 1, dtype=torch.bool), attended], dim=1).long(),
        "response_mask": counts.long(),
        **data,
    }
    everything = TensorDict(held, batch_size=[rows])
    counted = {"dp_size": 1, "batch_num_tokens": counts.sum().item(), "global_batch_size": rows}
    for name, value in counted.items():
        everything.set_non_tensor(name, value)
    actor = SimpleNamespace(loss_agg_mode="token-mean", loss_scale_factor=None, global_batch_info={})
    loss: Tensor
    loss, _metrics = distillation_loss(actor, config, dict(model_output), everything)
    return loss


# The scalar losses


def _per_token(
    students: Float[Tensor, "token vocab"], teachers: Float[Tensor, "token vocab"], offsets: Tensor
) -> dict[str, Any]:
    from verl.trainer.distillation.fsdp.losses import compute_forward_kl_topk

    scores, ids = teachers.sort(dim=-1, descending=True)
    per_token: dict[str, Any] = compute_forward_kl_topk(
        student_logits=students[None],
        teacher_topk_log_probs=torch.nested.nested_tensor_from_jagged(scores, offsets),
        teacher_topk_ids=torch.nested.nested_tensor_from_jagged(ids, offsets),
        config=_forward_kl(students.shape[-1]),
        data_format="thd",
    )
    return per_token


def _require_forward(alpha: float, support: Support) -> None:
    if alpha != 0.0:
        raise UnsupportedError(f"verl's top-k loss is the forward KL, received alpha={alpha}; allowed is 0")
    if support.kind != "full":
        raise UnsupportedError(
            f"verl's top-k has neither a tail nor rescaled sides, received {support.kind!r}; allowed is 'full'"
        )


def loss(
    batch: DistillationBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``compute_forward_kl_topk``, then ``distillation_loss`` with ``token-mean``.

    Glue on the trainer's behalf: the teacher's log-probabilities are those of a server, hence float32 or finer and
    without gradients, and the mask of rows is part of verl's response mask.

    Raises:
        UnsupportedError: for what verl's loss does not have.
    """
    _require_forward(alpha, support)
    _require_plain(temperature, ratio_cap)
    attended = _attended(batch.completion_mask)
    teacher = _packed(_teacher_log_probs(batch), attended)
    offsets = _offsets(attended)
    per_token = _per_token(_packed(batch.student_logits, attended), teacher, offsets)
    output = {name: value[0] for name, value in per_token.items()}
    return _aggregated(batch, _forward_kl(teacher.shape[-1]), output)


def policy_gradient_loss(
    batch: DistillationBatch,
    *,
    alpha: float,
    support: Support,
    temperature: float,
    ratio_cap: float | None,
) -> Float[Tensor, ""]:
    """``distillation_loss`` with ``k1`` and ``use_policy_gradient``, on rollouts of the current policy.

    Glue on the trainer's behalf: log-probabilities of the sampled token in float32 or finer, as verl's engine has them.

    Raises:
        UnsupportedError: for another support than the sampled token, and for what verl's loss does not have.
    """
    if support.kind != "sampled_token":
        raise UnsupportedError(f"verl's k1 compares the sampled token, received {support.kind!r}")
    if alpha != 1.0:
        raise UnsupportedError(f"verl's k1 has no alpha, received {alpha}; allowed is 1, which it is")
    _require_plain(temperature, ratio_cap)
    attended, finest = _attended(batch.completion_mask), torch.promote_types(batch.student_logits.dtype, torch.float32)
    index = batch.completions.long().masked_fill(~batch.loss_mask, 0)[..., None]
    student = batch.student_logits.to(finest).log_softmax(-1).gather(-1, index)
    teacher = _teacher_log_probs(batch).gather(-1, index)
    config = _configuration(loss_mode="k1", use_policy_gradient=True)
    output = {"log_probs": _packed(student[..., 0], attended)}
    data = {
        "teacher_logprobs": _nested(_packed(teacher, attended), attended),
        "old_log_probs": student[..., 0].detach(),
    }
    return _aggregated(batch, config, output, **data)


def _teacher_log_probs(batch: DistillationBatch) -> Float[Tensor, "rollout time vocab"]:
    logits = batch.teacher_logits.detach()
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def _require_plain(temperature: float, ratio_cap: float | None) -> None:
    if temperature != 1.0 or ratio_cap is not None:
        raise UnsupportedError(
            f"verl's distillation loss has neither a temperature of both sides nor a cap of ratios, received "
            f"temperature={temperature} and ratio_cap={ratio_cap}; allowed are 1 and None"
        )
