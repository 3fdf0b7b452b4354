"""What a training method consists of: its settings, its trainer, its update for many runs, its credit, its looks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypedDict, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.protocols import Teacher, Trainer
from sdpo_ref.simulation.batched.update import Batch, Update
from sdpo_ref.simulation.credit import Step
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.settings import MethodBase, PenalizedBase

VERMILLION, PURPLE, ORANGE, BLUE, SKY, GREEN = "#D55E00", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#009E73"
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""


@dataclass(frozen=True)
class Look:
    """How one thing is drawn.

    Attributes:
        color: of Okabe and Ito's palette, or a grey.
        marker: tells it apart without colour.
        dashes: on and off lengths in line widths; empty for a solid line.
        filled: whether its markers are.
    """

    color: str
    marker: str
    dashes: tuple[float, ...] = ()
    filled: bool = True

    @property
    def face(self) -> str:
        """Fill of its markers."""
        return self.color if self.filled else "white"

    @property
    def line(self) -> Literal["-"] | tuple[float, tuple[float, ...]]:
        """Its line style, as matplotlib takes it."""
        return (0.0, self.dashes) if self.dashes else "-"


@dataclass(frozen=True)
class Arm:
    """A variant of a method that the study compares under a name of its own.

    Attributes:
        name: in labels and in the tuning file.
        label: in figures.
        look: in figures.
        fixed: settings that make the variant.
        tried: settings that tuning tries at each learning rate, alone by default; empty for what is not tuned.
    """

    name: str
    label: str
    look: Look
    fixed: Mapping[str, object] = field(default_factory=dict)
    tried: tuple[Mapping[str, object], ...] = ({},)


class _Penalty(TypedDict):
    reference: FirstOrderPolicy | None
    kl_weight: float


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

    def adam(self, method: MethodBase) -> torch.optim.Optimizer:
        """Adam over the policy's weights: every method has the same optimiser, so learning rates mean the same."""
        return torch.optim.Adam(self.policy.parameters(), lr=method.learning_rate)

    def penalty(self, method: PenalizedBase) -> _Penalty:
        """The trainer's two arguments for staying near the base policy; no reference where the weight is zero.

        A run measures the divergence from the base policy itself, so a trainer need not.
        """
        return {"reference": self.base if method.kl_weight > 0 else None, "kl_weight": method.kl_weight}


Settings = TypeVar("Settings", bound=MethodBase)


@dataclass(frozen=True)
class Method(Generic[Settings]):
    """One row of the table of methods.

    Attributes:
        settings: class of its settings; its field ``method`` names the row.
        trainer: makes the trainer, from settings, student and teacher. All bundled trainers use Adam and average over
            tokens, so that learning rates and weights of the penalty mean the same for all.
        update: makes the update of the batched simulator; ``None`` for a method that only the reference simulator runs.
        credit: what it credits each sampled token with; ``None`` for a trainer that shows no such signal.
        arms: the variants that the study compares.
    """

    settings: type[Settings]
    trainer: Callable[[Settings, Student, Teacher], Trainer]
    update: Callable[[Batch], Update] | None = None
    credit: Callable[[Settings, Step], Float[Tensor, "rollout time"]] | None = None
    arms: tuple[Arm, ...] = ()

    @property
    def name(self) -> str:
        """As the settings' field ``method`` says it."""
        name: str = self.settings.model_fields["method"].default
        return name
