"""What is trained and how, as data: one class for each method (spec/06-simulation, section F)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Factory = Annotated[str, Field(pattern=r"^[^:]+:[^:]+$")]
"""``module:factory`` of a third party's part."""

StudentName = Literal["table", "features"]
"""Whether the student's logits are a table alone, or a table and a learned combination of the reader's features."""

TeacherName = Literal["live", "ema", "frozen", "trust_region", "frozen_difference"]
"""Kinds of teacher weights."""

PlaceboName = Literal["constant", "deranged"]
"""Feedback that says nothing about the attempt in front of the teacher."""


class _Method(BaseModel):
    """What every method has.

    Attributes:
        learning_rate: of Adam, in nats of a logit for each step.
        student: what the student's logits are made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: Positive = 0.1
    student: StudentName = "table"


class _Penalized(_Method):
    """What every method of ours has; a third party's trainer is not told of a penalty.

    Attributes:
        kl_weight: of the KL divergence to the base policy, in the loss's unit per nat and token.
    """

    kl_weight: Amount = 0.0


class _SelfDistilled(_Penalized):
    """What every method with a teacher has.

    Attributes:
        teacher: whose weights the teacher has.
        teacher_factory: a third party's teacher in place of that one.
        placebo: what the teacher reads in place of the feedback; ``None`` for the feedback itself.
    """

    teacher: TeacherName = "live"
    teacher_factory: Factory | None = None
    placebo: PlaceboName | None = None


class Sdpo(_SelfDistilled):
    """Self-distillation policy optimisation: reverse KL over the whole vocabulary."""

    method: Literal["sdpo"] = "sdpo"


class Sdft(_Penalized):
    """Self-distillation from the best completion of the group."""

    method: Literal["sdft"] = "sdft"


class Hybrid(_SelfDistilled):
    """SDPO and REINFORCE with group advantages.

    Attributes:
        reward_weight: of the reward's gradient; the teacher has the rest.
        gated: whether a group whose teacher contradicts the reward learns from the reward alone.
    """

    method: Literal["hybrid"] = "hybrid"
    reward_weight: Share = 0.5
    gated: bool = False


class Reinforce(_Penalized):
    """Policy gradient with a moving baseline."""

    method: Literal["reinforce"] = "reinforce"


class Rloo(_Penalized):
    """Policy gradient with a leave-one-out baseline."""

    method: Literal["rloo"] = "rloo"


class SpanRloo(_Penalized):
    """Policy gradient in which each span of a critique is credited with its own rating."""

    method: Literal["span_rloo"] = "span_rloo"


class Grpo(_Penalized):
    """Clipped policy gradient of standardised rewards.

    Attributes:
        epochs: updates on the same rollouts.
    """

    method: Literal["grpo"] = "grpo"
    epochs: Annotated[int, Field(ge=1)] = 1


class Ppo(_Penalized):
    """Clipped policy gradient with a learned value.

    Attributes:
        epochs: updates on the same rollouts.
        value_learning_rate: of Adam, in units of reward for each step.
    """

    method: Literal["ppo"] = "ppo"
    epochs: Annotated[int, Field(ge=1)] = 4
    value_learning_rate: Positive = 0.05


class Dpo(_Penalized):
    """Online direct preference optimisation.

    Attributes:
        beta: of the implied reward; small lets the student go far.
    """

    method: Literal["dpo"] = "dpo"
    beta: Positive = 0.1


class ThirdParty(_Method):
    """Somebody else's trainer.

    Attributes:
        factory: called as ``factory(policy, teacher, learning_rate=...)``; returns a
            :class:`~sdpo_ref.protocols.trainer.Trainer`.
    """

    method: Literal["third_party"] = "third_party"
    factory: Factory


class Implementation(_Penalized):
    """A trainer of the implementation that ``sdpo-ref verify`` checks, in the place of ours.

    Attributes:
        implementation: ``module:factory[,key=value]``; its part ``trainer`` or ``hybrid_trainer`` makes the trainer
            (:class:`~sdpo_ref.protocols.parts.Implementation`).
        placebo: what the teacher reads in place of the feedback; ``None`` for the feedback itself.
        reward_weight: of a hybrid; ``None`` for SDPO.
        gated: of a hybrid.
    """

    method: Literal["implementation"] = "implementation"
    implementation: Factory
    placebo: PlaceboName | None = None
    reward_weight: Share | None = None
    gated: bool = False


MethodSettings = Annotated[
    Sdpo | Sdft | Hybrid | Reinforce | Rloo | SpanRloo | Grpo | Ppo | Dpo | ThirdParty | Implementation,
    Field(discriminator="method"),
]
"""Settings of one method; ``method`` says which."""
