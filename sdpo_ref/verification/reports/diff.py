"""What changed between two reports: which requirements, which versions, which declarations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.report import Report, RequirementResult
from sdpo_ref.verification.status import Status

_HOLDS = (Status.PASS, Status.XPASS)
_BROKEN = (Status.FAIL, Status.ERROR, Status.XFAIL)


class Kind(StrEnum):
    """What became of a requirement, in the order in which it is shown."""

    FAILING = "newly failing"
    UNDECIDED = "no longer decided"
    GONE = "no longer applicable"
    APPLIES = "newly applicable"
    PASSING = "newly passing"
    OTHER = "changed otherwise"


@dataclass(frozen=True)
class Change:
    """A requirement whose status changed.

    Attributes:
        requirement: as it is now.
        before: its status then.
        kind: what became of it.
    """

    requirement: RequirementResult
    before: Status
    kind: Kind

    @property
    def is_worse(self) -> bool:
        """Whether it is a MUST that held and does not any more; a waived failure does not count."""
        now = self.requirement
        return now.strength == "MUST" and self.before in _HOLDS and now.status not in (*_HOLDS, Status.XFAIL)


@dataclass(frozen=True)
class Difference:
    """From one report to another.

    Attributes:
        before: the older report's verdict, as a sentence.
        now: the newer one's.
        settings: what was verified and with what, where it changed; one line each.
        changes: requirements that were selected in both runs, and that have another status.
        added: requirements that the older specification did not have.
        removed: requirements that the newer specification does not have.
        reworded: requirements whose sentence or strength changed.
        only_before: requirements that were selected in the older run only.
        only_now: requirements that were selected in the newer run only.
    """

    before: str
    now: str
    settings: tuple[str, ...]
    changes: tuple[Change, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    reworded: tuple[str, ...]
    only_before: tuple[str, ...]
    only_now: tuple[str, ...]

    @property
    def is_worse(self) -> bool:
        """Whether any MUST held and does not any more."""
        return any(change.is_worse for change in self.changes)

    def lines(self) -> list[str]:
        """For a person, without control characters."""
        return [printable(" ".join(line.split("\n"))) for line in self._lines()]

    def _lines(self) -> Iterator[str]:
        yield from (f"before: {self.before}", f"now:    {self.now}", *self.settings)
        for kind in Kind:
            for it in (change for change in self.changes if change.kind is kind):
                yield f"{kind}: {it.requirement.id} {it.requirement.strength}, {it.before} -> {it.requirement.status}"
        listed = {
            "new requirements": self.added,
            "removed requirements": self.removed,
            "reworded": self.reworded,
            "selected before, not now": self.only_before,
            "selected now, not before": self.only_now,
        }
        yield from (f"{title}: {', '.join(names)}" for title, names in listed.items() if names)
        if not self.changes:
            yield "no requirement changed its status"


def difference(old: Report, new: Report) -> Difference:
    """What changed."""
    before, now = _by_id(old), _by_id(new)
    known_before, known_now = {*before, *old.not_selected}, {*now, *new.not_selected}
    both = [name for name in now if name in before]
    changed = [name for name in both if before[name].status is not now[name].status]
    return Difference(
        before=old.verdict.sentence,
        now=new.verdict.sentence,
        settings=tuple(_settings(old, new)),
        changes=tuple(
            Change(now[name], before[name].status, _kind(before[name].status, now[name].status)) for name in changed
        ),
        added=tuple(name for name in now if name not in known_before),
        removed=tuple(name for name in before if name not in known_now),
        reworded=tuple(name for name in both if _text(before[name]) != _text(now[name])),
        only_before=tuple(name for name in before if name in known_now and name not in now),
        only_now=tuple(name for name in now if name in known_before and name not in before),
    )


def _by_id(report: Report) -> dict[str, RequirementResult]:
    return {it.id: it for it in report.requirements}


def _text(requirement: RequirementResult) -> tuple[str, str]:
    return requirement.strength, " ".join(requirement.sentence.split())


def _kind(before: Status, now: Status) -> Kind:
    if Status.NA in (before, now):
        return Kind.APPLIES if before is Status.NA else Kind.GONE
    if now in _BROKEN and before not in _BROKEN:
        return Kind.FAILING
    if now in _HOLDS and before not in _HOLDS:
        return Kind.PASSING
    return Kind.UNDECIDED if before in (*_HOLDS, *_BROKEN) and now not in (*_HOLDS, *_BROKEN) else Kind.OTHER


def _settings(old: Report, new: Report) -> Iterator[str]:
    was, made = old.implementation, new.implementation
    yield from _changed("", {"implementation": was.spec or was.name}, {"implementation": made.spec or made.name})
    yield from _changed("", {"name": was.name}, {"name": made.name})
    yield from _changed("version of ", old.versions, new.versions)
    yield from _changed("profile: ", was.profile, made.profile)
    more = [name for name in made.capabilities if name not in was.capabilities]
    less = [name for name in was.capabilities if name not in made.capabilities]
    yield from [f"now offered: {', '.join(more)}"] * bool(more) + [f"no longer offered: {', '.join(less)}"] * bool(less)


def _changed(prefix: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield f"{prefix}{name}: {old.get(name, 'none')} -> {new.get(name, 'none')}"
