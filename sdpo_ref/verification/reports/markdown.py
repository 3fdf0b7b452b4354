"""A report in GitHub-flavoured Markdown, for a comment or a job's summary."""

import textwrap
from collections.abc import Iterator

from sdpo_ref.verification.report import Count, Report, RequirementResult
from sdpo_ref.verification.reports.contents import (
    CLAIM_COLUMNS,
    advice,
    chapter_rows,
    claim_row,
    claims_legend,
    diagnosis_rows,
    facts,
    failing,
    left_out,
    observed,
    problems,
    score,
    strengths,
)
from sdpo_ref.verification.reports.diff import Difference
from sdpo_ref.verification.reports.gfm import code, fence, plain, row

_AS_CODE = ("repeat", "check", "read", "see it")
_WIDTH = 12
"""Of the names beside the texts of a failure."""


def markdown(report: Report, difference: Difference | None = None) -> str:
    """The report.

    Args:
        report: of a run.
        difference: from an older one, to be shown as well.
    """
    return "\n".join(_lines(report, difference)) + "\n"


def _lines(report: Report, difference: Difference | None) -> Iterator[str]:
    verdict = report.verdict
    yield from (f"## {plain(verdict.sentence)}", "")
    yield from (f"exit code {verdict.exit_code}: {plain(verdict.meaning)}", "")
    yield from (f"- {plain(note)}" for note in verdict.notes)
    yield from (f"- {name}: {code(text)}" for name, text in facts(report).items())
    yield ""
    yield from _diagnosis(report)
    yield from _chapters(report)
    yield from _claims(report)
    if difference is not None:
        yield from ("### Changes", "", fence("\n".join(difference.lines())), "")
    found = failing(report)
    if found:
        yield from ("### Not passed", "")
    for result in found:
        yield from _failure(report, result)
    if report.waivers:
        yield from ("### Waived", "")
        yield from (f"- {plain(f'{it.id} {it.until}: {it.reason}')} {code(it.link)}" for it in report.waivers)
        yield ""
    lines = left_out(report)
    if lines:
        yield from ("### Not run", "", *(f"- {plain(line)}" for line in lines), "")
    for title, lines in problems(report).items():
        yield from (f"### {title}", "", fence("\n".join(lines)), "")


def _diagnosis(report: Report) -> Iterator[str]:
    found = report.diagnosis
    if found is not None:
        yield from (f"**{plain(found.sentence)}**", "")
        yield from (_item(name, text) for name, text in diagnosis_rows(found).items())
        yield ""


def _chapters(report: Report) -> Iterator[str]:
    shown = strengths(report)
    yield row("chapter", *shown, "n/a", "not passed")
    yield row("---", *["--:"] * (len(shown) + 1), "---")
    for it in chapter_rows(report):
        ids = " ".join(plain(result.id) for result in it.not_passed)
        yield row(plain(it.title), *map(_score, it.counts.values()), it.not_applicable, ids)
    yield ""


def _score(count: Count) -> str:
    return score(count) if count.passed == count.applicable else f"**{score(count)}**"


def _claims(report: Report) -> Iterator[str]:
    claims = report.claims
    if claims.verdicts:
        yield row(*CLAIM_COLUMNS)
        yield row(*["---"] * len(CLAIM_COLUMNS))
        yield from (row(*map(plain, claim_row(it))) for it in claims.verdicts)
        yield from ("", " ".join(map(plain, claims_legend(report))), "")


def _failure(report: Report, result: RequirementResult) -> Iterator[str]:
    """Folded, because a job's summary is read from above; the blank lines end the HTML around the Markdown."""
    head = f"{result.id} {result.status} {result.strength}"
    yield f"<details><summary><b>{plain(head)}</b> {plain(result.sentence)}</summary>"
    yield ""
    if result.waiver is not None:
        yield f"- {plain(f'{result.waiver.until}: {result.waiver.reason}')} {code(result.waiver.link)}"
    yield from (_item(name, text) for name, text in advice(report, result).items())
    yield ""
    happened = observed(result.failure)
    if happened:
        yield from (fence("\n".join(_named(name, text) for name, text in happened.items())), "")
    yield from ("</details>", "")


def _named(name: str, text: str) -> str:
    """A name and its text, whose further lines stand under the first."""
    return textwrap.indent(text, " " * _WIDTH).replace(" " * _WIDTH, f"{name:{_WIDTH}}", 1)


def _item(name: str, text: str) -> str:
    return f"- {name}: {code(text) if name in _AS_CODE else plain(text)}"
