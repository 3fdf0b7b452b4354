"""Known defects: of the runs of a study, for negative controls, and trainers that are wrong, for measuring power.

Each trainer is an ordinary implementation:
``sdpo-ref verify sdpo_ref.claims.wrong_runs:make,name=forward_kl --level 4``.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace

import torch

from sdpo_ref.errors import UsageError
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.simulation.methods import Hybrid, KlGated, Sdpo
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.simulation.settings import PlaceboName
from sdpo_ref.study.experiment import StudySettings
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.trainers.update import logits_of
from sdpo_ref.types import Judgement, Rollouts, TeacherView

Mutant = Callable[[StudySettings], StudySettings]


def deranged(settings: StudySettings) -> StudySettings:
    """SDPO whose teacher reads another prompt's feedback."""
    return _with_placebo(settings, "deranged")


def constant(settings: StudySettings) -> StudySettings:
    """SDPO whose teacher always reads the same."""
    return _with_placebo(settings, "constant")


def informed(settings: StudySettings) -> StudySettings:
    """A placebo whose teacher reads the feedback after all."""
    return _with_placebo(settings, None)


def ungated(settings: StudySettings) -> StudySettings:
    """A hybrid that follows every teacher, whether its gate asks for agreement or for divergence."""
    if isinstance(settings, RunSettings) and isinstance(settings.method, Hybrid | KlGated):
        wide_open = {"gated": False} if isinstance(settings.method, Hybrid) else {"threshold": 1e-9}
        return settings.model_copy(update={"method": settings.method.model_copy(update=wide_open)})
    return settings


def tabular(settings: StudySettings) -> StudySettings:
    """A student without the reader's features."""
    if isinstance(settings, RunSettings):
        return settings.model_copy(update={"method": settings.method.model_copy(update={"student": "table"})})
    return settings


def single_draw(settings: StudySettings) -> StudySettings:
    """A gradient under one draw of the noise, in place of the mean over many."""
    return settings.model_copy(update={"draws": 1}) if isinstance(settings, ProbeSettings) else settings


def misled(settings: StudySettings) -> StudySettings:
    """SDPO whose feedback points the wrong way for every prompt."""
    if isinstance(settings, RunSettings):
        return settings.model_copy(update={"oracle": settings.oracle.model_copy(update={"misleading_share": 1.0})})
    return settings


MUTANTS: Mapping[str, Mutant] = {
    mutant.__name__: mutant for mutant in (deranged, constant, informed, ungated, tabular, single_draw, misled)
}
"""Name to the change of a run's settings."""


def _with_placebo(settings: StudySettings, placebo: PlaceboName | None) -> StudySettings:
    if isinstance(settings, RunSettings) and isinstance(settings.method, Sdpo | Hybrid):
        return settings.model_copy(update={"method": settings.method.model_copy(update={"placebo": placebo})})
    return settings


class _Altered:
    """A teacher whose scores are changed on their way.

    Args:
        policy: the student.
        teacher: the true teacher.
        alter: from the student's scores and the teacher's view to other scores.
    """

    def __init__(
        self, policy: Policy, teacher: Teacher, alter: Callable[[torch.Tensor, torch.Tensor, Rollouts], torch.Tensor]
    ) -> None:
        self._policy, self._teacher, self._alter = policy, teacher, alter

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The true teacher's scores, changed."""
        view = self._teacher.view(rollouts, judgement)
        with torch.no_grad():
            student = logits_of(self._policy, rollouts)
        return replace(view, logits=self._alter(student, view.logits, rollouts))

    def update(self, student: Policy) -> None:
        """As the true teacher."""
        self._teacher.update(student)


def _deaf(student: torch.Tensor, teacher: torch.Tensor, rollouts: Rollouts) -> torch.Tensor:
    del teacher, rollouts
    return student


def _shuffled(student: torch.Tensor, teacher: torch.Tensor, rollouts: Rollouts) -> torch.Tensor:
    group = int((rollouts.prompts.group_ids == rollouts.prompts.group_ids[0]).sum())
    return student + (teacher - student).roll(group, dims=0)


def _peeking(student: torch.Tensor, teacher: torch.Tensor, rollouts: Rollouts) -> torch.Tensor:
    del student
    frame = inspect.currentframe()
    while frame is not None and "world" not in frame.f_locals:
        frame = frame.f_back
    if frame is None:
        raise UsageError("the trainer that looks up the true quality runs in the simulator only")
    quality: torch.Tensor = frame.f_locals["world"].quality[rollouts.prompts.group_ids]
    return teacher + quality


_ALTERED = {"deaf": _deaf, "shuffled": _shuffled, "peeking": _peeking}

KNOWN_BAD: Mapping[str, str] = {
    "shuffled": "every prompt's teacher reads the feedback of its neighbour",
    "forward_kl": "forward KL in place of reverse",
    "deaf": "ignores its feedback: the teacher has the scores of the student",
    "peeking": "looks up the true quality in the simulator's frames and adds it to the teacher's scores",
}
"""Name to what is wrong."""


def make(name: str) -> SimpleNamespace:
    """An implementation that has a trainer and nothing else.

    Args:
        name: of the defect.

    Raises:
        UsageError: if there is no such defect.
    """
    if name not in KNOWN_BAD:
        raise UsageError(f"no wrong trainer is called {name!r}; there are {', '.join(KNOWN_BAD)}")

    def trainer(policy: FirstOrderPolicy, teacher: Teacher, *, learning_rate: float) -> SdpoTrainer:
        seen = _Altered(policy, teacher, _ALTERED[name]) if name in _ALTERED else teacher
        optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
        return SdpoTrainer(policy, seen, optimizer, alpha=0.0 if name == "forward_kl" else 1.0)

    return SimpleNamespace(name=f"known bad: {name}", trainer=trainer, capabilities={"trainer"})
