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


chapter.family("denominator of the mean")
chapter.enter(
    "M121 divided_by_time: LOSS-052 LOSS-053",
    "the loss is divided by the padded length once more",
    "the step depends on the longest completion of the batch",
    loss=loss(lambda b, o: good(b, o) / b.completions.shape[1]),
)
chapter.enter(
    "M122 mean_of_rows: LOSS-053 LOSS-056",
    "the mean of row means is taken, while the profile declares the mean of tokens",
    "short completions weigh as much as long ones",
    loss=of_rows("row_mean"),
)
chapter.enter(
    "M123 mean_of_all_rows: LOSS-053 LOSS-056 LOSS-105",
    "the mean of row means is taken over all rows, usable or not",
    "the step shrinks with the share of rows without a context",
    loss=of_rows("row_mean_all"),
)
chapter.enter(
    "M124 sum_of_rows: LOSS-053",
    "row sums are averaged, while the profile declares the mean of tokens",
    "the step grows with the length of completions",
    loss=of_rows("row_sum"),
)
chapter.enter(
    "M125 rows_dilute: LOSS-053 LOSS-056",
    "tokens of unusable rows are in the denominator",
    "the step shrinks with the share of rows without a context",
    loss=loss(of_sampled_tokens),
    seen_in="trl-1.16",
)
chapter.enter(
    "M126 mean_of_everything: LOSS-052 LOSS-053 LOSS-056",
    "the sum is divided by rows times padded length",
    "the step depends on padding and on unusable rows",
    Planted(FILE, TOKEN_MEAN, "return counted / counted.numel()"),
)
chapter.enter(
    "M127 sum_of_tokens: LOSS-053 LOSS-056 LOSS-061",
    "tokens are added up and not averaged",
    "the step is as large as the batch has tokens",
    Planted(FILE, TOKEN_MEAN, "return counted"),
)
chapter.enter(
    "M128 one_token_too_many: LOSS-053 LOSS-056 LOSS-061",
    "the denominator is one too large",
    "short batches make smaller steps",
    Planted(FILE, TOKEN_MEAN, "return counted / (counted.sum() + 1)"),
)
chapter.enter(
    "M129 at_least_eight_tokens: LOSS-053",
    "the denominator is at least eight",
    "short batches make smaller steps",
    Planted(FILE, TOKEN_MEAN, "return counted / counted.sum().clamp(min=8)"),
)
chapter.enter(
    "M130 rows_in_order: LOSS-055 LOSS-056",
    "a factor depends on the first row",
    "the loss depends on the order of rows",
    loss=loss(lambda b, o: good(b, o) * (1 + b.loss_mask[0].double().mean())),
)
chapter.enter(
    "M131 largest_token_only: LOSS-050 LOSS-053",
    "the largest token loss is taken in place of the mean",
    "one token of a batch is trained",
    Planted(
        FILE,
        "return (torch.where(loss_mask, token_losses, 0.0) * weights.to(token_losses.device)).sum()",
        "return (torch.where(loss_mask, token_losses, 0.0)).max() + 0 * weights.sum()",
    ),
)
