"""A report as one self-contained HTML page."""

import re
from collections.abc import Iterator

from sdpo_ref.verification.report import Count, Report, RequirementResult
from sdpo_ref.verification.reports.contents import (
    CLAIM_COLUMNS,
    SHOWN,
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
from sdpo_ref.verification.reports.markup import Markup, definitions, joined, listing, section, sheet, table, tag
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Strength

_OPEN = 3
"""So many failures are unfolded from the start."""

_WEB = re.compile(r"https?://[^\s<>\"']+")
_STYLES = {
    Status.PASS: "good",
    Status.FAIL: "bad",
    Status.ERROR: "bad",
    Status.INVALID: "bad",
    Status.NA: "dim",
    "PASS": "good",
}


def page(report: Report, difference: Difference | None = None) -> str:
    """The report.

    Args:
        report: of a run.
        difference: from an older one, to be shown as well.
    """
    return sheet(f"{report.implementation.name}: {report.verdict.sentence}", *_body(report, difference))


def _body(report: Report, difference: Difference | None) -> Iterator[Markup]:
    yield tag("h1", f"SDPO conformance of {report.implementation.name}")
    yield _verdict(report)
    yield definitions(facts(report).items())
    yield _diagnosis(report)
    yield section("By chapter", _chapters(report))
    yield _claims(report)
    if difference is not None:
        yield section("Changes", listing(difference.lines()))
    found = failing(report)
    if found:
        blocks = (_failure(report, it, unfolded=at < _OPEN) for at, it in enumerate(found))
        yield section(f"Not passed ({len(found)})", *blocks)
    if report.waivers:
        waived = (joined(f"{it.id} {it.until}: {it.reason} ", _link(it.link)) for it in report.waivers)
        yield section("Waived", listing(waived))
    yield _left_out(report)
    for title, lines in problems(report).items():
        yield section(title, listing(lines))
    yield section("Every requirement", _everything(report))


def _verdict(report: Report) -> Markup:
    verdict = report.verdict
    meaning = f"exit code {verdict.exit_code}: {verdict.meaning} ({report.seconds:.1f} s)"
    notes = (tag("p", note, class_="open" if note.startswith("warning") else "dim") for note in verdict.notes)
    style = "good" if verdict.conformant else "bad" if verdict.exit_code == 1 else "other"
    sentence = tag("strong", verdict.sentence)
    return tag("div", sentence, tag("p", meaning, class_="dim"), *notes, class_=f"verdict {style}")


def _diagnosis(report: Report) -> Markup:
    found = report.diagnosis
    if found is None:
        return joined()
    return section("Diagnosis", tag("p", found.sentence), definitions(diagnosis_rows(found).items()))


def _chapters(report: Report) -> Markup:
    shown = strengths(report)
    rows: list[tuple[str | Markup, ...]] = []
    for row in chapter_rows(report):
        scores = [_score(strength, count) for strength, count in row.counts.items()]
        ids = [joined(_linked(it), " ") for it in row.not_passed]
        rows.append((row.title, *scores, row.not_applicable, joined(*ids)))
    return table(["chapter", *shown, "n/a", "not passed"], rows, numbers=(*shown, "n/a"))


def _score(strength: Strength, count: Count) -> Markup:
    if not count.applicable:
        return joined()
    bad = "bad" if strength == "MUST" else "open"
    return tag("span", score(count), class_="good" if count.passed == count.applicable else bad)


def _linked(result: RequirementResult) -> Markup:
    """Its id, as a link to its block if it has one."""
    style = _STYLES.get(result.status, "open")
    if result.status not in SHOWN:
        return tag("span", result.id, class_=style)
    return tag("a", result.id, href=f"#{result.id}", class_=style)


def _claims(report: Report) -> Markup:
    claims = report.claims
    if not claims.verdicts:
        return joined()
    rows: list[tuple[str | Markup, ...]] = []
    for claim in claims.verdicts:
        name, title, outcome, *numbers = claim_row(claim)
        rows.append((name, title, tag("span", outcome, class_=_STYLES.get(outcome, "open")), *numbers))
    legend = (tag("p", text, class_="dim") for text in claims_legend(report))
    return section("Level 4: claims", table(CLAIM_COLUMNS, rows, numbers=CLAIM_COLUMNS[3:]), *legend)


def _failure(report: Report, result: RequirementResult, *, unfolded: bool) -> Markup:
    """A block that unfolds by itself when a link leads into it."""
    status = tag("b", f"{result.id} {result.status}", class_=_STYLES.get(result.status, "open"))
    head = tag("summary", status, f" {result.strength} ", result.sentence)
    rows: list[tuple[str, str | Markup]] = []
    if result.waiver is not None:
        waiver = result.waiver
        rows.append(("waived", joined(f"until {waiver.expires}: {waiver.reason} ", _link(waiver.link))))
    rows += [(name, tag("pre", text)) for name, text in observed(result.failure).items()]
    rows += advice(report, result).items()
    folded = {"open": ""} if unfolded else {}
    return tag("details", head, definitions(rows, id=result.id), **folded)


def _link(address: str) -> Markup:
    """An address to follow; text if it is anything but one of the web."""
    if not _WEB.fullmatch(address):
        return tag("span", address)
    return tag("a", address, href=address, rel="noopener noreferrer")


def _left_out(report: Report) -> Markup:
    lines = [*left_out(report)]
    if report.not_selected:
        lines.append(f"{len(report.not_selected)} not selected: {', '.join(report.not_selected)}")
    return section("Not run", listing(lines)) if lines else joined()


def _everything(report: Report) -> Markup:
    rows = [
        (
            it.id,
            it.strength,
            tag("span", it.status, class_=_STYLES.get(it.status, "open")),
            f"{sum(check.seconds for check in it.checks):.2f}",
            it.sentence,
        )
        for it in report.requirements
    ]
    columns = ("id", "strength", "status", "seconds", "sentence")
    return tag("details", tag("summary", f"{len(rows)} requirements"), table(columns, rows, numbers=("seconds",)))
