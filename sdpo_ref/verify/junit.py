"""A report as JUnit XML, which most build servers show: one test case for each requirement, one suite a chapter.

Only what changes the exit code is a failure there: a SHOULD that is not met, and what is waived and fails, is a skipped
case with its message.
"""

from xml.etree import ElementTree as ET

from sdpo_ref.verify.decided import Decided
from sdpo_ref.verify.events import Failure
from sdpo_ref.verify.results import Report
from sdpo_ref.verify.status import Status


def report_as_junit(report: Report) -> str:
    """The document, with everything that the implementation printed escaped."""
    root = ET.Element("testsuites", name="sdpo-ref", time=f"{report.seconds:.3f}")
    for chapter in dict.fromkeys(entry.requirement.chapter for entry in report.decided):
        entries = [entry for entry in report.decided if entry.requirement.chapter == chapter]
        cases = [_case(entry) for entry in entries]
        suite = ET.SubElement(root, "testsuite", name=chapter, tests=str(len(cases)))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
        suite.extend(cases)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(entry: Decided) -> ET.Element:
    requirement = entry.requirement
    seconds = sum(check.seconds for check in entry.checks)
    name = f"{requirement.id} {requirement.sentence}"
    case = ET.Element("testcase", classname=f"sdpo-ref.{requirement.chapter}", name=name, time=f"{seconds:.3f}")
    tag = _tag(entry)
    if tag is not None:
        broken = f"{requirement.strength} {entry.status}: {entry.reason or requirement.if_broken}"
        detail = ET.SubElement(case, tag, message=broken)
        detail.text = "\n\n".join(
            f"{check.check}: {check.status}\n{_body(check.failure)}" for check in entry.checks if check.failure
        )
    return case


def _tag(entry: Decided) -> str | None:
    if entry.status is Status.PASS:
        return None
    if entry.status is Status.INVALID:
        return "error"
    if entry.is_waived_in_vain:
        return "failure"
    if entry.is_excused or entry.requirement.strength != "MUST" or not entry.status.is_failure:
        return "skipped"
    return "error" if entry.status is Status.ERROR else "failure"


def _body(failure: Failure) -> str:
    fields = {
        "": failure.message,
        "expected ": failure.expected,
        "got ": failure.got,
        "tolerance ": failure.tolerance,
        "given ": failure.given,
        "looks like ": failure.looks_like,
        "traceback\n": failure.traceback,
        "printed\n": failure.output,
    }
    return "\n".join(f"{label}{text}" for label, text in fields.items() if text)
