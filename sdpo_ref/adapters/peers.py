"""Loading a peer: the release that an adapter was written for, or a refusal that says what to install."""

import importlib
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace
from typing import Any

from sdpo_ref.errors import LoadError, UsageError

_INSTALL = "pip install 'sdpo-ref[peers]'"


def require_liger() -> None:
    """Import Liger's chunked losses, which are plain PyTorch.

    Raises:
        LoadError: if liger-kernel is not installed or is another release than 0.8.5.
    """
    _require("liger-kernel", release="0.8.5", module="liger_kernel.chunked_loss")


_GKD = "swift.rlhf_trainers.gkd_loss"


def require_ms_swift() -> Any:
    """ms-swift's GKD loss, a module that needs PyTorch only, whatever else ms-swift would install.

    It is loaded by its file: the package around it patches TRL as soon as it is imported.

    Raises:
        LoadError: if ms-swift is not installed or is another release than 4.6.0.
    """
    install = "pip install --no-deps ms-swift==4.6.0"
    _require("ms-swift", release="4.6.0", install=install)
    if _GKD not in sys.modules:
        file = str(metadata.distribution("ms-swift").locate_file(f"{_GKD.replace('.', '/')}.py"))
        spec = spec_from_file_location(_GKD, file)
        if spec is None or spec.loader is None:
            raise LoadError(f"{file} cannot be imported; install it again with `{install}`")
        sys.modules[_GKD] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_GKD])
    return sys.modules[_GKD]


def require_verl() -> None:
    """Import verl's distillation losses, and Ray with them.

    Raises:
        LoadError: if verl is not installed or is another release than 0.9.1.
    """
    _require(
        "verl",
        module="verl.trainer.distillation.losses",
        release="0.9.1",
        install="pip install verl==0.9.1` in an environment without TRL, or `pip install 'sdpo-ref[verl]'",
    )


def require_trl() -> None:
    """Import TRL's SDPO and SDFT, offline and without its notice about experimental code.

    Raises:
        LoadError: if TRL is not installed or is not release 1.16, whose private parts the adapter calls.
    """
    _require("trl", release="1.16.", module="trl.experimental.sdpo")


def require_sdpo_rl() -> None:
    """Import sdpo-rl, which is a subclass of TRL's GRPO trainer.

    Raises:
        LoadError: if sdpo-rl or TRL is not installed, or is another release than 0.0.3 or 1.16.
    """
    require_trl()
    _require("sdpo-rl", release="0.0.3", module="sdpo_rl.trainer")


def require_peft() -> None:
    """Import PEFT, whose LoRA layers both peers average.

    Raises:
        LoadError: if PEFT is not installed or is not release 0.21.
    """
    _require("peft", release="0.21.", module="peft")


def _require(distribution: str, *, release: str, module: str | None = None, install: str = _INSTALL) -> None:
    for switch in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRL_EXPERIMENTAL_SILENCE"):
        os.environ.setdefault(switch, "1")
    try:
        installed = metadata.version(distribution)
        if module is not None:
            importlib.import_module(module)
    except ImportError as error:  # PackageNotFoundError is one
        raise LoadError(
            f"the adapter needs {distribution} {release.rstrip('.')}, which cannot be imported "
            f"({type(error).__name__}: {error}); install it with `{install}`"
        ) from error
    if not f"{installed}.".startswith(f"{release.rstrip('.')}."):
        raise LoadError(
            f"the adapter calls private parts of {distribution} {release.rstrip('.')}, received {installed}; "
            f"install the release that it was written for with `{install}`"
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
