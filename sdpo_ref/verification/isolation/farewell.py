"""How an isolated process ends when the runner is gone: nothing runs on, and nothing is left in the scratch folder."""

import os
import shutil
import signal
from pathlib import Path

SCRATCH = "SDPO_REF_SCRATCH"
"""Environment variable: the folder that the runner removes at its end, if it lives to see it."""


def scratch() -> Path | None:
    """The runner's scratch folder; to be asked before an implementation is loaded, which may change the answer."""
    found = os.environ.get(SCRATCH)
    return None if not found else Path(found)


def end_everything(folder: Path | None) -> None:
    """Remove the scratch folder, then kill this process with its whole group.

    Args:
        folder: as :func:`scratch` gave it.
    """
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)
