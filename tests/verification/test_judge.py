"""From outcomes of checks to requirements, to the denominator, to the verdict and its exit code."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sdpo_ref.verification.isolation.events import Check, Failure, Finished, Header
from sdpo_ref.verification.isolation.run import Run
from sdpo_ref.verification.judge import judge, requirement_result
from sdpo_ref.verification.report import ClaimResult, Claims, Report
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement, Strength
from sdpo_ref.verification.suite.manifest import lock
from sdpo_ref.verification.suite.prerequisites import basic_first
from sdpo_ref.verification.suite.selection import ALL, Selection

HEADER = Header("m:f", "m:f", {}, {}, ("divergence",), {})


def requirement(
    id_: str, strength: Strength = "MUST", *, level: int = 0, needs: str = "divergence", after: tuple[str, ...] = ()
) -> Requirement:
    return Requirement(
        id_, strength, level, (needs,), f"{id_} holds.", "s", "w", "b", "", after, (), chapter="04-loss", line=1
    )


def catalogue(*requirements: Requirement) -> Catalogue:
    return Catalogue({entry.id: entry for entry in requirements}, {}, {"04-loss": "04 Loss"})


def report_of(
    requirements: Catalogue,
    outcomes: Mapping[str, Status],
    *,
    selection: Selection = ALL,
    capabilities: tuple[str, ...] = ("divergence",),
    header: Header = HEADER,
) -> Report:
    """A report in which each requirement has one check of its own, called after it."""
    checks = tuple(
        Check(f"t.py::{name}", (name,), requirements[name].needs, selected=True) for name in requirements.requirements
    )
    finished = {f"t.py::{name}": Finished(f"t.py::{name}", status) for name, status in outcomes.items()}
    run = Run(replace(header, capabilities=capabilities), checks, finished, (), 1.0)
    return judge(run, requirements, lock(requirements, checks), selection)


def statuses(report: Report) -> dict[str, Status]:
    return {result.id: result.status for result in report.requirements}


ONE = catalogue(requirement("LOSS-001"))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.PASS, 0),
        (Status.FAIL, 1),
        (Status.ERROR, 1),
        (Status.XFAIL, 1),
        (Status.XPASS, 1),
        (Status.INCONCLUSIVE, 3),
        (Status.INVALID, 4),
        (Status.NOT_RUN, 5),
        (Status.SKIPPED, 5),
    ],
)
def test_the_exit_code_of_a_single_must(status: Status, code: int) -> None:
    """Only a pass conforms; every other status of a MUST has its own way of not conforming."""
    conclusion = report_of(ONE, {"LOSS-001": status}).verdict
    assert conclusion.exit_code == code
    assert conclusion.conformant == (code == 0)


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (Status.INVALID, Status.FAIL, 4),
        (Status.FAIL, Status.NOT_RUN, 1),
        (Status.NOT_RUN, Status.INCONCLUSIVE, 5),
        (Status.INCONCLUSIVE, Status.PASS, 3),
    ],
)
def test_the_graver_of_two_decides(first: Status, second: Status, code: int) -> None:
    """Broken suite before failure before hole before doubt."""
    two = catalogue(requirement("LOSS-001"), requirement("LOSS-002"))
    assert report_of(two, {"LOSS-001": first, "LOSS-002": second}).verdict.exit_code == code


def test_a_should_warns_and_does_not_fail() -> None:
    """A SHOULD that is not met leaves exit code and verdict alone, and is named in a note."""
    two = catalogue(requirement("LOSS-001"), requirement("LOSS-002", "SHOULD"))
    conclusion = report_of(two, {"LOSS-001": Status.PASS, "LOSS-002": Status.FAIL}).verdict
    assert (conclusion.exit_code, conclusion.sentence) == (0, "conformant: 1 of 1 MUST")
    assert conclusion.notes == ("warning: 1 SHOULD not met: LOSS-002",)


def test_a_part_is_conformant_in_what_it_offers() -> None:
    """What is not offered leaves the denominator, and the verdict has its number."""
    two = catalogue(requirement("LOSS-001"), requirement("LOSS-002", needs="loss"))
    conclusion = report_of(two, {"LOSS-001": Status.PASS, "LOSS-002": Status.NA}).verdict
    assert conclusion.exit_code == 0
    assert conclusion.sentence == (
        "conformant in what it offers: 1 of 1 MUST; 1 MUST not applicable: it offers divergence only"
    )


def test_nothing_that_applies_is_not_a_pass() -> None:
    """An implementation to which no requirement applies has not been verified."""
    report = report_of(ONE, {"LOSS-001": Status.NA}, capabilities=("loss",))
    assert report.verdict.exit_code == 5


@pytest.mark.parametrize(
    ("outcomes", "code", "sentence"),
    [
        ({"CONF-001": Status.PASS, "LOSS-001": Status.NA}, 3, "nothing was shown: 1 of 1 MUST passed"),
        ({"CONF-001": Status.PASS, "LOSS-001": Status.INCONCLUSIVE}, 3, "nothing was shown: 1 of 2 MUST passed, 1 not"),
        ({"CONF-001": Status.PASS, "LOSS-001": Status.PASS}, 0, "conformant: 2 of 2 MUST"),
        ({"CONF-001": Status.FAIL, "LOSS-001": Status.NA}, 1, "not conformant: 0 of 1 MUST passed, 1 failed"),
    ],
)
def test_an_answer_alone_shows_nothing(outcomes: Mapping[str, Status], code: int, sentence: str) -> None:
    """That a declared part answers is no evidence about what it answers, so the run is not a pass."""
    two = catalogue(requirement("LOSS-001"), replace(requirement("CONF-001"), needs=()))
    verdict = report_of(two, outcomes).verdict
    assert verdict.exit_code == code
    assert verdict.sentence.startswith(sentence)
    assert verdict.conformant == (code == 0)


def test_that_parts_answer_may_be_all_that_is_asked() -> None:
    """If only CONF-001 is selected, it is what is shown."""
    answers = catalogue(replace(requirement("CONF-001"), needs=()))
    assert report_of(answers, {"CONF-001": Status.PASS}).verdict.exit_code == 0


def test_five_seeds_that_decide_nothing_are_not_a_pass() -> None:
    """Under the profile smoke a claim that stays open does not change the exit code, unless it is all there is."""
    one = requirement("LOSS-001")
    claims = Claims(
        profile="smoke",
        legend=(),
        verdicts=(
            ClaimResult(
                id="LOSS-001",
                title="t",
                record="0",
                outcome=None,
                false_pass=None,
                false_fail=0.0,
                further_seeds=None,
                controls=(),
                parts=(),
            ),
        ),
    )
    run = Run(HEADER, (), {}, (), 1.0)
    open_ = requirement_result(one, Status.INCONCLUSIVE, "five seeds")
    found = judge(run, catalogue(one), lock(catalogue(one), []), ALL, [open_], claims=claims).verdict
    assert (found.exit_code, found.sentence) == (3, "nothing was shown: 0 of 1 MUST passed, 1 not decided")


def test_few_of_the_musts_about_a_part() -> None:
    """Where fewer than half of them apply, the sentence says so; those of parts that are not there do not count."""
    four = catalogue(
        requirement("LOSS-001"),
        requirement("LOSS-002", needs="divergence.top_k_tail"),
        requirement("LOSS-003", needs="divergence.top_k_renormalized"),
        requirement("LOSS-004", needs="loss"),
    )
    outcomes = {name: Status.PASS if name == "LOSS-001" else Status.NA for name in four.requirements}
    assert report_of(four, outcomes).verdict.sentence.endswith(
        "it offers divergence only; fewer than half of the 3 MUST about its parts apply: 1"
    )
    half = Catalogue({name: four[name] for name in ("LOSS-001", "LOSS-002", "LOSS-004")}, {}, four.titles)
    del outcomes["LOSS-003"]
    assert report_of(half, outcomes).verdict.sentence.endswith("it offers divergence only")


def test_a_requirement_whose_checks_all_need_more_than_it_does_is_a_hole() -> None:
    """A check that asks for too much must not take its requirement out of the denominator silently."""
    check = Check("t.py::t", ("LOSS-001",), ("loss",), selected=True)
    run = Run(HEADER, (check,), {"t.py::t": Finished("t.py::t", Status.NA, "not offered: loss")}, (), 1.0)
    report = judge(run, ONE, lock(ONE, [check]), ALL)
    assert report.requirements[0].status is Status.NOT_RUN
    assert report.verdict.exit_code == 5


def test_a_check_may_not_apply_because_of_the_profile() -> None:
    """If the check leaves itself out although all it needs is there, its requirement does not apply."""
    report = report_of(ONE, {"LOSS-001": Status.NA})
    assert statuses(report) == {"LOSS-001": Status.NA}


def test_a_failure_behind_a_failed_prerequisite_is_not_decided() -> None:
    """One basic fault prints one failure, whatever lies between; a pass stays a pass."""
    chain = catalogue(
        requirement("LOSS-001"),
        requirement("LOSS-002", after=("LOSS-001",)),
        requirement("LOSS-003", after=("LOSS-002",)),
        requirement("LOSS-004", after=("LOSS-001",)),
    )
    report = report_of(
        chain,
        {"LOSS-001": Status.FAIL, "LOSS-002": Status.ERROR, "LOSS-003": Status.FAIL, "LOSS-004": Status.PASS},
    )
    assert list(statuses(report).values()) == [Status.FAIL, Status.NOT_RUN, Status.NOT_RUN, Status.PASS]
    assert [entry.reason for entry in report.requirements][2] == "not decided, LOSS-001 failed first"
    assert report.requirements[2].own_status is Status.FAIL
    assert report.verdict.sentence == "not conformant: 1 of 4 MUST passed, 1 failed, 2 not decided"


def test_a_failure_behind_a_passed_prerequisite_stands() -> None:
    """The chain is broken by a pass: what fails after it fails for a reason of its own."""
    chain = catalogue(
        requirement("LOSS-001"),
        requirement("LOSS-002", after=("LOSS-001",)),
        requirement("LOSS-003", after=("LOSS-002",)),
    )
    report = report_of(chain, {"LOSS-001": Status.FAIL, "LOSS-002": Status.PASS, "LOSS-003": Status.FAIL})
    assert statuses(report)["LOSS-003"] is Status.FAIL


def test_a_must_is_not_hidden_behind_a_should() -> None:
    """A failed SHOULD takes no failed MUST out of sight, because the exit code would be lost with it."""
    two = catalogue(requirement("LOSS-001", "SHOULD"), requirement("LOSS-002", after=("LOSS-001",)))
    report = report_of(two, {"LOSS-001": Status.FAIL, "LOSS-002": Status.FAIL})
    assert statuses(report)["LOSS-002"] is Status.FAIL
    assert report.verdict.exit_code == 1


def test_a_part_that_does_not_answer_fails_once() -> None:
    """What calls a part that fails CONF-001 is not decided; what calls another part, or passes, is unchanged."""
    three = catalogue(
        requirement("LOSS-001"), requirement("LOSS-030", needs="loss"), requirement("LOSS-031"), requirement("CONF-001")
    )
    checks = (
        Check("t.py::a", ("LOSS-001",), ("divergence",), selected=True),
        Check("t.py::b", ("LOSS-030",), ("loss",), selected=True),
        Check("t.py::c", ("LOSS-031",), ("divergence",), selected=True),
        Check("t.py::answers[divergence]", ("CONF-001",), ("divergence",), selected=True),
        Check("t.py::answers[loss]", ("CONF-001",), ("loss",), selected=True),
    )
    ended = (Status.ERROR, Status.FAIL, Status.PASS, Status.ERROR, Status.PASS)
    finished = {check.id: Finished(check.id, status) for check, status in zip(checks, ended, strict=True)}
    run = Run(replace(HEADER, capabilities=("divergence", "loss")), checks, finished, (), 1.0)
    report = judge(run, three, lock(three, checks), ALL)
    assert list(statuses(report).values()) == [Status.NOT_RUN, Status.FAIL, Status.PASS, Status.ERROR]
    assert report.requirements[0].reason == "not decided, CONF-001 failed first"


def test_the_most_basic_failure_comes_first() -> None:
    """What every part rests on, then lower levels, then what others come after, then as the specification stands."""
    mixed = [
        requirement("POLICY-002", level=1),
        requirement("LOSS-002", after=("LOSS-003",)),
        requirement("LOSS-003"),
        requirement("LOSS-004"),
        requirement("CONF-001"),
    ]
    results = [requirement_result(it, Status.FAIL) for it in mixed]
    assert [it.id for it in basic_first(results)] == ["CONF-001", "LOSS-003", "LOSS-004", "LOSS-002", "POLICY-002"]


def test_a_missing_check_changes_the_denominator() -> None:
    """A check that disappeared, a sentence that changed, and an unknown id each make the run incomplete."""
    check = Check("t.py::t", ("LOSS-001",), ("divergence",), selected=True)
    locked = lock(ONE, [check, replace(check, id="t.py::gone")])
    passed = Run(HEADER, (check,), {"t.py::t": Finished("t.py::t", Status.PASS)}, (), 1.0)
    report = judge(passed, ONE, locked, ALL)
    assert report.deviations == ("LOSS-001: check gone: t.py::gone",)
    assert report.verdict.exit_code == 5

    reworded = catalogue(replace(ONE["LOSS-001"], sentence="It holds not."))
    assert judge(passed, reworded, lock(ONE, [check]), ALL).deviations == ("LOSS-001: its sentence changed",)

    stray = replace(check, id="t.py::stray", requirements=("LOSS-404",))
    strayed = judge(replace(passed, checks=(check, stray)), ONE, lock(ONE, [check]), ALL)
    assert strayed.deviations == ("t.py::stray decides LOSS-404, which is not in the specification",)


def test_a_file_that_cannot_be_collected_makes_the_run_invalid() -> None:
    """A suite with a broken file is no evidence about an implementation."""
    run = Run(HEADER, (), {}, ("loss/test_a.py: SyntaxError",), 1.0)
    assert judge(run, ONE, lock(ONE, []), ALL).verdict.exit_code == 4


def test_a_partial_run_has_no_verdict_on_conformance() -> None:
    """With --level or --only the sentence is about the part, as is the exit code, and the rest is counted."""
    two = catalogue(requirement("LOSS-001"), requirement("LOSS-002", level=1))
    conclusion = report_of(two, {"LOSS-001": Status.PASS}, selection=Selection(level=0)).verdict
    assert (conclusion.exit_code, conclusion.conformant) == (0, False)
    assert conclusion.sentence == "partial run, no verdict on conformance: 1 of 1 MUST passed"
    assert conclusion.notes == ("not run: 1 further MUST were left out by --level or --only",)


def test_departures_from_the_paper_are_named() -> None:
    """An implementation is judged by its own profile, and the verdict says where that is not the paper's."""
    header = replace(HEADER, departures={"aggregation": ("row_mean", "token_mean")})
    report = report_of(ONE, {"LOSS-001": Status.PASS}, header=header)
    assert report.verdict.notes == ("judged by its own profile, which departs from the paper's in aggregation",)


def test_the_most_informative_check_is_shown() -> None:
    """An error comes before a failure, then a recognised defect, then the smallest input, then the first."""
    passed = Finished("a", Status.PASS)
    large = Finished("b", Status.FAIL, failure=Failure(given="x = 1; y = 2"))
    small = Finished("c", Status.FAIL, failure=Failure(given="x = 1"))
    again = Finished("d", Status.FAIL, failure=Failure(given="y = 1"))
    known = Finished("e", Status.FAIL, failure=Failure(given="x = 1; y = 2", looks_like="a sign lost"))
    raised = Finished("f", Status.ERROR, failure=Failure(given="x = 1; y = 2"))

    def shown(*checks: Finished) -> str | None:
        return requirement_result(ONE["LOSS-001"], Status.FAIL, "", checks).first_failure

    assert shown(passed) is None
    assert shown(passed, large, small, again) == "c"
    assert shown(small, known) == "e"
    assert shown(known, raised) == "f"


def test_statements_of_the_published_study_are_run_where_they_are_named() -> None:
    """Otherwise they are not selected, and a note says so; ``P`` alone names what it always did."""
    statement = replace(requirement("P01", "SHOULD"), chapter="09-published-study")
    two = Catalogue({"LOSS-001": ONE["LOSS-001"], "P01": statement}, {}, {"04-loss": "04", "09-published-study": "09"})
    report = report_of(two, {"LOSS-001": Status.PASS, "P01": Status.PASS})
    assert statuses(report) == {"LOSS-001": Status.PASS}
    assert report.not_selected == {"P01": "SHOULD"}
    assert report.verdict.conformant
    assert report.verdict.notes == ("not selected: 1 statements of the published study, which --only P0 asks for",)
    assert Selection(only=("p0",)).requirements(two, ()) == ("P01",)
    assert Selection(only=("P01", "LOSS")).requirements(two, ()) == ("LOSS-001", "P01")
    assert Selection(only=("P",)).requirements(two, ()) == ()
    assert Selection(level=4).requirements(two, ()) == ("LOSS-001",)
