"""Prerequisites: what fails after a more basic requirement has failed is not decided, so one fault is one failure.

A requirement comes after those that it names (``After:`` in the specification). Every requirement also comes after
CONF-001 in what it calls: a part that fails its simplest call fails every check that calls it.
"""

from collections.abc import Iterable, Mapping

from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.report import RequirementResult
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.silent import ANSWERS, UNDECIDED, silent


def after_prerequisites(own: Mapping[str, RequirementResult], checks: Iterable[Check]) -> dict[str, RequirementResult]:
    """Each requirement; NOT-RUN, if it failed after something more basic had failed.

    A MUST is never hidden behind a SHOULD, because then no failed MUST would be left to see.

    Args:
        own: each requirement's result by its own checks.
        checks: all checks, for what they call.

    Returns:
        The same requirements, in the same order.
    """
    known = tuple(checks)
    needs = {check.id: frozenset(check.needs) for check in known}
    answers = own.get(ANSWERS)
    mute = frozenset() if answers is None else silent(known, {it.id: it.status for it in answers.checks})
    return {name: _after(result, own, needs, mute) for name, result in own.items()}


def basic_first(results: Iterable[RequirementResult]) -> list[RequirementResult]:
    """Requirements in the order in which to fix them: what others rest on first, then by level, then as they stand."""
    known = {result.id: result for result in results}
    return sorted(known.values(), key=lambda it: (it.id != ANSWERS, it.level, _depth(it, known)))


def _depth(result: RequirementResult, known: Mapping[str, RequirementResult]) -> int:
    """How many of the given requirements must hold one after the other before this one."""
    return 1 + max((_depth(known[name], known) for name in result.after if name in known), default=0)


def _after(
    result: RequirementResult,
    own: Mapping[str, RequirementResult],
    needs: Mapping[str, frozenset[str]],
    mute: frozenset[str],
) -> RequirementResult:
    if result.own_status is Status.NOT_RUN and result.reason == UNDECIDED:
        return result.model_copy(update={"failed_first": ANSWERS})
    if not result.own_status.is_failure:
        return result
    root = ANSWERS if _is_silent(result, needs, mute) else _failed_first(result, own).id
    if root == result.id:
        return result
    changes = {"status": Status.NOT_RUN, "reason": f"not decided, {root} failed first", "failed_first": root}
    return result.model_copy(update=changes)


def _is_silent(result: RequirementResult, needs: Mapping[str, frozenset[str]], mute: frozenset[str]) -> bool:
    """Whether every failed check of a requirement calls something that does not answer at all."""
    failed = [needs.get(check.id, frozenset()) for check in result.checks if check.status.is_failure]
    return bool(failed) and all(called & mute for called in failed)


def _failed_first(result: RequirementResult, own: Mapping[str, RequirementResult]) -> RequirementResult:
    """The most basic failure below a failed requirement; itself, if all its prerequisites hold."""
    for name in result.after:
        before = own.get(name)
        hides = before is not None and (before.strength == "MUST" or result.strength != "MUST")
        if before is not None and hides and before.own_status.is_failure:
            return _failed_first(before, own)
    return result
