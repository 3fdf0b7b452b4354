"""Loading a peer: the release that an adapter was written for, or a refusal that says what to install."""

import importlib
import os
from collections.abc import Mapping
from importlib import metadata
from types import SimpleNamespace

from sdpo_ref.errors import LoadError, UsageError

_INSTALL = "pip install 'sdpo-ref[peers]'"


def require_trl() -> None:
    """Import TRL's SDPO and SDFT, offline and without its notice about experimental code.

    Raises:
        LoadError: if TRL is not installed or is not release 1.16, whose private parts the adapter calls.
    """
    _require("trl", module="trl.experimental.sdpo", release="1.16.")


def require_sdpo_rl() -> None:
    """Import sdpo-rl, which is a subclass of TRL's GRPO trainer.

    Raises:
        LoadError: if sdpo-rl or TRL is not installed, or is another release than 0.0.3 or 1.16.
    """
    require_trl()
    _require("sdpo-rl", module="sdpo_rl.trainer", release="0.0.3")


def require_peft() -> None:
    """Import PEFT, whose LoRA layers both peers average.

    Raises:
        LoadError: if PEFT is not installed or is not release 0.21.
    """
    _require("peft", module="peft", release="0.21.")


def _require(distribution: str, *, module: str, release: str) -> None:
    for switch in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRL_EXPERIMENTAL_SILENCE"):
        os.environ.setdefault(switch, "1")
    try:
        installed = metadata.version(distribution)
        importlib.import_module(module)
    except ImportError as error:  # PackageNotFoundError is one
        raise LoadError(
            f"the adapter needs {distribution} {release.rstrip('.')}, which cannot be imported "
            f"({type(error).__name__}: {error}); install it with `{_INSTALL}`"
        ) from error
    if not f"{installed}.".startswith(f"{release.rstrip('.')}."):
        raise LoadError(
            f"the adapter calls private parts of {distribution} {release.rstrip('.')}, received {installed}; "
            f"install the release that it was written for with `{_INSTALL}`"
        )


def assembled(parts: Mapping[str, object], overrides: Mapping[str, object]) -> SimpleNamespace:
    """An implementation with some of its attributes replaced, for instance its profile.

    Raises:
        UsageError: if an override names an attribute that the adapter does not have.

    Example:
        >>> assembled({"name": "peer", "profile": "paper"}, {"profile": "lasgroup"})
        namespace(name='peer', profile='lasgroup')
    """
    unknown = sorted(set(overrides) - set(parts))
    if unknown:
        raise UsageError(f"the adapter has no {unknown}; what may be replaced is {', '.join(parts)}")
    return SimpleNamespace(**{**parts, **overrides})
