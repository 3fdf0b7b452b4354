"""Recorded results of third-party implementations: one TOML file for each, statuses by machine, notes by hand.

A file lies in ``conformance/results/``. Its statuses and profile are rewritten by ``sdpo-ref results update``, which
keeps the notes; :mod:`sdpo_ref.verification.reports.matrix_table` renders all files as one table.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.verification.results import Report
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue

_HEAD = """\
# `sdpo-ref results update {stem}` rewrites all but implementation, distribution and [notes], which are by hand.
# Every requirement with the status FAIL or ERROR needs a note: what the implementation does, and why it matters.
"""


@dataclass(frozen=True)
class Recorded:
    """What is recorded about one implementation.

    Attributes:
        stem: name of its file without suffix, by which the command line knows it.
        implementation: ``module:factory`` of its adapter.
        distribution: package whose version is recorded.
        name: what it calls itself.
        version: release that was verified.
        departures: profile fields that differ from the paper's, as (declared, paper's).
        statuses: requirement id to status.
        notes: requirement id to what a person wrote.
    """

    stem: str
    implementation: str
    distribution: str
    name: str = ""
    version: str = ""
    departures: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    statuses: Mapping[str, Status] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[str, ...]:
        """Requirements that it breaks, in recorded order."""
        return tuple(name for name, status in self.statuses.items() if status in (Status.FAIL, Status.ERROR))

    @property
    def without_note(self) -> tuple[str, ...]:
        """Broken requirements that nobody has explained yet."""
        return tuple(name for name in self.failures if not self.notes.get(name, "").strip())


def read_recorded(folder: Path, stems: Iterable[str] = ()) -> tuple[Recorded, ...]:
    """The recorded results with these names, or all in a folder, in alphabetical order.

    Raises:
        UsageError: if there is no file with a name.
        IntegrityError: if a file is not what this module writes.
    """
    there = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    unknown = sorted(set(stems) - set(there))
    if unknown:
        raise UsageError(f"no results are recorded for {', '.join(unknown)}; there are {', '.join(there) or 'none'}")
    return tuple(_read(there[stem]) for stem in sorted(stems) or there)


def _read(path: Path) -> Recorded:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return Recorded(
            stem=path.stem,
            implementation=document["implementation"],
            distribution=document["distribution"],
            name=document.get("name", ""),
            version=document.get("version", ""),
            departures={
                name: (str(declared), str(paper)) for name, (declared, paper) in document.get("departures", {}).items()
            },
            statuses={name: Status(status) for name, status in document.get("statuses", {}).items()},
            notes={name: str(note) for name, note in document.get("notes", {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # TOMLDecodeError is a ValueError
        raise IntegrityError(f"{path.name} does not hold results ({error}); restore it") from error


def updated(recorded: Recorded, report: Report, version: str) -> Recorded:
    """The record after a new run: statuses, profile and version are the run's, notes are kept.

    A broken requirement that had no note gets an empty one, to be filled in by hand.

    Raises:
        IntegrityError: if the run says nothing about the implementation because the suite itself is broken.
    """
    if report.broken or report.of(Status.INVALID):
        invalid = ", ".join(entry.requirement.id for entry in report.of(Status.INVALID))
        raise IntegrityError(
            f"the suite is broken ({'; '.join(report.broken) or invalid}), so nothing was recorded for "
            f"{recorded.stem}; run `sdpo-ref verify` on the reference"
        )
    new = replace(
        recorded,
        name=report.header.name,
        version=version,
        departures=report.header.departures,
        statuses={entry.requirement.id: entry.status for entry in report.decided},
    )
    return replace(new, notes={**dict.fromkeys(new.failures, ""), **recorded.notes})


def write_recorded(folder: Path, recorded: Recorded) -> None:
    """Write a record to its file; entries are in reading order, and a change of one is a change of one line."""
    (folder / f"{recorded.stem}.toml").write_text(as_toml(recorded), encoding="utf-8")


def as_toml(recorded: Recorded) -> str:
    """The file of a record.

    Example:
        >>> print(as_toml(Recorded("peer", "peer:make", "peer-sdpo")).splitlines()[3])
        implementation = "peer:make"
    """
    order = [*recorded.statuses, *sorted(set(recorded.notes) - set(recorded.statuses))]
    lines = [
        _HEAD.format(stem=recorded.stem),
        *(
            f"{name} = {_text(getattr(recorded, name))}"
            for name in ("implementation", "distribution", "name", "version")
        ),
        "",
        "[departures] # from the paper's profile: declared, paper's",
        *(f"{name} = [{_text(here)}, {_text(paper)}]" for name, (here, paper) in recorded.departures.items()),
        "",
        "[statuses]",
        *(f"{name} = {_text(status)}" for name, status in recorded.statuses.items()),
        "",
        "[notes]",
        *(f"{name} = {_text(recorded.notes[name])}" for name in order if name in recorded.notes),
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def problems(recorded: Recorded, catalogue: Catalogue) -> tuple[str, ...]:
    """What is wrong with a record, one line each: notes that are missing, ids that are not in the specification."""
    known, mentioned = set(catalogue.requirements), {*recorded.statuses, *recorded.notes}
    unverified = [requirement.id for requirement in catalogue if requirement.id not in recorded.statuses]
    return (
        *(f"{recorded.stem}: {name} has no note" for name in recorded.without_note),
        *(f"{recorded.stem}: {name} is not in the specification" for name in sorted(mentioned - known)),
        *(
            [f"{recorded.stem}: no status for {', '.join(unverified)}; run `sdpo-ref results update`"]
            * bool(unverified)
        ),
    )
