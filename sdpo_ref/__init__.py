"""Reference specification of self-distillation policy optimisation (SDPO).

What most users need is here: ``from sdpo_ref import sdpo_loss, DistillationBatch, verify``. To read the library, take
it in the order in which the data flows: ``types`` (what is passed around), ``protocols`` (what you may plug in),
``functional`` (the equations, one family a file), ``losses`` (the objective), ``teachers`` and ``trainers`` (who uses
it), ``verification`` (the suite that checks any implementation against ``spec/``).

Importing this package imports neither torch nor anything else that is slow: each name below is imported from its
module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdpo_ref.functional.divergence import generalized_jsd
    from sdpo_ref.functional.implicit_reward import implicit_reward
    from sdpo_ref.losses import hybrid_loss, sdft_loss, sdpo_loss, sdpo_token_losses
    from sdpo_ref.protocols import Oracle, Policy, Teacher, Trainer
    from sdpo_ref.types import (
        FULL,
        SAMPLED_TOKEN,
        DistillationBatch,
        Feedback,
        Head,
        HiddenBatch,
        Judgement,
        Rollouts,
        Support,
    )
    from sdpo_ref.verification.engine import verify

__version__ = "0.1.0"
"""Version of the suite."""

SPEC_VERSION = "0.2"
"""Version of the specification: grows when a MUST changes."""

__all__ = [
    "FULL",
    "SAMPLED_TOKEN",
    "SPEC_VERSION",
    "DistillationBatch",
    "Feedback",
    "Head",
    "HiddenBatch",
    "Judgement",
    "Oracle",
    "Policy",
    "Rollouts",
    "Support",
    "Teacher",
    "Trainer",
    "generalized_jsd",
    "hybrid_loss",
    "implicit_reward",
    "sdft_loss",
    "sdpo_loss",
    "sdpo_token_losses",
    "verify",
]

_MODULES = {
    "functional.divergence": ("generalized_jsd",),
    "functional.implicit_reward": ("implicit_reward",),
    "losses": ("hybrid_loss", "sdft_loss", "sdpo_loss", "sdpo_token_losses"),
    "protocols": ("Oracle", "Policy", "Teacher", "Trainer"),
    "types": (
        "FULL",
        "SAMPLED_TOKEN",
        "DistillationBatch",
        "Feedback",
        "Head",
        "HiddenBatch",
        "Judgement",
        "Rollouts",
        "Support",
    ),
    "verification.engine": ("verify",),
}
"""Where each name comes from; type checkers read the same from the imports above."""

_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name, from its module (PEP 562).

    Nothing is stored here: a mutant imports parts of the package again, and must not find or leave names of another
    copy. A name that user code has imported is not looked up twice anyway.
    """
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    from difflib import get_close_matches

    near = get_close_matches(name, __all__, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the public names are {', '.join(__all__)}"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {hint}")


def __dir__() -> list[str]:
    """The public names, and what every module has."""
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "import_module"})
