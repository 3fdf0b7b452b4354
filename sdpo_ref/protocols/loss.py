"""The signature that every implementation of the loss has, so that one can replace another."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.types import FULL, Aggregation, DistillationBatch, HiddenBatch, Support, TopKFrom


@runtime_checkable
class SdpoLoss(Protocol):
    """**Protocol:** the scalar loss of a batch, as :func:`sdpo_ref.losses.reference.sdpo_loss` has it."""

    def __call__(
        self,
        batch: DistillationBatch | HiddenBatch,
        *,
        alpha: float,
        support: Support = FULL,
        temperature: float = 1.0,
        ratio_cap: float | None = None,
        token_weights: Float[Tensor, "rollout time"] | None = None,
        aggregation: Aggregation = "token_mean",
        top_k_from: TopKFrom = "student",
    ) -> Float[Tensor, ""]:
        """The loss, with gradient into the student's side only."""
        ...


@runtime_checkable
class SupportDivergence(Protocol):
    """**Protocol:** divergence of each token on a support, from two normalised log-probability tensors."""

    def __call__(
        self,
        student_log_probs: Float[Tensor, "*batch vocab"],
        teacher_log_probs: Float[Tensor, "*batch vocab"],
        *,
        alpha: float,
        support: Support,
        top_k_from: TopKFrom,
    ) -> Float[Tensor, "*batch"]:
        """Nats; gradient into both, as far as the implementation gives it to the teacher."""
        ...


@runtime_checkable
class SdpoTokenLosses(Protocol):
    """**Protocol:** the loss of each token, as :func:`sdpo_ref.losses.reference.sdpo_token_losses` has it."""

    def __call__(
        self,
        batch: DistillationBatch | HiddenBatch,
        *,
        alpha: float,
        support: Support = FULL,
        temperature: float = 1.0,
        ratio_cap: float | None = None,
        top_k_from: TopKFrom = "student",
    ) -> Float[Tensor, "rollout time"]:
        """Losses; zero, and without gradient, where the token does not count."""
        ...
