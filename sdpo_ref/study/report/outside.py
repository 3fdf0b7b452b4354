"""What a report shows beside its own runs: verdicts, published numbers, and rewards in both worlds.

All of it was decided elsewhere, from other seeds, and is handed to the report; this layer reads none of it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sdpo_ref.study.experiment import Label, Observation
from sdpo_ref.study.observations import by_seed, select
from sdpo_ref.study.summary import Estimate, differences, estimate, standard_deviation

Labels = Mapping[str, Label]


@dataclass(frozen=True)
class Published:
    """A number of the publication, to be marked beside ours.

    Attributes:
        table: such as T01.
        name: of its cell, in words.
        experiment: whose cells it is compared with.
        metric: that is published.
        cell: labels that single out the cell.
        low: the number, or the lower end of a published range.
        high: the number, or the upper end.
        digits: printed after the point.
        less: the cell that is subtracted, for a lead.
        lost_from: the cell of whose value this is the share that is lost.
        mean_over: an axis and its values, over whose cells this is a mean.
        statistic: over seeds.
        verdict: what became of it; empty where nothing was decided.
    """

    table: str
    name: str
    experiment: str
    metric: str
    cell: Labels
    low: float
    high: float
    digits: int = 3
    less: Labels | None = None
    lost_from: Labels | None = None
    mean_over: Mapping[str, Sequence[Label]] = field(default_factory=dict)
    statistic: Literal["mean", "deviation"] = "mean"
    verdict: str = ""

    @property
    def kind(self) -> Literal["value", "lead", "share lost"]:
        """Whether it is of one cell, a difference of two, or a share."""
        if self.less is not None:
            return "lead"
        return "value" if self.lost_from is None else "share lost"

    @property
    def middle(self) -> float:
        """The number, or the middle of the range."""
        return (self.low + self.high) / 2

    @property
    def words(self) -> str:
        """The number as it was printed, without the zero before the point.

        Example:
            >>> Published("T01", "sdpo", "P01", "credit", {}, -0.625, -0.625).words
            '−.625'
        """
        ends = [f"{end:.{self.digits}f}".replace("0.", ".", 1).replace("-", "−") for end in (self.low, self.high)]
        return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"

    def ours(self, observations: Sequence[Observation]) -> Estimate | None:
        """The same number of our runs: a mean with its interval, or a standard deviation without one.

        Args:
            observations: of its experiment.
        """
        values = self._by_seed(observations, self.cell)
        if self.less is not None:
            values = differences(values, self._by_seed(observations, self.less))
        if self.lost_from is not None:
            before = self._by_seed(observations, self.lost_from)
            values = {seed: 1 - values[seed] / before[seed] for seed in sorted(values.keys() & before.keys())}
        if self.statistic == "mean":
            return estimate(list(values.values()))
        spread = standard_deviation(list(values.values()))
        return None if spread is None else Estimate(spread, None, len(values))

    def _by_seed(self, observations: Sequence[Observation], labels: Labels) -> dict[int, float]:
        """One value for each seed that has every cell."""
        axes = [[(axis, value) for value in values] for axis, values in self.mean_over.items()]
        points = [{**labels, **dict(point)} for point in itertools.product(*axes)]
        cells = [by_seed(select(observations, **point), self.metric) for point in points]
        seeds = sorted(set.intersection(*(set(cell) for cell in cells)))
        return {seed: math.fsum(cell[seed] for cell in cells) / len(cells) for seed in seeds}


World = Literal["published", "ours"]


@dataclass(frozen=True)
class Reward:
    """What one method gains in one world, as a share of what can be gained there.

    Attributes:
        estimate: over seeds; 0 is the policy before training, 1 the best there is.
        raw: mean reward on the world's own scale, where that is another one.
    """

    estimate: Estimate
    raw: float | None = None


@dataclass(frozen=True)
class Arm:
    """One row of the first picture.

    Attributes:
        name: in words.
        look: of which method it has the colour.
        control: whether something was taken away from it.
        rewards: in each world where it was run.
        without: why it was not, in the others.
    """

    name: str
    look: str
    control: bool
    rewards: Mapping[World, Reward]
    without: Mapping[World, str]


@dataclass(frozen=True)
class Outside:
    """All that a report shows beside its runs.

    Attributes:
        verdicts: experiment to what was found about it for the bundled methods, a line each.
        published: numbers of the publication.
        arms: of the first picture; empty for none.
    """

    verdicts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    published: Sequence[Published] = ()
    arms: Sequence[Arm] = ()
