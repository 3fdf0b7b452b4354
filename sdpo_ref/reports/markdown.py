"""A report in Markdown, as a build server's summary page shows it.

Everything comes out of a file that somebody else may have written, so nothing in it is Markdown: prose is escaped
letter by letter, and what an implementation said stands in a fence that is longer than any in it.
"""

import re
import shlex
from collections.abc import Iterable

from sdpo_ref.reports.document import Document, RequirementPart, StrengthName
from sdpo_ref.verify.printable import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!&])")
_STRENGTHS: tuple[StrengthName, ...] = ("MUST", "SHOULD", "MAY")
_MARKS = {"PASS": "✅", "FAIL": "❌", "ERROR": "❌", "INVALID": "❌"}


def markdown(document: Document) -> str:
    """The report.

    Args:
        document: of a run.

    Returns:
        GitHub-flavoured Markdown.
    """
    verdict = document.verdict
    mark = "✅" if verdict.conformant else "❌" if verdict.exit_code else "⚠️"
    sections = [
        f"## {mark} {code(document.implementation.spec)}: {plain(verdict.sentence)}",
        _facts(document),
        _chapters(document),
        _claims(document),
        _diagnosis(document),
        *(_failure(it, document.implementation.spec) for it in document.failing()),
        _lines("### Waived", (f"{it.id} until {plain(it.expires)}: {plain(it.reason)}" for it in document.waivers)),
        _lines("### Notes", map(plain, verdict.notes)),
        _lines("### Broken files of the suite", map(plain, document.broken)),
        _lines("### Differs from the locked manifest", map(plain, document.deviations)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plain(text: str) -> str:
    r"""Text in which nothing is Markdown, on one line.

    Example:
        >>> print(plain("**a** | <b>"))
        \*\*a\*\* \| \<b\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def code(text: str) -> str:
    """Text as code in a line, whatever backticks are in it.

    Example:
        >>> print(code("a`b"))
        ``a`b``
    """
    flat = " ".join(printable(text).split()).replace("|", "¦") or " "
    ticks = "`" * (_longest_run(flat) + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{ticks}{space}{flat}{space}{ticks}"


def fenced(text: str) -> str:
    """Text as a block that no line of it can end.

    Example:
        >>> print(fenced("a"))
        ```text
        a
        ```
    """
    shown = printable(text)
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _facts(document: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in document.versions.items())
    departs = ", ".join(f"{name} = {it.declared}" for name, it in document.implementation.departures.items())
    isolation = ", ".join(document.isolation.values())
    facts = [
        ("with", versions),
        ("offers", ", ".join(document.implementation.capabilities)),
        ("profile", departs or "the paper's"),
        ("isolated", isolation or "not at all"),
    ]
    return "\n".join(f"- {name}: {plain(text)}" for name, text in facts if text)


def _chapters(document: Document) -> str:
    lines = ["| chapter | MUST | SHOULD | MAY | not passed |", "|---|---|---|---|---|"]
    for chapter in document.chapters:
        scores = [_score(*document.count(strength, chapter)) for strength in _STRENGTHS]
        open_ = [
            f"{it.id} {it.status}"
            for it in document.requirements
            if it.chapter == chapter and it.status not in {"PASS", "N/A"}
        ]
        lines.append(f"| {plain(chapter)} | {' | '.join(scores)} | {plain(', '.join(open_))} |")
    return "\n".join(lines)


def _score(passed: int, applicable: int) -> str:
    return f"{passed}/{applicable}" if applicable else ""


def _claims(document: Document) -> str:
    if not document.claims.verdicts:
        return ""
    lines = [
        f"### Claims, profile {plain(document.claims.profile)}",
        "",
        "| claim | verdict | parts | controls held | false pass | false fail |",
        "|---|---|---|---|---|---|",
    ]
    for claim in document.claims.verdicts:
        passed = sum(part.ruling == "PASS" for part in claim.parts)
        held = sum(control.holds is True for control in claim.controls)
        ruling = claim.ruling or "NOT-RUN"
        lines.append(
            f"| {plain(claim.id)} | {_MARKS.get(ruling, '⚠️')} {ruling} | {passed}/{len(claim.parts)} "
            f"| {held}/{len(claim.controls)} | {claim.false_pass:.2%} | {claim.false_fail:.2%} |"
        )
    return "\n".join(lines)


def _diagnosis(document: Document) -> str:
    found = document.diagnosis
    if found is None:
        return ""
    return (
        f"### Diagnosis\n\n{plain(found.sentence)}\n\n- effect: {plain(found.effect)}\n- read: {plain(found.read)}\n"
        f"- see it: {code(f'sdpo-ref verify sdpo_ref.mutants:make,name={found.name}')}"
    )


def _failure(it: RequirementPart, spec: str) -> str:
    failure = it.shown_failure
    rows = [] if failure is None else failure.rows
    repeat = f"sdpo-ref verify {shlex.quote(spec)} --only {it.id}"
    blocks = [
        f"### {plain(it.id)} {it.status} ({it.strength})",
        plain(it.sentence),
        *(f"{name}\n\n{fenced(text)}" for name, text in rows),
        _lines("", [f"effect: {plain(it.if_broken)}", f"read: {plain(it.read)}", f"repeat: {code(repeat)}"]).strip(),
    ]
    return "\n\n".join(blocks)


def _lines(title: str, lines: Iterable[str]) -> str:
    found = [f"- {line}" for line in lines]
    return "\n".join([title, "", *found]) if found else ""
