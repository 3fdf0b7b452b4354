"""ms-swift 4.6.0's GKD loss: ``sdpo-ref verify sdpo_ref.adapters.ms_swift:make``.

Its trainer is not constructed: the loss is one function, and the few lines around it are written out as glue.
"""

from types import SimpleNamespace

from sdpo_ref.adapters.ms_swift.losses import divergence, loss
from sdpo_ref.adapters.peers import assembled, require_ms_swift

_CAPABILITIES = (
    "divergence",
    "divergence.top_k_renormalized",
    "loss",
    "loss.top_k_renormalized",
    "loss.temperature",
    "loss.half",
)


def make(**overrides: object) -> SimpleNamespace:
    """ms-swift's ``gkd_loss``.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if ms-swift 4.6.0 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_ms_swift()
    parts = {
        "name": "ms-swift GKD",
        "profile": {"top_k_from": "teacher"},
        "capabilities": _CAPABILITIES,
        "divergence": divergence,
        "loss": loss,
    }
    return assembled(parts, overrides)
