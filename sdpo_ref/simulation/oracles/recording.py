"""A record of what an oracle said."""

from dataclasses import dataclass, field

from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.staged import Lens, StagedOracle
from sdpo_ref.types import Judgement, Rollouts


@dataclass(frozen=True)
class Record:
    """One entry of the log.

    Attributes:
        rollouts: what was judged.
        judgement: what was said about it.
    """

    rollouts: Rollouts
    judgement: Judgement


@dataclass(frozen=True)
class Recording(StagedOracle):
    """Keeps every judgement and changes none.

    What it keeps is what the inner oracle says under the biases of all wrappers, inner and outer; gaps that a wrapper
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
