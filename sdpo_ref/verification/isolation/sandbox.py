"""``python -P -m sdpo_ref.verification.isolation.sandbox MODULE MEMORY``: apply isolation, then run ``MODULE.main``.

Isolation is in force before the module is imported, so before any line of an implementation runs, and applies to every
process that the implementation starts, as far as :data:`NETWORK` and :data:`PROCESSES` say. Without arguments, print
what would be in force here; exit code 1 if the network can only be refused inside Python. An isolated process calls
:func:`terminate_all` when its parent has exited.
"""

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from sdpo_ref._network_guard import refuse_network
from sdpo_ref.verification.isolation.limits import FILE_MIB, limit_resources
from sdpo_ref.verification.isolation.namespaces import Reach, enter, reach

SCRATCH = "SDPO_REF_SCRATCH"
"""Environment variable: the folder that the parent removes when it ends in order."""

NETWORK: Mapping[Reach, str] = {
    Reach.ALL: "no network (namespace)",
    Reach.NETWORK: "no network (namespace)",
    Reach.NONE: "no network from Python (audit hook; other programs that it starts are not held)",
}
"""How the network is blocked."""

PROCESSES: Mapping[Reach, str] = {
    Reach.ALL: "what it starts ends with it",
    Reach.NETWORK: "what it starts ends with it unless it leaves its group",
    Reach.NONE: "what it starts ends with it unless it leaves its group",
}
"""When processes that an implementation starts are terminated."""


def isolate(memory: float) -> dict[str, str]:
    """Block the network for this process, limit its resources, and have its children end with it.

    Args:
        memory: of each process, in GiB.

    Returns:
        The isolation in force, in words, by subject.
    """
    how = reach()
    enter(how, scratch_folder())
    refuse_network()
    return {
        "network": NETWORK[how],
        "memory": limit_resources(memory),
        "files": f"{FILE_MIB} MiB a file",
        "processes": PROCESSES[how],
    }


def scratch_folder() -> Path | None:
    """The parent's scratch folder; call it before an implementation is loaded, which may change the environment."""
    found = os.environ.get(SCRATCH)
    return None if not found else Path(found)


def terminate_all(folder: Path | None) -> None:
    """Terminate this process and its children because the parent has exited, and remove its scratch folder.

    Args:
        folder: as :func:`scratch_folder` returned it.
    """
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _main(arguments: list[str]) -> None:
    if not arguments:
        how = reach()
        sys.stdout.write(f"{NETWORK[how]}; {PROCESSES[how]}\n")
        sys.exit(how is Reach.NONE)
    module, memory = arguments
    isolation = isolate(float(memory))
    importlib.import_module(module).main(isolation)


if __name__ == "__main__":
    _main(sys.argv[1:])
