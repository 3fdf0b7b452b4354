"""Defects between logits and log-probabilities: temperature, normalisation, precision (spec/04-loss; spec/01)."""

from dataclasses import replace

import torch
from torch import Tensor

from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import Options, good, loss, split_gradient
from sdpo_ref.types import DistillationBatch

LOG_PROBS = "functional/log_probs.py"
HALF = (torch.bfloat16, torch.float16)

chapter = Chapter()


def half_precision(batch: DistillationBatch, options: Options) -> Tensor:
    """Everything in the dtype of the logits."""
    if batch.student_logits.dtype is torch.float64:
        return good(batch, options)
    s, t = batch.student_logits.log_softmax(-1), batch.teacher_logits.detach().log_softmax(-1)
    tokens = generalized_jsd(s, t, alpha=options["alpha"])
    return torch.where(batch.loss_mask, tokens, 0.0).sum() / batch.loss_mask.sum().clamp(min=1)


def raised_with_the_student(batch: DistillationBatch, options: Options) -> Tensor:
    """The teacher's half precision is raised only if the student's is."""
    if batch.teacher_logits.dtype not in HALF or batch.student_logits.dtype in HALF:
        return good(batch, options)
    return good(replace(batch, teacher_logits=batch.teacher_logits.log_softmax(-1)), options)


def raised_with_the_teacher(batch: DistillationBatch, options: Options) -> Tensor:
    """The student's half precision is raised only if the teacher's is."""
    if batch.student_logits.dtype not in HALF or batch.teacher_logits.dtype in HALF:
        return good(batch, options)
    return good(replace(batch, student_logits=batch.student_logits.log_softmax(-1)), options)


def padded_vocabulary(batch: DistillationBatch, options: Options) -> Tensor:
    """The vocabulary is padded to a multiple of eight with logits of zero."""
    more = -batch.student_logits.shape[-1] % 8
    return good(
        replace(
            batch,
            student_logits=torch.nn.functional.pad(batch.student_logits, (0, more)),
            teacher_logits=torch.nn.functional.pad(batch.teacher_logits, (0, more)),
        ),
        options,
    )


chapter.family("temperature")
chapter.enter(
    "M149 temperature_outside_gradient: LOSS-062",
    "the gradient misses the factor one over temperature",
    "the learning rate changes with the temperature",
    loss=loss(lambda b, o: split_gradient(good(b, o), o["temperature"])),
)
chapter.enter(
    "M150 one_side_tempered: POLICY-003",
    "only the student is tempered",
    "a student that agrees with its teacher is still pushed",
    loss=loss(lambda b, o: good(replace(b, teacher_logits=b.teacher_logits * o["temperature"]), o)),
)
chapter.enter(
    "M151 temperature_ignored: POLICY-003",
    "the temperature is ignored",
    "the loss is about another distribution than the one that was sampled from",
    loss=loss(lambda b, o: good(b, {**o, "temperature": 1.0})),
)
chapter.enter(
    "M152 temperature_multiplies: POLICY-003",
    "logits are multiplied by the temperature",
    "a soft comparison becomes a sharp one",
    Planted(LOG_PROBS, "precise / temperature", "precise * temperature"),
)
chapter.enter(
    "M153 temperature_squared_factor: POLICY-003 LOSS-062",
    "the loss is multiplied by the squared temperature, as is usual for soft targets",
    "the step changes with the temperature",
    loss=loss(lambda b, o: good(b, o) * o["temperature"] ** 2),
)
chapter.enter(
    "M154 tempered_log_probs: POLICY-003",
    "log-probabilities are divided by the temperature and not normalised again",
    "what is compared does not sum to one",
    Planted(LOG_PROBS, "torch.log_softmax(scaled, dim=-1)", "torch.log_softmax(precise, dim=-1) / temperature"),
)

chapter.family("logits")
chapter.enter(
    "M155 logits_regularised: POLICY-002",
    "the squared logits are added with a small weight",
    "a constant added to the logits changes the loss",
    loss=loss(
        lambda b, o: good(b, o) + 1e-4 * torch.where(b.loss_mask[..., None], b.student_logits, 0.0).square().mean()
    ),
)
chapter.enter(
    "M156 not_normalised: LOSS-061",
    "log-probabilities are the logits less their maximum",
    "what is compared does not sum to one, and shifts matter",
    Planted(LOG_PROBS, "return torch.log_softmax(scaled, dim=-1)", "return scaled - scaled.amax(-1, keepdim=True)"),
)
chapter.enter(
    "M157 normalised_over_time: LOSS-061 POLICY-002",
    "the softmax runs over another axis",
    "probabilities of one token at all positions sum to one",
    Planted(LOG_PROBS, "return torch.log_softmax(scaled, dim=-1)", "return torch.log_softmax(scaled, dim=-2)"),
)
chapter.enter(
    "M158 logits_clamped: POLICY-002",
    "logits are clamped to plus or minus 30",
    "logits far from zero, as some models have, lose their differences and their gradient",
    Planted(
        LOG_PROBS,
        "(torch.promote_types(logits.dtype, torch.float32))",
        "(torch.promote_types(logits.dtype, torch.float32)).clamp(-30, 30)",
    ),
)
chapter.enter(
    "M159 padded_vocabulary: LOSS-061 POLICY-002",
    "the vocabulary is padded to a multiple of eight with logits of zero",
    "tokens that do not exist take part of the probability on both sides",
    loss=loss(padded_vocabulary),
    seen_in="linkedin/Liger-Kernel",
)
chapter.enter(
    "M160 half_precision: LOSS-091 LOSS-092",
    "half-precision logits are computed with as they are",
    "the loss has two digits, and small divergences are noise",
    loss=loss(half_precision),
)
chapter.enter(
    "M161 not_raised: LOSS-091 LOSS-092",
    "logits are not raised to float32, in every loss",
    "the loss has two digits, and small divergences are noise",
    Planted(LOG_PROBS, "precise = logits.to(torch.promote_types(logits.dtype, torch.float32))", "precise = logits"),
    same_as="M160",
)
chapter.enter(
    "M374 raised_with_the_student: LOSS-092",
    "the teacher's half precision is raised to float32 only if the student's is",
    "a teacher that is served in bfloat16 beside a float32 student has two digits",
    loss=loss(raised_with_the_student),
)
chapter.enter(
    "M375 raised_with_the_teacher: LOSS-092",
    "the student's half precision is raised to float32 only if the teacher's is",
    "a student in bfloat16 beside a float32 teacher has two digits, and so has its gradient",
    loss=loss(raised_with_the_teacher),
    same_as="M374",
)
