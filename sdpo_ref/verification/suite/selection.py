"""Which requirements and checks a run covers: all, up to a level, or a few by name.

Statements of the published study are run only if they are named.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement
from sdpo_ref.verification.suite.manifest import Manifest


@dataclass(frozen=True)
class Selection:
    """What the user selected.

    Attributes:
        level: highest level, or ``None`` for all.
        only: beginnings of requirement ids and pieces of check ids; empty for all.
    """

    level: int | None = None
    only: tuple[str, ...] = ()

    def wanted(self, check_id: str, requirement_ids: Iterable[str], catalogue: Catalogue) -> frozenset[str]:
        """The selected requirements that this check decides; the check runs if there is any.

        A piece of the check's id selects all requirements of the check.
        """
        within = {requirement.id for requirement in catalogue if self._within(requirement)}
        selected = within.intersection(requirement_ids)
        if not self.only or any(only in check_id for only in self.only):
            return frozenset(selected)
        return frozenset(name for name in selected if self._names(name))

    def requirements(self, catalogue: Catalogue, checks: Iterable[Check]) -> tuple[str, ...]:
        """Ids of the requirements that this run judges, in reading order."""
        selected = {name for check in checks for name in self.wanted(check.id, check.requirements, catalogue)}
        selected |= {
            requirement.id
            for requirement in catalogue
            if self._within(requirement) and (not self.only or self._names(requirement.id))
        }
        return tuple(requirement.id for requirement in catalogue if requirement.id in selected)

    def refuse_unmatched(self, catalogue: Catalogue, manifest: Manifest) -> None:
        """Refuse a level or a name that selects nothing, before anything is started.

        Raises:
            UsageError: for a level that no requirement has, or a name that is neither a requirement nor a piece of a
                check's id.
        """
        levels = sorted({requirement.level for requirement in catalogue})
        if self.level is not None and self.level < levels[0]:
            raise UsageError(f"no requirement has a level up to {self.level}; the levels are {levels}")
        functions = {function for locked in manifest.values() for function in locked.checks}
        for only in self.only:
            known = any(requirement.id.startswith(only.upper()) for requirement in catalogue)
            if known or not functions or any(only.partition("[")[0] in function for function in functions):
                continue
            if only.upper() in catalogue.retired:
                raise UsageError(f"{only.upper()} was retired: {catalogue.retired[only.upper()]}")
            near = difflib.get_close_matches(only.upper(), catalogue.requirements, n=3)
            near += difflib.get_close_matches(only, {name.rpartition("::")[2] for name in functions}, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "see `sdpo-ref verify --list`"
            raise UsageError(f"--only {only!r} is neither a requirement nor part of a check's id; {hint}")

    def _within(self, requirement: Requirement) -> bool:
        """Whether the level has it, and a name if it needs one; ``P`` alone names requirements of other chapters."""
        if requirement.is_on_request and not any(requirement.id[:2] == only[:2].upper() for only in self.only):
            return False
        return self.level is None or requirement.level <= self.level

    def _names(self, requirement_id: str) -> bool:
        return any(requirement_id.startswith(only.upper()) for only in self.only)


ALL = Selection()
"""The whole suite."""
