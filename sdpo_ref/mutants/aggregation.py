"""Defects of means: denominators, order of rows, shares of micro-batches (spec/04-loss, E)."""

from torch import Tensor

from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import Options, good, loss
from sdpo_ref.types import Aggregation, DistillationBatch

FILE = "functional/aggregation.py"
TOKEN_MEAN = "return counted / counted.sum().clamp(min=1)"  # noqa: S105 - a line of code, not a password

chapter = Chapter()


def of_rows(aggregation: Aggregation) -> object:
    """The loss under another aggregation than the profile declares."""
    return loss(lambda b, o: sdpo_loss(b, aggregation=aggregation, **o))


def of_sampled_tokens(batch: DistillationBatch, options: Options) -> Tensor:
    """The denominator counts all sampled tokens, usable or not."""
    return good(batch, options) * batch.loss_mask.sum() / batch.completion_mask.sum().clamp(min=1)


DENOMINATOR = "denominator of the mean"
chapter.enter(
    121,
    "divided_by_time",
    DENOMINATOR,
    "the loss is divided by the padded length once more",
    "the step depends on the longest completion of the batch",
    "LOSS-052 LOSS-053",
    loss=loss(lambda b, o: good(b, o) / b.completions.shape[1]),
)
chapter.enter(
    122,
    "mean_of_rows",
    DENOMINATOR,
    "the mean of row means is taken, while the profile declares the mean of tokens",
    "short completions weigh as much as long ones",
    "LOSS-053 LOSS-056",
    loss=of_rows("row_mean"),
)
chapter.enter(
    123,
    "mean_of_all_rows",
    DENOMINATOR,
    "the mean of row means is taken over all rows, usable or not",
    "the step shrinks with the share of rows without a context",
    "LOSS-053 LOSS-056 LOSS-105",
    loss=of_rows("row_mean_all"),
)
chapter.enter(
    124,
    "sum_of_rows",
    DENOMINATOR,
    "row sums are averaged, while the profile declares the mean of tokens",
    "the step grows with the length of completions",
    "LOSS-053",
    loss=of_rows("row_sum"),
)
chapter.enter(
    125,
    "rows_dilute",
    DENOMINATOR,
    "tokens of unusable rows are in the denominator",
    "the step shrinks with the share of rows without a context",
    "LOSS-053 LOSS-056",
    loss=loss(of_sampled_tokens),
    seen_in="trl-1.16",
)
chapter.enter(
    126,
    "mean_of_everything",
    DENOMINATOR,
    "the sum is divided by rows times padded length",
    "the step depends on padding and on unusable rows",
    "LOSS-052 LOSS-053 LOSS-056",
    Planted(FILE, TOKEN_MEAN, "return counted / counted.numel()"),
)
chapter.enter(
    127,
    "sum_of_tokens",
    DENOMINATOR,
    "tokens are added up and not averaged",
    "the step is as large as the batch has tokens",
    "LOSS-053 LOSS-056 LOSS-061",
    Planted(FILE, TOKEN_MEAN, "return counted"),
)
chapter.enter(
    128,
    "one_token_too_many",
    DENOMINATOR,
    "the denominator is one too large",
    "short batches make smaller steps",
    "LOSS-053 LOSS-056 LOSS-061",
    Planted(FILE, TOKEN_MEAN, "return counted / (counted.sum() + 1)"),
)
chapter.enter(
    129,
    "at_least_eight_tokens",
    DENOMINATOR,
    "the denominator is at least eight",
    "short batches make smaller steps",
    "LOSS-053",
    Planted(FILE, TOKEN_MEAN, "return counted / counted.sum().clamp(min=8)"),
)
chapter.enter(
    130,
    "rows_in_order",
    DENOMINATOR,
    "a factor depends on the first row",
    "the loss depends on the order of rows",
    "LOSS-055 LOSS-056",
    loss=loss(lambda b, o: good(b, o) * (1 + b.loss_mask[0].double().mean())),
)
chapter.enter(
    131,
    "largest_token_only",
    DENOMINATOR,
    "the largest token loss is taken in place of the mean",
    "one token of a batch is trained",
    "LOSS-050 LOSS-053",
    Planted(
        FILE,
        "return (torch.where(loss_mask, token_losses, 0.0) * weights.to(token_losses.device)).sum()",
        "return (torch.where(loss_mask, token_losses, 0.0)).max() + 0 * weights.sum()",
    ),
)

MUTANTS = tuple(chapter.mutants)
