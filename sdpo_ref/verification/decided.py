"""What is known about one requirement after a run."""

from dataclasses import dataclass

from sdpo_ref.verification.checks.mismatch import TOO_LARGE
from sdpo_ref.verification.isolation.events import Finished
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Requirement
from sdpo_ref.verification.suite.waivers import Waiver


@dataclass(frozen=True)
class Decided:
    """What is known about one requirement.

    Attributes:
        requirement: the requirement.
        status: its worst check's, unless a prerequisite failed first or it is waived.
        reason: why it is not decided, not applicable, or waived.
        own_status: its worst check's.
        checks: the checks that ran for it, or were left out, in order.
        waiver: the user's, if there is one.
        behind: id of the requirement that failed first, if one did.
    """

    requirement: Requirement
    status: Status
    reason: str
    own_status: Status
    checks: tuple[Finished, ...]
    waiver: Waiver | None = None
    behind: str = ""

    @property
    def first_failure(self) -> Finished | None:
        """The check that best shows what is wrong: of the worst, one that is recognised, on the smallest input."""
        failed = [(check, check.failure) for check in self.checks if check.failure is not None]
        return min(
            failed,
            key=lambda pair: (-pair[0].status.severity, not pair[1].looks_like, _size(pair[1].given)),
            default=(None, None),
        )[0]

    @property
    def is_statistical(self) -> bool:
        """Whether seeds decide it, so that a wrong verdict has a probability."""
        return self.requirement.level == _CLAIMS

    @property
    def is_excused(self) -> bool:
        """Whether its waiver covers how it ended; a claim that is waived may end in any way that seeds can."""
        seeds = (Status.INCONCLUSIVE, Status.XPASS) if self.is_statistical else ()
        return self.waiver is not None and self.status in (Status.XFAIL, *seeds)

    @property
    def is_waived_in_vain(self) -> bool:
        """Whether its waiver has to be removed: the requirement holds, or does not apply."""
        return self.waiver is not None and self.status in (Status.XPASS, Status.NA) and not self.is_excused


_CLAIMS = 4
"""The level of claims."""


def _size(given: str) -> tuple[bool, int]:
    """How much there is to read: an input that is shown whole comes before one that was too large to show."""
    return TOO_LARGE in given, len(given)
