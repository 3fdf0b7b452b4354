"""Every form of one report shows the same failures, scores, waivers and claims: they are said once."""

import re
from collections.abc import Callable
from html import unescape

import pytest

from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.markdown import markdown
from sdpo_ref.verification.reports.page import page
from sdpo_ref.verification.reports.terminal import IN_FULL, as_text
from sdpo_ref.verification.status import Status
from tests.verification.reports.examples import claim, document, everything, read, requirement

WAIVER = {"id": "A-009", "reason": "known", "link": "https://example.org/1", "expires": "2027-01-31"}
MIXED = document(
    requirement("A-001"),
    requirement("A-002", Status.FAIL),
    requirement("A-003", Status.ERROR, chapter="05-trainer"),
    requirement("A-004", Status.FAIL, strength="SHOULD"),
    requirement("A-005", Status.NOT_RUN, reason="not decided, A-002 failed first"),
    requirement("A-006", Status.NA, reason="not offered: step", chapter="05-trainer"),
    requirement("A-009", Status.XFAIL, waiver=WAIVER),
    chapters={"04-loss": "04 Loss", "05-trainer": "05 Trainer"},
    waivers=[WAIVER],
    claims={"profile": "standard", "legend": ["what it means", "more", "last"], "verdicts": [claim()]},
)


def terminal(report: Report) -> str:
    """Wide enough that no line is broken."""
    return as_text(report, width=400)


def words(text: str) -> str:
    """The text without markup and with single blanks."""
    return " ".join(re.sub(r"[`*|\\]|<[^>]*>", " ", unescape(text)).split())


FORMS: tuple[Callable[[Report], str], ...] = (terminal, markdown, page)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("report", [MIXED, read(everything())], ids=["mixed", "everything"])
def test_a_form_shows_every_failure_with_its_details(form: Callable[[Report], str], report: Report) -> None:
    """Sentence, every text of the failed check, effect, where to read, and the command that repeats it."""
    shown = words(form(report))
    failures = [it for it in report.requirements if it.status in (Status.FAIL, Status.ERROR, Status.INVALID)]
    assert 0 < len(failures) <= IN_FULL
    for it in failures:
        start = shown.index(f"{it.id} {it.status}", shown.index(f"{it.id} {it.status} {it.strength}"))
        for text in (
            it.sentence,
            "expected 1 nat",
            "got 2 nats",
            "tolerance exact",
            "given alpha = 0",
            "looks like D01",
            "problem a problem",
            "traceback a line another",
            "printed printed",
            f"{it.read}, or: sdpo-ref spec show {it.id}",
            f"sdpo-ref verify my_sdpo:make --only {it.id}",
        ):
            assert text in shown[start:]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_shows_scores_waivers_and_claims(form: Callable[[Report], str]) -> None:
    """By chapter, with the title; what is not decided with the reason; what does not apply by part."""
    shown = words(form(MIXED))
    for text in (
        "04 Loss 1/4 0/1 A-002 A-004 A-005 A-009",
        "05 Trainer 0/1 1 A-003",
        "A-005: not decided, A-002 failed first",
        "1 not applicable, because these are not offered: step 1",
        "waived until 2027-01-31: known",
        "F01 reward FAIL 0/1 1 1/1 5 % 1 %",
        "profile standard; what it means",
        "a sentence",
        "exit code 1: what it means",
    ):
        assert text in shown


@pytest.mark.parametrize("form", FORMS)
def test_failures_come_in_one_order(form: Callable[[Report], str]) -> None:
    """A MUST before a SHOULD."""
    shown = words(form(MIXED))
    places = [
        shown.rindex(f"{name} holds.", 0, shown.find("Every requirement")) for name in ("A-002", "A-003", "A-004")
    ]
    assert places == sorted(places)


def test_a_report_prints_itself() -> None:
    """``print`` shows what the command prints, at 80 columns; the prompt of Python shows one line."""
    assert str(MIXED) == as_text(MIXED, width=80)
    assert max(map(len, str(MIXED).splitlines())) <= 80
    assert repr(MIXED) == "<report on mine: a sentence>"


def test_an_object_is_not_repeated_by_name() -> None:
    """A report on an object has no MODULE:FACTORY, so it says how to call the function again."""
    made = {**everything()["implementation"], "spec": None}
    shown = str(document(requirement("A-001", Status.FAIL), implementation=made))
    assert "verified  mine\n" in shown
    assert 'repeat      sdpo_ref.verify(implementation, only=["A-001"])' in shown


def test_the_repeat_line_has_what_decided_the_result() -> None:
    """The limits that were not the usual ones, and the profile of a claim; a run in this process says so."""
    where = {"network": "none", "time": "5 s a check, 240 s to load", "memory": "8.5 GiB a process"}
    shown = " ".join(str(document(requirement("A-001", Status.FAIL), isolation=where)).split())
    assert "--only A-001 --time-limit 5 --load-limit 240 --memory-limit 8.5 check" in shown
    usual = {"time": "60 s a check, 120 s to load", "memory": "4 GiB a process"}
    of_claim = {**requirement("A-001", Status.FAIL), "level": 4}
    shown = " ".join(str(document(of_claim, isolation=usual)).split())
    assert "--only A-001 --profile standard check" in shown
    asked = {"suite": "my suite", "budget": 60.0, "jobs": 1}
    shown = " ".join(str(document(of_claim, isolation=usual, repeat=asked)).split())
    assert "--only A-001 --suite 'my suite' --profile standard --budget 60 --jobs 1 check" in shown
    shown = " ".join(str(document(requirement("A-001", Status.FAIL), isolation=usual, repeat=asked)).split())
    assert "--only A-001 --suite 'my suite' check" in shown
    assert "--only A-001 --in-process check" in " ".join(str(document(requirement("A-001", Status.FAIL))).split())
