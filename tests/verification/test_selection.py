"""What --level and --only select, and what they refuse."""

import pytest

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.engine import Suite
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.suite.selection import ALL, Selection

CHECK = "loss/test_divergence.py::test_grows[1.0]"


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (ALL, {"LOSS-002", "TEACH-001"}),
        (Selection(level=1), {"LOSS-002"}),
        (Selection(only=("LOSS-002",)), {"LOSS-002"}),
        (Selection(only=("loss-002",)), {"LOSS-002"}),
        (Selection(only=("TEACH",)), {"TEACH-001"}),
        (Selection(only=("test_grows",)), {"LOSS-002", "TEACH-001"}),
        (Selection(only=("grows[1.0]",)), {"LOSS-002", "TEACH-001"}),
        (Selection(only=("grows[2.0]",)), set()),
        (Selection(level=1, only=("TEACH-001",)), set()),
    ],
)
def test_a_check_is_wanted_for_some_of_its_requirements(suite: Suite, selection: Selection, wanted: set[str]) -> None:
    """A level and an id narrow the requirements, a piece of the check's id takes all of them."""
    assert selection.wanted(CHECK, ["LOSS-002", "TEACH-001"], suite.catalogue()) == wanted


def test_only_the_requirements_asked_for_are_judged(suite: Suite) -> None:
    """What a check decides besides is not reported, because its other checks did not run."""
    both = [Check(CHECK, ("LOSS-002", "TEACH-001"), (), selected=True)]
    assert Selection(only=("LOSS-002",)).requirements(suite.catalogue(), both) == ("LOSS-002",)
    assert Selection(only=("grows",)).requirements(suite.catalogue(), both) == ("LOSS-002", "TEACH-001")


@pytest.mark.parametrize("only", ["LOSS-002", "loss-00", "test_grows", "test_grows[1.0]", "divergence.py"])
def test_a_name_of_something_is_accepted(suite: Suite, only: str) -> None:
    """Ids, beginnings of ids, and pieces of check ids with or without parameters select something."""
    Selection(only=(only,)).refuse_unmatched(suite.catalogue(), suite.manifest())


@pytest.mark.parametrize(
    ("only", "message"),
    [("LOSS-042", "did you mean LOSS-00"), ("test_grow_s", "did you mean test_grows"), ("zzz", "verify --list")],
)
def test_a_name_of_nothing_is_refused_with_near_misses(suite: Suite, only: str, message: str) -> None:
    """A typo must not select nothing and pass."""
    with pytest.raises(UsageError, match=message):
        Selection(only=(only,)).refuse_unmatched(suite.catalogue(), suite.manifest())
