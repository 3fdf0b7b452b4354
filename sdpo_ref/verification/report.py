"""The report of a run: the one model that the terminal and every other form show, and that ``--json`` saves.

``conformance/report.schema.json`` is written from these classes, docstrings included. Control characters are escaped in
every text that enters a report, whether it comes from a run or from a file.
"""

import json
import math
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.status import ExitCode, Status
from sdpo_ref.verification.suite.catalogue import Strength
from sdpo_ref.verification.suite.waivers import Waiver

Schema = Literal["sdpo-ref/report/3"]
SCHEMA: Schema = get_args(Schema)[0]
"""Changes with every change of the fields, so that no program reads a report whose fields it does not expect."""

STRENGTHS: tuple[Strength, ...] = get_args(Strength)
CLAIMS_LEVEL = 4
"""The level of claims, which seeds decide."""

SCHEMA_FILE = "report.schema.json"
"""In ``conformance/``."""


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def percent(chance: float | None) -> str:
    """A chance in percent; empty for ``None``.

    Example:
        >>> percent(0.0123)
        '1.2 %'
    """
    return "" if chance is None else f"{100 * chance:.2g} %"


Text = Annotated[str, AfterValidator(printable)]
Number = Annotated[float | None, AfterValidator(_finite)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Departure(_Part):
    """A choice in which an implementation's profile departs from the paper's."""

    declared: Text
    """By the implementation."""
    paper: Text
    """The paper's."""


class Implementation(_Part):
    """What was verified."""

    spec: Text | None
    """MODULE:FACTORY[,KEY=VALUE] as the user typed it; null for an object that was verified in the user's process."""
    name: Text
    """Its own name."""
    capabilities: tuple[Text, ...]
    """The capabilities that it declares."""
    profile: dict[Text, Text]
    """Every profile field with its declared value."""
    departures: dict[Text, Departure]
    """Profile fields that differ from the paper's."""


class Selection(_Part):
    """What the user selected."""

    level: int | None
    """Only requirements up to this level; null for all."""
    only: tuple[Text, ...]
    """Requirements, or parts of the ids of checks; empty for all."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out; only then can a verdict be *conformant*."""
        return self.level is None and not self.only

    @property
    def covers_claims(self) -> bool:
        """Whether claims are in it without being named."""
        return self.level in (None, CLAIMS_LEVEL) and not self.only


class Repeat(_Part):
    """What else was asked for that a result can hang on, so that it can be asked for again."""

    suite: Text | None = None
    """Folder with spec/ and conformance/; null for the released suite."""
    budget: float | None = None
    """Seconds of level 4; null for no limit."""
    jobs: int | None = None
    """Worker processes; null if they were left to this program."""


class Count(_Part):
    """How many requirements of one strength hold."""

    passed: int
    """Those that pass."""
    applicable: int
    """Those that apply to what the implementation declares: the denominator."""
    not_applicable: int
    """The others."""


class Verdict(_Part):
    """The conclusion from all requirements."""

    conformant: bool
    """Every MUST of the specification that applies was selected, passes, and is not waived."""
    partial: bool
    """Whether --level or --only left something out."""
    exit_code: ExitCode
    """Of the process."""
    meaning: Text
    """Of the exit code."""
    sentence: Text
    """The verdict with its denominator."""
    notes: tuple[Text, ...]
    """Its limits, one sentence each."""
    counts: dict[Strength, Count]
    """By strength."""


class Diagnosis(_Part):
    """What is wrong, as far as the failures show it: a known defect, a cause that is none of SDPO's, or both."""

    basis: Text
    """What it rests on: answers (the same wrong ones as a known defect's), numbers (a known defect's in failed checks),
    checks (the same ones fail), or cause."""
    mutant: Text
    """The known defect's id, such as M006; empty for a cause alone, as are the next three."""
    name: Text
    """It is loaded as sdpo_ref.mutants:make,name=NAME."""
    wrong: Text
    """What is wrong with it."""
    effect: Text
    """Its effect on training."""
    agreeing: int
    """How many wrong answers, or failed checks, both have."""
    together: int
    """How many either has."""
    likeness: float
    """Between 0 and 1."""
    sentence: Text
    """For a person."""
    requirement: Text
    """The requirement to read first; empty for a cause alone."""
    read: Text
    """Where to read it."""


class Failure(_Part):
    """Why a check did not pass; fields without content are left out."""

    message: Text = ""
    """One sentence, if the other fields are not enough."""
    expected: Text = ""
    """What the specification demands."""
    got: Text = ""
    """What the implementation returned."""
    tolerance: Text = ""
    """How far the two may lie apart."""
    given: Text = ""
    """The smallest input found that shows it."""
    looks_like: Text = ""
    """A known defect with this signature."""
    traceback: Text = ""
    """Last lines of the implementation's own traceback."""
    output: Text = ""
    """Last lines of what the implementation printed during the check."""


class CheckResult(_Part):
    """How one check ended."""

    id: Text
    """Path, function and parameters."""
    status: Status
    """How it ended."""
    reason: Text
    """Why it was not decided."""
    seconds: float
    """Its duration."""
    failure: Failure | None
    """For FAIL, ERROR and INVALID."""


class RequirementResult(_Part):
    """The result of one requirement."""

    id: Text
    """Permanent, such as LOSS-012."""
    chapter: Text
    """Its chapter of the specification, such as 04-loss."""
    strength: Strength
    """How binding it is (RFC 2119)."""
    level: int
    """0 divergence, 1 loss, 2 context, 3 step, 4 trainer."""
    sentence: Text
    """What is demanded."""
    if_broken: Text
    """What breaking it does to training."""
    read: Text
    """File and heading of the specification."""
    after: tuple[Text, ...]
    """Requirements that must hold before a failure of this one is informative."""
    status: Status
    """Its worst check's, unless a prerequisite failed first or a waiver covers it."""
    own_status: Status
    """Its worst check's."""
    reason: Text
    """Why it is not decided, not applicable, or waived."""
    failed_first: Text | None
    """The more basic requirement whose failure leaves this one undecided."""
    waiver: Waiver | None
    """The user's, if there is one."""
    first_failure: Text | None
    """Id of the check that best shows what is wrong."""
    checks: tuple[CheckResult, ...]
    """Those that ran for it or were left out, in order."""

    @property
    def failure(self) -> Failure | None:
        """Of the check that best shows what is wrong."""
        return next((check.failure for check in self.checks if check.id == self.first_failure), None)

    @property
    def is_excused(self) -> bool:
        """Whether its waiver covers its status; a waived claim may also pass or stay open, because seeds decide it."""
        by_seeds = (Status.INCONCLUSIVE, Status.XPASS) if self.level == CLAIMS_LEVEL else ()
        return self.waiver is not None and self.status in (Status.XFAIL, *by_seeds)

    @property
    def has_unneeded_waiver(self) -> bool:
        """Whether its waiver must be removed: the requirement holds, or does not apply."""
        return self.waiver is not None and self.status in (Status.XPASS, Status.NA) and not self.is_excused


class Decision(_Part):
    """What the seeds decide about one comparison of a claim."""

    outcome: ClaimOutcome
    """Of the comparison."""
    seeds: int
    """How many were used."""
    wins: int | None
    """On how many of them the quantity was positive; null if the rule does not count wins."""
    further_seeds: int | None
    """How many more would likely settle it; null where it is settled, or never likely."""
    reason: Text
    """In words."""


class SeedValue(_Part):
    """A quantity at one seed."""

    seed: int
    """Of the run."""
    value: Number
    """Null where it is not a finite number: the run ended early."""


class ComparisonResult(_Part):
    """One comparison of a part of a claim."""

    name: Text
    """What is compared."""
    decision: Decision | None
    """Null if there was no time for the first look."""
    values: tuple[SeedValue, ...]
    """In the order of seeds."""


class PartResult(_Part):
    """One part of a claim."""

    name: Text
    """Of the part."""
    outcome: ClaimOutcome | None
    """Null where there was no time to decide."""
    comparisons: tuple[ComparisonResult, ...]
    """All of which have to pass."""


class ControlResult(_Part):
    """A control that was run beside a claim."""

    name: Text
    """What it controls."""
    holds: bool | None
    """Whether it came out as it must; null if there was no time for it."""
    says: Text
    """What came out."""


class ClaimResult(_Part):
    """A claim of level 4 and its outcome."""

    id: Text
    """Such as F01."""
    title: Text
    """In a few words."""
    record: Text
    """SHA-256 of its registered record."""
    outcome: ClaimOutcome | None
    """Null where there was no time to decide."""
    false_pass: Number
    """Chance of PASS although one comparison is at its boundary; null if nothing was compared."""
    false_fail: float
    """Most that the chance of FAIL can be although every comparison holds."""
    further_seeds: int | None
    """How many more seeds would likely settle what is open."""
    controls: tuple[ControlResult, ...]
    """Run beside it."""
    parts: tuple[PartResult, ...]
    """Those that were checked."""

    @property
    def seeds(self) -> int:
        """The most seeds that any comparison used."""
        return max((len(one.values) for part in self.parts for one in part.comparisons), default=0)


class Claims(_Part):
    """Level 4."""

    profile: ProfileName
    """How thorough."""
    legend: tuple[Text, ...]
    """What the numbers mean; empty if no claim was run."""
    verdicts: tuple[ClaimResult, ...]
    """One for each claim that was run."""


class RunResults(_Part):
    """What a run found; the verdict and the diagnosis of a report follow from it."""

    versions: dict[Text, Text]
    """Of suite, specification (spec), Python and torch."""
    isolation: dict[Text, Text]
    """The isolation in force, by subject; empty if there was none."""
    implementation: Implementation
    """What was verified."""
    selection: Selection
    """What the user selected."""
    repeat: Repeat = Repeat()
    """What else was asked for."""
    chapters: dict[Text, Text]
    """Chapters of the selected requirements, each with its title."""
    requirements: tuple[RequirementResult, ...]
    """Those selected, in reading order."""
    waivers: tuple[Waiver, ...]
    """The user's, also those of requirements that were not selected."""
    claims: Claims
    """Level 4."""
    not_selected: dict[Text, Strength]
    """Requirements that --level or --only left out, each with its strength."""
    deviations: tuple[Text, ...]
    """How the suite differs from its locked manifest."""
    broken: tuple[Text, ...]
    """Files of the suite that could not be collected."""
    seconds: float
    """Wall-clock time."""

    @property
    def is_smoke(self) -> bool:
        """Whether claims were run with five seeds, which can refute and seldom decide."""
        return bool(self.claims.verdicts) and self.claims.profile == "smoke"

    def of(self, *statuses: Status) -> tuple[RequirementResult, ...]:
        """Requirements with one of these statuses, in reading order."""
        return tuple(result for result in self.requirements if result.status in statuses)

    def count(self, strength: Strength, chapter: str | None = None) -> Count:
        """How many requirements of a strength hold, in one chapter or in all."""
        found = [
            result.status
            for result in self.requirements
            if result.strength == strength and chapter in (None, result.chapter)
        ]
        not_applicable = found.count(Status.NA)
        return Count(
            passed=found.count(Status.PASS), applicable=len(found) - not_applicable, not_applicable=not_applicable
        )


class Report(RunResults):
    """The report of one run of sdpo-ref verify. The same run gives the same report, seconds aside."""

    schema_: Schema = Field(alias="schema")
    """Which schema this report follows."""
    verdict: Verdict
    """The conclusion from all requirements."""
    diagnosis: Diagnosis | None
    """What is wrong, if the failures show it."""

    def to_json(self) -> str:
        """As ``sdpo-ref verify --json`` saves it; :func:`~sdpo_ref.verification.reports.saved.read_report` reads it."""
        fields: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        first = {name: fields.pop(name) for name in ("schema", "verdict", "diagnosis")}
        return json.dumps({**first, **fields}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def __str__(self) -> str:
        """The text that ``sdpo-ref verify`` prints, 80 columns wide."""
        from sdpo_ref.verification.reports.terminal import as_text

        return as_text(self)

    def __repr__(self) -> str:
        """One line with the verdict."""
        return f"<report on {self.implementation.name}: {self.verdict.sentence}>"


def schema_text() -> str:
    """The schema as JSON Schema, draft 2020-12; ``sdpo-ref report --schema FILE`` writes it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema()}
    return json.dumps({**schema, "title": "Report of sdpo-ref verify"}, indent=2, ensure_ascii=False) + "\n"
