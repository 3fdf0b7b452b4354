"""Waivers: every wrong entry is refused, and no waived MUST is ever called conformant."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix
from sdpo_ref.verification.isolation.events import Check, Failure, Finished, Header
from sdpo_ref.verification.isolation.run import Run
from sdpo_ref.verification.judge import judge
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.junit import junit
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue
from sdpo_ref.verification.suite.manifest import lock
from sdpo_ref.verification.suite.selection import ALL, Selection
from sdpo_ref.verification.suite.waivers import LONGEST, Waiver, read_waivers, refuse_wrong
from tests.verification.test_judge import catalogue, requirement

TODAY = dt.date(2026, 11, 23)
UNTIL = dt.date(2027, 1, 31)
LINK = "https://example.org/issues/7"
ENTRY = {
    "id": '"LOSS-003"',
    "reason": '"The mixture is being rewritten."',
    "link": f'"{LINK}"',
    "expires": "2027-01-31",
}


def waiver(id_: str = "LOSS-003", expires: dt.date = UNTIL) -> Waiver:
    """A waiver."""
    return Waiver(id=id_, reason="known", link=LINK, expires=expires)


def written(folder: Path, **changes: str | None) -> Path:
    """A file with one entry in which some keys are others, or missing."""
    fields = {name: text for name, text in {**ENTRY, **changes}.items() if text is not None}
    path = folder / "waivers.toml"
    path.write_text("[[waiver]]\n" + "".join(f"{name} = {text}\n" for name, text in fields.items()), encoding="utf-8")
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    """The four fields of each entry, an id in any case, a reason on one line."""
    path = written(tmp_path, id='"loss-003"', reason='"""The mixture is\nbeing rewritten."""')
    (found,) = read_waivers(path)
    assert found == Waiver(id="LOSS-003", reason="The mixture is being rewritten.", link=LINK, expires=UNTIL)
    assert found.until == "waived until 2027-01-31"


def test_an_empty_file_waives_nothing(tmp_path: Path) -> None:
    """After the last entry is removed, the command still works."""
    (tmp_path / "waivers.toml").write_text("# nothing left\n")
    assert read_waivers(tmp_path / "waivers.toml") == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": None}, r"entry 1: id is missing; it must be the id of a requirement"),
        ({"reason": None}, r"entry 1: reason is missing; it must be one sentence"),
        ({"link": None}, r"entry 1: link is missing; it must be the http or https address"),
        ({"expires": None}, r"entry 1: expires is missing; it must be a date without quotes, such as 2027-01-31"),
        ({"id": '""'}, r"id is ''; it must be"),
        ({"id": "3"}, r"id is 3; it must be"),
        ({"reason": '"  "'}, r"reason is '  '; it must be"),
        ({"link": '"our wiki"'}, r"link is 'our wiki'; it must be"),
        ({"link": '"ftp://example.org/7"'}, r"link is 'ftp://example.org/7'; it must be"),
        ({"link": '"https:// "'}, r"link is 'https:// '; it must be"),
        ({"expires": '"2027-01-31"'}, r"expires is '2027-01-31'; it must be a date without quotes"),
        ({"expires": "2027-01-31T12:00:00"}, r"expires is datetime.*; it must be a date without quotes"),
        ({"expiry": "2027-01-31"}, r"unknown key 'expiry'; allowed are id, reason, link, expires"),
    ],
)
def test_a_wrong_entry_is_refused(changes: dict[str, str | None], message: str, tmp_path: Path) -> None:
    """The message names the entry, what was received and what is allowed."""
    with pytest.raises(UsageError, match=message):
        read_waivers(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[waiver]\n", r"cannot be read as TOML"),
        ("[[waivers]]\nid = 'LOSS-003'\n", r"holds 'waivers'; allowed are \[\[waiver\]\] entries only"),
        ("[waiver]\nid = 'LOSS-003'\n", r"holds \[waiver\]; allowed are \[\[waiver\]\] entries only"),
        ("waiver = ['LOSS-003']\n", r"holds \[waiver\]; allowed are \[\[waiver\]\] entries only"),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """A file that holds anything but entries is not read in part."""
    (tmp_path / "waivers.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_waivers(tmp_path / "waivers.toml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A mistyped path waives nothing, and says so."""
    with pytest.raises(UsageError, match=r"waivers.toml cannot be read"):
        read_waivers(tmp_path / "waivers.toml")


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    """Two entries for one requirement could hold two dates."""
    path = written(tmp_path)
    path.write_text(path.read_text() * 2)
    with pytest.raises(UsageError, match="waives LOSS-003 more than once; keep one entry"):
        read_waivers(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            waiver("LOSS-030"),
            "a waiver names no requirement: no requirement is called 'LOSS-030'; did you mean LOSS-003",
        ),
        (waiver("LOSS-009"), "a waiver names no requirement: LOSS-009 was retired: it said the same"),
        (waiver(expires=TODAY - dt.timedelta(1)), "LOSS-003 expired on 2026-11-22 and today is 2026-11-23"),
        (waiver(expires=TODAY + LONGEST + dt.timedelta(1)), "allowed is up to 2027-11-24, a year from today"),
    ],
)
def test_a_waiver_that_cannot_hold_is_refused(wrong: Waiver, message: str) -> None:
    """Unknown, retired, expired or endless: refused before anything runs."""
    known = catalogue(requirement("LOSS-003"))
    with pytest.raises(UsageError, match=message):
        refuse_wrong([wrong], Catalogue(known.requirements, {"LOSS-009": "it said the same"}, {}), TODAY)


def test_the_last_day_is_included() -> None:
    """A waiver holds on the day that it names, and up to a year from now."""
    known = catalogue(requirement("LOSS-003"))
    refuse_wrong([waiver(expires=TODAY), waiver(expires=TODAY + LONGEST)], known, TODAY)


def report_of(
    requirements: Catalogue,
    outcomes: Mapping[str, Status],
    *waived: str,
    selection: Selection = ALL,
    matrix: KillMatrix | None = None,
) -> Report:
    """A report in which each requirement has one check of its own and some are waived."""
    checks = tuple(Check(f"t.py::{it.id}", (it.id,), it.needs, selected=True) for it in requirements)
    finished = {
        f"t.py::{name}": Finished(f"t.py::{name}", status, failure=Failure("broken") if status.is_failure else None)
        for name, status in outcomes.items()
    }
    header = Header("m:f", "m:f", {}, {}, ("divergence",), {})
    run = Run(header, checks, finished, (), 1.0)
    waivers = [waiver(it) for it in waived]
    return judge(run, requirements, lock(requirements, checks), selection, waivers=waivers, matrix=matrix)


TWO = catalogue(requirement("LOSS-001"), requirement("LOSS-003"))
CHAIN = catalogue(requirement("LOSS-001"), requirement("LOSS-003", after=("LOSS-001",)))


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR])
def test_a_waived_failure_is_green_and_not_conformant(status: Status) -> None:
    """Exit code 0, and the sentence names what is excepted, until when, and leaves it out of what passed."""
    conclusion = report_of(TWO, {"LOSS-001": Status.PASS, "LOSS-003": status}, "LOSS-003").verdict
    assert (conclusion.exit_code, conclusion.conformant) == (0, False)
    assert conclusion.sentence == "conformant except LOSS-003 (waived until 2027-01-31): 1 of 2 MUST, 1 waived"


@pytest.mark.parametrize(
    ("status", "code", "own"),
    [
        (Status.PASS, 2, Status.XPASS),
        (Status.NA, 2, Status.NA),
        (Status.NOT_RUN, 5, Status.NOT_RUN),
        (Status.SKIPPED, 5, Status.SKIPPED),
        (Status.INCONCLUSIVE, 3, Status.INCONCLUSIVE),
        (Status.INVALID, 4, Status.INVALID),
    ],
)
def test_a_waiver_excuses_failures_only(status: Status, code: int, own: Status) -> None:
    """A pass or what does not apply makes the waiver wrong; what is not decided stays so."""
    report = report_of(TWO, {"LOSS-001": Status.PASS, "LOSS-003": status}, "LOSS-003")
    assert report.requirements[1].status is own
    assert (report.verdict.exit_code, report.verdict.conformant) == (code, False)


def test_a_waiver_that_is_not_needed_says_what_to_do() -> None:
    """The note names the requirement and the way out."""
    passes = report_of(TWO, {"LOSS-001": Status.PASS, "LOSS-003": Status.PASS}, "LOSS-003").verdict
    assert passes.notes == ("warning: waived and passes: LOSS-003; remove the waiver",)
    away = report_of(TWO, {"LOSS-001": Status.PASS, "LOSS-003": Status.NA}, "LOSS-003").verdict
    assert away.notes == ("warning: waived and does not apply to what is offered: LOSS-003; remove the waiver",)


def test_another_failure_still_fails() -> None:
    """A waiver covers one requirement and no other."""
    conclusion = report_of(TWO, {"LOSS-001": Status.FAIL, "LOSS-003": Status.FAIL}, "LOSS-003").verdict
    assert (conclusion.exit_code, conclusion.sentence) == (1, "not conformant: 0 of 2 MUST passed, 1 failed, 1 waived")


def test_what_fails_behind_a_waived_failure_is_not_hidden() -> None:
    """It is not decided, which is not green, until it has a waiver of its own."""
    failed = {"LOSS-001": Status.FAIL, "LOSS-003": Status.FAIL}
    behind = report_of(CHAIN, failed, "LOSS-001").verdict
    assert behind.exit_code == 5
    assert behind.notes == ("warning: a waiver covers one requirement, and these fail after a waived one: LOSS-003",)
    both = report_of(CHAIN, failed, "LOSS-001", "LOSS-003").verdict
    assert (both.exit_code, both.notes) == (0, ())
    assert both.sentence.startswith("conformant except LOSS-001, LOSS-003 (waived until 2027-01-31): 0 of 2 MUST")


def test_a_waived_should_is_silent_and_listed() -> None:
    """No warning, and no effect on conformance, which is decided by MUST alone."""
    two = catalogue(requirement("LOSS-001"), requirement("LOSS-003", "SHOULD"))
    report = report_of(two, {"LOSS-001": Status.PASS, "LOSS-003": Status.FAIL}, "LOSS-003")
    assert (report.verdict.conformant, report.verdict.notes) == (True, ())
    assert "LOSS-003 XFAIL  waived until 2027-01-31: known" in str(report)


def test_a_claim_may_end_in_any_way_that_seeds_can() -> None:
    """A waived claim is green if it fails, passes or stays open, and conformant in no case."""
    two = catalogue(requirement("LOSS-001"), requirement("F10", level=4))
    for status in (Status.FAIL, Status.PASS, Status.INCONCLUSIVE):
        conclusion = report_of(two, {"LOSS-001": Status.PASS, "F10": status}, "F10").verdict
        assert (conclusion.exit_code, conclusion.conformant) == (0, False)
        assert conclusion.sentence.startswith("conformant except F10 (waived until 2027-01-31)")


def test_a_waiver_of_what_was_left_out_is_kept() -> None:
    """A run of a part is no reason to change the file."""
    levels = catalogue(requirement("LOSS-001"), requirement("LOSS-003", level=1))
    conclusion = report_of(levels, {"LOSS-001": Status.PASS}, "LOSS-003", selection=Selection(level=0)).verdict
    assert conclusion.exit_code == 0
    assert conclusion.notes[-1] == "waivers of what was left out by --level or --only: LOSS-003"


STATUSES = st.sampled_from([status for status in Status if status not in (Status.XFAIL, Status.XPASS)])


@given(STATUSES, STATUSES, st.sets(st.sampled_from(["LOSS-001", "LOSS-003"]), min_size=1), st.booleans())
def test_a_waived_must_is_never_conformant(
    first: Status,
    second: Status,
    waived: set[str],
    chained: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """Whatever the statuses: not conformant, never the plain word, and code 0 only if all that fails is waived."""
    outcomes = {"LOSS-001": first, "LOSS-003": second}
    conclusion = report_of(CHAIN if chained else TWO, outcomes, *sorted(waived)).verdict
    assert not conclusion.conformant
    assert not conclusion.sentence.startswith("conformant:")
    if conclusion.exit_code == 0:
        assert all(status in (Status.PASS, Status.NA) or name in waived for name, status in outcomes.items())


def test_reports_show_what_is_waived() -> None:
    """The printed report has one line and no block, JSON the entries, JUnit a skipped case with the reason."""
    report = report_of(TWO, {"LOSS-001": Status.PASS, "LOSS-003": Status.FAIL}, "LOSS-003")
    text = str(report)
    assert f"LOSS-003 XFAIL  waived until 2027-01-31: known ({LINK})" in text
    assert "LOSS-003 FAIL" not in text
    assert text.splitlines()[-1].startswith("exit code 0: every applicable MUST asked for passes or is waived")
    document = json.loads(report.to_json())
    entry = {"id": "LOSS-003", "reason": "known", "link": LINK, "expires": "2027-01-31"}
    assert document["waivers"] == [entry]
    assert [found["waiver"] for found in document["requirements"]] == [None, entry]
    assert document["verdict"]["conformant"] is False
    skipped = ET.fromstring(junit(report)).find(".//skipped")  # noqa: S314 - written by ourselves
    assert skipped is not None
    assert skipped.get("message") == "MUST XFAIL: waived until 2027-01-31: known"


@pytest.mark.parametrize(("status", "message"), [(Status.PASS, "MUST XPASS: waived until"), (Status.NA, "MUST N/A: ")])
def test_an_unneeded_waiver_is_a_failure_in_junit(status: Status, message: str) -> None:
    """A build server shows what keeps the exit code from 0."""
    report = report_of(TWO, {"LOSS-001": Status.PASS, "LOSS-003": status}, "LOSS-003")
    failure = ET.fromstring(junit(report)).find(".//failure")  # noqa: S314 - written by ourselves
    assert failure is not None
    assert failure.get("message", "").startswith(message)
