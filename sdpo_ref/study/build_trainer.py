"""From a method's settings to its trainer: the one place that knows every method.

All train with Adam and average over tokens, so that learning rates and weights of the penalty mean the same for all.
"""

from dataclasses import dataclass

import torch

from sdpo_ref.protocols.teacher import Teacher
from sdpo_ref.protocols.trainer import Trainer
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.settings.method import (
    Dpo,
    Grpo,
    Hybrid,
    Implementation,
    MethodSettings,
    Ppo,
    Reinforce,
    Rloo,
    Sdft,
    Sdpo,
    SpanRloo,
    ThirdParty,
)
from sdpo_ref.study.third_party import made_by, made_by_implementation
from sdpo_ref.trainers.dpo import DpoTrainer
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.ppo import PpoTrainer, ValueTable
from sdpo_ref.trainers.reinforce import ReinforceTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.trainers.span_rloo import SpanRlooTrainer


@dataclass(frozen=True)
class Student:
    """What a trainer is given to train.

    Attributes:
        policy: at the base policy's weights.
        base: the base policy, another object: what penalties pull to.
        spans: of the critiques that are judged; 1 where there are none.
    """

    policy: FirstOrderPolicy
    base: FirstOrderPolicy
    spans: int


def build_trainer(method: MethodSettings, student: Student, teacher: Teacher) -> Trainer:
    """The trainer that the settings describe.

    Args:
        method: its settings.
        student: what it trains.
        teacher: for methods that have one.

    Returns:
        The trainer, at its start.

    Raises:
        InvalidInputError: if the settings do not fit.
        LoadError: if a third party's trainer cannot be made.
    """
    if isinstance(method, ThirdParty):
        given = student.policy, teacher
        return made_by(method.factory, Trainer, *given, learning_rate=method.learning_rate)  # type: ignore[type-abstract]
    if isinstance(method, Implementation):
        return _implemented(method, student, teacher)
    optimizer = torch.optim.Adam(student.policy.parameters(), lr=method.learning_rate)
    if isinstance(method, Sdpo | Sdft | Hybrid):
        return _self_distilling(method, student, teacher, optimizer)
    return _baseline(method, student, optimizer)


def _implemented(method: Implementation, student: Student, teacher: Teacher) -> Trainer:
    """An option that is not used is not given, so that whoever does not offer it need not know of it."""
    options: dict[str, object] = {"learning_rate": method.learning_rate}
    if method.kl_weight > 0:
        options |= {"reference": student.base, "kl_weight": method.kl_weight}
    if method.reward_weight is not None:
        options |= {"reward_weight": method.reward_weight, "gated": method.gated}
    part = "trainer" if method.reward_weight is None else "hybrid_trainer"
    given = student.policy, teacher
    return made_by_implementation(method.implementation, part, Trainer, *given, **options)  # type: ignore[type-abstract]


def _self_distilling(
    method: Sdpo | Sdft | Hybrid, student: Student, teacher: Teacher, optimizer: torch.optim.Optimizer
) -> Trainer:
    policy, weight, reference = student.policy, method.kl_weight, _reference(method.kl_weight, student)
    match method:
        case Sdpo():
            return SdpoTrainer(policy, teacher, optimizer, reference=reference, kl_weight=weight)
        case Sdft():
            return SdftTrainer(policy, teacher, optimizer, reference=reference, kl_weight=weight)
        case Hybrid():
            return HybridTrainer(
                policy,
                teacher,
                optimizer,
                reward_weight=method.reward_weight,
                gated=method.gated,
                reference=reference,
                kl_weight=weight,
            )


def _baseline(
    method: Reinforce | Rloo | SpanRloo | Grpo | Ppo | Dpo, student: Student, optimizer: torch.optim.Optimizer
) -> Trainer:
    policy, weight, reference = student.policy, method.kl_weight, _reference(method.kl_weight, student)
    trainer: Trainer
    match method:
        case Reinforce():
            trainer = ReinforceTrainer(
                policy, optimizer, aggregation="token_mean", reference=reference, kl_weight=weight
            )
        case Rloo():
            trainer = RlooTrainer(policy, optimizer, aggregation="token_mean", reference=reference, kl_weight=weight)
        case SpanRloo():
            trainer = SpanRlooTrainer(
                policy,
                optimizer,
                spans=student.spans,
                aggregation="token_mean",
                reference=reference,
                kl_weight=weight,
            )
        case Grpo():
            trainer = GrpoTrainer(policy, optimizer, epochs=method.epochs, reference=reference, kl_weight=weight)
        case Ppo():
            value = ValueTable(*policy.table.shape[:2])
            trainer = PpoTrainer(
                policy,
                optimizer,
                value=value,
                value_optimizer=torch.optim.Adam(value.parameters(), lr=method.value_learning_rate),
                epochs=method.epochs,
                reference=reference,
                kl_weight=weight,
            )
        case Dpo():
            trainer = DpoTrainer(policy, optimizer, reference=student.base, beta=method.beta, kl_weight=weight)
    return trainer


def _reference(kl_weight: float, student: Student) -> FirstOrderPolicy | None:
    """The base policy if something pulls to it; measuring the distance from it is the gauge's business."""
    return student.base if kl_weight > 0 else None
