"""Defects of the implicit reward, of SDFT, and of which sampled tokens count (spec/04-loss, G and H; spec/01)."""

from dataclasses import replace

import torch

from sdpo_ref.losses.sdft import sdft_loss
from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted

IMPLICIT = "functional/implicit_reward.py"
FILE = "functional/aggregation.py"
ENDED = "        ended |= completions == end_id"

chapter = Chapter()

chapter.family("implicit reward")
chapter.enter(
    "M191 reward_of_the_wrong_policy: LOSS-080 LOSS-110",
    "the two policies are swapped",
    "what the context makes less likely is rewarded",
    implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(r, c, y, m),
)
chapter.enter(
    "M192 reward_per_token: LOSS-080 LOSS-081",
    "the sum is divided by the length",
    "rewards of parts do not add up to that of the whole",
    implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(c, r, y, m) / m.sum(-1).clamp(min=1),
)
chapter.enter(
    "M193 reward_of_padding: LOSS-080 LOSS-082",
    "padding is scored as well",
    "the reward depends on what stands behind the end",
    implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(c, r, y, torch.ones_like(m)),
)
chapter.enter(
    "M194 reward_of_the_first_token: LOSS-080 LOSS-081",
    "only the first token's ratio is taken",
    "most of the completion has no reward",
    Planted(IMPLICIT, "completion_mask).sum(-1)\n\n\ndef", "completion_mask)[..., 0]\n\n\ndef"),
)
chapter.enter(
    "M195 reward_from_logits: LOSS-080",
    "raw logits are compared instead of log-probabilities",
    "the reward depends on constants that mean nothing",
    Planted(
        IMPLICIT,
        "token_log_probs(log_probs(conditioned), token_ids) - token_log_probs(log_probs(reference), token_ids)",
        "token_log_probs(conditioned, token_ids) - token_log_probs(reference, token_ids)",
    ),
)
chapter.enter(
    "M196 reward_without_reference: LOSS-080",
    "the reference's part is left out",
    "likely completions are rewarded for being likely",
    Planted(IMPLICIT, " - token_log_probs(log_probs(reference), token_ids)", ""),
)
chapter.enter(
    "M197 reward_exponentiated: LOSS-080 LOSS-081",
    "the ratio itself is returned and not its logarithm",
    "rewards of parts multiply where they should add",
    implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(c, r, y, m).exp(),
)

chapter.family("loss of SDFT")
chapter.enter(
    "M198 skips_columns: LOSS-090",
    "columns of the padded array are skipped, not tokens of the completion",
    "completions that start late keep their first tokens",
    sdft_loss=lambda b, *, alpha, support, skip_tokens: sdft_loss(
        replace(b, completion_mask=b.completion_mask & (torch.arange(b.completions.shape[1]) >= skip_tokens)),
        alpha=alpha,
        support=support,
    ),
)
chapter.enter(
    "M199 skips_one_fewer: LOSS-090",
    "one token fewer is skipped",
    "the tokens that name the demonstration are trained",
    Planted(FILE, "return mask & (mask.long().cumsum(-1) > count)", "return mask & (mask.long().cumsum(-1) >= count)"),
)
chapter.enter(
    "M200 skips_nothing: LOSS-090",
    "no token is skipped",
    "the tokens that name the demonstration are trained",
    Planted(FILE, "return mask & (mask.long().cumsum(-1) > count)", "return mask"),
)
chapter.enter(
    "M201 skips_the_end: LOSS-090",
    "tokens are skipped at the end of the completion",
    "the student does not learn when to stop",
    Planted(FILE, "mask.long().cumsum(-1)", "mask.long().flip(-1).cumsum(-1).flip(-1)"),
)
chapter.enter(
    "M202 sdft_always_forward: LOSS-090",
    "alpha is ignored: the loss is always the forward KL",
    "a run reported as reverse KL is forward KL",
    Planted("losses/sdft.py", "distillation_loss(kept, alpha=alpha,", "distillation_loss(kept, alpha=0.0,"),
)
chapter.enter(
    "M425 three_skipped_at_most: LOSS-090",
    "at most three tokens are skipped",
    "a longer preamble is trained",
    Planted("losses/sdft.py", "count=skip_tokens", "count=min(skip_tokens, 3)"),
)

chapter.family("end of the completion")
chapter.enter(
    "M203 end_not_trained: POLICY-006",
    "the token that ends the completion does not count",
    "the student never learns to stop",
    completion_mask=lambda y, end_ids: (
        GOOD.completion_mask(y, end_ids=end_ids) & ~torch.isin(y, torch.tensor(sorted(end_ids), dtype=y.dtype))
    ),
    seen_in="huggingface/trl#6357",
)
chapter.enter(
    "M204 one_end_id: POLICY-006",
    "only the first of several end ids is known",
    "what is written after the end of a turn is trained",
    completion_mask=lambda y, end_ids: GOOD.completion_mask(y, end_ids=sorted(end_ids)[:1]),
)
chapter.enter(
    "M205 nothing_after_the_end_is_cut: POLICY-006",
    "tokens after the end count",
    "the student is trained to go on after its end",
    completion_mask=lambda y, end_ids: torch.ones_like(y, dtype=torch.bool),
)
chapter.enter(
    "M206 last_end: POLICY-006",
    "the mask goes up to the last end, not the first",
    "padding whose id is that of the end is trained",
    completion_mask=lambda y, end_ids: (
        (found := torch.isin(y, torch.tensor(sorted(end_ids), dtype=y.dtype))).flip(-1).cumsum(-1).flip(-1)
        + (~found.any(-1, keepdim=True)).long()
        > 0
    ),
)
chapter.enter(
    "M207 end_is_padding: POLICY-006",
    "every token with the id of the end is taken for padding",
    "the student never learns to stop",
    Planted(FILE, "return ended_before == 0", "return (ended_before == 0) & ~ended"),
    same_as="M203",
)
chapter.enter(
    "M406 end_of_id_zero: POLICY-006",
    "an end id of 0 is taken for none",
    "completions never end where the end has id 0",
    Planted(FILE, ENDED, ENDED.replace("completions == end_id", "(completions == end_id) & bool(end_id)")),
)
chapter.enter(
    "M407 ends_counted_in_8_bits: POLICY-006",
    "the ends so far are counted in 8 bits",
    "after 256 ends as padding, padding is trained",
    Planted(
        FILE,
        "ended_before = ended.long().cumsum(-1) - ended.long()",
        "ended_before = ended.byte().cumsum(-1, dtype=torch.uint8) - ended.byte()",
    ),
)
chapter.enter(
    "M408 ends_in_16_bits: POLICY-006",
    "ids are compared with end ids in 16 bits",
    "other tokens of a large vocabulary end the completion",
    Planted(FILE, ENDED, ENDED.replace("completions == end_id", "(completions - end_id) % 65536 == 0")),
)
chapter.enter(
    "M426 two_end_ids: POLICY-006",
    "only two end ids are looked at",
    "models with a third one are trained on what follows it",
    Planted(FILE, "for end_id in end_ids:", "for end_id in sorted(end_ids)[:2]:"),
)
chapter.enter(
    "M484 end_of_any_row: POLICY-006",
    "a completion ends where any row of the batch does",
    "the ends of long answers are not trained",
    Planted(FILE, ENDED, ENDED.replace("completions == end_id", "(completions == end_id).any(0)")),
)
chapter.enter(
    "M485 ends_counted_in_16_bits: POLICY-006",
    "the ends so far are counted in 16 bits",
    "after 65,536 ends as padding, padding is trained",
    Planted(
        FILE,
        "ended_before = ended.long().cumsum(-1) - ended.long()",
        "ended_before = ended.cumsum(-1, dtype=torch.int16) - ended.short()",
    ),
)
