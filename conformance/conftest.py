"""What every check gets: the wrapped implementation, and the reason why a check does not apply."""

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
import torch
from hypothesis import HealthCheck, settings

from sdpo_ref.verification.checks.comparison import allowances
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.isolation.plugin import implementation_key, not_applicable_key

settings.register_profile(
    "conformance",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("conformance")


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    """The implementation under test."""
    return Subject(request.config.stash[implementation_key].implementation)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Two threads on contended cores are up to a hundred times slower than one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def allowances_of_one_check() -> Iterator[None]:
    """What is allowed because of an epsilon (LOSS-119) is allowed to checks that call what has it."""
    with allowances():
        yield


@pytest.fixture
def not_applicable(request: pytest.FixtureRequest) -> Callable[[str], NoReturn]:
    """Leave a check out because of what the profile declares, with the reason."""

    def leave_out(reason: str) -> NoReturn:
        request.node.stash[not_applicable_key] = reason
        pytest.skip(reason)

    return leave_out
