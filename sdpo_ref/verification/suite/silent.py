"""Capabilities that do not answer their simplest call: what calls them is not run (CONF-001)."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.status import Status

ANSWERS = "CONF-001"
"""The requirement that each declared capability answers its simplest call; it has one check for each."""

UNDECIDED = f"not decided, {ANSWERS} failed first"
"""Of a requirement, a check or a claim that calls what does not answer."""


def silent(checks: Iterable[Check], ended: Mapping[str, Status]) -> frozenset[str]:
    """Capabilities that do not answer their simplest call.

    Args:
        checks: all checks, for what they call.
        ended: how some of them ended, by id.

    Example:
        >>> simplest = Check("t.py::answers[loss]", (ANSWERS,), ("loss",), selected=True)
        >>> silent([simplest], {simplest.id: Status.ERROR}), silent([simplest], {simplest.id: Status.PASS})
        (frozenset({'loss'}), frozenset())
    """
    failed = (it for it in checks if ANSWERS in it.requirements and it.id in ended and ended[it.id].is_failure)
    return frozenset(capability for check in failed for capability in check.needs)


def is_not_asked(check: Check, of: AbstractSet[str]) -> bool:
    """Whether a check calls what does not answer; the simplest calls themselves are all made.

    Args:
        check: which may call several capabilities.
        of: capabilities that do not answer.
    """
    return ANSWERS not in check.requirements and not of.isdisjoint(check.needs)
