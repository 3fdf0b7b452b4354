"""Trainers with one defect: what a trainer that differs is compared with, and a few more (spec/05-trainer, B)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.types import Judgement, Rollouts
from sdpo_ref.verification.checks.first_steps import RatingTeacher
from sdpo_ref.verification.checks.written_out import RIGHT, Hybrid, Tokens, Way, WrittenOut, declared, of_all_sampled
from sdpo_ref.verification.checks.wrong_ways import WRONG_WAYS

chapter = Chapter()

MakeTrainer = Callable[..., WrittenOut]


def alone(trainer: MakeTrainer) -> Callable[[], SimpleNamespace]:
    """An implementation that has a trainer and nothing else."""

    def build() -> SimpleNamespace:
        return SimpleNamespace(trainer=trainer)

    build.parts = frozenset({"trainer"})  # type: ignore[attr-defined]
    return build


class Seen(WrittenOut):
    """Its first gradient arrives at the policy's weights, where it can be read."""

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        """As it should be, but for the way."""
        count = len(self.gradients)
        super().step(rollouts, judgement)
        self.policy.table.backward(self.gradients[count])  # type: ignore[no-untyped-call]
        self.policy.table.grad = None


def on(way: Way, profile: Profile | None = None, **always: Any) -> MakeTrainer:
    """Trains that way, with options that are always the same."""
    return lambda policy, teacher, **options: Seen(
        policy, teacher, profile=profile or Profile(), way=way, **{**options, **always}
    )


def hybrid_alone(
    slope: Callable[[float, bool], Hybrid], weigh: Callable[[Tokens], torch.Tensor] = of_all_sampled
) -> Callable[[], SimpleNamespace]:
    """An implementation that has a hybrid trainer and nothing else."""

    def trainer(policy: Any, teacher: Any, *, learning_rate: float, reward_weight: float, gated: bool) -> WrittenOut:
        way = Way(slope=slope(reward_weight, gated), weigh=weigh)
        return Seen(policy, teacher, learning_rate=learning_rate, way=way)

    def build() -> SimpleNamespace:
        return SimpleNamespace(hybrid_trainer=trainer)

    build.parts = frozenset({"hybrid_trainer"})  # type: ignore[attr-defined]
    return build


class ClosedWhereItAgrees(Hybrid):
    """The gate the other way round."""

    def is_open(self, tokens: Tokens, implicit: torch.Tensor) -> torch.Tensor:
        """Closed where it should be open."""
        return ~super().is_open(tokens, implicit)


class OneGate(Hybrid):
    """One gate for all groups."""

    def is_open(self, tokens: Tokens, implicit: torch.Tensor) -> torch.Tensor:
        """By the sign of one covariance over the whole batch."""
        return super().is_open(replace(tokens, group_ids=torch.zeros_like(tokens.group_ids)), implicit)


class Drags(Seen):
    """Moves the weights of a teacher that should stay."""

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        """As it should be, and then the teacher follows the student."""
        super().step(rollouts, judgement)
        if isinstance(self.teacher, RatingTeacher):
            with torch.no_grad():
                self.teacher.policy.table.lerp_(self.policy.table, 0.05)


class WithoutGradient(Seen):
    """Penalises the mean log-ratio of sampled tokens, whose gradient is zero on average."""

    def _gradient_of_penalty(self, rollouts: Rollouts, rows: torch.Tensor) -> torch.Tensor:
        return 0 * super()._gradient_of_penalty(rollouts, rows)


class TowardsTheStudent(Seen):
    """The penalty's divergence is taken the other way round."""

    def _gradient_of_penalty(self, rollouts: Rollouts, rows: torch.Tensor) -> torch.Tensor:
        if self.reference is None:
            return super()._gradient_of_penalty(rollouts, rows)
        inputs = rollouts.prompts, rollouts.completions, rollouts.completion_mask
        with torch.no_grad():
            slopes = self.policy.logits(*inputs).softmax(-1) - self.reference.logits(*inputs).softmax(-1)
        weights = torch.zeros(rollouts.completion_mask.shape, dtype=torch.float64)
        weights[rows] = rollouts.completion_mask[rows] / rollouts.completion_mask[rows].sum().double()
        return self.kl_weight * self._on_the_table(rollouts.prompts.group_ids, weights, slopes)


BOTH = "TRAIN-011 TRAIN-012"

CAUGHT_BY: Mapping[str, str] = {
    **dict.fromkeys(("M502", "M503", "M521", "M522"), "TRAIN-012"),
    **dict.fromkeys(("M525", "M526", "M527", "M528", "M529", "M530", "M542", "M543", "M544"), "TRAIN-012"),
    **dict.fromkeys(("M505", "M506", "M507", "M508", "M547"), "TRAIN-011"),
    "M509": "TRAIN-011 TRAIN-013",
    "M515": "TRAIN-013 TRAIN-014",
    **dict.fromkeys(("M516", "M517"), "TRAIN-013 TRAIN-014 TRAIN-015"),
    **dict.fromkeys(("M540", "M541"), "TRAIN-013"),
    "M546": "TRAIN-014",
}
"""What must catch each that :data:`BOTH` do not."""

chapter.family("a trainer's first calls")
for id_, known in WRONG_WAYS.items():
    chapter.enter(
        f"{id_} {known.name}: {CAUGHT_BY.get(id_, BOTH)}",
        known.wrong,
        known.effect,
        alone(on(known.way)),
    )
chapter.enter(
    "M548 drags_the_teacher: TRAIN-016",
    "the weights of a frozen teacher follow the student",
    "the reference follows the student and holds nothing back",
    alone(Drags),
)
chapter.enter(
    "M549 micro_batches_added: TRAIN-018",
    "each micro-batch is averaged over itself, and the means are averaged, while the profile declares one mean",
    "tokens of sparse micro-batches weigh more",
    alone(on(RIGHT, Profile(accumulation="micro_batch_mean"))),
)
chapter.enter(
    "M550 one_optimizer_step: TRAIN-019",
    "the rollouts of a call are one optimiser step, however many were asked for",
    "an option has no effect",
    alone(on(RIGHT, optimizer_steps=1)),
)
chapter.enter(
    "M551 penalty_without_gradient: TRAIN-020",
    "the penalty is the mean log-ratio of sampled tokens, whose gradient is zero on average",
    "the weight of the penalty does nothing but add noise",
    alone(WithoutGradient),
    seen_in="NVIDIA-NeMo/RL#2506",
)
chapter.enter(
    "M552 penalty_the_other_way: TRAIN-020",
    "the penalty is the divergence of the reference from the student",
    "the student is held to every mode of the reference",
    alone(TowardsTheStudent),
)
chapter.family("a hybrid trainer's first calls")
chapter.enter(
    "M701 hybrid_weights_exchanged: TRAIN-040",
    "the reward's weight is the teacher's",
    "the mixture is the other one, and at equal weights nothing shows",
    hybrid_alone(lambda weight, gated: Hybrid(1 - weight, gated)),
)
chapter.enter(
    "M702 hybrid_of_usable_tokens: TRAIN-040",
    "the mean is over the tokens of usable rows, and rows without a context are not trained",
    "rewards of rows without feedback are not learned from",
    hybrid_alone(Hybrid, declared),
)
chapter.enter(
    "M703 hybrid_gate_has_no_effect: TRAIN-041",
    "the gate is accepted and ignored",
    "misleading feedback passes",
    hybrid_alone(lambda weight, _gated: Hybrid(weight, gated=False)),
)
chapter.enter(
    "M704 hybrid_gate_the_wrong_way_round: TRAIN-041",
    "the gate is open where implicit reward and reward disagree",
    "only misleading feedback passes",
    hybrid_alone(ClosedWhereItAgrees),
)
chapter.enter(
    "M705 one_gate_for_all_groups: TRAIN-041",
    "one covariance over the whole batch decides for all groups",
    "where one prompt's feedback misleads, it passes with that of others",
    hybrid_alone(OneGate),
)
