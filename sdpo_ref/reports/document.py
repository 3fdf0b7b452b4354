"""The report of a run as a document: what ``sdpo-ref verify --json`` writes, and all that the other reports know.

The models are the schema: ``conformance/report.schema.json`` is generated from them, and a document that was saved
is read through them, so that nothing in it is taken on trust.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

StatusName = Literal["N/A", "PASS", "SKIPPED", "XFAIL", "INCONCLUSIVE", "NOT-RUN", "XPASS", "FAIL", "ERROR", "INVALID"]
"""Of a check or a requirement, from best to worst."""

StrengthName = Literal["MUST", "SHOULD", "MAY"]
RulingName = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]

Number = Annotated[float | Literal["nan", "inf", "-inf"], Field(description="JSON has no NaN and no infinity")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Departure(_Part):
    """A choice in which the implementation's profile is not the paper's."""

    declared: str
    paper: str


class ImplementationPart(_Part):
    """What was verified."""

    spec: str = Field(description="module:factory[,key=value]")
    name: str
    capabilities: tuple[str, ...]
    profile: dict[str, str]
    departures: dict[str, Departure]


class SelectionPart(_Part):
    """What the user asked for."""

    level: int | None
    only: tuple[str, ...]


class CountPart(_Part):
    """How many requirements of one strength hold."""

    passed: int
    applicable: int
    not_applicable: int


class VerdictPart(_Part):
    """What it amounts to."""

    conformant: bool
    partial: bool
    exit_code: int
    meaning: str
    sentence: str
    notes: tuple[str, ...]
    counts: dict[StrengthName, CountPart]


class DiagnosisPart(_Part):
    """The known defect that the failures look like."""

    mutant: str
    name: str
    wrong: str
    effect: str
    agreeing: int
    together: int
    likeness: float
    sentence: str
    requirement: str
    read: str


class WaiverPart(_Part):
    """Why a requirement may fail for now."""

    reason: str
    link: str
    expires: str


class WaiverOf(WaiverPart):
    """The same with the requirement that it is about."""

    id: str


class FailurePart(_Part):
    """What happened in a check; a field is missing where there is nothing to say."""

    expected: str = ""
    got: str = ""
    tolerance: str = ""
    given: str = ""
    looks_like: str = ""
    message: str = ""
    traceback: str = ""
    output: str = ""

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Label and text of what there is, in the order in which it is read."""
        named = (
            ("expected", self.expected),
            ("got", self.got),
            ("tolerance", self.tolerance),
            ("given", self.given),
            ("looks like", self.looks_like),
            ("problem", self.message),
            ("traceback", self.traceback),
            ("printed", self.output),
        )
        return [(name, text) for name, text in named if text]


class CheckPart(_Part):
    """How a check ended."""

    id: str
    status: StatusName
    reason: str
    seconds: float
    failure: FailurePart | None


class RequirementPart(_Part):
    """What is known about a requirement."""

    id: str
    chapter: str
    strength: StrengthName
    level: int
    sentence: str
    if_broken: str
    read: str
    status: StatusName
    own_status: StatusName
    reason: str
    waiver: WaiverPart | None
    shown: str | None = Field(description="id of the check that best shows what is wrong")
    checks: tuple[CheckPart, ...]

    @property
    def shown_failure(self) -> FailurePart | None:
        """Of the check that best shows what is wrong."""
        return next((check.failure for check in self.checks if check.id == self.shown), None)


class ControlPart(_Part):
    """A control of a claim; ``holds`` is null where there was no time for it."""

    name: str
    holds: bool | None
    says: str


class SeedValue(_Part):
    """What a run came to."""

    seed: int
    value: Number


class DecisionPart(_Part):
    """What the seeds say; ``wins`` is null where they are not what decides."""

    ruling: RulingName
    seeds: int
    wins: int | None
    further_seeds: int | None
    reason: str


class ComparisonPart(_Part):
    """One comparison of a claim."""

    name: str
    decision: DecisionPart | None
    values: tuple[SeedValue, ...]


class ClaimPartPart(_Part):
    """One part of a claim."""

    name: str
    ruling: RulingName | None
    comparisons: tuple[ComparisonPart, ...]


class ClaimPart(_Part):
    """A claim of level 4 and what was decided; ``ruling`` is null where there was no time to decide."""

    id: str
    record: str = Field(description="SHA-256 of the record as registered")
    ruling: RulingName | None
    false_pass: float
    false_fail: float
    further_seeds: int | None
    controls: tuple[ControlPart, ...]
    parts: tuple[ClaimPartPart, ...]


class ClaimsPart(_Part):
    """Level 4."""

    profile: str
    verdicts: tuple[ClaimPart, ...]


class Document(_Part):
    """The report of one run of ``sdpo-ref verify``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="Report of sdpo-ref verify")

    schema_: Literal["sdpo-ref/report/1"] = Field(alias="schema")
    versions: dict[str, str]
    isolation: dict[str, str] = Field(description="what kept the implementation from the machine; empty if nothing")
    implementation: ImplementationPart
    selection: SelectionPart
    verdict: VerdictPart
    diagnosis: DiagnosisPart | None
    requirements: tuple[RequirementPart, ...]
    waivers: tuple[WaiverOf, ...]
    claims: ClaimsPart
    not_asked: tuple[str, ...]
    deviations: tuple[str, ...]
    broken: tuple[str, ...]
    seconds: float

    @property
    def chapters(self) -> tuple[str, ...]:
        """Of the requirements, in reading order."""
        return tuple(dict.fromkeys(it.chapter for it in self.requirements))

    def failing(self) -> tuple[RequirementPart, ...]:
        """Requirements that do not hold, a MUST before a SHOULD."""
        broken = [it for it in self.requirements if it.status in FAILING]
        return tuple(sorted(broken, key=lambda it: ("MUST", "SHOULD", "MAY").index(it.strength)))

    def count(self, strength: StrengthName, chapter: str) -> tuple[int, int]:
        """How many requirements of a strength pass in a chapter, of how many that apply."""
        found = [it.status for it in self.requirements if it.strength == strength and it.chapter == chapter]
        return found.count("PASS"), len(found) - found.count("N/A")


FAILING: tuple[StatusName, ...] = ("XFAIL", "XPASS", "FAIL", "ERROR", "INVALID")
"""What is shown in full."""
