"""Ten statuses of a check or a requirement, which of two is worse, and the exit codes of ``sdpo-ref verify``."""

from collections.abc import Iterable
from enum import IntEnum, StrEnum


class Status(StrEnum):
    """How a check or a requirement ended, from best to worst; a requirement takes its worst check."""

    NA = "N/A"
    """Not applicable: the implementation does not declare a capability that it needs."""
    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    """The requirement holds."""
    SKIPPED = "SKIPPED"
    """Left out because the user asked for it."""
    XFAIL = "XFAIL"
    """Failed, as a waiver allows."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Neither passed nor failed: a statistical check needs more runs."""
    NOT_RUN = "NOT-RUN"
    """Not decided: a prerequisite failed, or the implementation kept hanging or dying."""
    XPASS = "XPASS"
    """Passed, although a waiver expects a failure."""
    FAIL = "FAIL"
    """The implementation returned something other than the requirement demands."""
    ERROR = "ERROR"
    """The implementation raised, hung or died where the requirement demands a result."""
    INVALID = "INVALID"
    """The suite's own control failed, so there is no evidence about the implementation."""

    @property
    def severity(self) -> int:
        """Position in the order from best to worst."""
        return list(Status).index(self)

    @property
    def is_failure(self) -> bool:
        """Whether this counts as a failure: the implementation, or the waiver, must change."""
        return self in (Status.FAIL, Status.ERROR, Status.XFAIL, Status.XPASS)


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of some statuses; NOT-RUN without any, because silence is not a pass.

    Example:
        >>> worst([Status.NA, Status.PASS]).value
        'PASS'
    """
    return max(statuses, key=lambda status: status.severity, default=Status.NOT_RUN)


class ExitCode(IntEnum):
    """What the exit code of ``verify`` means."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INVALID = 4
    INCOMPLETE = 5

    @property
    def meaning(self) -> str:
        """One clause for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.PASSED: "every applicable MUST asked for passes or is waived",
    ExitCode.FAILED: "some MUST failed or raised",
    ExitCode.USAGE: "the command, the implementation's name or a waiver is wrong",
    ExitCode.INCONCLUSIVE: "nothing was shown, or only inconclusive requirements keep it from conforming",
    ExitCode.INVALID: "the suite itself is broken, do not trust this run",
    ExitCode.INCOMPLETE: "nothing ran, or not all that the locked manifest demands",
}


_PRECEDENCE = (
    ExitCode.USAGE,
    ExitCode.INVALID,
    ExitCode.FAILED,
    ExitCode.INCOMPLETE,
    ExitCode.INCONCLUSIVE,
    ExitCode.PASSED,
)


def first_of(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that decides when several apply.

    Example:
        >>> first_of([ExitCode.INCOMPLETE, ExitCode.FAILED]).name
        'FAILED'
    """
    return min(codes, key=_PRECEDENCE.index, default=ExitCode.PASSED)
