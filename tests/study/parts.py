"""Parts as a third party would write them; named in settings as ``tests.study.parts:...``."""

import torch

from sdpo_ref.protocols import Teacher
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.types import Judgement, Rollouts, StepReport


class Diverging:
    """A trainer whose first step leaves nothing finite."""

    def __init__(self, policy: FirstOrderPolicy) -> None:
        self.policy = policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """Divides by zero, as it were."""
        del rollouts, judgement
        with torch.no_grad():
            self.policy.table.fill_(float("nan"))
        return StepReport(0.0, optimizer_steps=1, teacher_updates=0, metrics={})


def diverging(policy: FirstOrderPolicy, teacher: Teacher, *, learning_rate: float) -> Diverging:
    """A factory of trainers."""
    return Diverging(policy)
