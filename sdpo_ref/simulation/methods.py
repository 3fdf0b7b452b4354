"""The table of training methods: a row has all that distinguishes one from another (spec/06-simulation, D and F).

To add a method, write its trainer in ``sdpo_ref/trainers/`` and its settings and row here (CONTRIBUTING, "Add a
trainer"). Whatever builds, runs, tunes, credits or draws a method reads it here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols import Teacher, Trainer
from sdpo_ref.simulation import credit
from sdpo_ref.simulation.batched.policy_gradient import (
    DpoUpdate,
    GroupUpdate,
    PolicyGradient,
    PpoUpdate,
    ReinforceUpdate,
    SpanUpdate,
)
from sdpo_ref.simulation.batched.self_distillation import (
    AdvantageWeightedUpdate,
    HybridUpdate,
    KlGatedUpdate,
    SdftUpdate,
    SdpoUpdate,
)
from sdpo_ref.simulation.batched.teacher import DemonstrationTeachers, FeedbackTeachers
from sdpo_ref.simulation.batched.update import Batch, Update
from sdpo_ref.simulation.method import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Arm,
    Look,
    Method,
    Student,
)
from sdpo_ref.simulation.settings import (
    Factory,
    MethodBase,
    PenalizedBase,
    PlaceboName,
    Positive,
    SelfDistilledBase,
    Share,
)
from sdpo_ref.simulation.third_party import made_by, made_by_implementation
from sdpo_ref.trainers.advantage_weighted import AdvantageWeightedTrainer
from sdpo_ref.trainers.dpo import DpoTrainer
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.kl_gated import KlGatedTrainer
from sdpo_ref.trainers.ppo import PpoTrainer, ValueTable
from sdpo_ref.trainers.reinforce import ReinforceTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.trainers.span_rloo import SpanRlooTrainer

# Settings: one class for each method, with what the others do not have.


class Sdpo(SelfDistilledBase):
    """Self-distillation policy optimisation: reverse KL over the whole vocabulary."""

    method: Literal["sdpo"] = "sdpo"


class Hybrid(SelfDistilledBase):
    """SDPO and REINFORCE with group advantages.

    Attributes:
        reward_weight: of the reward's gradient; the teacher has the rest.
        gated: whether a group whose teacher contradicts the reward learns from the reward alone.
    """

    method: Literal["hybrid"] = "hybrid"
    reward_weight: Share = 0.5
    gated: bool = False


class KlGated(SelfDistilledBase):
    """SDPO and REINFORCE with group advantages, mixed by how far the teacher is from the student.

    Attributes:
        threshold: divergence at which both have the same weight, in nats per token.
    """

    method: Literal["kl_gated"] = "kl_gated"
    threshold: Positive = 0.1


class Sdft(PenalizedBase):
    """Self-distillation from the best completion of the group."""

    reads_demonstrations: ClassVar[bool] = True
    method: Literal["sdft"] = "sdft"


class Reinforce(PenalizedBase):
    """Policy gradient with a moving baseline."""

    method: Literal["reinforce"] = "reinforce"


class Rloo(PenalizedBase):
    """Policy gradient with a leave-one-out baseline."""

    method: Literal["rloo"] = "rloo"


class SpanRloo(PenalizedBase):
    """Policy gradient in which each span of a critique is credited with its own rating."""

    reads_spans: ClassVar[bool] = True
    method: Literal["span_rloo"] = "span_rloo"


class AdvantageWeighted(SelfDistilledBase):
    """Policy gradient whose advantage is shared out by what the teacher credits tokens with.

    Attributes:
        signed: whether shares have the sign of the quality, as published.
    """

    method: Literal["advantage_weighted"] = "advantage_weighted"
    signed: bool = True


class Grpo(PenalizedBase):
    """Clipped policy gradient of standardised rewards.

    Attributes:
        epochs: updates on the same rollouts.
    """

    method: Literal["grpo"] = "grpo"
    epochs: Annotated[int, Field(ge=1)] = 1


class Ppo(PenalizedBase):
    """Clipped policy gradient with a learned value.

    Attributes:
        epochs: updates on the same rollouts.
        value_learning_rate: of Adam, in units of reward for each step.
    """

    method: Literal["ppo"] = "ppo"
    epochs: Annotated[int, Field(ge=1)] = 4
    value_learning_rate: Positive = 0.05


class Dpo(PenalizedBase):
    """Online direct preference optimisation.

    Attributes:
        beta: of the implied reward; small lets the student go far.
    """

    method: Literal["dpo"] = "dpo"
    beta: Positive = 0.1


class ThirdParty(MethodBase):
    """A trainer from outside this package.

    Attributes:
        factory: called as ``factory(policy, teacher, learning_rate=...)``; returns a
            :class:`~sdpo_ref.protocols.Trainer`.
    """

    method: Literal["third_party"] = "third_party"
    factory: Factory


class Implementation(PenalizedBase):
    """A trainer of the implementation that ``sdpo-ref verify`` checks, in the place of the bundled one.

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
    Sdpo
    | Sdft
    | Hybrid
    | KlGated
    | Reinforce
    | AdvantageWeighted
    | Rloo
    | SpanRloo
    | Grpo
    | Ppo
    | Dpo
    | ThirdParty
    | Implementation,
    Field(discriminator="method"),
]
"""Settings of one method; ``method`` says which."""


# Trainers that take more than a line to make.


def _ppo(method: Ppo, student: Student, _: Teacher) -> PpoTrainer:
    value = ValueTable(*student.policy.table.shape[:2])
    return PpoTrainer(
        student.policy,
        student.adam(method),
        value=value,
        value_optimizer=torch.optim.Adam(value.parameters(), lr=method.value_learning_rate),
        epochs=method.epochs,
        **student.penalty(method),
    )


def _third_party(method: ThirdParty, student: Student, teacher: Teacher) -> Trainer:
    given = student.policy, teacher
    return made_by(method.factory, Trainer, *given, learning_rate=method.learning_rate)  # type: ignore[type-abstract]


def _implementation(method: Implementation, student: Student, teacher: Teacher) -> Trainer:
    """An option that is not used is not passed, so that a trainer without it need not accept it."""
    options: dict[str, object] = {"learning_rate": method.learning_rate}
    if method.kl_weight > 0:
        options |= {"reference": student.base, "kl_weight": method.kl_weight}
    if method.reward_weight is not None:
        options |= {"reward_weight": method.reward_weight, "gated": method.gated}
    part = "trainer" if method.reward_weight is None else "hybrid_trainer"
    given = student.policy, teacher
    return made_by_implementation(method.implementation, part, Trainer, *given, **options)  # type: ignore[type-abstract]


# The table, in the order of the figures' legends.

_ROWS: tuple[Method[Any], ...] = (
    Method(
        Sdpo,
        trainer=lambda method, student, teacher: SdpoTrainer(
            student.policy, teacher, student.adam(method), **student.penalty(method)
        ),
        update=lambda batch: SdpoUpdate(batch.students, FeedbackTeachers(batch), batch.penalties),
        credit=lambda _, step: credit.implicit_rewards(step),
        arms=(Arm("sdpo", "SDPO", Look(VERMILLION, "o")),),
    ),
    Method(
        Hybrid,
        trainer=lambda method, student, teacher: HybridTrainer(
            student.policy,
            teacher,
            student.adam(method),
            reward_weight=method.reward_weight,
            gated=method.gated,
            **student.penalty(method),
        ),
        update=lambda batch: HybridUpdate(
            batch.students,
            FeedbackTeachers(batch),
            batch.penalties,
            reward_weights=batch.numbers([method.reward_weight for method in batch.methods(Hybrid)]),
            gated=batch.methods(Hybrid)[0].gated,
        ),
        credit=lambda method, step: credit.mixed_advantages(
            step, reward_weight=method.reward_weight, gated=method.gated
        ),
        arms=(
            Arm(
                "hybrid",
                "hybrid",
                Look(PURPLE, "s", (5.0, 1.5)),
                tried=({"reward_weight": 0.5}, {"reward_weight": 0.9}),
            ),
            Arm(
                "gated",
                "gated",
                Look("#000000", "D", (3.0, 1.0, 1.0, 1.0)),
                fixed={"gated": True},
                tried=({"reward_weight": 0.5}, {"reward_weight": 0.9}),
            ),
        ),
    ),
    Method(
        KlGated,
        trainer=lambda method, student, teacher: KlGatedTrainer(
            student.policy, teacher, student.adam(method), threshold=method.threshold, **student.penalty(method)
        ),
        update=lambda batch: KlGatedUpdate(
            batch.students,
            FeedbackTeachers(batch),
            batch.penalties,
            thresholds=batch.numbers([method.threshold for method in batch.methods(KlGated)]),
        ),
        credit=lambda method, step: credit.mixed_by_divergence(step, threshold=method.threshold),
        arms=(
            Arm(
                "kl_gated",
                "KL-gated",
                Look(PURPLE, "D", (1.2, 1.2), filled=False),
                tried=({"threshold": 0.03}, {"threshold": 0.1}),
            ),
        ),
    ),
    Method(
        Sdft,
        trainer=lambda method, student, teacher: SdftTrainer(
            student.policy, teacher, student.adam(method), **student.penalty(method)
        ),
        update=lambda batch: SdftUpdate(batch.students, DemonstrationTeachers(batch), batch.penalties),
        credit=lambda _, step: credit.implicit_rewards(step),
        arms=(Arm("sdft", "SDFT", Look(ORANGE, "^", (1.2, 1.2))),),
    ),
    Method(
        Reinforce,
        trainer=lambda method, student, _: ReinforceTrainer(
            student.policy, student.adam(method), aggregation="token_mean", **student.penalty(method)
        ),
        update=lambda batch: ReinforceUpdate(PolicyGradient(batch)),
        credit=lambda _, step: credit.rewards(step),
        arms=(Arm("reinforce", "REINFORCE", Look(SKY, "v", (5.0, 1.5))),),
    ),
    Method(
        AdvantageWeighted,
        trainer=lambda method, student, teacher: AdvantageWeightedTrainer(
            student.policy,
            teacher,
            student.adam(method),
            signed=method.signed,
            aggregation="token_mean",
            **student.penalty(method),
        ),
        update=lambda batch: AdvantageWeightedUpdate(
            PolicyGradient(batch), FeedbackTeachers(batch), signed=batch.methods(AdvantageWeighted)[0].signed
        ),
        credit=lambda method, step: credit.shares_of_advantages(step, signed=method.signed),
        arms=(
            Arm(
                "advantage_weighted",
                "advantage-weighted",
                Look("#4d4d4d", "s", (1.2, 1.2)),
                tried=({"signed": True}, {"signed": False}),
            ),
        ),
    ),
    Method(
        Rloo,
        trainer=lambda method, student, _: RlooTrainer(
            student.policy, student.adam(method), aggregation="token_mean", **student.penalty(method)
        ),
        update=lambda batch: GroupUpdate(PolicyGradient(batch), standardized=False),
        credit=lambda _, step: credit.leave_one_out(step),
        arms=(Arm("rloo", "RLOO", Look(BLUE, "s")),),
    ),
    Method(
        SpanRloo,
        trainer=lambda method, student, _: SpanRlooTrainer(
            student.policy,
            student.adam(method),
            spans=student.spans,
            aggregation="token_mean",
            **student.penalty(method),
        ),
        update=lambda batch: SpanUpdate(PolicyGradient(batch), spans=batch.runs[0].settings.oracle.regimes[0].spans),
        credit=lambda _, step: credit.of_spans(step),
        arms=(Arm("span_rloo", "span RLOO", Look(BLUE, "s", (2.5, 1.2), filled=False)),),
    ),
    Method(
        Grpo,
        trainer=lambda method, student, _: GrpoTrainer(
            student.policy, student.adam(method), epochs=method.epochs, **student.penalty(method)
        ),
        update=lambda batch: GroupUpdate(
            PolicyGradient(batch, epochs=batch.methods(Grpo)[0].epochs), standardized=True
        ),
        credit=lambda _, step: credit.standardized(step),
        arms=(Arm("grpo", "GRPO", Look(GREEN, "P", (3.0, 1.0, 1.0, 1.0)), tried=({"epochs": 1}, {"epochs": 4})),),
    ),
    Method(
        Ppo,
        trainer=_ppo,
        update=lambda batch: PpoUpdate(
            PolicyGradient(batch, epochs=batch.methods(Ppo)[0].epochs),
            batch.students,
            learning_rates=batch.numbers([method.value_learning_rate for method in batch.methods(Ppo)]),
        ),
        credit=lambda _, step: credit.generalized_advantages(step),
        arms=(Arm("ppo", "PPO", Look("#4d4d4d", "X", (1.2, 1.2)), tried=({"epochs": 1}, {"epochs": 4})),),
    ),
    Method(
        Dpo,
        trainer=lambda method, student, _: DpoTrainer(
            student.policy,
            student.adam(method),
            reference=student.base,
            beta=method.beta,
            kl_weight=method.kl_weight,
        ),
        update=lambda batch: DpoUpdate(
            batch.students, batch.penalties, betas=batch.numbers([method.beta for method in batch.methods(Dpo)])
        ),
        credit=lambda _, step: credit.preferences(step),
        arms=(Arm("dpo", "DPO", Look("#8c8c8c", "d", (6.0, 2.0)), tried=({"beta": 0.1}, {"beta": 0.5})),),
    ),
    Method(ThirdParty, trainer=_third_party),
    Method(Implementation, trainer=_implementation),
)

METHODS: Mapping[str, Method[Any]] = {row.name: row for row in _ROWS}
"""Name to row."""


def build_trainer(settings: MethodSettings, student: Student, teacher: Teacher) -> Trainer:
    """The trainer that the settings describe.

    Args:
        settings: of the method.
        student: what it trains.
        teacher: for methods that have one.

    Returns:
        The trainer, at its start.

    Raises:
        InvalidInputError: if the settings do not fit.
        LoadError: if a third party's trainer cannot be made.
    """
    return METHODS[settings.method].trainer(settings, student, teacher)


def credit_signal(settings: MethodSettings, step: credit.Step) -> Float[Tensor, "rollout time"] | None:
    """What a method credits each token with, on rollouts that the present policy sampled.

    A method with a teacher credits the implicit reward of each token, a policy gradient its advantage, online DPO
    one for the chosen and minus one for the rejected completion. The scale is the method's own.
    Implements: SIM-131.

    Args:
        settings: of the method.
        step: its teacher, its trainer, rollouts and their judgement.

    Returns:
        Credit of each token; ``None`` for a method whose row has no signal, such as a third party's trainer.
    """
    signal = METHODS[settings.method].credit
    return None if signal is None else signal(settings, step)


def build_update(batch: Batch) -> Update:
    """The update of the batched simulator that the runs' settings describe, at its start.

    Args:
        batch: runs of one method.

    Raises:
        UnsupportedError: if the method's row has none.
    """
    name = batch.runs[0].settings.method.method
    update = METHODS[name].update
    if update is None:
        raise UnsupportedError(f"the method {name!r} runs in the simulator 'reference' only")
    return update(batch)
