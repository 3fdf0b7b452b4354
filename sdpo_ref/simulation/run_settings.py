"""One unit of the study's work, as data: a training run, or a probe of one gradient (spec/06-simulation, section F)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sdpo_ref.simulation.methods import MethodSettings
from sdpo_ref.simulation.settings import Count, RunBase, SharedSettings


class RunSettings(RunBase):
    """A training run but for its seed.

    Attributes:
        method: what is trained and how.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> RunSettings(method={"method": "rloo", "learning_rate": 0.2}).method.method
        'rloo'
    """

    method: MethodSettings

    @model_validator(mode="after")
    def _method_fits(self) -> "RunSettings":
        if self.method.reads_spans and any(regime.regime != "critique" for regime in self.oracle.regimes):
            raise ValueError(
                f"{self.method.method} needs a rating of each span, received the regimes "
                f"{tuple(regime.regime for regime in self.oracle.regimes)}; use critique alone"
            )
        return self


class ProbeSettings(SharedSettings):
    """What noise does to the first gradient of SDPO, but for the seed.

    Attributes:
        kind: tells it from a run.
        draws: noisy judgements of the same rollouts.
    """

    kind: Literal["probe"] = "probe"
    draws: Count = 64


TaskSettings = Annotated[RunSettings | ProbeSettings, Field(discriminator="kind")]
"""Settings of one unit of work; ``kind`` says which."""
