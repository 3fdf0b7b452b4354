"""A report as JUnit XML, which most build servers show: one test case for each requirement, one suite a chapter.

Only what changes the exit code is a failure there: a SHOULD that is not met, and what is waived and fails, is a skipped
case with its message. XML has no control characters, not even as numbers: they are spelled out.
"""

from xml.etree import ElementTree as ET

from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.reports.contents import chapters
from sdpo_ref.verification.reports.document import Document, Failure, Requirement
from sdpo_ref.verification.status import Status


def junit(document: Document) -> str:
    """The report.

    Args:
        document: of a run.
    """
    root = ET.Element("testsuites", name="sdpo-ref", time=f"{document.seconds:.3f}")
    for chapter in chapters(document):
        cases = [_case(it) for it in document.requirements if it.chapter == chapter]
        suite = ET.SubElement(root, "testsuite", name=printable(chapter), tests=str(len(cases)))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
        suite.extend(cases)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(it: Requirement) -> ET.Element:
    name = printable(f"{it.id} {it.sentence}")
    seconds = sum(check.seconds for check in it.checks)
    case = ET.Element("testcase", classname=printable(f"sdpo-ref.{it.chapter}"), name=name, time=f"{seconds:.3f}")
    tag = _tag(it)
    if tag is not None:
        message = printable(f"{it.strength} {it.status}: {it.reason or it.if_broken}")
        detail = ET.SubElement(case, tag, message=message)
        bodies = (f"{check.id}: {check.status}\n{_body(check.failure)}" for check in it.checks if check.failure)
        detail.text = printable("\n\n".join(bodies))
    return case


def _tag(it: Requirement) -> str | None:
    if it.status is Status.PASS:
        return None
    if it.status is Status.INVALID:
        return "error"
    if it.waiver is not None and (it.status is Status.NA or (it.status is Status.XPASS and it.level < _CLAIMS)):
        return "failure"
    waived = it.waiver is not None and it.status in (Status.XFAIL, Status.XPASS)
    if waived or it.strength != "MUST" or not it.status.is_failure:
        return "skipped"
    return "error" if it.status is Status.ERROR else "failure"


_CLAIMS = 4
"""At this level seeds decide, so what is waived may also pass; elsewhere such a waiver has to be removed."""


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
