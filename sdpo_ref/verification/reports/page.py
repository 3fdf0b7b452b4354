"""A report as one self-contained HTML page."""

import re
from collections.abc import Iterator

from sdpo_ref.verification.reports.contents import (
    CLAIM_COLUMNS,
    SHOWN,
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
from sdpo_ref.verification.reports.markup import Markup, joined, tag
from sdpo_ref.verification.reports.sheet import definitions, listing, section, sheet, table
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


def page(document: Document, difference: Difference | None = None) -> str:
    """The report.

    Args:
        document: of a run.
        difference: from an older one, to be shown as well.
    """
    return sheet(f"{document.implementation.name}: {document.verdict.sentence}", *_body(document, difference))


def _body(document: Document, difference: Difference | None) -> Iterator[Markup]:
    yield tag("h1", f"SDPO conformance of {document.implementation.name}")
    yield _verdict(document)
    yield definitions(facts(document).items())
    yield _diagnosis(document)
    yield section("By chapter", _chapters(document))
    yield _claims(document)
    if difference is not None:
        yield section("Changes", listing(difference.lines()))
    found = failing(document)
    if found:
        blocks = (_failure(document, it, unfolded=at < _OPEN) for at, it in enumerate(found))
        yield section(f"Not passed ({len(found)})", *blocks)
    if document.waivers:
        waived = (joined(f"{it.id} until {it.expires}: {it.reason} ", _link(it.link)) for it in document.waivers)
        yield section("Waived", listing(waived))
    yield _left_out(document)
    for title, lines in problems(document).items():
        yield section(title, listing(lines))
    yield section("Every requirement", _everything(document))


def _verdict(document: Document) -> Markup:
    verdict = document.verdict
    meaning = f"exit code {verdict.exit_code}: {verdict.meaning} ({document.seconds:.1f} s)"
    notes = (tag("p", note, class_="open" if note.startswith("warning") else "dim") for note in verdict.notes)
    style = "good" if verdict.conformant else "bad" if verdict.exit_code == 1 else "other"
    said = tag("strong", verdict.sentence)
    return tag("div", said, tag("p", meaning, class_="dim"), *notes, class_=f"verdict {style}")


def _diagnosis(document: Document) -> Markup:
    found = document.diagnosis
    if found is None:
        return joined()
    repeat = f"sdpo-ref verify sdpo_ref.mutants:make,name={found.name}"
    rows = [("effect", found.effect), ("read", found.read), ("see it", repeat)]
    return section("Diagnosis", tag("p", found.sentence), definitions(rows))


def _chapters(document: Document) -> Markup:
    shown = strengths(document)
    rows: list[tuple[str | Markup, ...]] = []
    for chapter in chapters(document):
        away = sum(count(document, strength, chapter).not_applicable for strength in shown)
        scores = [_score(document, strength, chapter) for strength in shown]
        ids = [joined(_linked(it), " ") for it in not_passed(document, chapter)]
        rows.append((chapter, *scores, str(away or ""), joined(*ids)))
    return table(["chapter", *shown, "n/a", "not passed"], rows, numbers=(*shown, "n/a"))


def _score(document: Document, strength: Strength, chapter: str) -> Markup:
    found = count(document, strength, chapter)
    if not found.applicable:
        return joined()
    bad = "bad" if strength == "MUST" else "open"
    style = "good" if found.passed == found.applicable else bad
    return tag("span", f"{found.passed}/{found.applicable}", class_=style)


def _linked(requirement: Requirement) -> Markup:
    """Its id, as a link to its block if it has one."""
    style = _STYLES.get(requirement.status, "open")
    if requirement.status not in SHOWN:
        return tag("span", requirement.id, class_=style)
    return tag("a", requirement.id, href=f"#{requirement.id}", class_=style)


def _claims(document: Document) -> Markup:
    claims = document.claims
    if not claims.verdicts:
        return joined()
    rows: list[tuple[str | Markup, ...]] = []
    for claim in claims.verdicts:
        name, title, ruling, *numbers = claim_row(claim)
        rows.append((name, title, tag("span", ruling, class_=_STYLES.get(ruling, "open")), *numbers))
    legend = (tag("p", text, class_="dim") for text in (f"Profile {claims.profile}.", *claims.legend))
    return section("Level 4: claims", table(CLAIM_COLUMNS, rows, numbers=CLAIM_COLUMNS[3:]), *legend)


def _failure(document: Document, requirement: Requirement, *, unfolded: bool) -> Markup:
    """A block that unfolds by itself when a link leads into it."""
    status = tag("b", f"{requirement.id} {requirement.status}", class_=_STYLES.get(requirement.status, "open"))
    head = tag("summary", status, f" {requirement.strength} ", requirement.sentence)
    rows: list[tuple[str, str | Markup]] = []
    if requirement.waiver is not None:
        waiver = requirement.waiver
        rows.append(("waived", joined(f"until {waiver.expires}: {waiver.reason} ", _link(waiver.link))))
    rows += [(name, tag("pre", text)) for name, text in told(requirement).items()]
    rows += advice(document, requirement).items()
    folded = {"open": ""} if unfolded else {}
    return tag("details", head, definitions(rows, id=requirement.id), **folded)


def _link(address: str) -> Markup:
    """An address to follow; text if it is anything but one of the web."""
    if not _WEB.fullmatch(address):
        return tag("span", address)
    return tag("a", address, href=address, rel="noopener noreferrer")


def _left_out(document: Document) -> Markup:
    lines = [f"{', '.join(names)}: {reason}" for reason, names in undecided(document).items()]
    lines += [f"{number} not applicable: {reason}" for reason, number in not_applicable(document).items()]
    if document.not_asked:
        lines.append(f"{len(document.not_asked)} not asked for: {', '.join(document.not_asked)}")
    return section("Not run", listing(lines)) if lines else joined()


def _everything(document: Document) -> Markup:
    rows = [
        (
            it.id,
            it.strength,
            tag("span", it.status, class_=_STYLES.get(it.status, "open")),
            f"{sum(check.seconds for check in it.checks):.2f}",
            it.sentence,
        )
        for it in document.requirements
    ]
    columns = ("id", "strength", "status", "seconds", "sentence")
    return tag("details", tag("summary", f"{len(rows)} requirements"), table(columns, rows, numbers=("seconds",)))
