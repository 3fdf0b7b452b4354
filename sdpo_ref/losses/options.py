"""The options of the loss: what each means, which values are valid, and what is refused (LOSS-098 to LOSS-102).

Every implementation has the same options. This is the one place where they are documented and checked; the ranges of
single numbers are stated by the equations that use them, in :mod:`sdpo_ref.functional`.
"""

from dataclasses import dataclass
from typing import get_args

from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.divergence import require_alpha
from sdpo_ref.functional.importance import require_ratio_cap
from sdpo_ref.functional.log_probs import require_temperature
from sdpo_ref.functional.sampled_token import require_reverse_kl
from sdpo_ref.types import FULL, Aggregation, DistillationBatch, HiddenBatch, Support, TopKFrom

_NAMES = {"top_k_from": get_args(TopKFrom), "aggregation": get_args(Aggregation)}
"""Options that are one of several words."""


@dataclass(frozen=True)
class LossOptions:
    """The options of :func:`sdpo_ref.sdpo_loss`, valid once they exist.

    Attributes:
        alpha: interpolation coefficient in ``[0, 1]``: 0 forward KL(teacher‖student), 1 reverse KL(student‖teacher).
        support: which tokens of the vocabulary are compared; ``sampled_token`` needs ``alpha=1``.
        temperature: divides the logits of both sides; in ``(0, inf)``.
        ratio_cap: upper bound of the importance ratio of each token, which needs the batch's behaviour
            log-probabilities; in ``(0, inf)``, or ``None`` for no importance weights.
        top_k_from: whose most likely tokens make a top-k support.
        aggregation: how the losses of tokens become one number; the losses of single tokens do not use it.

    Raises:
        InvalidInputError: if one of them is out of range, or if two do not fit together.

    Example:
        >>> LossOptions(alpha=0.5, ratio_cap=2.0).temperature
        1.0
    """

    alpha: float
    support: Support = FULL
    temperature: float = 1.0
    ratio_cap: float | None = None
    top_k_from: TopKFrom = "student"
    aggregation: Aggregation = "token_mean"

    def __post_init__(self) -> None:
        """Refuse what means nothing, or would be taken for something else in silence."""
        require_temperature(self.temperature)
        require = require_reverse_kl if self.support.kind == "sampled_token" else require_alpha
        require(self.alpha)
        if self.ratio_cap is not None:
            require_ratio_cap(self.ratio_cap)
        for name, allowed in _NAMES.items():
            received = getattr(self, name)
            if received not in allowed:
                raise InvalidInputError(f"{name} is {received!r}; allowed are {', '.join(map(repr, allowed))}")

    def require_fit(
        self, batch: DistillationBatch | HiddenBatch, token_weights: Float[Tensor, "..."] | None = None
    ) -> None:
        """Refuse a batch that does not have what the options need, or weights that do not belong to it.

        Args:
            batch: logits or hidden states.
            token_weights: as received; ``None`` for one everywhere.

        Raises:
            InvalidInputError: if a ratio cap is set and behaviour log-probabilities are missing, if the weights have
                another shape than the completions, or if tensors are on several devices.
        """
        if self.ratio_cap is not None and batch.behaviour_log_probs is None:
            raise InvalidInputError(missing_behaviour(self.ratio_cap))
        if token_weights is not None:
            require_one_weight_per_token(token_weights, batch)
        _require_one_device(batch, token_weights)


def missing_behaviour(ratio_cap: float) -> str:
    """The message where importance weights are asked for and the batch has nothing to compute them from.

    Args:
        ratio_cap: as received.
    """
    return (
        f"ratio_cap={ratio_cap} needs behaviour_log_probs, received None; "
        "record them when sampling, or pass ratio_cap=None if the rollouts are on-policy"
    )


def require_one_weight_per_token(token_weights: Float[Tensor, "..."], batch: DistillationBatch | HiddenBatch) -> None:
    """Refuse weights that would be broadcast over tokens in silence.

    Args:
        token_weights: as received.
        batch: whose tokens they belong to.

    Raises:
        InvalidInputError: if their shape is not that of the completions.
    """
    if token_weights.shape != batch.completions.shape:
        raise InvalidInputError(
            f"token_weights has shape {tuple(token_weights.shape)}, allowed is that of the completions, "
            f"{tuple(batch.completions.shape)}; expand it before the call"
        )


def _require_one_device(batch: DistillationBatch | HiddenBatch, token_weights: Float[Tensor, "..."] | None) -> None:
    if isinstance(batch, DistillationBatch):
        student, teacher = batch.student_logits, batch.teacher_logits
    else:
        student, teacher = batch.student_hidden, batch.teacher_hidden
    others = {
        "the teacher's side": teacher,
        "completions": batch.completions,
        "completion_mask": batch.completion_mask,
        "self_distillation_mask": batch.self_distillation_mask,
        "behaviour_log_probs": batch.behaviour_log_probs,
        "token_weights": token_weights,
    }
    for name, tensor in others.items():
        if tensor is not None and tensor.device != student.device:
            raise InvalidInputError(
                f"{name} is on {tensor.device} and the student's side on {student.device}; allowed is one device, so "
                "move one of them before the call"
            )
