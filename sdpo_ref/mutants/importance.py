"""Defects of the importance ratio (spec/04-loss, D)."""

from collections.abc import Callable

import torch
from torch import Tensor

from sdpo_ref.functional.aggregation import aggregate
from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.losses.reference import sdpo_token_losses
from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import Options, good, loss
from sdpo_ref.types import DistillationBatch

FILE = "functional/importance.py"
RETURN = "return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp().clamp(max=ratio_cap)"
LOG_RATIO = "(student_token_log_probs - behaviour_log_probs).detach()"

chapter = Chapter()


def weighted(ratio: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """A loss with another ratio, on token mean."""

    def part(batch: DistillationBatch, options: Options) -> Tensor:
        cap, mask = options["ratio_cap"], batch.loss_mask
        if cap is None or batch.behaviour_log_probs is None or not cap > 0:
            return good(batch, options)
        tokens = sdpo_token_losses(batch, **{**options, "ratio_cap": None})
        logits = torch.where(mask[..., None], batch.student_logits, 0.0)
        s = token_log_probs(
            log_probs(logits, temperature=options["temperature"]), torch.where(mask, batch.completions, 0)
        )
        weights = ratio(s, torch.where(mask, batch.behaviour_log_probs, 0.0), cap)
        return aggregate(tokens * weights, mask, aggregation="token_mean")

    return loss(part)


def untempered(batch: DistillationBatch, options: Options) -> Tensor:
    """The ratio's upper side at temperature one, whatever the loss has."""
    if options["ratio_cap"] is None or batch.behaviour_log_probs is None:
        return good(batch, options)
    plain = good(batch, {**options, "ratio_cap": None})
    now = token_log_probs(log_probs(batch.student_logits), batch.completions)
    ratio = importance_ratio(now, batch.behaviour_log_probs, ratio_cap=options["ratio_cap"])
    return plain * ratio[batch.loss_mask].mean()


chapter.family("importance ratio")
chapter.enter(
    "M081 ratio_with_gradient: LOSS-040",
    "the ratio carries gradient",
    "a second term raises or lowers sampled tokens by how large their divergence is",
    loss=weighted(lambda s, b, cap: (s - b).exp().clamp(max=cap)),
)
chapter.enter(
    "M082 ratio_not_detached: LOSS-040",
    "the stop-gradient of the ratio is lost",
    "a second term raises or lowers sampled tokens by how large their divergence is",
    Planted(FILE, LOG_RATIO, "student_token_log_probs - behaviour_log_probs"),
    same_as="M081",
)
chapter.enter(
    "M083 ratio_inverted: LOSS-040",
    "the ratio is the sampler's probability over the student's",
    "stale tokens weigh most",
    Planted(FILE, LOG_RATIO, "(behaviour_log_probs - student_token_log_probs).detach()"),
)
chapter.enter(
    "M084 ratio_two_sided: LOSS-041",
    "the ratio is also cut from below",
    "tokens that the student has learned to avoid keep their weight",
    Planted(FILE, ".exp().clamp(max=ratio_cap)", ".exp().clamp(1 / ratio_cap, ratio_cap)"),
)
chapter.enter(
    "M085 ratio_at_least_one: LOSS-040 LOSS-041",
    "a ratio below one counts as one",
    "tokens that the student has learned to avoid keep their weight",
    Planted(FILE, ".exp().clamp(max=ratio_cap)", ".exp().clamp(1.0, max(ratio_cap, 1.0))"),
    same_as="M084",
)
chapter.enter(
    "M086 ratio_not_capped: LOSS-040",
    "the cap is ignored",
    "single tokens dominate the step",
    Planted(FILE, ".exp().clamp(max=ratio_cap)", ".exp()"),
)
chapter.enter(
    "M087 capped_in_the_logarithm: LOSS-040",
    "the cap is applied to the log-ratio",
    "a cap of 2 lets ratios up to 7.4 through",
    Planted(FILE, RETURN, "return log_ratio.clamp(-MAX_LOG_RATIO, ratio_cap).exp()"),
)
chapter.enter(
    "M088 dropped_above_the_cap: LOSS-040",
    "tokens above the cap are dropped instead of truncated",
    "the tokens that changed most are not trained",
    Planted(
        FILE,
        RETURN,
        "found = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()\n    return found * (found <= ratio_cap)",
    ),
)
chapter.enter(
    "M089 ratio_overflows: LOSS-042",
    "the ratio is computed without a limit on the logarithm",
    "infinity minus infinity: one stale token makes the loss NaN",
    loss=weighted(lambda s, b, cap: (r := (s - b).detach().exp()) - (r - cap).relu()),
)
chapter.enter(
    "M090 ratio_untempered: LOSS-044",
    "the student's side of the ratio is taken at temperature one",
    "ratios differ from one on fresh rollouts, so part of every step is lost to the cap",
    loss=loss(untempered),
)
chapter.enter(
    "M091 ratio_of_the_teacher: LOSS-040 LOSS-044",
    "the ratio is the teacher's probability over the sampler's",
    "tokens that the teacher dislikes are not trained away",
    Planted(
        "losses/reference.py",
        "token_losses = token_losses * importance_ratio(\n            token_log_probs(student, token_ids)",
        "token_losses = token_losses * importance_ratio(\n            token_log_probs(teacher, token_ids)",
    ),
)
chapter.enter(
    "M092 ratio_of_the_sequence: LOSS-067",
    "one ratio for the whole completion, of the mean log-ratio",
    "tokens are weighted by what happened elsewhere in their completion",
    Planted(FILE, LOG_RATIO, f"{LOG_RATIO}\n    log_ratio = log_ratio.mean(-1, keepdim=True).expand_as(log_ratio)"),
)
chapter.enter(
    "M093 ratio_before_the_sum: LOSS-067",
    "the loss is multiplied by the mean ratio",
    "single tokens are not weighted",
    loss=loss(
        lambda b, o: (
            good(b, o)
            if o["ratio_cap"] is None or b.behaviour_log_probs is None
            else good(b, {**o, "ratio_cap": None})
            * importance_ratio(
                token_log_probs(
                    log_probs(b.student_logits, temperature=o["temperature"]),
                    torch.where(b.loss_mask, b.completions, 0),
                ),
                b.behaviour_log_probs,
                ratio_cap=o["ratio_cap"],
            )[b.loss_mask].mean()
        )
    ),
)
chapter.enter(
    "M094 weighted_twice: LOSS-067",
    "two options together are applied twice",
    "a loss twice too large whenever a temperature and a cap are set",
    loss=loss(lambda b, o: good(b, o) * (1 + (o["ratio_cap"] is not None) * (o["temperature"] != 1))),
)

chapter.enter(
    "M097 cap_at_least_one: LOSS-040",
    "a cap below one is refused or raised to one",
    "weights cannot be made smaller than those of fresh rollouts",
    Planted(FILE, ".exp().clamp(max=ratio_cap)", ".exp().clamp(max=max(ratio_cap, 1.0))"),
)
chapter.enter(
    "M437 ratio_above_a_floor: LOSS-041",
    "log-ratios are cut at -10 from below",
    "what the student has unlearned altogether is trained on for ever",
    Planted(FILE, "log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)", "log_ratio.clamp(-10.0, MAX_LOG_RATIO)"),
)

chapter.family("missing behaviour log-probabilities")
chapter.enter(
    "M095 silently_on_policy: LOSS-043",
    "a cap without behaviour log-probabilities is left out in silence",
    "off-policy rollouts are trained as if they were fresh",
    loss=loss(lambda b, o: good(b, {**o, "ratio_cap": o["ratio_cap"] if b.behaviour_log_probs is not None else None})),
    seen_in="trl-1.16 sdpo-rl-0.0.3",
)
chapter.enter(
    "M096 missing_is_certain: LOSS-043",
    "missing behaviour log-probabilities are taken for zero, that is for certainty",
    "every token is scaled by its own probability",
    Planted(
        "losses/__init__.py",
        "    options.require_fit(batch, token_weights)\n",
        "    if isinstance(batch, DistillationBatch) and batch.behaviour_log_probs is None:\n"
        "        batch = DistillationBatch(batch.student_logits, batch.teacher_logits, "
        "batch.completions, batch.completion_mask, batch.self_distillation_mask, "
        "torch.zeros_like(batch.student_logits[..., 0]))\n"
        "    options.require_fit(batch, token_weights)\n",
    ),
    seen_in="thinking-machines-lab/tinker-cookbook",
)
