"""Wrappers that corrupt, mix, change the noise of, or record judgements (spec/06-simulation, B)."""

from dataclasses import dataclass, field, replace

import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.staged import Bias, Lens, Ratings, StagedOracle, refuse_outside
from sdpo_ref.types import Feedback, Judgement, Rollouts


@dataclass(frozen=True)
class Missing(StagedOracle):
    """Each rollout goes without feedback with a given probability; rewards are unchanged.

    The same rollouts go without at a higher share as at a lower one, and some more.
    Implements: SIM-049.

    Attributes:
        inner: the oracle whose feedback is lost.
        share: probability of loss, in [0, 1].

    Raises:
        InvalidInputError: if the share is outside [0, 1].
    """

    inner: StagedOracle
    share: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("share", self.share, low=0.0, high=1.0)

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """The inner judgement with gaps."""
        judgement = self.inner.assess(rollouts, draws=draws, lens=lens)
        lost: list[bool] = (draws.uniform("missing") < self.share).tolist()
        kept = [None if is_lost else one for one, is_lost in zip(judgement.feedback, lost, strict=True)]
        return replace(judgement, feedback=tuple(kept))


@dataclass(frozen=True)
class Misleading(Bias):
    """The feedback on some prompts has ratings 1 - r in place of r; rewards are unchanged.

    Implements: SIM-048.

    Attributes:
        prompts: whose feedback misleads.

    Raises:
        InvalidInputError: if a prompt is below 0.
    """

    prompts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if any(prompt < 0 for prompt in self.prompts):
            raise InvalidInputError(f"prompts holds {min(self.prompts)}; prompts are numbered from 0")

    @property
    def lens(self) -> Lens:
        """Feedback ratings become 1 - r; rewards are unchanged."""
        return Lens(report=self._report)

    def _report(self, ratings: Ratings, rollouts: Rollouts) -> Ratings:
        misled = torch.isin(rollouts.prompts.group_ids, torch.tensor(self.prompts, dtype=torch.long))
        return torch.where(misled[:, None], 1 - ratings, ratings)


@dataclass(frozen=True)
class Heterogeneous(StagedOracle):
    """Each prompt has its own oracle, with its own regime and noise.

    Implements: SIM-051.

    Attributes:
        members: the oracles.
        member_of: for each prompt the index of its oracle among the members.

    Raises:
        InvalidInputError: if an index is no member.
    """

    members: tuple[StagedOracle, ...]
    member_of: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if any(not 0 <= member < len(self.members) for member in self.member_of):
            raise InvalidInputError(
                f"member_of holds {self.member_of}; there are {len(self.members)} members, numbered from 0"
            )

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """Each rollout as its prompt's oracle judges it, with the random numbers that it would have anywhere."""
        prompts = rollouts.prompts.group_ids
        unknown = sorted(set(prompts.tolist()) - set(range(len(self.member_of))))
        if unknown:
            raise InvalidInputError(
                f"received rollouts of prompts {unknown}; member_of has {len(self.member_of)} prompts, numbered from 0"
            )
        judged_by = torch.tensor(self.member_of, dtype=torch.long)[prompts]
        rewards = torch.zeros(prompts.shape[0], dtype=torch.float64)
        feedback: list[Feedback | None] = [None] * prompts.shape[0]
        for index, member in enumerate(self.members):
            rows = (judged_by == index).nonzero()[:, 0]
            judgement = member.assess(rollouts.select(rows), draws=draws.select(rows), lens=lens)
            rewards[rows] = judgement.rewards
            for row, of_row in zip(rows.tolist(), judgement.feedback, strict=True):
                feedback[row] = of_row
        return Judgement(rewards, tuple(feedback))


@dataclass(frozen=True)
class NoiseLevel(Bias):
    """The inner oracle with another standard deviation of the noise; the random numbers behind it stay.

    The outermost of several levels decides.
    Implements: SIM-040.

    Attributes:
        noise: standard deviation of every rating's noise, as a fraction of the scale; at least 0.

    Raises:
        InvalidInputError: if the noise is below 0 or not finite.
    """

    noise: float

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        refuse_outside("noise", self.noise, low=0.0, high=float("inf"))

    @property
    def lens(self) -> Lens:
        """The new level, whatever it was."""
        return Lens(noise=lambda _: self.noise)


@dataclass(frozen=True)
class Record:
    """One entry of the log.

    Attributes:
        rollouts: what was judged.
        judgement: on them.
    """

    rollouts: Rollouts
    judgement: Judgement


@dataclass(frozen=True)
class Recording(StagedOracle):
    """Keeps every judgement and changes none.

    It keeps the inner oracle's judgement under the biases of all wrappers, inner and outer; gaps that a wrapper
    around it makes are not in the log.
    Implements: SIM-050.

    Attributes:
        inner: the oracle that is recorded.
        log: the entries, oldest first.
    """

    inner: StagedOracle
    log: list[Record] = field(default_factory=list, compare=False)

    def assess(self, rollouts: Rollouts, *, draws: Draws, lens: Lens) -> Judgement:
        """The inner judgement, once it is in the log."""
        judgement = self.inner.assess(rollouts, draws=draws, lens=lens)
        self.log.append(Record(rollouts, judgement))
        return judgement
