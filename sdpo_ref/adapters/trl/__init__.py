"""TRL 1.16's trainers: ``sdpo-ref verify sdpo_ref.adapters.trl:sdpo`` (or ``:sdft``, or ``:distillation``).

They are ``SDPOTrainer``, ``SDFTTrainer`` and the stable ``DistillationTrainer``. Every part calls TRL's own functions
and methods. A trainer is made without its constructor, which would ask for a data set and a device, and gets the
attributes that its methods read: TRL's own tests do the same.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

from sdpo_ref.adapters.peers import assembled, require_trl
from sdpo_ref.adapters.trl.losses import (
    chunked_divergence,
    chunked_divergence_loss,
    divergence,
    hybrid_loss,
    loss,
    sdft_loss,
)
from sdpo_ref.adapters.trl.training import (
    completion_mask,
    context,
    defaults,
    demonstration_context,
    low_rank_average,
    step,
)

_SHARED = (
    "divergence",
    "divergence.top_k_tail",
    "divergence.top_k_renormalized",
    "loss",
    "loss.top_k_tail",
    "loss.top_k_renormalized",
    "loss.sampled_token",
    "loss.importance",
    "loss.temperature",
    "loss.half",
    "completion_mask",
    "step",
    "step.frozen",
    "step.live",
    "low_rank_average",
    "defaults",
)


def sdpo(**overrides: object) -> SimpleNamespace:
    """TRL's ``SDPOTrainer``.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if TRL 1.16 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_trl()
    from trl.experimental.sdpo import SDPOTrainer

    parts = {
        **_shared_parts(SDPOTrainer),
        "name": "TRL SDPO",
        "profile": "trl-sdpo",
        "capabilities": (
            *_SHARED,
            "hybrid_loss",
            "context",
            "context.feedback",
            "context.strip_thinking",
            "context.max_length",
        ),
        "hybrid_loss": hybrid_loss,
        "context": context,
    }
    return assembled(parts, overrides)


def sdft(**overrides: object) -> SimpleNamespace:
    """TRL's ``SDFTTrainer``.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if TRL 1.16 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_trl()
    from trl.experimental.sdft import SDFTTrainer

    parts = {
        **_shared_parts(SDFTTrainer),
        "name": "TRL SDFT",
        "profile": "trl-sdft",
        "capabilities": (*_SHARED, "sdft_loss", "demonstration_context"),
        "sdft_loss": sdft_loss,
        "demonstration_context": demonstration_context,
    }
    return assembled(parts, overrides)


def distillation(**overrides: object) -> SimpleNamespace:
    """TRL's stable ``DistillationTrainer``: its loss from hidden states, on a CPU, where no kernel of Triton's runs.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if TRL 1.16 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_trl()
    parts = {
        "name": "TRL Distillation",
        "profile": "paper",
        "capabilities": ("divergence", "hidden_loss", "hidden_loss.temperature", "hidden_loss.half"),
        "divergence": chunked_divergence,
        "hidden_loss": chunked_divergence_loss,
    }
    return assembled(parts, overrides)


def _shared_parts(trainer_class: Any) -> dict[str, object]:
    return {
        "divergence": divergence,
        "loss": partial(loss, trainer_class),
        "completion_mask": partial(completion_mask, trainer_class),
        "step": partial(step, trainer_class),
        "low_rank_average": low_rank_average,
        "defaults": partial(defaults, trainer_class.config_cls),
    }
