"""Defects that toys do not show: narrow ids, limits on sizes and magnitudes, hidden NaN (spec/04-loss, E)."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.types import DistillationBatch

REFERENCE = "losses/reference.py"
IDS = "token_ids = torch.where(batch.loss_mask, batch.completions, 0)\n\n"
RESULT = "return torch.where(batch.loss_mask, token_losses, 0.0)"
RAISED = "precise = logits.to(torch.promote_types(logits.dtype, torch.float32))"
ADVANTAGE = "log_ratio = (student_token_log_probs - teacher_token_log_probs).detach()"
BEHAVIOUR = "behaviour = torch.where(batch.loss_mask, batch.behaviour_log_probs, 0.0)"
MIXED = "convex_combination(reward_advantages[:, None], distillation_advantages, weight=reward_weight)"
DIFFERENCE = "return torch.where(completion_mask, difference, 0.0)"
GROUP = "names, group = torch.unique(group_ids, return_inverse=True)"
SUM = "completions, completion_mask).sum(-1)\n\n\ndef"

chapter = Chapter()


def with_loss_mask(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A loss of other tokens."""
    return lambda batch, **options: GOOD.loss(replace(batch, completion_mask=change(batch.completion_mask)), **options)


def first_ids(batch: DistillationBatch, count: int) -> DistillationBatch:
    """The first tokens of the vocabulary, among which the sampled ones must be."""
    sides = {name: getattr(batch, name)[..., :count] for name in ("student_logits", "teacher_logits")}
    return replace(batch, **sides, completions=torch.where(batch.completion_mask, batch.completions % count, 0))


def hooked(batch: DistillationBatch) -> DistillationBatch:
    """Logits whose gradient has zeros instead of NaN."""
    logits = batch.student_logits
    if logits.requires_grad and torch.is_grad_enabled():
        logits = logits * 1
        logits.register_hook(torch.nan_to_num)  # type: ignore[no-untyped-call]
    return replace(batch, student_logits=logits)


def known_ids(batch: DistillationBatch) -> DistillationBatch:
    """The batch, once every id of it has been looked up."""
    batch.student_logits.detach().gather(-1, batch.completions[..., None])
    return batch


def half_implicit_reward(conditioned: Tensor, reference: Tensor, completions: Tensor, mask: Tensor) -> Tensor:
    """Computed in the dtype of the logits, whatever that is."""
    sides = (torch.where(mask[..., None], side, 0.0).log_softmax(-1) for side in (conditioned, reference))
    ids = torch.where(mask, completions, 0)[..., None]
    one, other = (side.gather(-1, ids).squeeze(-1) for side in sides)
    return torch.where(mask, one - other, 0.0).sum(-1)


def writing_completion_mask(completions: Tensor, *, end_ids: Collection[int]) -> Tensor:
    """The right mask, and zeros behind it in the caller's tensor."""
    mask = GOOD.completion_mask(completions, end_ids=end_ids)
    completions.masked_fill_(~mask, 0)
    return mask


def seeding_trust_region(*sides: Tensor, mix: float) -> Any:
    """The right mixture, and a seed."""
    torch.manual_seed(0)
    return GOOD.trust_region(*sides, mix=mix)


chapter.family("ids in a narrow type")
chapter.enter(
    "M376 ids_in_16_bits: LOSS-106 LOSS-107",
    "token ids are held in 16 bits",
    "ids above 32,767 are other tokens, or none",
    Planted(REFERENCE, IDS, IDS.replace("0)", "0).to(torch.int16).long()")),
)
chapter.enter(
    "M377 ids_in_8_bits: LOSS-106 LOSS-107",
    "token ids are held in 8 bits",
    "ids above 255 are other tokens",
    Planted(REFERENCE, IDS, IDS.replace("0)", "0).to(torch.uint8).long()")),
    same_as="M376",
)
chapter.enter(
    "M378 ids_in_half_precision: LOSS-106 LOSS-107",
    "token ids pass through the dtype of the logits, bfloat16",
    "ids above 256 are rounded to other tokens",
    Planted(REFERENCE, IDS, IDS.replace("0)", "0).to(torch.bfloat16).long()")),
    same_as="M376",
)
chapter.enter(
    "M440 ids_wrap_around: LOSS-106 LOSS-107 LOSS-109 LOSS-110",
    "token ids are taken modulo 32,768, in every loss and in the implicit reward",
    "ids above 32,767 are other tokens, without an error",
    Planted("functional/log_probs.py", "(-1, token_ids[..., None])", "(-1, token_ids[..., None] % 32_768)"),
)
chapter.enter(
    "M441 head_from_low_ids: LOSS-108",
    "the most likely tokens are chosen among the first 32,768 of the vocabulary",
    "the tokens that both sides find likeliest may be missing from the head",
    Planted("functional/support.py", "return log_probs.topk(", "return log_probs[..., :32_768].topk("),
)
chapter.enter(
    "M414 group_ids_in_8_bits: LOSS-111",
    "group ids are held in 8 bits",
    "rewards of other prompts are the baseline",
    Planted("functional/advantages.py", GROUP, GROUP.replace("group_ids,", "group_ids.byte(),")),
)
chapter.enter(
    "M415 group_ids_in_single_precision: LOSS-111",
    "group ids pass through float32",
    "rewards of other prompts are the baseline, in large data sets",
    Planted("functional/advantages.py", GROUP, GROUP.replace("group_ids,", "group_ids.float(),")),
)
chapter.enter(
    "M416 group_ids_without_sign: LOSS-111",
    "the sign of group ids is lost",
    "rewards of other prompts are the baseline, where groups are numbered by a hash",
    Planted("functional/advantages.py", GROUP, GROUP.replace("group_ids,", "group_ids.abs(),")),
)

chapter.family("limits on sizes and magnitudes")
chapter.enter(
    "M379 token_loss_capped: LOSS-112",
    "the loss of a token is at most 50",
    "the worst tokens have no gradient",
    Planted(REFERENCE, RESULT, RESULT.replace("token_losses", "token_losses.clamp(max=50)")),
)
chapter.enter(
    "M380 surrogate_capped: LOSS-113",
    "the advantage of a sampled token is cut at plus or minus 20",
    "the tokens that the teacher finds impossible are corrected too little",
    Planted("functional/sampled_token.py", ADVANTAGE, f"{ADVANTAGE}.clamp(-20, 20)"),
)
chapter.enter(
    "M381 implicit_reward_capped: LOSS-114",
    "the share of a token in the implicit reward is cut at plus or minus 10",
    "the reward is no difference of log-probabilities any more",
    Planted("functional/implicit_reward.py", DIFFERENCE, f"{DIFFERENCE}.clamp(-10, 10)"),
)
chapter.enter(
    "M382 long_completions_cut: LOSS-104",
    "only the first 1,024 tokens of a completion count",
    "the ends of long answers are not trained",
    Planted(REFERENCE, RESULT, f"token_losses[:, 1024:] = 0.0\n    {RESULT}"),
)
chapter.enter(
    "M442 large_vocabulary_cut: LOSS-103",
    "only the first 32,768 tokens of the vocabulary are compared",
    "the rest of the vocabulary is not trained",
    Planted("functional/divergence.py", "return terms.sum(-1)", "return terms[..., :32_768].sum(-1)"),
)
chapter.enter(
    "M443 large_batch_cut: LOSS-105",
    "only the first 256 rollouts of a batch count",
    "the rest of a large batch is sampled and judged for nothing",
    Planted(REFERENCE, RESULT, f"token_losses[256:] = 0.0\n    {RESULT}"),
)
chapter.enter(
    "M383 small_tail_tokens_dropped: LOSS-025",
    "tokens of a log-probability below -30 are left out of the tail",
    "a tail of many tokens that are next to nothing each has no mass, and an infinite divergence",
    Planted("functional/support.py", "in_tail & (log_probs > -torch.inf)", "in_tail & (log_probs > -30)"),
)
chapter.enter(
    "M384 excluded_tokens_floored: LOSS-008",
    "logits are floored at -10,000, those of excluded tokens as well",
    "an infinite divergence is a large number",
    Planted("functional/log_probs.py", RAISED, f"{RAISED}.clamp(min=-1e4)"),
)
chapter.enter(
    "M385 head_in_half_precision: LOSS-022",
    "the most likely tokens are chosen in half precision",
    "tokens that are nearly as likely take the place of likelier ones",
    Planted("functional/support.py", "return log_probs.topk(", "return log_probs.half().topk("),
)
chapter.enter(
    "M417 implicit_reward_cut: LOSS-115",
    "only the first 1,024 tokens of a completion have an implicit reward",
    "long completions are compared by their beginnings",
    Planted("functional/implicit_reward.py", SUM, SUM.replace(".sum", "[..., :1024].sum")),
)
chapter.enter(
    "M418 logits_viewed: LOSS-116",
    "logits are taken to be contiguous",
    "a crash with models that answer in another layout",
    Planted("functional/log_probs.py", RAISED, RAISED.replace("logits.to", "logits.view(-1).view(logits.shape).to")),
)
chapter.enter(
    "M427 temperature_limited: POLICY-003",
    "a temperature above 10 counts as 10",
    "the loss is not at the temperature at which rollouts were sampled",
    Planted("functional/log_probs.py", "else precise / temperature", "else precise / min(temperature, 10.0)"),
)
chapter.enter(
    "M428 ratio_of_ten_at_most: LOSS-040",
    "an importance ratio is at most 10, whatever the cap",
    "tokens that have become much more likely count too little",
    Planted("functional/importance.py", ".clamp(max=ratio_cap)", ".clamp(max=min(ratio_cap, 10.0))"),
)

chapter.family("NaN is hidden")
chapter.enter(
    "M386 nan_loss_is_zero: LOSS-069",
    "the loss of a token that is NaN counts as zero",
    "a model that has diverged looks as if it had learned everything",
    Planted(REFERENCE, RESULT, f"{RESULT}.nan_to_num()"),
)
chapter.enter(
    "M387 nan_logits_are_masked: LOSS-069",
    "logits that are NaN are replaced by zero, wherever they stand",
    "training goes on with made-up distributions",
    Planted(REFERENCE, "(mask[..., None], logits, 0.0)", "(mask[..., None] & ~logits.isnan(), logits, 0.0)"),
    same_as="M386",
)
chapter.enter(
    "M388 nan_behaviour_is_certain: LOSS-069",
    "behaviour log-probabilities that are NaN are replaced by zero, that is by certainty",
    "tokens of a broken sampler are trained with tiny weights, in silence",
    Planted(REFERENCE, BEHAVIOUR, f"{BEHAVIOUR}.nan_to_num()"),
)
chapter.enter(
    "M389 nan_advantage_is_zero: LOSS-069",
    "advantages that are NaN count as zero",
    "one reward that is no number switches a group off, in silence",
    Planted(REFERENCE, MIXED, f"{MIXED}.nan_to_num()"),
)
chapter.enter(
    "M390 nan_cap_passes: LOSS-100",
    "a ratio cap that is not a number passes",
    "a loss of NaN from a typo in a configuration",
    Planted("functional/importance.py", "if not ratio_cap > 0:", "if ratio_cap <= 0:"),
)

chapter.family("the second chunk")
chapter.enter(
    "M610 tokens_beyond_65536: LOSS-123",
    "tokens beyond the first 65,536 of a batch add nothing",
    "in large batches the last rows are not trained",
    loss=with_loss_mask(lambda mask: mask & (torch.arange(mask.numel()) < 65_536).view_as(mask)),
)
chapter.enter(
    "M611 ids_beyond_131072: LOSS-120",
    "the vocabulary is cut after 131,072 tokens",
    "a part of a large vocabulary is not trained",
    loss=lambda batch, **options: GOOD.loss(first_ids(batch, 131_072), **options),
)
chapter.enter(
    "M612 no_loss_without_recording: LOSS-122",
    "the loss is zero where no gradients are recorded",
    "an evaluation says that nothing is left to learn",
    loss=lambda batch, **options: GOOD.loss(batch, **options) * torch.is_grad_enabled(),
)
chapter.enter(
    "M613 implicit_reward_in_half_precision: LOSS-121",
    "log-probabilities of the implicit reward are computed in the precision of the logits",
    "credit is wrong by a nat",
    implicit_reward=half_implicit_reward,
)

chapter.family("what training sees of NaN")
chapter.enter(
    "M614 nan_gradient_is_zero: LOSS-069",
    "the value is NaN and the gradient is not",
    "a guard on gradients, as scaling and clipping have, sees nothing of a model that has diverged",
    loss=lambda batch, **options: GOOD.loss(hooked(batch), **options),
)

chapter.family("what a part leaves behind")
chapter.enter(
    "M615 padding_is_written: CONF-004",
    "ids behind the end of a completion are set to zero in the caller's tensor",
    "what is logged from it later was never sampled",
    completion_mask=writing_completion_mask,
)
chapter.enter(
    "M616 trust_region_seeds: CONF-005",
    "the trust-region teacher seeds PyTorch",
    "every step samples the same rollouts",
    trust_region=seeding_trust_region,
)

chapter.family("ids and supports of the other losses")
chapter.enter(
    "M617 implicit_reward_of_padding_ids: LOSS-082",
    "ids at padded positions are looked up as well",
    "padding with the ignore index ends in an error on some devices and in other numbers on others",
    Planted(
        "functional/implicit_reward.py",
        "token_ids = torch.where(completion_mask, completions, 0)",
        "token_ids = completions",
    ),
)
chapter.enter(
    "M618 sdft_on_the_full_vocabulary: LOSS-090",
    "SDFT takes the full vocabulary, whatever support is set",
    "a run is recorded with a support that it did not use",
    Planted("losses/sdft.py", "support=support, aggregation", "support=FULL, aggregation"),
)
chapter.enter(
    "M619 skip_wraps_at_256: LOSS-090",
    "the number of tokens to skip is kept in 8 bits",
    "a run that leaves out 256 tokens leaves out none",
    Planted("losses/sdft.py", "count=skip_tokens)", "count=skip_tokens % 256)"),
)
chapter.enter(
    "M620 hybrid_scores_padding_ids: LOSS-051",
    "ids at padded positions are looked up in the hybrid",
    "padding with the ignore index ends in an error on some devices and in other numbers on others",
    hybrid_loss=lambda batch, *rest, **options: GOOD.hybrid_loss(known_ids(batch), *rest, **options),
)
