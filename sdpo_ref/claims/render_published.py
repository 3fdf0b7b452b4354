"""The published study in FINDINGS.md: figures side by side, statements, controls. Same findings, same text."""

from collections import Counter
from collections.abc import Iterator, Mapping

from sdpo_ref.claims.figures import FigureFinding, FigureVerdict, Table, published_tables
from sdpo_ref.claims.findings import ComparisonFinding
from sdpo_ref.claims.headline import part_word
from sdpo_ref.claims.published import PublishedFindings
from sdpo_ref.claims.readers import explained
from sdpo_ref.claims.schema import Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome


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
        record = statements[name]
        parts = "; ".join(f"{part.name} {part_word(record.part(part.name), part)}" for part in decided.parts)
        yield f"{name}  {record.title}: {parts}"


_HEAD = """## The published study

What became of the figures and statements of a published simulation study
([spec/09-published-study](spec/09-published-study.md)), run again in its own protocol from its equations, and of
controls that take the result apart. `sdpo-ref claims render` writes it from `conformance/published.json`, and
`sdpo-ref claims decide P01` (or another name) that from fresh runs, of code `{code}`. {counts}. What the publication
leaves open was fixed on other seeds by a stated rule (PUB-030), and each figure's margin is twice the spread of what it
is a figure of (PUB-051).
"""


def published_section(found: PublishedFindings, statements: Mapping[str, Statement], limits: Mapping[str, str]) -> str:
    """The section of FINDINGS.md.

    Implements: PUB-054.

    Args:
        found: what was decided.
        statements: as registered.
        limits: of each statement; for a control what it explains.
    """
    verdicts = Counter(figure.verdict for table in found.tables.values() for figure in table.figures)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in FigureVerdict if verdicts[verdict])
    lines = [_HEAD.format(counts=f"{sum(verdicts.values())} figures: {counts}", code=found.code)]
    lines.append(_allowed(found, verdicts[FigureVerdict.REPRODUCED], sum(verdicts.values())))
    lines.append("### What the publication states\n")
    lines += _statements(found, statements, limits, "P")
    lines.append("\n### Where it comes from: controls in the same protocol\n")
    lines += _statements(found, statements, limits, "C")
    lines.append("\n### Figures, published and ours\n")
    for table in published_tables():
        if table.id in found.tables:
            lines += _table(table, found.tables[table.id].figures)
    return "\n".join(lines).rstrip() + "\n"


def _allowed(found: PublishedFindings, reproduced: int, figures: int) -> str:
    """How many reproduce of those that the equations allow."""
    controls = Counter(explained(found).values())
    left = figures - sum(controls.values())
    named = ", ".join(f"{count} by {control}" for control, count in sorted(controls.items()))
    share = f"{100 * reproduced / left:.0f} %"
    return (
        f"{sum(controls.values())} figures do not follow from the published equations, as controls show ({named}). Of "
        f"the other {left}, {reproduced} are reproduced ({share}). What is left are single seeds of worlds that nobody "
        "can draw again: most are leads at other sizes.\n"
    )


def _statements(
    found: PublishedFindings, statements: Mapping[str, Statement], limits: Mapping[str, str], kind: str
) -> Iterator[str]:
    for name, decided in found.statements.items():
        if not name.startswith(kind):
            continue
        record = statements[name]
        yield f"**{name} {record.title}.** {record.statement} {limits.get(name, '')}".rstrip() + "\n"
        yield "| part | outcome | mean over seeds, nearest to failing | |\n|---|---|---|---|"
        for part in decided.parts:
            worst = min(part.comparisons, key=_nearness)
            of = f"{worst.name}, " if len(part.comparisons) > 1 else ""
            of_record = record.part(part.name)
            wins = f"{worst.wins} of {worst.seeds}" if worst.wins is not None else f"{worst.seeds} seeds"
            yield f"| {of_record.says} | {part_word(of_record, part)} | {of}{_interval(worst)} | {wins} |"
        yield f"\n`sdpo-ref claims decide {name}`\n"


def _nearness(one: ComparisonFinding) -> tuple[int, float]:
    order = [ClaimOutcome.INVALID, ClaimOutcome.FAIL, None, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS]
    return order.index(one.outcome), one.low if one.low is not None else 0.0


def _interval(one: ComparisonFinding) -> str:
    if one.mean is None or one.low is None or one.high is None:
        return "–"
    return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _table(table: Table, figures: tuple[FigureFinding, ...]) -> Iterator[str]:
    over = f"; over {table.seeds} seeds" if table.seeds > 1 else ""
    yield f"**{table.id} {table.title}** ({table.place}{over}). `sdpo-ref claims decide {table.id}`\n"
    yield "| | published | first version | ours | margin | |\n|---|---|---|---|---|---|"
    for one in figures:
        first = "" if one.first is None else f"{one.first:.{table.digits}f}"
        ours = f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"
        yield f"| {one.name} | {one.published:.3f} | {first} | {ours} | {one.margin:.3f} | {one.verdict} |"
    yield ""
