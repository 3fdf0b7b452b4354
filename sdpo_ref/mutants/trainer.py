"""Trainers with one defect: what a trainer that differs is compared with, and a few more (spec/05-trainer, B)."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch

from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.types import Judgement, Rollouts
from sdpo_ref.verification.checks.first_steps import RatingTeacher
from sdpo_ref.verification.checks.written_out import RIGHT, Way, WrittenOut
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
