"""verl 0.9.1's distillation losses: ``sdpo-ref verify sdpo_ref.adapters.verl:forward_kl`` (or ``:policy_gradient``).

Its engines are not started. Logits reach its loss packed, as they leave the engine, and its own functions do the rest:
the divergence of each token, the alignment to completions, and the aggregation.
"""

from types import SimpleNamespace

from sdpo_ref.adapters.peers import assembled, require_verl
from sdpo_ref.adapters.verl.losses import loss, policy_gradient_loss


def forward_kl(**overrides: object) -> SimpleNamespace:
    """The ``forward_kl_topk`` as a supervised loss, with a top-k that is the whole vocabulary.

    On fewer tokens it neither has a tail nor rescales, which is none of the supports of the specification. Its metrics
    take k² booleans for each token, so that large vocabularies do not fit.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if verl 0.9.1 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_verl()
    parts = {
        "name": "verl forward KL",
        "profile": {"alphas": [0.0]},
        "capabilities": ("loss", "loss.half"),
        "loss": loss,
    }
    return assembled(parts, overrides)


def policy_gradient(**overrides: object) -> SimpleNamespace:
    """The ``k1`` with ``use_policy_gradient``: the negative log-ratio of the sampled token as its advantage.

    Args:
        overrides: attributes to replace, for instance ``profile="paper"``.

    Raises:
        LoadError: if verl 0.9.1 is not installed.
        UsageError: if an override names no attribute of the adapter.
    """
    require_verl()
    parts = {
        "name": "verl policy gradient",
        "profile": "paper",
        "capabilities": ("loss.sampled_token", "loss.half"),
        "loss": policy_gradient_loss,
    }
    return assembled(parts, overrides)
