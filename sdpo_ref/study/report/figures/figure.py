"""What a figure of the report is: a drawing with its question, its caption, its numbers and its command."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.summary import Estimate


@dataclass(frozen=True)
class Effect:
    """One number that the study reports, with its interval.

    Attributes:
        setting: where it was measured, such as a regime; empty for all of the experiment.
        quantity: what is estimated, with its unit.
        estimate: over seeds; ``None`` where the observations do not determine it.
        note: what else a reader needs, such as in how many seeds the difference was positive.
    """

    setting: str
    quantity: str
    estimate: Estimate | None
    note: str = ""


@dataclass(frozen=True)
class ReportFigure:
    """A figure as data; the drawing is a function of the observations alone.

    Attributes:
        name: short, as in ``--figure noise``.
        experiment: whose observations it reads.
        title: a few words.
        question: what it lets people see.
        caption: how to read it.
        draw: from observations to a figure.
        effects: the numbers that the summary table shows for it.
        again: the command for a figure that is of no store; empty for all others.
    """

    name: str
    experiment: str
    title: str
    question: str
    caption: str
    draw: Callable[[Sequence[Observation]], Figure]
    effects: Callable[[Sequence[Observation]], list[Effect]]
    again: str = ""

    def command(self, seeds: int, parts: str = "") -> str:
        """What to type to get this figure again.

        Args:
            seeds: how many.
            parts: options that name third parties' parts, with a space in front; empty without.
        """
        return self.again or (
            f"sdpo-ref study run {self.experiment} --seeds {seeds}{parts} && "
            f"sdpo-ref study report --seeds {seeds}{parts} --figure {self.name}"
        )


def no_effects(_observations: Sequence[Observation]) -> list[Effect]:
    """For a figure that shows an example and estimates nothing."""
    return []
