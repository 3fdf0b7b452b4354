"""The table that readers see first: what was published, whether that reproduces, what it comes from, what survives."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from sdpo_ref.claims.figures import FOLDER, FigureVerdict, published_tables
from sdpo_ref.claims.findings import ClaimFinding, Findings
from sdpo_ref.claims.headline import Row, finding_rows, part_word
from sdpo_ref.claims.published import PublishedFindings
from sdpo_ref.claims.schema import Claim, Direction, Grid, Reproduction, Statement
from sdpo_ref.claims.statistics.outcome import ClaimOutcome


class Origin(BaseModel):
    """What was published about a finding, and the controls that say where it comes from.

    Attributes:
        published: in words, with ``{T01 sdpo}`` for the range of the figures of a table whose names begin so.
        statements: parts of the publication's, such as ``P01 reward``.
        tables: of its figures.
        controls: that explain it.
        comes_from: what they show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    published: str
    statements: tuple[str, ...]
    tables: tuple[str, ...]
    controls: tuple[str, ...]
    comes_from: str


def origins() -> dict[str, Origin]:
    """Finding to what was published about it."""
    return {name: Origin.model_validate(one) for name, one in _document()["findings"].items()}


def explained(found: PublishedFindings) -> dict[str, str]:
    """Figures that are not reproduced and that a control which holds explains: table and name to the control.

    Implements: PUB-056.

    Args:
        found: what became of the published study.
    """
    by: Mapping[str, str] = _document()["explained"]
    return {
        f"{table} {figure.name}": control
        for table, of in found.tables.items()
        for figure in of.figures
        for beginning, control in by.items()
        if f"{table} {figure.name}".startswith(beginning)
        and figure.verdict is not FigureVerdict.REPRODUCED
        and found.statements[control].outcome is ClaimOutcome.PASS
    }


def _document() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "findings.toml").read_text(encoding="utf-8"))


def readers_table(
    findings: Findings, claims: Mapping[str, Claim], found: PublishedFindings, statements: Mapping[str, Statement]
) -> str:
    """One row for each finding that the publication states.

    Implements: PUB-055.

    Args:
        findings: in our own world.
        claims: their records.
        found: what became of the published study.
        statements: its records.
    """
    of = origins()
    columns = (
        "",
        "as published",
        "reproduced in its protocol?",
        "what it comes from there",
        "under control, in our world",
        "how far",
    )
    lines = [f"| {' | '.join(columns)} |", "|---|---|---|---|---|---|"]
    for row in finding_rows(findings, claims):
        if row.studys:
            origin = of.get(row.id)
            cells = ("not measured", "–", "–") if origin is None else _published(origin, found, statements)
            world = _in_our_world(row, findings.claims[row.claim], claims[row.claim])
            how_far = "; ".join(_short(findings.claims[row.claim], claims[row.claim], row)) or "–"
            lines.append(f"| **{row.id}** {row.title} | {' | '.join(cells)} | {world} | {how_far} |")
    return "\n".join(lines) + "\n"


def _published(origin: Origin, found: PublishedFindings, statements: Mapping[str, Statement]) -> tuple[str, str, str]:
    held = [name for name in origin.controls if found.statements[name].outcome is ClaimOutcome.PASS]
    where = f"{origin.comes_from} ({', '.join(held)})" if held else origin.comes_from
    broken = [name for name in origin.controls if name not in held]
    if broken:
        where += f"; not shown by {', '.join(broken)}"
    return _filled(origin.published), _reproduced(origin, found, statements), where


def _reproduced(origin: Origin, found: PublishedFindings, statements: Mapping[str, Statement]) -> str:
    counts = Counter(figure.verdict for name in origin.tables for figure in found.tables[name].figures)
    words = [f"{counts[FigureVerdict.REPRODUCED]} of {sum(counts.values())} figures"] if counts else []
    words += [f"{counts[one]} {one}" for one in FigureVerdict if counts[one] and one is not FigureVerdict.REPRODUCED]
    outcomes: dict[str, list[str]] = {}
    for of_part in origin.statements:
        name, _, part = of_part.partition(" ")
        decided = next(one for one in found.statements[name].parts if one.name == part)
        outcomes.setdefault(part_word(statements[name].part(part), decided), []).append(part)
    stated = [f"{', '.join(parts)} {word}" for word, parts in outcomes.items()]
    return "; ".join(filter(None, (", ".join(words), *stated)))


def _filled(text: str) -> str:
    """With the ranges of figures in place of their names."""
    tables = {table.id: table for table in published_tables()}

    def numbers(match: re.Match[str]) -> str:
        table = tables[match[1]]
        of = [figure for figure in table.figures if figure.name.startswith(match[2]) and _alike(figure.name, match[2])]
        values = sorted({value for one in of for value in (one.middle - one.half_range, one.middle + one.half_range)})
        low, high = (f"{value:.{table.digits}f}".replace("0.", ".", 1) for value in (values[0], values[-1]))
        return low if low == high else f"{low} to {high}"

    return re.sub(r"\{(T\d\d) ([^}]*)\}", numbers, text)


def _alike(name: str, beginning: str) -> bool:
    """Leads and shares are other figures than the values that they are of."""
    return ":" in beginning or ":" not in name


def _in_our_world(row: Row, found: ClaimFinding, claim: Claim) -> str:
    """The verdict, with the effect of the first of the study's parts."""
    part = next(part for part in found.parts if claim.part(part.name).source == "study")
    record = claim.part(part.name)
    if part.middle is None or not isinstance(record.lane, Direction | Grid) or len(row.id) > len(row.claim):
        return row.as_stated
    interval = f"{part.middle:+.3f} [{part.middle_low:+.3f}, {part.middle_high:+.3f}]"
    return f"{row.as_stated}: {interval} of {record.metric.replace('_', ' ')}"


def _short(found: ClaimFinding, claim: Claim, row: Row) -> Iterator[str]:
    """Our extensions in a word or two each."""
    for part in found.parts:
        record = claim.part(part.name)
        own = any(text.startswith(f"{part.name} (") for text in row.how_far)
        if own and not isinstance(record.lane, Reproduction):  # which is about implementations, not about the finding
            yield f"{part.name} {part_word(record, part).partition(' (')[0]}"
