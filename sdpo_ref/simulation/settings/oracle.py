"""Settings of a simulated oracle: its regime, its biases and what corrupts it (spec/06-simulation, section B)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

RegimeName = Literal["ordinal", "scalar", "rubric", "critique"]
"""Regimes of feedback, from the poorest to the richest."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class RegimeSettings(BaseModel):
    """How much an oracle says, and how consistently.

    Attributes:
        regime: what is rated.
        noise: standard deviation of every rating's noise, as a fraction of the scale.
        spans: of a critique; at most as many as a completion has positions.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    regime: RegimeName = "scalar"
    noise: Amount = 0.15
    spans: Annotated[int, Field(ge=1)] = 4


class OracleSettings(BaseModel):
    """An oracle as data. Wrappers stand in the order of the fields, the first innermost.

    Implements: SIM-039.

    Attributes:
        regimes: one for all prompts, or several that are dealt to the prompts.
        filler_share: share of the vocabulary that is filler: the tokens with the lowest ids, which have nothing else
            in common.
        verbosity: how much better a filler token looks, in units of a token's quality.
        position: above 0 early tokens count more, below 0 late ones.
        self_preference: how much better a token looks that the policy was sure of, in units of a token's quality.
        halo: how far ratings of parts move towards the overall one.
        central_tendency: how far ratings move towards the middle.
        severity: how far ratings move towards the lower end.
        positivity: how far ratings move towards the upper end.
        misleading_share: share of the prompts whose feedback points the wrong way.
        missing_share: share of the rollouts without feedback.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> OracleSettings(regimes=(RegimeSettings(regime="critique"),), halo=0.5).regimes[0].spans
        4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    regimes: Annotated[tuple[RegimeSettings, ...], Field(min_length=1)] = (RegimeSettings(),)
    filler_share: Share = 0.25
    verbosity: Amount = 0.0
    position: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    self_preference: Amount = 0.0
    halo: Share = 0.0
    central_tendency: Share = 0.0
    severity: Share = 0.0
    positivity: Share = 0.0
    misleading_share: Share = 0.0
    missing_share: Share = 0.0
