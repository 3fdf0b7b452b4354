"""Which slips the checks of levels 0 to 3 notice: ``python -m tools.slips [BATTERY]... [--only NAME]``.

Each is loaded as an implementation of its own, and the checks of its parts run until one fails.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sdpo_ref.mutants.mutant import Mutant
from sdpo_ref.mutants.selftest import worker
from sdpo_ref.mutants.selftest.targets import Finding, Target
from tools.slips.battery import BATTERIES, Slip, slips

NOTHING = "nothing"
"""What a process answers if no check fails."""


def noticed(battery: str, chosen: Sequence[Slip]) -> Mapping[str, str]:
    """The check that notices each slip; empty for one that none notices.

    The checks are collected once, and each slip has a process that begins as a copy of that one: what it leaves behind,
    such as a setting of PyTorch, reaches no other.

    Args:
        battery: their file.
        chosen: some of its slips.

    Returns:
        Name of the slip to name of the check, or to what kept it from being loaded.
    """
    found: dict[str, str] = {}
    answer = -1

    def in_processes() -> Iterator[Target]:
        nonlocal answer
        for slip in chosen:
            reading, answer = os.pipe()
            process = os.fork()
            if not process:
                yield _target(battery, slip)
                os._exit(0)
            os.close(answer)
            with os.fdopen(reading, encoding="utf-8") as file:
                found[slip.name] = file.read() or "its process ended"
            os.waitpid(process, 0)
            found[slip.name] = found[slip.name].removeprefix(NOTHING)
            sys.stderr.write(f"{slip.name}: {found[slip.name] or 'NOT NOTICED'}\n")

    def report(finding: Finding) -> None:
        os.write(answer, next(iter([*finding.failed, *finding.broken]), NOTHING).encode())

    worker.run(in_processes(), report, first_only=True)
    return found


def _target(battery: str, slip: Slip) -> Target:
    parts = frozenset(slip.parts) or slip.planted.parts
    mutant = Mutant("", "", "", "", "", "", (), lambda: None, parts)
    return Target(slip.name, f"tools.slips.battery:make,battery={battery},name={slip.name}", mutant)


def render(battery: str, chosen: Sequence[Slip], found: Mapping[str, str]) -> str:
    """A table with a line for each kind, then what nothing notices.

    Args:
        battery: their file.
        chosen: some of its slips.
        found: see :func:`noticed`.

    Returns:
        Markdown.
    """
    forbidden = [slip for slip in chosen if slip.forbidden_by]
    kinds = list(dict.fromkeys(slip.kind for slip in forbidden))
    asked, killed = (
        Counter(it.kind for it in some) for some in (forbidden, [it for it in forbidden if found[it.name]])
    )
    lines = [f"| {battery}: kind | forbidden | noticed |", "|---|---|---|"]
    lines += [f"| {kind} | {asked[kind]} | {killed[kind]} |" for kind in kinds]
    share = sum(killed.values()) / max(len(forbidden), 1)
    lines += [f"| **all** | {len(forbidden)} | {sum(killed.values())} ({share:.1%}) |", ""]
    survivors = [it for it in forbidden if not found[it.name]]
    lines += [f"Forbidden and not noticed: {len(survivors)}"]
    lines += [f"  {it.name} ({', '.join(it.forbidden_by)}): {it.file}: {it.instead}" for it in survivors]
    outside = [it for it in chosen if it.outside]
    lines += [
        f"Forbidden by no sentence: {len(outside)}, of which {sum(bool(found[it.name]) for it in outside)} noticed"
    ]
    lines += [f"  {it.name}: {found[it.name] or 'not noticed'}" for it in outside]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print what is noticed. Exit code 1 if a slip that a sentence forbids is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batteries", nargs="*", default=BATTERIES, help=f"any of {', '.join(BATTERIES)}; or all")
    parser.add_argument("--only", nargs="*", default=[], help="names of slips, or of kinds")
    arguments = parser.parse_args()
    missed = False
    for battery in arguments.batteries:
        only = arguments.only
        chosen = [it for it in slips(battery) if not only or it.name in only or it.kind in only]
        if chosen:
            found = noticed(battery, chosen)
            sys.stdout.write(render(battery, chosen, found))
            missed = missed or any(it.forbidden_by and not found[it.name] for it in chosen)
    raise SystemExit(int(missed))


if __name__ == "__main__":
    main()
