"""Prerequisites: what fails after a more basic requirement has failed is not decided, so one fault is one failure.

A requirement comes after those that it names (``After:`` in the specification). Every requirement also comes after
CONF-001 in what it calls: a part that fails its simplest call fails every check that calls it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Requirement

ANSWERS = "CONF-001"
"""The requirement that each declared capability answers its simplest call; it has one check for each."""


def after_prerequisites(own: Mapping[str, Decided], checks: Iterable[Check]) -> dict[str, Decided]:
    """Each requirement; NOT-RUN, if it failed after something more basic had failed.

    A MUST is never hidden behind a SHOULD, because then no failed MUST would be left to see.

    Args:
        own: what each requirement's own checks say.
        checks: all checks, for what they call.

    Returns:
        The same requirements, in the same order.
    """
    needs = {check.id: frozenset(check.needs) for check in checks}
    silent = _silent(own.get(ANSWERS), needs)
    return {name: _after(entry, own, needs, silent) for name, entry in own.items()}


def basic_first(requirements: Iterable[Requirement]) -> list[Requirement]:
    """Requirements in the order in which to fix them: what others rest on first, then by level, then as they stand.

    Args:
        requirements: in reading order.
    """
    known = {requirement.id: requirement for requirement in requirements}
    return sorted(known.values(), key=lambda it: (it.id != ANSWERS, it.level, _depth(it, known)))


def _depth(requirement: Requirement, known: Mapping[str, Requirement]) -> int:
    """How many of the given requirements must hold one after the other before this one."""
    return 1 + max((_depth(known[name], known) for name in requirement.after if name in known), default=0)


def _silent(answers: Decided | None, needs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Capabilities that do not answer their simplest call."""
    if answers is None:
        return frozenset()
    failed = (check.check for check in answers.checks if check.status.is_failure)
    return frozenset(capability for check in failed for capability in needs.get(check, ()))


def _after(
    entry: Decided, own: Mapping[str, Decided], needs: Mapping[str, frozenset[str]], silent: frozenset[str]
) -> Decided:
    if not entry.own_status.is_failure:
        return entry
    root = ANSWERS if _is_silent(entry, needs, silent) else _failed_first(entry, own).requirement.id
    if root == entry.requirement.id:
        return entry
    return replace(entry, status=Status.NOT_RUN, reason=f"not decided, {root} failed first", behind=root)


def _is_silent(entry: Decided, needs: Mapping[str, frozenset[str]], silent: frozenset[str]) -> bool:
    """Whether every failed check of a requirement calls something that does not answer at all."""
    failed = [needs.get(check.check, frozenset()) for check in entry.checks if check.status.is_failure]
    return bool(failed) and all(called & silent for called in failed)


def _failed_first(entry: Decided, own: Mapping[str, Decided]) -> Decided:
    """The most basic failure below a failed requirement; itself, if all its prerequisites hold."""
    for name in entry.requirement.after:
        before = own.get(name)
        hides = before is not None and (before.requirement.strength == "MUST" or entry.requirement.strength != "MUST")
        if before is not None and hides and before.own_status.is_failure:
            return _failed_first(before, own)
    return entry
