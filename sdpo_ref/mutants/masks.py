"""Defects of masks: what counts, what does not, and batches in which nothing does (spec/04-loss, E)."""

from dataclasses import replace

import torch
from torch import Tensor

from sdpo_ref.losses.reference import sdpo_token_losses
from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import Options, good, loss
from sdpo_ref.types import DistillationBatch

LOSSES = "losses/reference.py"
FILE = "functional/aggregation.py"

chapter = Chapter()


def without_holes(mask: Tensor) -> Tensor:
    """True from the first to the last that is."""
    return (mask.cumsum(-1) > 0) & (mask.flip(-1).cumsum(-1) > 0).flip(-1)


def every_row(batch: DistillationBatch) -> DistillationBatch:
    """All rows have a context."""
    return replace(batch, self_distillation_mask=torch.ones_like(batch.self_distillation_mask))


def counting(batch: DistillationBatch, completion_mask: Tensor) -> DistillationBatch:
    """Another completion mask, over token 0 where the right one is False."""
    completions = torch.where(batch.completion_mask, batch.completions, 0)
    return replace(batch, completion_mask=completion_mask, completions=completions)


def of_every_token(batch: DistillationBatch, options: Options) -> Tensor:
    """The loss of each token, computed as if all counted."""
    behaviour = batch.behaviour_log_probs
    everything = replace(
        batch,
        completions=torch.where(batch.loss_mask, batch.completions, 0),
        completion_mask=torch.ones_like(batch.completion_mask),
        self_distillation_mask=torch.ones_like(batch.self_distillation_mask),
        behaviour_log_probs=None if behaviour is None else torch.where(batch.loss_mask, behaviour, 0.0),
    )
    return sdpo_token_losses(everything, **options)


def multiplied(batch: DistillationBatch, options: Options) -> Tensor:
    """Masked tokens are multiplied by zero."""
    return (of_every_token(batch, options) * batch.loss_mask).sum() / batch.loss_mask.sum().clamp(min=1)


def value_masked(batch: DistillationBatch, options: Options) -> Tensor:
    """Masked tokens are replaced after they were computed."""
    tokens = torch.where(batch.loss_mask, of_every_token(batch, options), 0.0)
    return tokens.sum() / batch.loss_mask.sum().clamp(min=1)


def gathered_everywhere(batch: DistillationBatch, options: Options) -> Tensor:
    """The ids of padding are looked up."""
    touched = batch.student_logits.gather(-1, batch.completions[..., None]).sum() * 0
    return good(batch, options) + touched.detach()


chapter.family("what counts")
chapter.enter(
    "M101 row_mask_ignored: LOSS-050 LOSS-053",
    "the self-distillation mask is ignored",
    "rows without a context pull the student to what it already is, and dilute the mean",
    loss=loss(lambda b, o: good(every_row(b), o)),
)
chapter.enter(
    "M102 completion_mask_ignored: LOSS-050 LOSS-053",
    "the completion mask is ignored: padding and tool tokens are trained",
    "the student learns to continue after its end, and to write what tools return",
    loss=loss(lambda b, o: good(counting(b, torch.ones_like(b.completion_mask)), o)),
    seen_in="Algorineko/AgenticArXiv-RL#56",
)
chapter.enter(
    "M103 mask_one_late: LOSS-050 LOSS-053",
    "the completion mask is shifted by one position",
    "the first token of each completion is never trained, and one of the padding is",
    loss=loss(lambda b, o: good(counting(b, b.completion_mask.roll(1, -1)), o)),
)
chapter.enter(
    "M104 mask_inverted: LOSS-050 LOSS-053",
    "rows without a context are trained, rows with one are not",
    "only what cannot be learned from is learned from",
    loss=loss(lambda b, o: good(replace(b, self_distillation_mask=~b.self_distillation_mask), o)),
)
chapter.enter(
    "M105 either_mask: LOSS-050",
    "a token counts if either mask says so",
    "rows without a context dilute the mean, and the student learns to continue after its end",
    loss=loss(lambda b, o: good(every_row(counting(b, b.completion_mask | b.self_distillation_mask[:, None])), o)),
)
chapter.enter(
    "M434 holes_filled: LOSS-050",
    "all between the first and the last counted token counts",
    "what tools answered is trained",
    loss=loss(lambda b, o: good(replace(b, completion_mask=without_holes(b.completion_mask)), o)),
)

chapter.family("garbage behind the mask")
chapter.enter(
    "M106 mask_multiplied: LOSS-051",
    "masked tokens are multiplied by zero, and NaN times zero is NaN",
    "garbage in the padding makes the loss NaN",
    loss=loss(multiplied),
)
chapter.enter(
    "M107 mask_after_the_fact: LOSS-051",
    "masked tokens are replaced after they were computed: the value is right, its gradient NaN",
    "garbage in the padding makes all weights NaN while the loss looks well",
    loss=loss(value_masked),
    same_as="M106",
)
chapter.enter(
    "M108 padding_ids_looked_up: LOSS-051",
    "the ids of padding are looked up in the vocabulary",
    "padding with -100 or any id out of range ends the run",
    loss=loss(gathered_everywhere),
)
chapter.enter(
    "M109 behaviour_of_padding: LOSS-051",
    "behaviour log-probabilities of padding are computed with",
    "a NaN that was recorded at a padded position reaches the loss",
    loss=loss(
        lambda b, o: (
            good(b, o)
            + (0.0 if b.behaviour_log_probs is None or o["ratio_cap"] is None else 0.0 * b.behaviour_log_probs.sum())
        )
    ),
)

chapter.family("batches in which nothing counts")
chapter.enter(
    "M110 empty_is_nan: LOSS-054",
    "a batch in which nothing counts is divided by zero",
    "one such micro-batch makes all weights NaN",
    loss=loss(lambda b, o: good(b, o) / b.loss_mask.any()),
    seen_in="huggingface/trl#5569 huggingface/trl#5572 lasgroup/SDPO",
)
chapter.enter(
    "M111 empty_denominator: LOSS-054",
    "the mean has no guard against an empty mask",
    "one such micro-batch makes all weights NaN",
    Planted(FILE, "return counted / counted.sum().clamp(min=1)", "return counted / counted.sum()"),
    same_as="M110",
)
chapter.enter(
    "M112 empty_without_graph: LOSS-054",
    "a batch in which nothing counts gives a constant that is not on the graph",
    "backward raises at the first such batch",
    loss=loss(lambda b, o: good(b, o) if b.loss_mask.any() else torch.tensor(0.0)),
)
chapter.enter(
    "M113 empty_is_tiny: LOSS-053 LOSS-061",
    "the denominator has an epsilon instead of a guard",
    "every loss is a little too small; with 1e-4 by a ten thousandth on a single token",
    Planted(FILE, "return counted / counted.sum().clamp(min=1)", "return counted / (counted.sum() + 1e-4)"),
)
chapter.enter(
    "M570 epsilon_in_the_denominator: LOSS-119",
    "the denominator has an epsilon of 1e-8 instead of a guard",
    "none that training could show; no result is exact, so that other defects hide in it",
    Planted(FILE, "return counted / counted.sum().clamp(min=1)", "return counted / (counted.sum() + 1e-8)"),
    same_as="M113",
    seen_in="lasgroup/SDPO verl-0.9.1 NVIDIA-NeMo/RL",
)
chapter.enter(
    "M114 rank_returns_early: TRAIN-005",
    "a rank without usable rows returns a fresh zero that is not on its model's graph",
    "the other ranks wait for its gradients for ever",
    seen_from_outside=True,
    loss=loss(lambda b, o: good(b, o) if b.loss_mask.any() else torch.zeros((), requires_grad=True) * 1.0),
    seen_in="huggingface/trl#5989 trl-1.16",
)
