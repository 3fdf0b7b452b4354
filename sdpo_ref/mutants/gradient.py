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


TEACHER = "gradient of the teacher"
chapter.enter(
    141,
    "teacher_gradient",
    TEACHER,
    "a small part of the gradient reaches the teacher",
    "the teacher moves towards the student",
    "LOSS-060",
    loss=loss(
        lambda b, o: (
            good(b, o)
            + 1e-3 * ((it := torch.where(b.loss_mask[..., None], b.teacher_logits, 0.0).square().mean()) - it.detach())
        )
    ),
)
chapter.enter(
    142,
    "teacher_not_detached",
    TEACHER,
    "the teacher's logits are not detached",
    "with a live teacher both sides meet half-way instead of the student following",
    "LOSS-060",
    Planted(
        LOSSES,
        "_neutral_where_masked(batch.teacher_logits.detach(), batch.loss_mask)",
        "_neutral_where_masked(batch.teacher_logits, batch.loss_mask)",
    ),
    same_as=141,
)
chapter.enter(
    143,
    "student_detached",
    TEACHER,
    "the student is detached and the teacher is not",
    "the wrong side is trained",
    "LOSS-060 LOSS-061",
    Planted(
        LOSSES,
        "return student.to(common), teacher.to(common)",
        "grad = log_probs(_neutral_where_masked(batch.teacher_logits, batch.loss_mask), temperature=temperature)\n"
        "    return student.detach().to(common) + 0 * student, grad.to(common)",
    ),
)

SLOPE = "size of the gradient"
chapter.enter(
    144,
    "gradient_halved",
    SLOPE,
    "the value is right and its gradient half of it",
    "the learning rate is not what was set",
    "LOSS-061",
    loss=loss(lambda b, o: split_gradient(good(b, o), 0.5)),
)
chapter.enter(
    145,
    "sign_flipped",
    SLOPE,
    "the loss is the negative of the divergence",
    "the student runs from its teacher",
    "LOSS-061 TRAIN-001 TRAIN-009",
    Planted(
        LOSSES,
        "return aggregate(token_losses, batch.loss_mask, aggregation=aggregation)",
        "return -aggregate(token_losses, batch.loss_mask, aggregation=aggregation)",
    ),
)
chapter.enter(
    146,
    "score_function_term",
    SLOPE,
    "the prefixes are treated as a function of the student: a score-function term is added",
    "completions with a small divergence are made more likely, whatever the teacher says",
    "LOSS-061",
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
    147,
    "gradient_clipped",
    SLOPE,
    "gradients with respect to logits are clipped at 0.02",
    "the tokens that are most wrong are corrected least",
    "LOSS-061",
    loss=loss(clipped_gradient),
)
chapter.enter(
    148,
    "deaf_to_upstream",
    SLOPE,
    "the gradient is computed ahead and ignores the factor from above",
    "scaling for accumulation or mixed precision has no effect",
    "LOSS-065",
    loss=loss(deaf),
)

STATE = "state between calls"
chapter.enter(
    162,
    "written_in_place",
    STATE,
    "the teacher's logits are written to",
    "whatever reads them next, logging or a second loss, reads other numbers",
    "LOSS-094",
    loss=loss(in_place),
)
chapter.enter(
    163,
    "drifting",
    STATE,
    "each call returns a little more than the one before",
    "two runs with the same seed differ",
    "LOSS-065",
    loss=loss(lambda b, o: good(b, o) * (1 + 1e-6 * next(CALLS))),
)
chapter.enter(
    421,
    "seeded",
    STATE,
    "each call seeds PyTorch's random number generator",
    "rollouts that are sampled afterwards are the same in every step",
    "LOSS-096",
    Planted(LOSSES, BEGIN, f"    torch.manual_seed(0)\n{BEGIN}"),
)
chapter.enter(
    438,
    "behaviour_written_in_place",
    STATE,
    "recorded log-probabilities of tokens that do not count are overwritten with zero",
    "a second loss on the same rollouts, with another mask, has other importance weights",
    "LOSS-095",
    loss=loss(behaviour_in_place),
)
chapter.enter(
    439,
    "default_dtype_changed",
    STATE,
    "each call makes float64 the default dtype of the process",
    "all that is created afterwards takes twice the memory and is slower",
    "LOSS-097",
    loss=loss(double_by_default),
)

REFUSED = "what must be refused"
chapter.enter(
    164,
    "any_option",
    REFUSED,
    "a temperature, a cap or an alpha out of range is moved into it",
    "a slip in a configuration trains with other settings, in silence",
    "LOSS-098 LOSS-099 LOSS-100",
    loss=loss(any_option),
)
chapter.enter(
    165,
    "zero_temperature_passes",
    REFUSED,
    "a temperature of zero passes",
    "every logit becomes infinite or NaN",
    "LOSS-099",
    Planted(LOG_PROBS, "if not (math.isfinite(temperature) and temperature > 0):", "if temperature < 0:"),
)
chapter.enter(
    166,
    "any_cap",
    REFUSED,
    "a ratio cap of zero or below passes",
    "every token gets the same weight, zero or below",
    "LOSS-100",
    Planted("functional/importance.py", "if not ratio_cap > 0:", "if ratio_cap != ratio_cap:"),
)
chapter.enter(
    423,
    "any_reward_weight",
    REFUSED,
    "the reward's weight is not checked",
    "a typo turns self-distillation round",
    "LOSS-101",
    Planted("functional/advantages.py", "if not 0.0 <= weight <= 1.0:", "if weight is None:"),
)
chapter.enter(
    424,
    "any_skip",
    REFUSED,
    "the number of tokens to skip is not checked",
    "a negative number is taken for none",
    "LOSS-102",
    Planted("losses/sdft.py", "if skip_tokens < 0:", "if skip_tokens is None:"),
)

MUTANTS = tuple(chapter.mutants)
