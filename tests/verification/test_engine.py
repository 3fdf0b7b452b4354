"""The engine from end to end on the toy suite: whatever an implementation does, every check has an ending."""

import contextlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sdpo_ref.errors import IntegrityError, LoadError, UsageError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.isolation.events import Collected, Event, Finished, Started
from sdpo_ref.verification.isolation.runner import END_OF_RUN
from sdpo_ref.verification.report import Report, RequirementResult
from sdpo_ref.verification.reports.junit import junit
from sdpo_ref.verification.reports.terminal import as_text
from sdpo_ref.verification.status import Status


@pytest.fixture(scope="module")
def faulty(workplace: Path, suite: Suite) -> Report:
    """The report on an implementation that goes wrong in every way, with a short limit for the part that hangs."""
    with contextlib.chdir(workplace / "user"):
        return verify("my_sdpo:faulty", suite=suite, time_limit=2.0, jobs=1)


@pytest.fixture(scope="module")
def talkative(workplace: Path, suite: Suite) -> Report:
    """The report on an implementation that prints what should confuse the engine, a terminal and XML."""
    with contextlib.chdir(workplace / "user"):
        return verify("my_sdpo:talkative", suite=suite)


def entry(report: Report, id_: str) -> RequirementResult:
    (found,) = [result for result in report.requirements if result.id == id_]
    return found


def test_a_good_implementation_passes_everything(suite: Suite, user_folder: Path) -> None:
    """All MUST pass with the full denominator, in two processes, and the user's folder stays as it was."""
    report = verify("my_sdpo:good", suite=suite, jobs=2)
    assert report.verdict.sentence == "conformant: 9 of 9 MUST"
    assert report.verdict.exit_code == 0
    assert {result.status for result in report.requirements} == {Status.PASS}
    assert len(entry(report, "LOSS-002").checks) == 2


def test_user_settings_of_pytest_do_not_leak_in(
    suite: Suite, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options that the user's shell gives to pytest change nothing."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    report = verify("my_sdpo:good", suite=suite, only=("LOSS-001",))
    assert report.verdict.exit_code == 0


def test_what_is_not_offered_does_not_apply(suite: Suite, user_folder: Path) -> None:
    """An implementation of one part is judged on that part, and the report has what was left out."""
    report = verify("my_sdpo:divergence_only", suite=suite)
    assert report.verdict.sentence == (
        "conformant in what it offers: 3 of 3 MUST; 6 MUST not applicable: it offers divergence only"
    )
    assert entry(report, "TRAIN-001").reason == "not offered: step"
    assert "6 not applicable, because these are not offered: loss 1, hybrid_loss 1" in str(report)


@pytest.mark.parametrize(
    ("id_", "status", "words"),
    [
        ("LOSS-001", Status.PASS, ""),
        ("LOSS-002", Status.FAIL, ""),
        ("LOSS-003", Status.NOT_RUN, ""),
        ("LOSS-004", Status.ERROR, "loss raised ValueError('boom')"),
        ("LOSS-005", Status.FAIL, ""),
        ("LOSS-006", Status.NA, ""),
        ("TEACH-001", Status.ERROR, "it did not return within 2 s; if it is only slow, raise --time-limit"),
        ("TEACH-002", Status.ERROR, "the process ended with exit code 7"),
        ("TRAIN-001", Status.FAIL, "declared but not offered: step does not offer this: later"),
        ("TRAIN-002", Status.PASS, ""),
    ],
)
def test_each_fault_costs_its_own_requirement_only(faulty: Report, id_: str, status: Status, words: str) -> None:
    """Wrong, raising, hanging, dying and missing parts are distinguished, and what comes after them still runs."""
    found = entry(faulty, id_)
    assert found.status is status
    assert words in (found.failure.message if found.failure is not None else "")


def test_where_it_hangs_is_shown(faulty: Report) -> None:
    """The user's own line is in the report of a check that did not return."""
    failure = entry(faulty, "TEACH-001").failure
    assert failure is not None
    assert re.match(r'File ".*my_sdpo.py", line \d+ in hangs', failure.traceback)


def test_the_whole_run_has_failed(faulty: Report) -> None:
    """The sentence counts what applies, and the failed SHOULD is a warning beside it."""
    conclusion = faulty.verdict
    assert (conclusion.exit_code, conclusion.conformant) == (1, False)
    assert conclusion.sentence == "not conformant: 2 of 8 MUST passed, 5 failed, 1 not decided"
    assert conclusion.notes == ("warning: 1 SHOULD not met: LOSS-005",)


@pytest.mark.slow
def test_a_part_that_keeps_dying_is_given_up(suite: Suite, user_folder: Path, tmp_path: Path) -> None:
    """After three losses in one part its other checks are not run, and those of other parts are."""
    copy = tmp_path / "suite"
    for path in (suite.spec, suite.conformance):
        (copy / path.name).mkdir(parents=True)
        for file in path.rglob("*"):
            if file.is_file():
                target = copy / path.name / file.relative_to(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(file.read_text())
    check = copy / "conformance" / "parts" / "test_2_completion_mask.py"
    marker = '@pytest.mark.requirement("TEACH-002")\n'
    check.write_text(check.read_text().replace(marker, f'{marker}@pytest.mark.parametrize("i", range(6))\n'))
    check.write_text(check.read_text().replace("(subject)", "(subject, i)"))
    only = ("TEACH-002", "TRAIN-002")
    report = verify("my_sdpo:faulty", suite=Suite.at(copy), only=only)
    statuses = [found.status for found in entry(report, "TEACH-002").checks]
    assert statuses == [Status.ERROR] * 3 + [Status.NOT_RUN] * 3
    assert entry(report, "TEACH-002").checks[-1].reason == "completion_mask hung or died in 3 checks before"
    assert entry(report, "TRAIN-002").status is Status.PASS


def test_leaving_the_interpreter_is_an_error_and_not_the_end(suite: Suite, user_folder: Path) -> None:
    """sys.exit() in a part ends the check only."""
    report = verify("my_sdpo:leaves", suite=suite, only=("LOSS-001", "LOSS-002"))
    assert [result.status for result in report.requirements] == [Status.ERROR, Status.ERROR]
    assert len(entry(report, "LOSS-002").checks) == 2


def test_an_implementation_cannot_announce_its_own_failure(suite: Suite, user_folder: Path) -> None:
    """pytest.xfail() in a part is a failure as any other; only the user's waiver excuses one."""
    report = verify("my_sdpo:announces", suite=suite, only=("LOSS-001",))
    failure = entry(report, "LOSS-001").failure
    assert entry(report, "LOSS-001").status is Status.FAIL
    assert failure is not None
    assert failure.message == "ended with pytest.xfail (known); only a waiver excuses a failure"
    assert report.verdict.exit_code == 1


def test_what_it_prints_is_only_output(talkative: Report) -> None:
    """Lines that look like events are output of the check in which they were printed, with control characters named."""
    failure = entry(talkative, "LOSS-002").failure
    assert failure is not None
    assert failure.output == '{"event": "Closed"} <&]]>\\x1b[31m\\x00\n{"event": "Closed"}\nto stderr'
    assert len(talkative.requirements) == 10


def test_junit_is_well_formed_and_fails_only_what_fails_the_run(faulty: Report, talkative: Report) -> None:
    """Everything printed is escaped; a MUST is a failure or an error, a SHOULD and what did not run are skipped."""
    root = ET.fromstring(junit(faulty))  # noqa: S314 - written by ourselves
    outcome = {case.get("name", "").split()[0]: [child.tag for child in case] for case in root.iter("testcase")}
    assert outcome["LOSS-001"] == []
    assert outcome["LOSS-002"] == ["failure"]
    assert outcome["LOSS-003"] == outcome["LOSS-005"] == outcome["LOSS-006"] == ["skipped"]
    assert outcome["TEACH-001"] == outcome["TEACH-002"] == ["error"]
    assert [suite.get("failures") for suite in root] == ["1", "0", "1"]
    text = "".join(ET.fromstring(junit(talkative)).itertext())  # noqa: S314
    assert '{"event": "Closed"} <&]]>\\x1b[31m\\x00' in text


def test_json_has_everything(faulty: Report) -> None:
    """The document survives JSON and holds verdict, denominator, versions and the details of each check."""
    document = json.loads(faulty.to_json())
    assert document["schema"] == "sdpo-ref/report/3"
    assert document["verdict"]["exit_code"] == 1
    assert document["verdict"]["counts"]["MUST"] == {"passed": 2, "applicable": 8, "not_applicable": 1}
    assert set(document["versions"]) == {"suite", "spec", "python", "torch"}
    by_id = {found["id"]: found for found in document["requirements"]}
    assert by_id["LOSS-003"]["own_status"] == "FAIL"
    failure = by_id["LOSS-002"]["checks"][0]["failure"]
    assert failure == {
        "expected": "more than 0 nats",
        "got": "-1.5 nats",
        "tolerance": "exact",
        "given": "far = 1.0",
        "looks_like": "a sign lost",
    }


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_report_is_readable_in_a_narrow_terminal(faulty: Report, suite: Suite, width: int) -> None:
    """No line is too wide, no id is cut, and a failure has all that its author needs."""
    text = as_text(faulty, width=width)
    assert max(map(len, text.splitlines())) <= width
    for found in faulty.requirements:
        if found.status not in (Status.PASS, Status.NA):
            assert found.id in text
    block = " ".join(text[text.index("LOSS-002 FAIL") : text.index("LOSS-004 ERROR")].split())
    for words in (
        "The divergence grows with the distance.",
        "expected more than 0 nats",
        "got -1.5 nats",
        "tolerance exact",
        "given far = 1.0",
        "looks like a sign lost",
        "effect training stops to be fun.",
        "spec/00-loss.md#loss-002, or: sdpo-ref spec show LOSS-002",
        "repeat sdpo-ref verify my_sdpo:faulty --only LOSS-002",
    ):
        assert words in block
    assert text.rstrip().splitlines()[-2].startswith("not conformant: 2 of 8 MUST passed")


def test_departures_are_printed(suite: Suite, user_folder: Path) -> None:
    """A profile that is not the paper's is shown with both values."""
    report = verify("my_sdpo:rough", suite=suite, level=0)
    assert "aggregation = row_mean (paper: token_mean)" in str(report)
    assert report.verdict.sentence == "partial run, no verdict on conformance: 3 of 3 MUST passed"


def test_progress_receives_each_check_once(suite: Suite, user_folder: Path) -> None:
    """Every selected check is started once and finished once, however many workers there are."""
    events: list[Event] = []
    verify("my_sdpo:good", suite=suite, jobs=2, observe=events.append)
    started = [event.check for event in events if isinstance(event, Started)]
    finished = [event.check for event in events if isinstance(event, Finished)]
    assert len(set(started)) == len(started) == 11
    assert [type(event) for event in events].count(Collected) == 1
    assert sorted(finished) == sorted(started)


def test_an_implementation_that_cannot_be_loaded_is_refused(suite: Suite, user_folder: Path) -> None:
    """The loader's message reaches the caller through the pipe."""
    with pytest.raises(LoadError, match="my_sdpo has no 'god'; it has good"):
        verify("my_sdpo:god", suite=suite)


@pytest.mark.slow
def test_dying_or_hanging_while_it_is_loaded_is_refused(suite: Suite, user_folder: Path) -> None:
    """A factory that ends the process or never returns is named with what happened."""
    with pytest.raises(LoadError, match=r"os:_exit,status=3 could not be loaded: the process ended with exit code 3"):
        verify("os:_exit,status=3", suite=suite)
    with pytest.raises(LoadError, match=r"my_sdpo:sleeps could not be loaded: it did not return within 5 s"):
        verify("my_sdpo:sleeps", suite=suite, start_limit=5.0)


def test_a_name_that_selects_nothing_is_refused_before_anything_starts(suite: Suite) -> None:
    """No process is started for a typo."""
    with pytest.raises(UsageError, match="neither a requirement nor part of a check's id"):
        verify("does:not_matter", suite=suite, only=("zzz",))


def test_a_suite_that_cannot_be_collected_is_our_own_fault(suite: Suite, user_folder: Path, tmp_path: Path) -> None:
    """A broken conftest is an integrity error, whatever the implementation."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(IntegrityError, match="the checks could not be collected"):
        verify("my_sdpo:good", suite=Suite(suite.spec, tmp_path))


def test_a_broken_file_of_checks_makes_the_run_invalid(suite: Suite, user_folder: Path, tmp_path: Path) -> None:
    """What can be collected runs, and the report says which file could not."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_broken.py").write_text("1 / 0\n")
    report = verify("my_sdpo:good", suite=Suite(suite.spec, tmp_path))
    assert len(report.broken) == 1
    assert "test_broken.py: E" in report.broken[0]
    assert "ZeroDivisionError" in report.broken[0]
    assert report.verdict.exit_code == 4


@pytest.mark.slow
def test_a_run_can_end_with_its_first_failure(suite: Suite, user_folder: Path) -> None:
    """What is left is not run, and says so."""
    report = verify("my_sdpo:faulty", suite=suite, jobs=1, first_failure=True)
    assert report.verdict.exit_code == 1
    statuses = [check.status for found in report.requirements for check in found.checks]
    assert statuses.count(Status.FAIL) + statuses.count(Status.ERROR) == 1
    assert {check.reason for it in report.requirements for check in it.checks if check.status is Status.NOT_RUN} == {
        END_OF_RUN
    }
