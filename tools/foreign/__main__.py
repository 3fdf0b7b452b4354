"""How often the diagnosis of a foreign defect is right: ``python -m tools.foreign [NAME ...]``.

Every defect goes through ``sdpo-ref verify --level 3``. *Right*: a true name is among those named. *Silent*: no known
defect is named. *Wrong*: others are. A defect that no check sees counts as none of these.
"""

import sys
from collections import Counter

from sdpo_ref.verification.engine import verify
from sdpo_ref.verification.report import Report
from tools.foreign.defects import ALL, Foreign

_WIDEST = 150


def outcome(foreign: Foreign, report: Report) -> str:
    """``right``, ``silent``, ``wrong``, or ``not caught``.

    Args:
        foreign: the defect.
        report: on its implementation.
    """
    found = report.diagnosis
    if report.verdict.exit_code != 1:
        return "not caught"
    if found is None:
        return "silent"
    causes = {name.removeprefix("cause:") for name in foreign.truth if name.startswith("cause:")}
    if any(cause in found.sentence for cause in causes):
        return "right"
    if found.basis == "cause":
        return "silent" if "NotImplementedError" in found.sentence else "wrong"
    named = {word.strip(",;:") for word in found.sentence.split()}
    return "right" if named & foreign.truth else "wrong"


def main(names: list[str]) -> None:
    """Print the table, and the rates of both halves."""
    found: dict[int, Counter[str]] = {1: Counter(), 2: Counter()}
    for foreign in ALL:
        if names and foreign.name not in names:
            continue
        report = verify(foreign.make(), level=3)
        how = outcome(foreign, report)
        found[foreign.half][how] += 1
        said = "" if report.diagnosis is None else report.diagnosis.sentence
        true = " ".join(sorted(foreign.truth)) or "no known defect"
        sys.stdout.write(f"{how:10} {foreign.name} ({true}): {said[:_WIDEST]}\n")
        sys.stdout.flush()
    for half, counts in found.items():
        total = sum(counts.values()) - counts["not caught"]
        listed = ", ".join(f"{how} {counts[how]}" for how in ("right", "silent", "wrong"))
        sys.stdout.write(f"half {half}: {listed} of {total}; not caught {counts['not caught']}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
