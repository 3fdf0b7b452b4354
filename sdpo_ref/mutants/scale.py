"""Defects that toys do not show: narrow ids, limits on sizes and magnitudes, hidden NaN (spec/04-loss, E)."""

from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted

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

NARROW = "ids in a narrow type"
chapter.enter(
    376,
    "ids_in_16_bits",
    NARROW,
    "token ids are held in 16 bits",
    "ids above 32,767 are other tokens, or none",
    "LOSS-106 LOSS-107",
    Planted(REFERENCE, IDS, IDS.replace("0)", "0).to(torch.int16).long()")),
)
chapter.enter(
    377,
    "ids_in_8_bits",
    NARROW,
    "token ids are held in 8 bits",
    "ids above 255 are other tokens",
    "LOSS-106 LOSS-107",
    Planted(REFERENCE, IDS, IDS.replace("0)", "0).to(torch.uint8).long()")),
    same_as=376,
)
chapter.enter(
    378,
    "ids_in_half_precision",
    NARROW,
    "token ids pass through the dtype of the logits, bfloat16",
    "ids above 256 are rounded to other tokens",
    "LOSS-106 LOSS-107",
    Planted(REFERENCE, IDS, IDS.replace("0)", "0).to(torch.bfloat16).long()")),
    same_as=376,
)
chapter.enter(
    440,
    "ids_wrap_around",
    NARROW,
    "token ids are taken modulo 32,768, in every loss and in the implicit reward",
    "ids above 32,767 are other tokens, without an error",
    "LOSS-106 LOSS-107 LOSS-109 LOSS-110",
    Planted(
        "functional/log_probs.py",
        "return log_probs.gather(-1, token_ids[..., None])",
        "return log_probs.gather(-1, token_ids[..., None] % 32_768)",
    ),
)
chapter.enter(
    441,
    "head_from_low_ids",
    NARROW,
    "the most likely tokens are chosen among the first 32,768 of the vocabulary",
    "the tokens that both sides find likeliest may be missing from the head",
    "LOSS-108",
    Planted("functional/support.py", "return log_probs.topk(", "return log_probs[..., :32_768].topk("),
)
chapter.enter(
    414,
    "group_ids_in_8_bits",
    NARROW,
    "group ids are held in 8 bits",
    "rewards of other prompts are the baseline",
    "LOSS-111",
    Planted("functional/advantages.py", GROUP, GROUP.replace("group_ids,", "group_ids.byte(),")),
)
chapter.enter(
    415,
    "group_ids_in_single_precision",
    NARROW,
    "group ids pass through float32",
    "rewards of other prompts are the baseline, in large data sets",
    "LOSS-111",
    Planted("functional/advantages.py", GROUP, GROUP.replace("group_ids,", "group_ids.float(),")),
)
chapter.enter(
    416,
    "group_ids_without_sign",
    NARROW,
    "the sign of group ids is lost",
    "rewards of other prompts are the baseline, where groups are numbered by a hash",
    "LOSS-111",
    Planted("functional/advantages.py", GROUP, GROUP.replace("group_ids,", "group_ids.abs(),")),
)

LIMITS = "limits on sizes and magnitudes"
chapter.enter(
    379,
    "token_loss_capped",
    LIMITS,
    "the loss of a token is at most 50",
    "the worst tokens have no gradient",
    "LOSS-112",
    Planted(REFERENCE, RESULT, RESULT.replace("token_losses", "token_losses.clamp(max=50)")),
)
chapter.enter(
    380,
    "surrogate_capped",
    LIMITS,
    "the advantage of a sampled token is cut at plus or minus 20",
    "the tokens that the teacher finds impossible are corrected too little",
    "LOSS-113",
    Planted("functional/sampled_token.py", ADVANTAGE, f"{ADVANTAGE}.clamp(-20, 20)"),
)
chapter.enter(
    381,
    "implicit_reward_capped",
    LIMITS,
    "the share of a token in the implicit reward is cut at plus or minus 10",
    "the reward is no difference of log-probabilities any more",
    "LOSS-114",
    Planted("functional/implicit_reward.py", DIFFERENCE, f"{DIFFERENCE}.clamp(-10, 10)"),
)
chapter.enter(
    382,
    "long_completions_cut",
    LIMITS,
    "only the first 1,024 tokens of a completion count",
    "the ends of long answers are not trained",
    "LOSS-104",
    Planted(REFERENCE, RESULT, f"token_losses[:, 1024:] = 0.0\n    {RESULT}"),
)
chapter.enter(
    442,
    "large_vocabulary_cut",
    LIMITS,
    "only the first 32,768 tokens of the vocabulary are compared",
    "the rest of the vocabulary is not trained",
    "LOSS-103",
    Planted("functional/divergence.py", "return terms.sum(-1)", "return terms[..., :32_768].sum(-1)"),
)
chapter.enter(
    443,
    "large_batch_cut",
    LIMITS,
    "only the first 256 rollouts of a batch count",
    "the rest of a large batch is sampled and judged for nothing",
    "LOSS-105",
    Planted(REFERENCE, RESULT, f"token_losses[256:] = 0.0\n    {RESULT}"),
)
chapter.enter(
    383,
    "small_tail_tokens_dropped",
    LIMITS,
    "tokens of a log-probability below -30 are left out of the tail",
    "a tail of many tokens that are next to nothing each has no mass, and an infinite divergence",
    "LOSS-025",
    Planted("functional/support.py", "in_tail & (log_probs > -torch.inf)", "in_tail & (log_probs > -30)"),
)
chapter.enter(
    384,
    "excluded_tokens_floored",
    LIMITS,
    "logits are floored at -10,000, those of excluded tokens as well",
    "an infinite divergence is a large number",
    "LOSS-008",
    Planted("functional/log_probs.py", RAISED, f"{RAISED}.clamp(min=-1e4)"),
)
chapter.enter(
    385,
    "head_in_half_precision",
    LIMITS,
    "the most likely tokens are chosen in half precision",
    "tokens that are nearly as likely take the place of likelier ones",
    "LOSS-022",
    Planted("functional/support.py", "return log_probs.topk(", "return log_probs.half().topk("),
)
chapter.enter(
    417,
    "implicit_reward_cut",
    LIMITS,
    "only the first 1,024 tokens of a completion have an implicit reward",
    "long completions are compared by their beginnings",
    "LOSS-115",
    Planted("functional/implicit_reward.py", SUM, SUM.replace(".sum", "[..., :1024].sum")),
)
chapter.enter(
    418,
    "logits_viewed",
    LIMITS,
    "logits are taken to be contiguous",
    "a crash with models that answer in another layout",
    "LOSS-116",
    Planted("functional/log_probs.py", RAISED, RAISED.replace("logits.to", "logits.view(-1).view(logits.shape).to")),
)
chapter.enter(
    427,
    "temperature_limited",
    LIMITS,
    "a temperature above 10 counts as 10",
    "the loss is not at the temperature at which rollouts were sampled",
    "POLICY-003",
    Planted("functional/log_probs.py", "else precise / temperature", "else precise / min(temperature, 10.0)"),
)
chapter.enter(
    428,
    "ratio_of_ten_at_most",
    LIMITS,
    "an importance ratio is at most 10, whatever the cap",
    "tokens that have become much more likely count too little",
    "LOSS-040",
    Planted("functional/importance.py", ".clamp(max=ratio_cap)", ".clamp(max=min(ratio_cap, 10.0))"),
)

HIDDEN = "NaN is hidden"
chapter.enter(
    386,
    "nan_loss_is_zero",
    HIDDEN,
    "the loss of a token that is NaN counts as zero",
    "a model that has diverged looks as if it had learned everything",
    "LOSS-069",
    Planted(REFERENCE, RESULT, f"{RESULT}.nan_to_num()"),
)
chapter.enter(
    387,
    "nan_logits_are_masked",
    HIDDEN,
    "logits that are NaN are replaced by zero, wherever they stand",
    "training goes on with made-up distributions",
    "LOSS-069",
    Planted(
        REFERENCE,
        "return torch.where(mask[..., None], logits, 0.0)",
        "return torch.where(mask[..., None] & ~logits.isnan(), logits, 0.0)",
    ),
    same_as=386,
)
chapter.enter(
    388,
    "nan_behaviour_is_certain",
    HIDDEN,
    "behaviour log-probabilities that are NaN are replaced by zero, that is by certainty",
    "tokens of a broken sampler are trained with tiny weights, in silence",
    "LOSS-069",
    Planted(REFERENCE, BEHAVIOUR, f"{BEHAVIOUR}.nan_to_num()"),
)
chapter.enter(
    389,
    "nan_advantage_is_zero",
    HIDDEN,
    "advantages that are NaN count as zero",
    "one reward that is no number switches a group off, in silence",
    "LOSS-069",
    Planted(REFERENCE, MIXED, f"{MIXED}.nan_to_num()"),
)
chapter.enter(
    390,
    "nan_cap_passes",
    HIDDEN,
    "a ratio cap that is not a number passes",
    "a loss of NaN from a typo in a configuration",
    "LOSS-100",
    Planted("functional/importance.py", "if not ratio_cap > 0:", "if ratio_cap <= 0:"),
)

MUTANTS = tuple(chapter.mutants)
