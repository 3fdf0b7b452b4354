"""A report in GitHub-flavoured Markdown, for a comment or a job's summary."""

import textwrap
from collections.abc import Iterable, Iterator

from sdpo_ref.verification.reports.contents import (
    CLAIM_COLUMNS,
    advice,
    chapters,
    claim_row,
    count,
    facts,
    failing,
    not_applicable,
    not_passed,
    problems,
    strengths,
    told,
    undecided,
)
from sdpo_ref.verification.reports.diff import Difference
from sdpo_ref.verification.reports.document import Document, Requirement
from sdpo_ref.verification.reports.gfm import code, fence, plain, row
from sdpo_ref.verification.suite.catalogue import Strength

_AS_CODE = ("repeat", "check", "read")
_WIDTH = 12
"""Of the names beside what a check said."""


def markdown(document: Document, difference: Difference | None = None) -> str:
    """The report.

    Args:
        document: of a run.
        difference: from an older one, to be shown as well.
    """
    return "\n".join(_lines(document, difference)) + "\n"


def _lines(document: Document, difference: Difference | None) -> Iterator[str]:
    verdict = document.verdict
    yield from (f"## {plain(verdict.sentence)}", "")
    yield from (f"exit code {verdict.exit_code}: {plain(verdict.meaning)}", "")
    yield from (f"- {plain(note)}" for note in verdict.notes)
    yield from (f"- {name}: {code(text)}" for name, text in facts(document).items())
    yield ""
    yield from _diagnosis(document)
    yield from _chapters(document)
    yield from _claims(document)
    if difference is not None:
        yield from ("### Changes", "", fence("\n".join(difference.lines())), "")
    found = failing(document)
    if found:
        yield from ("### Not passed", "")
    for requirement in found:
        yield from _failure(document, requirement)
    if document.waivers:
        yield from ("### Waived", "")
        said = (
            f"{plain(it.id)} until {plain(it.expires)}: {plain(it.reason)} {code(it.link)}" for it in document.waivers
        )
        yield from (*(f"- {line}" for line in said), "")
    yield from _left_out(document)
    for title, lines in problems(document).items():
        yield from (f"### {title}", "", fence("\n".join(lines)), "")


def _diagnosis(document: Document) -> Iterator[str]:
    found = document.diagnosis
    if found is not None:
        yield from (f"**{plain(found.sentence)}**", "")
        yield from (f"- effect: {plain(found.effect)}", f"- read: {code(found.read)}")
        yield from (f"- see it: {code(f'sdpo-ref verify sdpo_ref.mutants:make,name={found.name}')}", "")


def _chapters(document: Document) -> Iterator[str]:
    shown = strengths(document)
    yield row("chapter", *shown, "n/a", "not passed")
    yield row("---", *["--:"] * (len(shown) + 1), "---")
    for chapter in chapters(document):
        away = sum(count(document, strength, chapter).not_applicable for strength in shown)
        ids = " ".join(plain(it.id) for it in not_passed(document, chapter))
        yield row(plain(chapter), *(_score(document, it, chapter) for it in shown), str(away or ""), ids)
    yield ""


def _score(document: Document, strength: Strength, chapter: str) -> str:
    found = count(document, strength, chapter)
    score = f"{found.passed}/{found.applicable}" if found.applicable else ""
    return score if found.passed == found.applicable else f"**{score}**"


def _claims(document: Document) -> Iterator[str]:
    claims = document.claims
    if claims.verdicts:
        yield row(*CLAIM_COLUMNS)
        yield row(*["---"] * len(CLAIM_COLUMNS))
        yield from (row(*map(plain, claim_row(it))) for it in claims.verdicts)
        yield from ("", f"profile {plain(claims.profile)}. {' '.join(map(plain, claims.legend))}", "")


def _failure(document: Document, requirement: Requirement) -> Iterator[str]:
    """Folded, because a job's summary is read from above; the blank lines end the HTML around the Markdown."""
    head = f"{requirement.id} {requirement.status} {requirement.strength}"
    yield f"<details><summary><b>{plain(head)}</b> {plain(requirement.sentence)}</summary>"
    yield ""
    if requirement.waiver is not None:
        yield f"- waived until {plain(requirement.waiver.expires)}: {plain(requirement.waiver.reason)}"
        yield f"- link: {code(requirement.waiver.link)}"
    for name, text in advice(document, requirement).items():
        yield f"- {name}: {code(text) if name in _AS_CODE else plain(text)}"
    yield ""
    happened = told(requirement)
    if happened:
        yield from (fence("\n".join(_named(name, text) for name, text in happened.items())), "")
    yield from ("</details>", "")


def _named(name: str, text: str) -> str:
    """A name and its text, whose further lines stand under the first."""
    return textwrap.indent(text, " " * _WIDTH).replace(" " * _WIDTH, f"{name:{_WIDTH}}", 1)


def _left_out(document: Document) -> Iterator[str]:
    why = undecided(document)
    away = not_applicable(document)
    if why or away:
        yield from ("### Not run", "")
        yield from (f"- {_ids(names)}: {code(reason)}" for reason, names in why.items())
        yield from (f"- {number} not applicable: {code(reason)}" for reason, number in away.items())
        yield ""


def _ids(names: Iterable[str]) -> str:
    return ", ".join(map(plain, names))
