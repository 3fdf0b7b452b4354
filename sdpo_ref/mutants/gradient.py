"""Defects of what training sees: gradient, temperature, precision, options, state between calls (spec/04-loss, E)."""

from dataclasses import replace
from itertools import count

import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import Options, good, loss, split_gradient
from sdpo_ref.types import DistillationBatch

LOSSES = "losses/reference.py"
BEGIN = "    student, teacher = _student_and_teacher(batch, temperature=temperature)\n"
LOG_PROBS = "functional/log_probs.py"
CALLS = count()

chapter = Chapter()


def in_place(batch: DistillationBatch, options: Options) -> Tensor:
    """Writes into its input."""
    value = good(batch, options)
    with torch.no_grad():
        batch.teacher_logits.sub_(1e-3)
    return value


def behaviour_in_place(batch: DistillationBatch, options: Options) -> Tensor:
    """Writes into the recorded log-probabilities where importance weights are on."""
    value = good(batch, options)
    if options["ratio_cap"] is not None and batch.behaviour_log_probs is not None:
        batch.behaviour_log_probs.masked_fill_(~batch.loss_mask, 0.0)
    return value


def double_by_default(batch: DistillationBatch, options: Options) -> Tensor:
    """Makes float64 the dtype of all that is created afterwards."""
    torch.set_default_dtype(torch.float64)
    return good(batch, options)


def any_option(batch: DistillationBatch, options: Options) -> Tensor:
    """Options out of range are moved into it."""
    cap = options["ratio_cap"]
    return good(
        batch,
        {
            **options,
            "temperature": abs(options["temperature"]) or 1.0,
            "ratio_cap": None if cap is None else abs(cap or 1.0),
            "alpha": min(max(options["alpha"], 0), 1),
        },
    )


def clipped_gradient(batch: DistillationBatch, options: Options) -> Tensor:
    """Gradients with respect to logits are clipped."""
    logits = batch.student_logits.clone()
    logits.register_hook(lambda gradient: gradient.clamp(-0.02, 0.02))  # type: ignore[no-untyped-call]
    return good(replace(batch, student_logits=logits), options)


class Scaled(torch.autograd.Function):
    """A gradient that forgets what comes from above."""

    @staticmethod
    def forward(ctx: object, value: Tensor, logits: Tensor, slope: Tensor) -> Tensor:
        """The value."""
        del logits
        ctx.slope = slope  # type: ignore[attr-defined]
        return value.clone()

    @staticmethod
    def backward(ctx: object, upstream: Tensor) -> tuple[None, Tensor, None]:
        """The slope, whatever the factor."""
        del upstream
        return None, ctx.slope, None  # type: ignore[attr-defined]


def deaf(batch: DistillationBatch, options: Options) -> Tensor:
    """The gradient is computed in the forward pass and does not listen to the factor from above."""
    leaf = batch.student_logits.detach().requires_grad_()
    value = good(replace(batch, student_logits=leaf), options)
    (slope,) = torch.autograd.grad(value, leaf)
    found: Tensor = Scaled.apply(value.detach(), batch.student_logits, slope)  # type: ignore[no-untyped-call]
    return found


chapter.family("gradient of the teacher")
chapter.enter(
    "M141 teacher_gradient: LOSS-060",
    "a small part of the gradient reaches the teacher",
    "the teacher moves towards the student",
    loss=loss(
        lambda b, o: (
            good(b, o)
            + 1e-3 * ((it := torch.where(b.loss_mask[..., None], b.teacher_logits, 0.0).square().mean()) - it.detach())
        )
    ),
)
chapter.enter(
    "M142 teacher_not_detached: LOSS-060",
    "the teacher's logits are not detached",
    "with a live teacher both sides meet half-way instead of the student following",
    Planted(LOSSES, "batch.teacher_logits.detach(), batch", "batch.teacher_logits, batch"),
    same_as="M141",
)
chapter.enter(
    "M143 student_detached: LOSS-060 LOSS-061",
    "the student is detached and the teacher is not",
    "the wrong side is trained",
    Planted(
        LOSSES,
        "return student.to(common), teacher.to(common)",
        "grad = log_probs(_neutral_where_masked(batch.teacher_logits, batch.loss_mask), temperature=temperature)\n"
        "    return student.detach().to(common) + 0 * student, grad.to(common)",
    ),
)

chapter.family("size of the gradient")
chapter.enter(
    "M144 gradient_halved: LOSS-061",
    "the value is right and its gradient half of it",
    "the learning rate is not what was set",
    loss=loss(lambda b, o: split_gradient(good(b, o), 0.5)),
)
chapter.enter(
    "M145 sign_flipped: LOSS-061 TRAIN-001 TRAIN-009",
    "the loss is the negative of the divergence",
    "the student runs from its teacher",
    Planted(
        LOSSES, "return aggregate(token_losses, batch.loss_mask,", "return -aggregate(token_losses, batch.loss_mask,"
    ),
)
chapter.enter(
    "M146 score_function_term: LOSS-061",
    "the prefixes are treated as a function of the student: a score-function term is added",
    "completions with a small divergence are made more likely, whatever the teacher says",
    loss=loss(
        lambda b, o: (
            good(b, o)
            + 0.1
            * (
                good(b, o).detach()
                * (
                    torch.where(b.loss_mask[..., None], b.student_logits, 0.0)
                    .log_softmax(-1)
                    .gather(-1, torch.where(b.loss_mask, b.completions, 0)[..., None])
                    .squeeze(-1)
                    * b.loss_mask
                ).sum()
            )
        )
    ),
)
chapter.enter(
    "M147 gradient_clipped: LOSS-061",
    "gradients with respect to logits are clipped at 0.02",
    "the tokens that are most wrong are corrected least",
    loss=loss(clipped_gradient),
)
chapter.enter(
    "M148 deaf_to_upstream: LOSS-065",
    "the gradient is computed ahead and ignores the factor from above",
    "scaling for accumulation or mixed precision has no effect",
    loss=loss(deaf),
)

chapter.family("state between calls")
chapter.enter(
    "M162 written_in_place: LOSS-094",
    "the teacher's logits are written to",
    "whatever reads them next, logging or a second loss, reads other numbers",
    loss=loss(in_place),
)
chapter.enter(
    "M163 drifting: LOSS-065",
    "each call returns a little more than the one before",
    "two runs with the same seed differ",
    loss=loss(lambda b, o: good(b, o) * (1 + 1e-6 * next(CALLS))),
)
chapter.enter(
    "M421 seeded: LOSS-096",
    "each call seeds PyTorch's random number generator",
    "rollouts that are sampled afterwards are the same in every step",
    Planted(LOSSES, BEGIN, f"    torch.manual_seed(0)\n{BEGIN}"),
)
chapter.enter(
    "M438 behaviour_written_in_place: LOSS-095",
    "recorded log-probabilities of tokens that do not count are overwritten with zero",
    "a second loss on the same rollouts, with another mask, has other importance weights",
    loss=loss(behaviour_in_place),
)
chapter.enter(
    "M439 default_dtype_changed: LOSS-097",
    "each call makes float64 the default dtype of the process",
    "all that is created afterwards takes twice the memory and is slower",
    loss=loss(double_by_default),
)

chapter.family("what must be refused")
chapter.enter(
    "M164 any_option: LOSS-098 LOSS-099 LOSS-100",
    "a temperature, a cap or an alpha out of range is moved into it",
    "a slip in a configuration trains with other settings, in silence",
    loss=loss(any_option),
)
chapter.enter(
    "M165 zero_temperature_passes: LOSS-099",
    "a temperature of zero passes",
    "every logit becomes infinite or NaN",
    Planted(LOG_PROBS, "if not (math.isfinite(temperature) and temperature > 0):", "if temperature < 0:"),
)
chapter.enter(
    "M166 any_cap: LOSS-100",
    "a ratio cap of zero or below passes",
    "every token gets the same weight, zero or below",
    Planted("functional/importance.py", "if not ratio_cap > 0:", "if ratio_cap != ratio_cap:"),
)
chapter.enter(
    "M423 any_reward_weight: LOSS-101",
    "the reward's weight is not checked",
    "a typo turns self-distillation round",
    Planted("functional/advantages.py", "if not 0.0 <= weight <= 1.0:", "if weight is None:"),
)
chapter.enter(
    "M424 any_skip: LOSS-102",
    "the number of tokens to skip is not checked",
    "a negative number is taken for none",
    Planted("losses/sdft.py", "if skip_tokens < 0:", "if skip_tokens is None:"),
)
