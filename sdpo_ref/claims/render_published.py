"""The published study in FINDINGS.md: figures side by side, statements, controls. Same findings, same text."""

from collections import Counter
from collections.abc import Iterator, Mapping

from sdpo_ref.claims.figures import FigureVerdict, published_tables
from sdpo_ref.claims.published import PublishedFindings
from sdpo_ref.claims.schema import Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome

WORDS: Mapping[ClaimOutcome | None, str] = {
    ClaimOutcome.PASS: "HOLDS",
    ClaimOutcome.FAIL: "REFUTED",
    ClaimOutcome.INCONCLUSIVE: "OPEN",
    ClaimOutcome.INVALID: "INVALID",
    None: "NOT-RUN",
}


def published_summary(found: PublishedFindings, statements: Mapping[str, Statement]) -> str:
    """A line for each table, statement and control.

    Args:
        found: what was decided.
        statements: as registered.
    """
    return "\n".join(_summary(found, statements))


def _summary(found: PublishedFindings, statements: Mapping[str, Statement]) -> Iterator[str]:
    for table in published_tables():
        if table.id in found.tables:
            counts = Counter(figure.verdict for figure in found.tables[table.id].figures)
            words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in FigureVerdict if counts[verdict])
            yield f"{table.id}  {table.title}: {words}"
    for name, decided in found.statements.items():
        parts = "; ".join(f"{part.name} {WORDS[part.outcome]}" for part in decided.parts)
        yield f"{name}  {statements[name].title}: {parts}"
