"""The failures of a report: the most basic ones in full, the others in a line each, and what they look like."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Group
from rich.text import Text

from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.isolation.events import Failure, Finished
from sdpo_ref.verification.reports.layout import STYLES, grid, indented, way_to_read
from sdpo_ref.verification.results import Report
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.prerequisites import basic_first

IN_FULL = 5
"""How many failures are shown in full; whoever has more mends the most basic ones first."""

_LONGEST_LINE = 110
_SHOWN = (Status.FAIL, Status.ERROR, Status.INVALID)


def failure_blocks(report: Report) -> Iterator[Group]:
    """What is broken, the most basic first, a MUST before a SHOULD.

    Args:
        report: of a run.

    Yields:
        A block for each of the first failures, and one for all others.
    """
    found = {entry.requirement.id: entry for entry in report.of(*_SHOWN)}
    order = basic_first(entry.requirement for entry in found.values())
    failed = [found[it.id] for it in sorted(order, key=lambda it: it.strength != "MUST")]
    for entry in failed[:IN_FULL]:
        yield failure_block(entry, report.header.spec)
    others = failed[IN_FULL:]
    if others:
        title = Text(f"And {len(others)} more; --only ID shows one in full, --json FILE all", style="bold")
        yield Group(title, indented(grid((f"{it.requirement.id} {it.status}", _line(it)) for it in others)))


def _line(entry: Decided) -> str:
    """What happened, in a line."""
    check = entry.first_failure
    failure = None if check is None else check.failure
    if failure is None:
        return entry.requirement.sentence
    text = f"expected {failure.expected}, got {failure.got}" if failure.expected else failure.message
    return textwrap.shorten(text, _LONGEST_LINE, placeholder=" ...")


def diagnosis_block(report: Report) -> Iterator[Group]:
    """The known defect that the failures look like, if there is one."""
    found = report.diagnosis
    if found is not None:
        rows = [
            ("effect", found.row.effect),
            ("read", way_to_read(report.requirement(found.row.caught_by[0]))),
            ("see it", f"sdpo-ref verify sdpo_ref.mutants:make,name={found.row.name}"),
        ]
        yield Group(Text("Diagnosis", style="bold"), indented(Text(found.sentence)), indented(grid(rows)))


def waiver_block(report: Report) -> Iterator[Group]:
    """What is waived, how it ended, why and until when."""
    rows = [
        (f"{entry.requirement.id} {entry.status}", f"{entry.waiver.until}: {entry.waiver.reason} ({entry.waiver.link})")
        for entry in report.decided
        if entry.waiver is not None
    ]
    if rows:
        yield Group(Text("Waived", style="bold"), indented(grid(rows)))


def failure_block(entry: Decided, spec: str) -> Group:
    """One requirement that does not hold: what it says, what happened, what it does, and how to see it again."""
    requirement = entry.requirement
    title = Text.assemble(
        (f"{requirement.id} ", "bold"), (f"{entry.status}", STYLES.get(entry.status, "")), f"  {requirement.strength}"
    )
    rows: list[tuple[str, str]] = []
    check = entry.first_failure
    if check is not None and check.failure is not None:
        rows += _failure_rows(check.failure)
    rows += [
        ("effect", requirement.if_broken),
        ("read", way_to_read(requirement)),
        ("repeat", f"sdpo-ref verify {shlex.quote(spec)} --only {requirement.id}"),
    ]
    if check is not None:
        rows.append(("check", _which(check, entry.checks)))
    return Group(title, indented(Text(requirement.sentence)), indented(grid(rows)))


def _failure_rows(failure: Failure) -> list[tuple[str, str]]:
    rows = [
        ("expected", failure.expected),
        ("got", failure.got),
        ("tolerance", failure.tolerance),
        ("given", failure.given),
        ("looks like", failure.looks_like),
        ("problem", failure.message),
        ("traceback", failure.traceback),
        ("printed", failure.output),
    ]
    return [(name, text) for name, text in rows if text]


def _which(check: Finished, checks: Iterable[Finished]) -> str:
    states = [other.status for other in checks if other.status is not Status.NA]
    passed = states.count(Status.PASS)
    others = f" ({len(states) - passed} of {len(states)} checks do not pass)" if len(states) > 1 else ""
    return f"{check.check}{others}"
