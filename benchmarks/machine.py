"""The machine on which a number was taken, without its name or any path of it."""

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("torch", "triton", "numpy", "liger-kernel", "trl")
"""Whose versions bear on the numbers."""


def machine() -> dict[str, str]:
    """What a reader needs to judge a number.

    Returns:
        Processor, accelerator, cores, threads, load, versions, and the commit if the code lies in a checkout.
    """
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "cpu": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "load": f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version for name, version in versions.items() if version is not None},
        "commit": _commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """Of the checkout; ``unknown`` outside one, or without the packages that the study needs to ask git."""
    try:
        from sdpo_ref.study.provenance import origin
    except ImportError:
        return "unknown"
    found = origin()
    if found.git_revision is None:
        return "unknown"
    return found.git_revision[:12] + (" and changes" if found.git_dirty else "")
