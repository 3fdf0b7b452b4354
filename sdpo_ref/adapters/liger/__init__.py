"""Liger 0.8.5's chunked Jensen-Shannon loss: ``sdpo-ref verify sdpo_ref.adapters.liger:make``."""

from types import SimpleNamespace

from sdpo_ref.adapters.liger.losses import divergence, hidden_loss
from sdpo_ref.adapters.peers import assembled, require_liger


def make(**overrides: object) -> SimpleNamespace:
    """Liger's ``LigerFusedLinearJSDLoss``, without its hard loss and without compiling.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if liger-kernel 0.8.5 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_liger()
    parts = {
        "name": "Liger chunked JSD",
        "profile": "paper",
        "capabilities": ("divergence", "hidden_loss", "hidden_loss.temperature", "hidden_loss.half"),
        "divergence": divergence,
        "hidden_loss": hidden_loss,
    }
    return assembled(parts, overrides)
