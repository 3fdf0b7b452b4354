"""Defects of the hybrid of reward and self-distillation (spec/04-loss, F)."""

from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import hybrid

FILE = "functional/advantages.py"
LOSSES = "losses/reference.py"
MIXED = "return weight * of_reward + (1 - weight) * of_distillation"
ADVANTAGE = "return (teacher_token_log_probs - student_token_log_probs).detach()"
COMBINED = "advantages = convex_combination(reward_advantages[:, None], distillation_advantages, weight=reward_weight)"

chapter = Chapter()


def spread(rewards: Tensor, group_ids: Tensor) -> Tensor:
    """Rewards over their group's deviation."""
    of_group = [rewards[group_ids == group] for group in group_ids.tolist()]
    deviations = [float(members.std()) if len(members) > 1 else 0.0 for members in of_group]
    return rewards / (rewards.new_tensor(deviations) + 1e-4)


chapter.family("advantage of the reward")
chapter.enter(
    "M171 rewards_standardized: LOSS-117",
    "advantages are divided by the group's deviation, while the profile declares centred ones",
    "the weight between reward and teacher is another one, and another in every group",
    hybrid_loss=hybrid(lambda b, r, g, o: GOOD.hybrid_loss(b, spread(r, g), g, **o)),
    seen_in="trl-1.16",
)
chapter.enter(
    "M172 not_centered: LOSS-117",
    "the reward itself is the advantage",
    "everything that was sampled becomes more likely wherever rewards are positive",
    Planted(FILE, "return numbers - sum_of_group(numbers, group_ids) / sizes, sizes", "return numbers, sizes"),
)
chapter.enter(
    "M173 one_group_for_all: LOSS-117",
    "rewards are centred over the batch and not over their group",
    "hard prompts are trained away, easy ones are reinforced",
    Planted(FILE, "numbers - sum_of_group(numbers, group_ids) / sizes", "numbers - numbers.mean()"),
)
chapter.enter(
    "M174 best_is_the_baseline: LOSS-117",
    "the group's best reward is subtracted in place of its mean",
    "advantages are never positive",
    hybrid_loss=hybrid(lambda b, r, g, o: _uncentered(b, r - r.max(), g, o)),
)
chapter.enter(
    "M413 alone_without_baseline: LOSS-118",
    "the reward of a rollout that is alone in its group is not centred",
    "prompts with one rollout are trained on their level, not on a difference",
    Planted(
        FILE,
        "sum_of_group(numbers, group_ids) / sizes",
        "(sum_of_group(numbers, group_ids) / sizes).where(sizes > 1, 0.0)",
    ),
)

chapter.family("mixture of reward and teacher")
chapter.enter(
    "M175 mix_added: LOSS-071",
    "the reward's part is added on top of the mixture",
    "the step is too large between the ends",
    hybrid_loss=hybrid(
        lambda b, r, g, o: (
            GOOD.hybrid_loss(b, r, g, **o)
            + o["reward_weight"] * (1 - o["reward_weight"]) * GOOD.hybrid_loss(b, r, g, **{**o, "reward_weight": 1.0})
        )
    ),
)
chapter.enter(
    "M176 lambda_swapped: LOSS-072 LOSS-117",
    "lambda weights the teacher and not the reward",
    "a run that should mostly follow the reward mostly follows its teacher",
    hybrid_loss=hybrid(lambda b, r, g, o: GOOD.hybrid_loss(b, r, g, **{**o, "reward_weight": 1 - o["reward_weight"]})),
)
chapter.enter(
    "M177 lambda_swapped_inside: LOSS-072 LOSS-117",
    "lambda and one minus lambda are swapped where the advantages are mixed",
    "a run that should mostly follow the reward mostly follows its teacher",
    Planted(FILE, MIXED, "return (1 - weight) * of_reward + weight * of_distillation"),
    same_as="M176",
)
chapter.enter(
    "M178 reward_dropped: LOSS-109 LOSS-117",
    "the reward's part is lost",
    "the reward is not trained on at all",
    Planted(FILE, MIXED, "return 0 * of_reward + (1 - weight) * of_distillation"),
    seen_in="huggingface/trl#5883",
)
chapter.enter(
    "M179 teacher_not_weighted: LOSS-117",
    "the teacher's advantage is added with its full weight",
    "a run with the reward alone is not one",
    Planted(FILE, MIXED, "return weight * of_reward + of_distillation"),
)
chapter.enter(
    "M180 weights_squared: LOSS-071",
    "the mixture's weights are squared",
    "the step is too small between the ends",
    Planted(FILE, MIXED, "return weight**2 * of_reward + (1 - weight) ** 2 * of_distillation"),
)
chapter.enter(
    "M181 advantage_of_the_student: LOSS-072",
    "the self-distillation advantage has the wrong sign",
    "the student runs from its teacher",
    Planted(FILE, ADVANTAGE, "return (student_token_log_probs - teacher_token_log_probs).detach()"),
)
chapter.enter(
    "M182 advantages_centered: LOSS-072",
    "the teacher's advantages are centred in each completion",
    "a completion that the teacher finds bad all over is not trained away",
    Planted(
        FILE,
        "return (teacher_token_log_probs - student_token_log_probs).detach()",
        "found = (teacher_token_log_probs - student_token_log_probs).detach()\n"
        "    return found - found.mean(-1, keepdim=True)",
    ),
)
chapter.enter(
    "M183 rows_without_teacher_dropped: LOSS-117",
    "rows without a teacher lose their reward as well",
    "prompts without feedback are not trained at all",
    Planted(LOSSES, COMBINED, f"{COMBINED}\n    advantages = advantages * batch.self_distillation_mask[:, None]"),
)
chapter.enter(
    "M184 advantages_carry_gradient: LOSS-072",
    "the advantages carry gradient",
    "a second term of the size of the log-probability distorts every step",
    Planted(
        LOSSES, "-advantages.detach().to(student) * student", "-(advantages + student - student.detach()) * student"
    ),
)
chapter.enter(
    "M436 rewards_rounded_to_the_logits: LOSS-093",
    "rewards are lowered to the precision of the logits before their group's mean is taken",
    "beside bfloat16 logits rewards of 100.0 and 100.3 are 100.0 and 100.5",
    Planted(LOSSES, "rewards.to(batch.student_logits.device, precise)", "rewards.to(batch.student_logits)"),
)


def _uncentered(batch: object, rewards: Tensor, group_ids: Tensor, options: dict[str, object]) -> Tensor:
    """The hybrid of rewards that are taken for advantages: every rollout is a group of two with its mirror image."""
    from sdpo_ref.losses.reference import policy_gradient_loss
    from sdpo_ref.types import DistillationBatch

    assert isinstance(batch, DistillationBatch)  # noqa: S101
    weight = options["reward_weight"]
    assert isinstance(weight, float)  # noqa: S101
    right = GOOD.hybrid_loss(batch, rewards, group_ids, **options)  # type: ignore[arg-type]
    centered = rewards - rewards.mean()
    extra = (rewards - centered)[:, None].expand(batch.completions.shape)
    return right + weight * policy_gradient_loss(batch, extra)
