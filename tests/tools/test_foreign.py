"""Foreign defects are named rightly or not at all: a few here, by answers alone, all by ``python -m tools.foreign``."""

import pytest

from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.answers import answers_of
from sdpo_ref.verification.diagnosis.causes import Seen
from sdpo_ref.verification.diagnosis.diagnosis import Diagnosis, diagnose
from sdpo_ref.verification.diagnosis.kill_matrix import read_kill_matrix
from sdpo_ref.verification.diagnosis.known_answers import read_known_answers
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import part_of
from tests.verification.test_judge import report_of
from tests.verification.test_waivers import TWO
from tools.foreign.__main__ import outcome
from tools.foreign.defects import ALL, Foreign
from tools.foreign.flat import Flat
from tools.foreign.handmade import handmade
from tools.foreign.padded import Padded
from tools.foreign.reader import Reader

KNOWN, MATRIX = read_known_answers(), read_kill_matrix()
FEW = (
    "beta_of_the_other_paper",
    "hinton",
    "smoothed_teacher",
    "mean_of_rows",
    "living_ratio",
    "k3_on_the_sampled_token",
    "last_success",
    "rate_for_decay",
    "lambda_for_the_teacher",
    "without_the_end",
    "hellinger",
    "times_ranks",
)


def named(implementation: object) -> Diagnosis | None:
    """What its answers alone say."""
    subject = Subject(implementation)
    answers = answers_of(subject, {part_of(capability) for capability in subject.capabilities})
    compared = KNOWN.comparable(answers, ())
    wrong = KNOWN.deviations(answers, compared)
    seen = Seen({}, answers, KNOWN.right, "float64", len(wrong))
    return diagnose(seen, MATRIX, KNOWN, wrong=wrong, compared=compared, ran=(), is_missing=())


@pytest.mark.parametrize("foreign", [it for it in ALL if it.name in FEW], ids=lambda it: it.name)
def test_answers_name_the_right_defect_or_none(foreign: Foreign) -> None:
    """None, where no mutant has it."""
    found = named(foreign.make())
    if not foreign.truth:
        assert found is None
        return
    assert found is not None
    assert found.row is not None
    assert {found.row.id, *(it.id for it in found.others)} & foreign.truth


@pytest.mark.parametrize("right", [Padded(), Reader(), handmade(), Flat()], ids=lambda it: type(it).__name__)
def test_what_they_depart_from_has_no_known_defect(right: object) -> None:
    """The same code without a slip."""
    assert named(right) is None


def test_there_are_two_halves() -> None:
    """Names are unique, and every true name is a mutant's or a cause's."""
    assert len({it.name for it in ALL}) == len(ALL)
    assert min(sum(it.half == half for it in ALL) for half in (1, 2)) >= 30
    ids = {row.id for row in MATRIX.rows}
    assert [it.name for it in ALL if not all(name in ids or name.startswith("cause:") for name in it.truth)] == []


def test_a_report_without_a_diagnosis_is_silent() -> None:
    """A defect that no check sees is counted apart."""
    foreign = ALL[0]
    failed = {"LOSS-001": Status.FAIL, "LOSS-003": Status.FAIL}
    assert outcome(foreign, report_of(TWO, failed)) == "silent"
    assert outcome(foreign, report_of(TWO, dict.fromkeys(failed, Status.PASS))) == "not caught"
