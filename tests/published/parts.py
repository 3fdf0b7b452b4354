"""Trainers and a teacher as a third party would write them; named in settings as ``tests.published.parts:...``."""

from types import SimpleNamespace

import torch

from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.published.objects import TablePolicy, Tilted
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.teachers.weights import LiveTeacher
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import Aggregation, Feedback, Judgement, Rollouts, StepReport, TeacherView

NOTHING = StepReport(0.0, optimizer_steps=1, teacher_updates=0, metrics={})


def descending(
    policy: TablePolicy, teacher: Teacher, *, learning_rate: float, aggregation: Aggregation = "row_sum"
) -> SdpoTrainer:
    """The library's SDPO on the forward divergence, by plain gradient descent at the rate that it is given."""
    optimizer = torch.optim.SGD(policy.parameters(), lr=learning_rate)
    return SdpoTrainer(policy, teacher, optimizer, alpha=0.0, aggregation=aggregation)


def of_token_means(policy: TablePolicy, teacher: Teacher, *, learning_rate: float) -> SdpoTrainer:
    """The same with a loss that is averaged over tokens, whose gradient is T times as small."""
    rate = learning_rate * policy.table.shape[0]
    return descending(policy, teacher, learning_rate=rate, aggregation="token_mean")


def adam(policy: TablePolicy, teacher: Teacher, *, learning_rate: float) -> SdpoTrainer:
    """The library's SDPO as it is used."""
    return SdpoTrainer(policy, teacher, torch.optim.Adam(policy.parameters(), lr=learning_rate))


def implementation() -> SimpleNamespace:
    """What ``sdpo-ref verify`` takes."""
    return SimpleNamespace(trainer=descending, capabilities={"trainer"})


class Ignoring:
    """Reads neither reward nor feedback: always moves to the teacher that it asks with one made-up feedback."""

    def __init__(self, policy: TablePolicy, teacher: Teacher, learning_rate: float) -> None:
        self.policy, self._teacher, self._rate = policy, teacher, learning_rate

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """What it is told is thrown away."""
        told = Judgement(torch.zeros_like(judgement.rewards), (Feedback("", (0.6,)),) * len(judgement.feedback))
        taught = self._teacher.view(rollouts, told).logits.softmax(-1).mean(0)
        with torch.no_grad():
            self.policy.table.add_(self._rate * (taught - self.policy.probabilities()))
        return NOTHING


def ignoring(policy: TablePolicy, teacher: Teacher, *, learning_rate: float) -> Ignoring:
    """A factory of trainers that ignore feedback."""
    return Ignoring(policy, teacher, learning_rate)


class Elsewhere:
    """Trains a policy that it was not given."""

    def __init__(self) -> None:
        self.policy = FirstOrderPolicy(torch.zeros(1, 6, 8), torch.zeros(8, 8))

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Nothing."""
        del rollouts, judgement
        return NOTHING


def elsewhere(policy: TablePolicy, teacher: Teacher, *, learning_rate: float) -> Elsewhere:
    """A factory of trainers whose policy cannot be measured."""
    del policy, teacher, learning_rate
    return Elsewhere()


def ignorant() -> SimpleNamespace:
    """What ``sdpo-ref verify`` takes, with a trainer that ignores feedback."""
    return SimpleNamespace(trainer=ignoring, capabilities={"trainer"})


def no_trainer(policy: TablePolicy, teacher: Teacher, *, learning_rate: float) -> TablePolicy:
    """A factory that returns something else."""
    del teacher, learning_rate
    return policy


def live(policy: TablePolicy, conditioning: Tilted) -> LiveTeacher:
    """The teacher that the bundled one is."""
    return LiveTeacher(policy, conditioning)


class Silent:
    """A teacher that says what the student says."""

    def __init__(self, policy: TablePolicy) -> None:
        self._policy = policy

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The student's own scores."""
        del judgement
        logits = self._policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
        return TeacherView(logits, torch.ones(len(logits), dtype=torch.bool))

    def update(self, student: Policy) -> None:
        """Nothing."""


def silent(policy: TablePolicy, conditioning: Tilted) -> Silent:
    """A factory of teachers."""
    del conditioning
    return Silent(policy)
