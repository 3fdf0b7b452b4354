"""The published study decided: its figures, its statements and their controls, and where the results are kept.

Data flows one way: runs at seeds -> figures (``figures``) and statements (``procedure``) -> one file of findings.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.comparison import CellName, Metrics
from sdpo_ref.claims.figures import (
    SEEDS,
    FigureFinding,
    Table,
    Tolerances,
    decided,
    published_tables,
    published_tolerances,
    tolerances_of,
)
from sdpo_ref.claims.findings import ClaimFinding, findings_of
from sdpo_ref.claims.kept import read_kept, write_kept
from sdpo_ref.claims.procedure import Question, decide
from sdpo_ref.claims.profile import design_of
from sdpo_ref.claims.records import read_published, record_sha256
from sdpo_ref.claims.runs import Fresh, verdict_seed
from sdpo_ref.claims.schema import Seeds, Statement
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.errors import UsageError
from sdpo_ref.study.experiment import Task
from sdpo_ref.study.fingerprint import code_fingerprint

FILE_NAME = "published.json"
"""In ``conformance/``."""

VERDICT_SEEDS = Seeds(claim="P01", setting="published protocol")
"""Of all figures and statements."""

CALIBRATION_SEEDS = tuple(range(2_000_000, 2_000_000 + SEEDS))
"""On which margins and open constants were fixed; nothing else uses them."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegisteredTable(_Kept):
    """What is registered of a table before it is decided.

    Attributes:
        table: its figures.
        margins: within which each is reproduced.
    """

    table: Table
    margins: tuple[float, ...]


class TableFinding(_Kept):
    """What became of a table.

    Attributes:
        record: fingerprint of what was registered.
        figures: each of its numbers.
    """

    record: str
    figures: tuple[FigureFinding, ...]


class PublishedFindings(_Kept):
    """What became of the published study.

    Attributes:
        command: that decides it again.
        spec_version: of the specification whose seeds it has.
        code: fingerprint of the code that was run.
        tables: by id.
        statements: of the publication and of the controls, by id.
    """

    command: str
    spec_version: str
    code: str
    tables: Mapping[str, TableFinding]
    statements: Mapping[str, ClaimFinding]


def registrable(statements: Mapping[str, Statement]) -> dict[str, BaseModel]:
    """Everything about the published study that is registered before it is decided, by id.

    Args:
        statements: as the specification has them.
    """
    return {**statements, **{table.id: _registered(table, published_tolerances()) for table in published_tables()}}


def _registered(table: Table, tolerances: Tolerances) -> RegisteredTable:
    return RegisteredTable(table=table, margins=tuple(tolerances.margin(table, figure) for figure in table.figures))


def calibrate(runs: Fresh) -> Tolerances:
    """Measure the margins on the seeds that nothing else uses.

    Args:
        runs: of the bundled methods.
    """
    return tolerances_of(_by_seed(published_tables(), CALIBRATION_SEEDS, runs))


def decide_tables(tables: Iterable[Table], runs: Fresh) -> dict[str, TableFinding]:
    """What became of published figures.

    Args:
        tables: that are asked about.
        runs: of the bundled methods.
    """
    wanted, tolerances = list(tables), published_tolerances()
    seeds = [verdict_seed(VERDICT_SEEDS, index) for index in range(SEEDS)]
    found = _by_seed(wanted, seeds, runs)
    return {
        table.id: TableFinding(
            record=record_sha256(_registered(table, tolerances)), figures=tuple(decided(table, found, tolerances))
        )
        for table in wanted
    }


def decide_statements(statements: Sequence[Statement], runs: Fresh) -> dict[str, ClaimFinding]:
    """What became of statements, all parts of them.

    Args:
        statements: that are asked about.
        runs: of the bundled methods.
    """
    questions = [
        Question(one, part, design_of(one, "standard", claims=len(statements)))
        for one in statements
        for part in one.parts
    ]
    answers = decide(questions, runs)
    verdicts = [
        ClaimVerdict(one, tuple(answer for answer in answers if answer.question.claim is one), controls=())
        for one in statements
    ]
    return dict(findings_of(verdicts, None, profile="standard").claims)


def decide_published(names: Sequence[str], spec: Path, runs: Fresh) -> PublishedFindings:
    """Decide figures and statements for the bundled methods.

    Args:
        names: of statements such as P01, controls such as C01 and tables such as T01; none for all.
        spec: folder of the chapters.
        runs: of the bundled methods.

    Raises:
        UsageError: if a name is unknown.
    """
    statements = read_published(spec)
    known = [*(table.id for table in published_tables()), *statements]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"no figures, statement or control is called {unknown[0]!r}; there are {', '.join(known)}")
    return PublishedFindings(
        command="sdpo-ref claims decide",
        spec_version=SPEC_VERSION,
        code=code_fingerprint("published"),
        tables=decide_tables([table for table in published_tables() if not names or table.id in names], runs),
        statements=decide_statements([one for name, one in statements.items() if not names or name in names], runs),
    )


def merged(before: PublishedFindings | None, found: PublishedFindings) -> PublishedFindings:
    """New findings beside those that they say nothing about, if those are of the same code and specification.

    Args:
        before: what was known.
        found: what was decided now.
    """
    if before is None or (before.code, before.spec_version) != (found.code, found.spec_version):
        return found
    return found.model_copy(
        update={
            "tables": dict(sorted({**before.tables, **found.tables}.items())),
            "statements": {**before.statements, **found.statements},
        }
    )


def read_published_findings(conformance: Path) -> PublishedFindings | None:
    """What a suite was released with.

    Args:
        conformance: folder of the checks.

    Returns:
        The findings; ``None`` if there is no file.

    Raises:
        IntegrityError: if the file is not one of these.
    """
    return read_kept(conformance / FILE_NAME, PublishedFindings, again="sdpo-ref claims decide")


def write_published_findings(conformance: Path, findings: PublishedFindings) -> Path:
    """Write them so that a change of one number is a change of one line.

    Args:
        conformance: folder of the checks.
        findings: to write.
    """
    return write_kept(conformance / FILE_NAME, findings)


def _by_seed(tables: Iterable[Table], seeds: Sequence[int], runs: Fresh) -> list[dict[CellName, Metrics]]:
    """For each seed what all cells of the tables found."""
    cells = list(dict.fromkeys(cell for table in tables for figure in table.figures for cell in table.cells(figure)))
    found = runs.run([Task(cell.settings, seed) for seed in seeds for cell in cells])
    return [{cell: found[cell.settings, seed] for cell in cells} for seed in seeds]
