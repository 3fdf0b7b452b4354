"""The pages that findings are on: FINDINGS.md, and the table in README.md. Same findings, same text."""

from pathlib import Path

from sdpo_ref.claims.findings import read_findings
from sdpo_ref.claims.published import read_published_findings
from sdpo_ref.claims.rates import read_rates
from sdpo_ref.claims.readers import readers_table
from sdpo_ref.claims.records import limits_of, read_claims, read_published
from sdpo_ref.claims.render import render
from sdpo_ref.claims.render_published import published_section
from sdpo_ref.errors import UsageError

FINDINGS = "FINDINGS.md"
"""In the repository's root."""

_README = "README.md"
_FROM, _TO = "<!-- findings -->", "<!-- end of findings -->"
"""Between these marks the README has the table."""


def stale_pages(conformance: Path, spec: Path, folder: Path) -> dict[Path, str]:
    """Pages that are not what the findings say, with what they should hold.

    Args:
        conformance: folder of the findings.
        spec: folder of the records.
        folder: holds the pages; a README without marks is left alone.

    Raises:
        UsageError: if nothing was decided yet.
    """
    findings, published = read_findings(conformance), read_published_findings(conformance)
    if findings is None or published is None:
        raise UsageError("nothing was decided yet; run `sdpo-ref claims decide` first")
    claims, statements, limits = read_claims(spec), read_published(spec), limits_of(spec)
    table = readers_table(findings, claims, published, statements)
    section = published_section(published, statements, limits)
    wanted = {folder / FINDINGS: f"{render(findings, claims, limits, read_rates(conformance), table)}\n{section}"}
    readme = folder / _README
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if _FROM in text and _TO in text:
        before, rest = text.split(_FROM, 1)
        wanted[readme] = f"{before}{_FROM}\n{table}{_TO}{rest.split(_TO, 1)[1]}"
    there = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in wanted}
    return {path: page for path, page in wanted.items() if page != there[path]}
