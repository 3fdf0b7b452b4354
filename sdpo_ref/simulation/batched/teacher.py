"""The self-teachers of many runs: what each adds to its student's scores once it has read the judgement.

Teacher and student share the grammar, and what was read is the same after every prefix, so a teacher is the student and
a direction ``[prompt, time, vocab]``, of which a shift of a position means nothing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import FirstOrder
from sdpo_ref.simulation.batched.reader import Readers
from sdpo_ref.simulation.batched.update import Batch, Moment
from sdpo_ref.simulation.settings import RegimeSettings, SelfDistilledBase
from sdpo_ref.simulation.teachers.placebo import derangement, derangement_stream
from sdpo_ref.simulation.teachers.read_demonstration import expected_maximum

_EMA_RATE = 0.05
_TRUST_REGION_MIX = 0.05
"""What the reference's teachers do by default, which is what the study uses."""


@dataclass(frozen=True)
class View:
    """The teachers' scores.

    Attributes:
        direction: the teacher's scores less the student's; 0 for the student's likeliest token of each position.
        usable: False for prompts without feedback.
    """

    direction: Float[Tensor, "run prompt time vocab"]
    usable: Bool[Tensor, "run prompt"]

    @classmethod
    def from_direction(
        cls, direction: Float[Tensor, "run prompt time vocab"], usable: Bool[Tensor, "run prompt"], policy: FirstOrder
    ) -> "View":
        """A view from a direction that is determined up to a shift of each position.

        Args:
            direction: the teacher's scores less the student's.
            usable: as the attribute.
            policy: the students.
        """
        return cls(direction - direction.gather(-1, policy.scores.argmax(-1, keepdim=True)), usable)


class FeedbackTeachers:
    """Teachers that read feedback, one for each run; all with weights, placebo and regimes of one kind.

    Args:
        batch: runs of a method whose teacher reads feedback.
    """

    def __init__(self, batch: Batch) -> None:
        runs, students = batch.runs, batch.students
        method = batch.methods(SelfDistilledBase)[0]
        self._runs, self._students, self._member_of = runs, students, batch.oracles.member_of
        self._kind, self._placebo = method.teacher, method.placebo
        self._readers = [
            Readers(
                [run.settings.readers[member] for run in runs],
                [run.knowledge[member] for run in runs],
                device=batch.device,
            )
            for member in range(len(runs[0].settings.readers))
        ]
        self._average = [each.clone() for each in students.parameters]

    def view(self, moment: Moment) -> View:
        """Read the feedback.

        Args:
            moment: rollouts and their judgement.
        """
        tilt, usable = self._read(moment)
        students = self._students
        match self._kind:
            case "live" | "frozen_difference":
                direction = tilt
            case "ema":
                direction = students.scores(self._average) - students.scores() + tilt
            case "frozen":
                direction = students.base - students.scores() + tilt
            case "trust_region":
                direction = (1 - _TRUST_REGION_MIX) * (students.base - students.scores()) + tilt
        return View.from_direction(direction, usable, moment.policy)

    def update(self) -> None:
        """Follow the students."""
        if self._kind == "ema":
            for average, weight in zip(self._average, self._students.parameters, strict=True):
                average.lerp_(weight, _EMA_RATE)

    def _read(self, moment: Moment) -> tuple[Float[Tensor, "run prompt time vocab"], Bool[Tensor, "run prompt"]]:
        ratings, has_feedback = list(moment.judgements.ratings), moment.judgements.has_feedback
        if self._placebo == "constant":
            ratings, has_feedback = [torch.full_like(each, 0.5) for each in ratings], torch.ones_like(has_feedback)
        if self._placebo == "deranged":
            source = torch.stack([self._derangement(moment, row) for row in range(len(self._runs))]).to(
                has_feedback.device
            )
            has_feedback = has_feedback.gather(1, source[..., None].expand_as(has_feedback))
            ratings = [each.gather(1, source[..., None, None].expand_as(each)) for each in ratings]
        all_have_feedback = moment.judgements.all_have_feedback or self._placebo == "constant"
        tilts = [
            reader.tilt(moment.tokens.ids, of_member, has_feedback, all_have_feedback=all_have_feedback)
            for reader, of_member in zip(self._readers, ratings, strict=True)
        ]
        tilt = tilts[0]
        for member, other in enumerate(tilts[1:], start=1):
            tilt = torch.where((self._member_of == member)[..., None, None], other, tilt)
        return tilt, has_feedback.any(-1)

    def _derangement(self, moment: Moment, row: int) -> Tensor:
        """Which prompt's feedback each prompt of a run receives, as the reference swaps it."""
        by_rollout = moment.tokens.ids[row].transpose(1, 2)  # [prompt, rollout, time]
        prompts, rollouts, _ = by_rollout.shape
        group_ids: list[int] = torch.arange(prompts).repeat_interleave(rollouts).tolist()
        completions: list[list[int]] = by_rollout.flatten(0, 1).tolist()
        return derangement(prompts, generator=derangement_stream(self._runs[row].seed, group_ids, completions))


class DemonstrationTeachers:
    """Teachers that see the best completion of each group and nothing else, one for each run.

    Args:
        batch: runs of a method whose teacher is shown the best completion.
    """

    def __init__(self, batch: Batch) -> None:
        runs, device = batch.runs, batch.device
        readers = [run.settings.readers[0] for run in runs]
        seen = [
            one.model_copy(update={"feedback": RegimeSettings(regime="scalar", noise=one.slope / 4)}) for one in readers
        ]
        self._readers = Readers(seen, [run.knowledge[0] for run in runs], device=device)
        self._lead = expected_maximum(runs[0].settings.group_size)
        self._quarter_slope = torch.tensor([one.slope / 4 for one in readers], dtype=torch.float64, device=device)

    def view(self, moment: Moment) -> View:
        """Look at the demonstrations; a group of equal rewards has none.

        Args:
            moment: rollouts and their judgement.
        """
        rewards = moment.judgements.rewards
        rollouts = rewards.shape[-1]
        best = rewards.argmax(-1, keepdim=True)
        shown = torch.arange(rollouts, device=rewards.device) == best
        scores = torch.full_like(rewards, -self._lead / (rollouts - 1)).masked_fill_(shown, self._lead)
        ratings = 0.5 + self._quarter_slope[:, None, None] * scores
        usable = rewards.amax(-1) > rewards.amin(-1)
        has_feedback = usable[..., None].expand_as(shown)
        tilt = self._readers.tilt(moment.tokens.ids, ratings[..., None], has_feedback, all_have_feedback=False)
        return View.from_direction(tilt, usable, moment.policy)
