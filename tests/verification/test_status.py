"""Statuses are ordered, and exit codes have a precedence."""

import itertools

import pytest

from sdpo_ref.verification.status import ExitCode, Status, first_of, worst


def test_a_requirement_takes_its_worst_check() -> None:
    """A pass does not make up for a failure, and a check that does not apply takes nothing from a pass."""
    assert worst([Status.PASS, Status.FAIL, Status.NA]) is Status.FAIL
    assert worst([Status.NA, Status.PASS]) is Status.PASS
    assert worst([Status.FAIL, Status.INVALID, Status.ERROR]) is Status.INVALID


def test_no_check_is_not_a_pass() -> None:
    """A requirement that nothing decides is not run; silence is no evidence."""
    assert worst([]) is Status.NOT_RUN


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise([2, 4, 1, 5, 3, 0])))
def test_exit_codes_have_the_documented_precedence(earlier: int, later: int) -> None:
    """Of two codes that apply the one that stands first in 2, 4, 1, 5, 3, 0 decides, in either order."""
    codes = [ExitCode(earlier), ExitCode(later)]
    assert first_of(codes) == earlier
    assert first_of(reversed(codes)) == earlier


def test_every_exit_code_says_what_it_means() -> None:
    """No two codes share a meaning."""
    assert len({code.meaning for code in ExitCode}) == len(ExitCode)
