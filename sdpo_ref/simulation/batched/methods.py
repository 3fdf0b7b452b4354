"""From a method's settings to its update: the one place that knows every method."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.simulation.batched.moment import Credit, Moment
from sdpo_ref.simulation.batched.oracle import Oracles
from sdpo_ref.simulation.batched.penalty import Penalties
from sdpo_ref.simulation.batched.policy_gradient import (
    DpoUpdate,
    GroupUpdate,
    PolicyGradient,
    PpoUpdate,
    ReinforceUpdate,
    SpanUpdate,
)
from sdpo_ref.simulation.batched.runs import Run
from sdpo_ref.simulation.batched.self_distillation import HybridUpdate, SdftUpdate, SdpoUpdate
from sdpo_ref.simulation.batched.student import Students
from sdpo_ref.simulation.batched.teacher import DemonstrationTeachers, FeedbackTeachers
from sdpo_ref.simulation.settings.method import Grpo, Hybrid, Ppo, Sdft, Sdpo


@runtime_checkable
class Update(Protocol):
    """A method: what it learns from a moment."""

    def learn(self, moment: Moment, *, credited: bool) -> Credit | None:
        """One step of every run; what it credited each token with, if that is asked for."""


def update_of(runs: Sequence[Run], students: Students, oracles: Oracles, device: torch.device) -> Update:
    """The update that the runs' settings describe, at its start.

    Args:
        runs: of one method.
        students: that are trained.
        oracles: of the runs.
        device: where the tensors live.
    """
    penalties = Penalties(runs, students)
    match runs[0].settings.method:
        case Sdpo():
            return SdpoUpdate(students, FeedbackTeachers(runs, students, oracles, device), penalties)
        case Sdft():
            return SdftUpdate(students, DemonstrationTeachers(runs, device), penalties)
        case Hybrid():
            return HybridUpdate(runs, students, FeedbackTeachers(runs, students, oracles, device), penalties)
        case _:
            return _baseline(runs, students, penalties)


def _baseline(runs: Sequence[Run], students: Students, penalties: Penalties) -> Update:
    method = runs[0].settings.method
    epochs = method.epochs if isinstance(method, Grpo | Ppo) else 1
    gradient = PolicyGradient(students, penalties, epochs=epochs)
    update: Update
    match method.method:
        case "reinforce":
            update = ReinforceUpdate(gradient)
        case "rloo" | "grpo":
            update = GroupUpdate(gradient, standardized=method.method == "grpo")
        case "span_rloo":
            update = SpanUpdate(gradient, spans=runs[0].settings.oracle.regimes[0].spans)
        case "ppo":
            update = PpoUpdate(runs, gradient, students)
        case "dpo":
            update = DpoUpdate(runs, students, penalties)
        case other:
            raise UnsupportedError(f"the method {other!r} runs in the simulator 'reference' only")
    return update
