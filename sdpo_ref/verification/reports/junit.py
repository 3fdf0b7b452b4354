"""A report as JUnit XML, which most build servers show: one test case for each requirement, one suite a chapter.

Only what changes the exit code is a failure there: a SHOULD that is not met, and what is waived and fails, is a skipped
case with its message. XML has no control characters, not even as numbers: they are spelled out.
"""

from xml.etree import ElementTree as ET

from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.report import CheckResult, Report, RequirementResult
from sdpo_ref.verification.reports.contents import observed
from sdpo_ref.verification.status import Status


def junit(report: Report) -> str:
    """The report."""
    root = ET.Element("testsuites", name="sdpo-ref", time=f"{report.seconds:.3f}")
    for chapter in report.chapters:
        cases = [_case(it) for it in report.requirements if it.chapter == chapter]
        suite = ET.SubElement(root, "testsuite", name=printable(chapter), tests=str(len(cases)))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
        suite.extend(cases)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(it: RequirementResult) -> ET.Element:
    name = printable(f"{it.id} {it.sentence}")
    seconds = sum(check.seconds for check in it.checks)
    case = ET.Element("testcase", classname=printable(f"sdpo-ref.{it.chapter}"), name=name, time=f"{seconds:.3f}")
    tag = _tag(it)
    if tag is not None:
        message = printable(f"{it.strength} {it.status}: {it.reason or it.if_broken}")
        detail = ET.SubElement(case, tag, message=message)
        bodies = ("\n".join([f"{check.id}: {check.status}", *_rows(check)]) for check in it.checks if check.failure)
        detail.text = printable("\n\n".join(bodies))
    return case


def _tag(it: RequirementResult) -> str | None:
    if it.status is Status.PASS:
        return None
    if it.status is Status.INVALID:
        return "error"
    if it.has_unneeded_waiver:
        return "failure"
    waived = it.waiver is not None and it.status in (Status.XFAIL, Status.XPASS)
    if waived or it.strength != "MUST" or not it.status.is_failure:
        return "skipped"
    return "error" if it.status is Status.ERROR else "failure"


def _rows(check: CheckResult) -> list[str]:
    return [f"{name} {text}" for name, text in observed(check.failure).items()]
