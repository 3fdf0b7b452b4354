"""sdpo-rl 0.0.3's ``SDPOTrainer``: ``sdpo-ref verify sdpo_ref.adapters.sdpo_rl:make``.

Every part calls sdpo-rl's own code: its constructor, its context, its loss and its teacher update. Only the
constructor of the class above it, TRL's ``GRPOTrainer``, is replaced, which would ask for a data set and a device.
"""

from types import SimpleNamespace

from sdpo_ref.adapters.peers import assembled, require_sdpo_rl
from sdpo_ref.adapters.sdpo_rl.losses import divergence, loss
from sdpo_ref.adapters.sdpo_rl.training import context, defaults, low_rank_average, step, trust_region

_CAPABILITIES = (
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
    "context",
    "context.feedback",
    "context.strip_thinking",
    "context.max_length",
    "step",
    "step.frozen",
    "trust_region",
    "low_rank_average",
    "defaults",
)


def make(**overrides: object) -> SimpleNamespace:
    """sdpo-rl's ``SDPOTrainer``.

    A temperature is declared because its ``GRPOConfig`` takes one, and the trust-region teacher because its
    ``SDPOConfig`` accepts ``teacher_mode="trust_region"``.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if sdpo-rl 0.0.3 or TRL 1.16 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_sdpo_rl()
    parts = {
        "name": "sdpo-rl",
        "profile": "sdpo-rl",
        "capabilities": _CAPABILITIES,
        "divergence": divergence,
        "loss": loss,
        "context": context,
        "step": step,
        "trust_region": trust_region,
        "low_rank_average": low_rank_average,
        "defaults": defaults,
    }
    return assembled(parts, overrides)
