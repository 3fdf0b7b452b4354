"""``python -P -m sdpo_ref.verification.isolation.sandbox MODULE MEMORY``: apply isolation, then run ``MODULE.main``.

Everything is in force before the module is imported, so before any line of an implementation, and so is it for every
process that the implementation starts, as far as the mapping says. Without arguments, say what would be in force here;
exit code 1 if the network can only be refused inside Python.
"""

import importlib
import sys
from collections.abc import Mapping

from sdpo_ref._network_guard import refuse_network
from sdpo_ref.verification.isolation.ceilings import FILE_MIB, lower_ceilings
from sdpo_ref.verification.isolation.namespaces import Reach, enter, reach

NETWORK: Mapping[Reach, str] = {
    Reach.ALL: "no network (namespace)",
    Reach.NETWORK: "no network (namespace)",
    Reach.NONE: "no network from Python (audit hook; other programs that it starts are not held)",
}
"""What keeps the network away."""

PROCESSES: Mapping[Reach, str] = {
    Reach.ALL: "what it starts ends with it",
    Reach.NETWORK: "what it starts ends with it unless it leaves its group",
    Reach.NONE: "what it starts ends with it unless it leaves its group",
}
"""What becomes of processes that an implementation starts."""


def isolate(memory: float) -> dict[str, str]:
    """Take away from this process what an implementation has no business with.

    Args:
        memory: of each process, in GiB.

    Returns:
        What is in force, in words, by subject.
    """
    how = reach()
    enter(how)
    refuse_network()
    return {
        "network": NETWORK[how],
        "memory": lower_ceilings(memory),
        "files": f"{FILE_MIB} MiB a file",
        "processes": PROCESSES[how],
    }


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
