"""Recorded results as a Markdown page: what each implementation breaks, and what it merely does differently."""

from collections.abc import Iterator, Sequence

from sdpo_ref.verification.reports.recorded import Recorded
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement

FILE_NAME = "README.md"

_HEAD = """\
# Results of published implementations

Written by `sdpo-ref results render` from the `*.toml` files in this folder; edit those. Each column was produced by
running the implementation's own code through its adapter in `sdpo_ref/adapters/`, for instance

    pip install 'sdpo-ref[peers]'
    sdpo-ref verify {implementation}

**A fault is not a variant.** Where published variants legitimately differ, an implementation declares its choice (its
*profile*) and is judged by that choice: the first table lists these departures from the paper, and none of them is
counted against anybody. `FAIL` and `ERROR` in the second table are faults under the implementation's own profile, and
each is explained below it.
"""

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


def render(peers: Sequence[Recorded], catalogue: Catalogue) -> str:
    """The page for these implementations."""
    example = peers[0].implementation if peers else "MODULE:FACTORY"
    parts = [
        _HEAD.format(implementation=example),
        "\n".join(_departures(peers)),
        "\n".join(_totals(peers, catalogue)),
        _LEGEND,
        *("\n".join(_chapter(chapter, peers, catalogue)) for chapter in catalogue.chapters),
        *("\n".join(_notes(peer, catalogue)) for peer in peers),
    ]
    return "\n".join(f"{part.rstrip()}\n" for part in parts if part)


def _title(peer: Recorded) -> str:
    return f"{peer.name} {peer.version}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(peers: Sequence[Recorded], *first: str) -> Iterator[str]:
    yield _row(*first, *map(_title, peers))
    yield _row(*["---"] * (len(first) + len(peers)))


def _departures(peers: Sequence[Recorded]) -> Iterator[str]:
    """Profile fields in which any of them departs from the paper."""
    papers = {name: paper for peer in peers for name, (_, paper) in peer.departures.items()}
    yield "## Declared variants\n"
    yield from _head(peers, "profile field", "paper")
    for name, paper in sorted(papers.items()):
        declared = [peer.departures[name][0] if name in peer.departures else "as the paper" for peer in peers]
        yield _row(f"`{name}`", f"`{paper}`", *declared)


def _totals(peers: Sequence[Recorded], catalogue: Catalogue) -> Iterator[str]:
    yield "## Requirements\n"
    yield from _head(peers, "strength")
    for strength in ("MUST", "SHOULD", "MAY"):
        ids = [requirement.id for requirement in catalogue if requirement.strength == strength]
        if ids:
            yield _row(strength, *(_score([peer.statuses.get(name, Status.NOT_RUN) for name in ids]) for peer in peers))


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
            yield _row(_link(requirement), requirement.strength, _cell(requirement.sentence), *marks)


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
