"""One unit of the study's work, as data: a training run, or a probe of one gradient (spec/06-simulation, section F)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdpo_ref.simulation.settings.method import Factory, MethodSettings
from sdpo_ref.simulation.settings.oracle import OracleSettings, RegimeSettings
from sdpo_ref.simulation.settings.reader import ReaderSettings
from sdpo_ref.simulation.settings.world import WorldSettings

Count = Annotated[int, Field(ge=1)]


SimulatorName = Literal["batched", "reference"]
"""The optimised simulator, and the clear one; they give the same numbers up to rounding."""


class _Setting(BaseModel):
    """The world, who judges in it, and what the self-teacher takes the judgement to be.

    Attributes:
        world: the ground truth, and the corpus that describes it.
        oracle: who judges.
        readers: what the self-teacher assumes, one for each of the oracle's regimes and in their order.
        group_size: completions to each prompt in a step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: WorldSettings = WorldSettings()
    oracle: OracleSettings = OracleSettings()
    readers: Annotated[tuple[ReaderSettings, ...], Field(min_length=1)] = (ReaderSettings(),)
    group_size: Annotated[int, Field(ge=2)] = 8

    @model_validator(mode="after")
    def _regimes_fit(self) -> "_Setting":
        told = tuple(_shape(reader.feedback) for reader in self.readers)
        said = tuple(_shape(regime) for regime in self.oracle.regimes)
        if told != said:
            raise ValueError(
                f"readers expect the regimes {told}, the oracle has {said}; give one reader for each regime, with the "
                "same regime and number of spans"
            )
        for regime in self.oracle.regimes:
            if regime.regime == "critique" and regime.spans > self.world.time:
                raise ValueError(
                    f"received spans={regime.spans} and time={self.world.time}; a critique has at most one span for "
                    f"each position, so lower spans to {self.world.time} or less"
                )
        return self


class RunSettings(_Setting):
    """A training run but for its seed.

    Attributes:
        kind: tells it from a probe.
        method: what is trained and how.
        oracle_factory: a third party's oracle, called as ``factory(world, oracle_settings, seed=...)``.
        steps: iterations.
        measure_every: steps between exact measurements.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> RunSettings(method={"method": "rloo", "learning_rate": 0.2}).method.method
        'rloo'
    """

    kind: Literal["run"] = "run"
    method: MethodSettings
    oracle_factory: Factory | None = None
    steps: Count = 200
    measure_every: Count = 10

    @model_validator(mode="after")
    def _method_fits(self) -> "RunSettings":
        if self.method.method == "span_rloo" and any(one.regime != "critique" for one in self.oracle.regimes):
            raise ValueError(
                f"span_rloo needs a rating of each span, received the regimes "
                f"{tuple(one.regime for one in self.oracle.regimes)}; use critique alone"
            )
        return self


class ProbeSettings(_Setting):
    """What noise does to the first gradient of SDPO, but for the seed.

    Attributes:
        kind: tells it from a run.
        draws: noisy judgements of the same rollouts.
    """

    kind: Literal["probe"] = "probe"
    draws: Count = 64


TaskSettings = Annotated[RunSettings | ProbeSettings, Field(discriminator="kind")]
"""Settings of one unit of work; ``kind`` says which."""


def _shape(feedback: RegimeSettings) -> str:
    return f"critique of {feedback.spans}" if feedback.regime == "critique" else feedback.regime
