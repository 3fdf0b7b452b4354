"""Recorded results of published implementations: a TOML file for each in ``conformance/results/``, and their page.

Statuses and profile are rewritten by ``sdpo-ref results update``, which keeps the notes written by hand; ``sdpo-ref
results render`` writes the page: what each implementation breaks, and what it does differently by choice.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.gfm import row
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement

_FILE_HEAD = """\
# `sdpo-ref results update {stem}` rewrites all but implementation, distribution and [notes], which are by hand.
# Every requirement with the status FAIL or ERROR needs a note: what the implementation does, and why it matters.
"""

PAGE = "README.md"
"""Beside the files."""

_PAGE_HEAD = """\
# Results of published implementations

Written by `sdpo-ref results render` from the `*.toml` files in this folder; edit those. Each column was produced by
running the implementation's own code through its adapter in `sdpo_ref/adapters/`, for instance

    pip install 'sdpo-ref[peers]'
    sdpo-ref verify sdpo_ref.adapters.trl:sdpo

and is written again by `sdpo-ref results update NAME`. ms-swift and verl contradict the pins of `peers`: install
`sdpo-ref[ms-swift]` or `sdpo-ref[verl]` into an environment of its own.

**A fault is not a variant.** Where published variants legitimately differ, an implementation declares its choice (its
*profile*) and is judged by that choice: the first table lists these departures from the paper, and none of them
counts as a fault. `FAIL` and `ERROR` in the second table are faults under the implementation's own profile, and
each is explained below it: as a *fault*, as a *variant* that no profile expresses, or as *glue* of the adapter's, with
what it does to training. [What does not install from a registry](ADAPTERS.md), and how its adapter is written.
"""

_TRUST: Mapping[str, tuple[str, ...]] = {
    "logits of −∞": ("LOSS-007", "LOSS-008"),
    "half precision": ("LOSS-091", "LOSS-092"),
    "an empty process": ("TRAIN-005",),
    "unequal processes": ("TRAIN-030", "TRAIN-031", "TRAIN-034"),
    "tools": ("POLICY-007", "POLICY-008"),
}
"""What a reader wants to know first: a subject, and the requirements that it is about."""

_LEGEND = """\
| mark | meaning |
|---|---|
| ok | the requirement holds |
| **FAIL** | the implementation returns something else than the requirement demands |
| **ERROR** | it raises, hangs or dies where the requirement demands a result |
| n/a | it does not offer the part |
| not decided | something more basic failed first, or the check could not decide |
"""

_MARKS = {
    Status.PASS: "ok",
    Status.FAIL: "**FAIL**",
    Status.ERROR: "**ERROR**",
    Status.NA: "n/a",
}


@dataclass(frozen=True)
class Recorded:
    """What is recorded about one implementation.

    Attributes:
        stem: name of its file without suffix, by which the command line knows it.
        implementation: ``module:factory`` of its adapter.
        distribution: package whose version is recorded.
        name: its own name.
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
        """Broken requirements that are not explained yet."""
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
    """The record after a new run: statuses, profile and version from the run, notes kept.

    A broken requirement that had no note gets an empty one, to be filled in by hand.

    Raises:
        IntegrityError: if the suite itself is broken, so that the run says nothing about the implementation.
    """
    if report.broken or report.of(Status.INVALID):
        invalid = ", ".join(result.id for result in report.of(Status.INVALID))
        raise IntegrityError(
            f"the suite is broken ({'; '.join(report.broken) or invalid}), so nothing was recorded for "
            f"{recorded.stem}; run `sdpo-ref verify` on the reference"
        )
    new = replace(
        recorded,
        name=report.implementation.name,
        version=version,
        departures={name: (it.declared, it.paper) for name, it in report.implementation.departures.items()},
        statuses={result.id: result.status for result in report.requirements},
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
        _FILE_HEAD.format(stem=recorded.stem),
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


def render(peers: Sequence[Recorded], catalogue: Catalogue) -> str:
    """The page for these implementations."""
    parts = [
        _PAGE_HEAD,
        "\n".join(_trust(peers)),
        "\n".join(_departures(peers)),
        "\n".join(_totals(peers, catalogue)),
        _LEGEND,
        *("\n".join(_chapter(chapter, peers, catalogue)) for chapter in catalogue.chapters),
        *("\n".join(_notes(peer, catalogue)) for peer in peers),
    ]
    return "\n".join(f"{part.rstrip()}\n" for part in parts if part)


def _title(peer: Recorded) -> str:
    return f"{peer.name} {peer.version}"


def _head(peers: Sequence[Recorded], *first: str) -> Iterator[str]:
    yield row(*first, *map(_title, peers))
    yield row(*["---"] * (len(first) + len(peers)))


def _trust(peers: Sequence[Recorded]) -> Iterator[str]:
    """Whether each can be trusted with what goes wrong most often."""
    yield "## What each can be trusted with\n"
    yield "In brackets: the requirements that are broken. Everything else that is broken stands further below.\n"
    yield row("", *_TRUST)
    yield row(*["---"] * (1 + len(_TRUST)))
    for peer in peers:
        yield row(_title(peer), *(_answer(peer, ids) for ids in _TRUST.values()))


def _answer(peer: Recorded, ids: Sequence[str]) -> str:
    """One cell: yes, no, or that it was not decided or not offered."""
    statuses = {name: peer.statuses.get(name, Status.NOT_RUN) for name in ids}
    broken = [name for name, status in statuses.items() if status in (Status.FAIL, Status.ERROR)]
    open_ones = [name for name, status in statuses.items() if status not in (Status.PASS, Status.NA)]
    if broken:
        return f"**no** ({', '.join(broken)})"
    if open_ones:
        return f"not decided ({', '.join(open_ones)})"
    return "yes" if Status.PASS in statuses.values() else "not offered"


def _departures(peers: Sequence[Recorded]) -> Iterator[str]:
    """Profile fields in which any of them departs from the paper."""
    papers = {name: paper for peer in peers for name, (_, paper) in peer.departures.items()}
    yield "## Declared variants\n"
    yield from _head(peers, "profile field", "paper")
    for name, paper in sorted(papers.items()):
        declared = [peer.departures[name][0] if name in peer.departures else "as the paper" for peer in peers]
        yield row(f"`{name}`", f"`{paper}`", *declared)


def _totals(peers: Sequence[Recorded], catalogue: Catalogue) -> Iterator[str]:
    yield "## Requirements\n"
    yield from _head(peers, "strength")
    for strength in ("MUST", "SHOULD", "MAY"):
        ids = [requirement.id for requirement in catalogue if requirement.strength == strength]
        if ids:
            yield row(strength, *(_score([peer.statuses.get(name, Status.NOT_RUN) for name in ids]) for peer in peers))


def _score(statuses: Sequence[Status]) -> str:
    broken = sum(status in (Status.FAIL, Status.ERROR) for status in statuses)
    applicable = len(statuses) - statuses.count(Status.NA)
    return f"{statuses.count(Status.PASS)} of {applicable} hold, {broken} broken"


def _chapter(chapter: str, peers: Sequence[Recorded], catalogue: Catalogue) -> Iterator[str]:
    yield f"### {catalogue.titles[chapter]}\n"
    yield from _head(peers, "id", "strength", "requirement")
    for requirement in catalogue:
        if requirement.chapter == chapter:
            marks = [_MARKS.get(peer.statuses.get(requirement.id, Status.NOT_RUN), "not decided") for peer in peers]
            yield row(_link(requirement), requirement.strength, _cell(requirement.sentence), *marks)


def _notes(peer: Recorded, catalogue: Catalogue) -> Iterator[str]:
    """What a person wrote about one implementation, in reading order."""
    written = [requirement for requirement in catalogue if peer.notes.get(requirement.id)]
    if written:
        yield f"## Notes on {_title(peer)}\n"
    for requirement in written:
        status = peer.statuses.get(requirement.id, Status.NOT_RUN)
        yield f"- {_link(requirement)} ({_MARKS.get(status, 'not decided')}): {peer.notes[requirement.id]}"


def _link(requirement: Requirement) -> str:
    return f"[{requirement.id}](../../{requirement.anchor})"


def _cell(text: str) -> str:
    r"""Text that does not end its table cell.

    Example:
        >>> _cell("KL(p | q)")
        'KL(p \\| q)'
    """
    return " ".join(text.split()).replace("|", "\\|")
