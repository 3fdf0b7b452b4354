"""What a run of the published study is made of, as data (spec/09-published-study).

All models are frozen and refuse unknown fields. A run is the published protocol with :class:`Constants` for what the
publication leaves open, and :class:`Control` for what is changed on purpose.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdpo_ref.simulation.settings import Factory

MethodName = Literal["sdpo", "reinforce", "advantage_weighted", "hybrid"]
"""What is trained."""

FeedbackName = Literal["binary", "ordinal", "continuous", "critique"]
"""Kinds of feedback, as the publication orders them."""

BiasName = Literal["none", "length", "positivity", "anchoring"]
"""Systematic errors of the rating."""

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Constants(BaseModel):
    """What the publication leaves open, chosen once (PUB-030).

    Attributes:
        strength: β of the teacher's tilt, in nats for each unit of feedback and quality.
        pattern_weight: a, what it is worth that a token is that of the target pattern.
        neighbour_spread: standard deviation of the bonus for neighbours; quality has 1.
        gate: τ of the hybrid, in nats.
        hint_noise: standard deviation of the error of a critique's hints.
        effective_length: which tokens the length of a completion counts: all, or those that are not token 0.

    Raises:
        ValidationError: naming the constant, what was received and what is allowed.

    Example:
        >>> Constants(strength=2.0).pattern_weight
        0.25
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: Positive = 1.5
    pattern_weight: Amount = 0.25
    neighbour_spread: Amount = 0.3
    gate: Positive = 0.1
    hint_noise: Amount = 0.1
    effective_length: Literal["all", "without token 0"] = "all"


class Control(BaseModel):
    """What a control changes in the published protocol; by default nothing (PUB-041 to PUB-044).

    Attributes:
        feedback: that a rollout's teacher gets: the rollout's own, that of another rollout, or one constant for all.
        told: correlation with the truth of the quality that the teacher is told; 1 is the published teacher.
        equal_mean: whether feedback is shifted in every step to the mean that it would have without noise and bias.
        hints: whether a critique's hint is subtracted at all tokens of a position, or at the sampled one alone.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> Control(feedback=0.5).told
        1.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feedback: Literal["own", "other"] | Amount = "own"
    told: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    equal_mean: bool = False
    hints: Literal["position", "token"] = "position"


class Outside(BaseModel):
    """Parts from outside this package, in the place of SDPO's own; by default none (PUB-045 to PUB-049).

    Attributes:
        trainer: called as ``factory(policy, teacher, learning_rate=...)``; returns a
            :class:`~sdpo_ref.protocols.Trainer`.
        implementation: ``module:factory[,key=value]`` of what ``sdpo-ref verify`` checks, whose part ``trainer`` makes
            the trainer.
        teacher: called as ``factory(policy, conditioning)``; returns a :class:`~sdpo_ref.protocols.Teacher`.

    Raises:
        ValidationError: if two parts are given; each is compared alone.

    Example:
        >>> Outside(trainer="mine:make").teacher
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer: Factory | None = None
    implementation: Factory | None = None
    teacher: Factory | None = None

    @property
    def part(self) -> str | None:
        """The factory that is given; ``None`` without one."""
        return self.trainer or self.implementation or self.teacher

    @model_validator(mode="after")
    def _one_part(self) -> "Outside":
        given = {name: value for name, value in self if value is not None}
        if len(given) > 1:
            raise ValueError(f"received {given}; allowed is one part, so make a run for each")
        return self


class PublishedSettings(BaseModel):
    """A run of the published study but for its seed.

    Attributes:
        kind: tells it from a run in our own world.
        vocab: V.
        time: T, tokens of every completion.
        steps: of gradient descent; the early reward needs 50.
        rollouts: n, sampled in every step.
        method: what is trained.
        learning_rate: of plain gradient descent on the logits; a trainer from outside is given this number.
        pull: λ, of SDPO's pull towards the start; a trainer from outside is not given it.
        feedback: its kind.
        noise: σ, standard deviation of what is added to every rating.
        bias: of every rating.
        constants: what the publication leaves open.
        control: what is changed on purpose.
        outside: whose trainer or teacher stands in the place of SDPO's.

    Raises:
        ValidationError: naming the setting, what was received and what is allowed.

    Example:
        >>> PublishedSettings(method="reinforce").learning_rate
        0.02
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["published"] = "published"
    vocab: Annotated[int, Field(ge=2)] = 8
    time: Count = 6
    steps: Annotated[int, Field(ge=50)] = 300
    rollouts: Annotated[int, Field(ge=2)] = 32
    method: MethodName = "sdpo"
    learning_rate: Positive = 0.02
    pull: Amount = 0.01
    feedback: FeedbackName = "continuous"
    noise: Amount = 0.0
    bias: BiasName = "none"
    constants: Constants = Constants()
    control: Control = Control()
    outside: Outside = Outside()

    @model_validator(mode="after")
    def _outside_replaces_sdpo(self) -> "PublishedSettings":
        if self.outside.part is not None and self.method != "sdpo":
            raise ValueError(
                f"received {self.outside.part} for {self.method}; a part from outside replaces one of sdpo, so use "
                "sdpo, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _no_option_is_without_effect(self) -> "PublishedSettings":
        if self.control.hints == "token" and self.feedback != "critique":
            raise ValueError(f"received hints at the token for {self.feedback} feedback, which has none; use critique")
        if self.constants.effective_length != "all" and self.bias != "length":
            raise ValueError(f"received an effective length for the bias {self.bias!r}; it is read with length alone")
        return self

    @model_validator(mode="after")
    def _control_has_a_teacher(self) -> "PublishedSettings":
        if self.control != Control() and self.method not in ("sdpo", "hybrid"):
            raise ValueError(
                f"received a control of the teacher for {self.method}, which has none; use sdpo or hybrid, or "
                "leave it out"
            )
        return self
