"""The report of a run as a document: what ``sdpo-ref verify --json`` writes, and all that other reports are made of.

``conformance/report.schema.json`` is written from these classes, docstrings included. Every text is as somebody
else's program printed it: whoever shows it has to escape it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Strength

SCHEMA = "sdpo-ref/report/1"
"""Changes with every change of the fields, so that no reader meets one that it does not know."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Departure(_Part):
    """A choice in which an implementation's profile departs from the paper's."""

    declared: str
    """By the implementation."""
    paper: str
    """The paper's."""


class Implementation(_Part):
    """What was verified."""

    spec: str
    """MODULE:FACTORY[,KEY=VALUE] as the user typed it."""
    name: str
    """What it calls itself."""
    capabilities: tuple[str, ...]
    """What it declares to offer."""
    profile: dict[str, str]
    """Every profile field with its declared value."""
    departures: dict[str, Departure]
    """Profile fields that differ from the paper's."""


class Selection(_Part):
    """What the user asked for."""

    level: int | None
    """Only requirements up to this level; null for all."""
    only: tuple[str, ...]
    """Requirements, or parts of the ids of checks; empty for all."""


class Count(_Part):
    """How many requirements of one strength hold."""

    passed: int
    """Those that pass."""
    applicable: int
    """Those that apply to what the implementation declares: the denominator."""
    not_applicable: int
    """The others."""


class Verdict(_Part):
    """What the report amounts to."""

    conformant: bool
    """Every MUST of the specification that applies was asked for, and passes."""
    partial: bool
    """Whether --level or --only left something out."""
    exit_code: int
    """Of the process."""
    meaning: str
    """Of the exit code."""
    sentence: str
    """The verdict with its denominator."""
    notes: tuple[str, ...]
    """What limits it, one sentence each."""
    counts: dict[Strength, Count]
    """By strength."""


class Diagnosis(_Part):
    """The known defect that the failures look like."""

    mutant: str
    """Its id, such as M006."""
    name: str
    """How it is loaded: sdpo_ref.mutants:make,name=NAME."""
    wrong: str
    """What is wrong with it."""
    effect: str
    """What that does to training."""
    agreeing: int
    """How many failed checks both have."""
    together: int
    """How many failed checks either has."""
    likeness: float
    """Between 0 and 1."""
    sentence: str
    """For a person."""
    requirement: str
    """The requirement to read first."""
    read: str
    """Where to read it."""


class Waiver(_Part):
    """Why a requirement may fail for now."""

    reason: str
    """In one sentence."""
    link: str
    """Where it is being mended."""
    expires: str
    """The last day on which the waiver holds, as YYYY-MM-DD."""


class NamedWaiver(Waiver):
    """A waiver with the requirement that it is for."""

    id: str
    """The requirement."""


class Failure(_Part):
    """Why a check did not pass; what is not known is left out."""

    message: str = ""
    """One sentence, if the other fields do not say it all."""
    expected: str = ""
    """What the specification demands."""
    got: str = ""
    """What the implementation returned."""
    tolerance: str = ""
    """How far the two may lie apart."""
    given: str = ""
    """The smallest input found that shows it."""
    looks_like: str = ""
    """A known defect with this signature."""
    traceback: str = ""
    """Last lines of the implementation's own traceback."""
    output: str = ""
    """Last lines of what the implementation printed meanwhile."""


class Check(_Part):
    """How one check ended."""

    id: str
    """Path, function and parameters."""
    status: Status
    """How it ended."""
    reason: str
    """Why it was not decided."""
    seconds: float
    """How long it took."""
    failure: Failure | None
    """For FAIL, ERROR and INVALID."""


class Requirement(_Part):
    """What is known about one requirement."""

    id: str
    """Permanent, such as LOSS-012."""
    chapter: str
    """Its chapter of the specification, such as 04-loss."""
    strength: Strength
    """How binding it is (RFC 2119)."""
    level: int
    """0 divergence, 1 loss, 2 context, 3 step, 4 trainer."""
    sentence: str
    """What is demanded."""
    if_broken: str
    """What breaking it does to training."""
    read: str
    """File and heading of the specification."""
    status: Status
    """Its worst check's, unless a prerequisite failed first or a waiver covers it."""
    own_status: Status
    """Its worst check's."""
    reason: str
    """Why it is not decided, not applicable, or waived."""
    waiver: Waiver | None = None
    """The user's, if there is one."""
    first_failure: str | None
    """Id of the check that best shows what is wrong."""
    checks: tuple[Check, ...]
    """Those that ran for it or were left out, in order."""


class Decision(_Part):
    """What the seeds say about one comparison of a claim."""

    ruling: Ruling
    """What."""
    seeds: int
    """How many were used."""
    wins: int | None
    """On how many of them the quantity was positive; null where that is not what decides."""
    further_seeds: int | None
    """How many more would likely settle it; null where it is settled, or never likely."""
    reason: str
    """In words."""


class Value(_Part):
    """A quantity at one seed."""

    seed: int
    """Of the run."""
    value: float | None
    """Null where it is not a finite number: the run ended early."""


class Comparison(_Part):
    """One comparison of a part of a claim."""

    name: str
    """What is compared."""
    decision: Decision | None
    """Null if there was no time for the first look."""
    values: tuple[Value, ...]
    """In the order of seeds."""


class ClaimPart(_Part):
    """One part of a claim."""

    name: str
    """Which."""
    ruling: Ruling | None
    """Null where there was no time to decide."""
    comparisons: tuple[Comparison, ...]
    """All of which have to pass."""


class Control(_Part):
    """A control that was run beside a claim."""

    name: str
    """What it controls."""
    holds: bool | None
    """Whether it came out as it must; null if there was no time for it."""
    says: str
    """What came out."""


class Claim(_Part):
    """A claim of level 4 and what was decided."""

    id: str
    """Such as F01."""
    title: str
    """In a few words."""
    record: str
    """SHA-256 of its registered record."""
    ruling: Ruling | None
    """Null where there was no time to decide."""
    false_pass: float | None
    """Chance of PASS although one comparison is at its boundary; null if nothing was compared."""
    false_fail: float
    """Most that the chance of FAIL can be although every comparison holds."""
    further_seeds: int | None
    """How many more seeds would likely settle what is open."""
    controls: tuple[Control, ...]
    """Run beside it."""
    parts: tuple[ClaimPart, ...]
    """Those that were asked about."""

    @property
    def seeds(self) -> int:
        """The most seeds that any comparison used."""
        return max((len(one.values) for part in self.parts for one in part.comparisons), default=0)


class Claims(_Part):
    """Level 4."""

    profile: ProfileName
    """How thorough."""
    legend: tuple[str, ...]
    """What the numbers mean; empty if no claim was run."""
    verdicts: tuple[Claim, ...]
    """One for each claim that was run."""


class Document(_Part):
    """The report of one run of sdpo-ref verify. The same run gives the same document, seconds aside."""

    schema_: Literal["sdpo-ref/report/1"] = Field(alias="schema")
    """Which schema this document follows."""
    versions: dict[str, str]
    """Of suite, specification (spec), Python and torch."""
    isolation: dict[str, str] = {}
    """What kept the implementation from the rest of the machine, by subject; empty if nothing did."""
    implementation: Implementation
    """What was verified."""
    selection: Selection
    """What the user asked for."""
    verdict: Verdict
    """What it amounts to."""
    diagnosis: Diagnosis | None = None
    """The known defect that the failures look like, if one is near."""
    requirements: tuple[Requirement, ...]
    """Those asked for, in reading order."""
    waivers: tuple[NamedWaiver, ...] = ()
    """The user's, also those of requirements that were not asked for."""
    claims: Claims
    """Level 4."""
    not_asked: tuple[str, ...]
    """Requirements that --level or --only left out."""
    deviations: tuple[str, ...]
    """How the suite differs from its locked manifest."""
    broken: tuple[str, ...]
    """Files of the suite that could not be collected."""
    seconds: float
    """Wall-clock time."""
