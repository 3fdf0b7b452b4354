"""What changed from one report to the next."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from sdpo_ref.reports.document import Document, RequirementPart
from sdpo_ref.verify.printable import printable
from sdpo_ref.verify.status import Status


@dataclass(frozen=True)
class Change:
    """A requirement whose status is another one.

    Attributes:
        id: of the requirement.
        strength: of the requirement.
        before: its old status; empty if it was not asked for.
        after: its new status; empty if it was not asked for.
    """

    id: str
    strength: str
    before: str
    after: str

    @property
    def is_worse(self) -> bool:
        """Whether less is known to hold than before: it fails, is open, does not apply any more, or is not asked."""
        if self.before == Status.PASS:
            return self.after != Status.PASS
        broken = (Status.FAIL, Status.ERROR, Status.INVALID)
        return self.after in broken and self.before not in broken

    @property
    def is_better(self) -> bool:
        """Whether it passes now and did not before."""
        return self.after == Status.PASS

    @property
    def line(self) -> str:
        """For a person.

        Example:
            >>> Change("LOSS-003", "MUST", "PASS", "FAIL").line
            'LOSS-003 MUST: PASS -> FAIL'
        """
        before, after = self.before or "not asked", self.after or "not asked"
        return f"{self.id} {self.strength}: {before} -> {after}"


@dataclass(frozen=True)
class Difference:
    """All that changed.

    Attributes:
        changes: of requirements.
        others: versions, capabilities and profile, one line each.
    """

    changes: tuple[Change, ...]
    others: tuple[str, ...]

    @property
    def must_got_worse(self) -> bool:
        """Whether less of what decides is known to hold."""
        return any(change.is_worse and change.strength == "MUST" for change in self.changes)

    def lines(self) -> list[str]:
        """Everything for a person: what got worse, what got better, what is otherwise different."""
        worse = [change for change in self.changes if change.is_worse]
        better = [change for change in self.changes if change.is_better]
        rest = [change for change in self.changes if change not in worse and change not in better]
        groups = (("worse", worse), ("better", better), ("other", rest))
        found = [f"{name}: {change.line}" for name, changes in groups for change in changes]
        return [*found, *self.others] or ["no difference"]


def difference(old: Document, new: Document) -> Difference:
    """From an old report to a new one.

    Args:
        old: before.
        new: after.

    Returns:
        What changed.
    """
    before, after = _by_id(old.requirements), _by_id(new.requirements)
    changes = [
        Change(
            name,
            (after.get(name) or before[name]).strength,
            before[name].status if name in before else "",
            after[name].status if name in after else "",
        )
        for name in dict.fromkeys((*before, *after))
    ]
    return Difference(tuple(it for it in changes if it.before != it.after), tuple(_others(old, new)))


def print_difference(console: Console, found: Difference) -> None:
    """Print what changed, a line each.

    Args:
        console: where to.
        found: what changed.
    """
    for line in found.lines():
        style = "bold red" if line.startswith("worse") else "green" if line.startswith("better") else ""
        console.print(Text(printable(line), style=style), soft_wrap=True)


def _by_id(requirements: Iterable[RequirementPart]) -> dict[str, RequirementPart]:
    return {it.id: it for it in requirements}


def _others(old: Document, new: Document) -> Iterable[str]:
    if old.implementation.spec != new.implementation.spec:
        yield f"implementation: {old.implementation.spec} -> {new.implementation.spec}"
    for name in dict.fromkeys((*old.versions, *new.versions)):
        one, other = old.versions.get(name, "none"), new.versions.get(name, "none")
        if one != other:
            yield f"{name}: {one} -> {other}"
    had, has = set(old.implementation.capabilities), set(new.implementation.capabilities)
    if had - has:
        yield f"no longer offered: {', '.join(sorted(had - has))}"
    if has - had:
        yield f"newly offered: {', '.join(sorted(has - had))}"
    for name in sorted(set(old.implementation.profile) | set(new.implementation.profile)):
        one, other = old.implementation.profile.get(name, "none"), new.implementation.profile.get(name, "none")
        if one != other:
            yield f"profile {name}: {one} -> {other}"
