"""How often the procedure reaches which outcome on stored runs, as kept in ``conformance/rates.json``."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.code import Code
from sdpo_ref.claims.kept import read_kept, write_kept
from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.claims.schema import Claim, Part
from sdpo_ref.claims.statistics.outcome import ClaimOutcome
from sdpo_ref.claims.stored import Stored
from sdpo_ref.claims.verdict import judge
from sdpo_ref.study.fingerprint import code_fingerprint

FILE_NAME = "rates.json"
"""In ``conformance/``."""

PROMOTED_SHARE = 0.95
"""Of the repeats that a part must pass; of failures it may have none."""


class Repeats(BaseModel):
    """Outcomes of the whole procedure for the bundled reference, over and over.

    Attributes:
        profile: how thorough.
        repeats: how many.
        stored: claim to how many stored seeds each repeat drew from.
        outcomes: claim to how often which verdict was reached.
        parts: claim to part to the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: ProfileName
    repeats: int
    stored: Mapping[str, int]
    outcomes: Annotated[
        Mapping[str, Mapping[str, int]],
        Field(validation_alias=AliasChoices("outcomes", "rulings"), serialization_alias="rulings"),
    ]
    parts: Mapping[str, Mapping[str, Mapping[str, int]]]

    def leaves(self, new: "Repeats") -> bool:
        """Whether there are claims of these that new repeats can stand beside: as many, and not about all of them.

        Args:
            new: repeats.
        """
        alike = (self.profile, self.repeats) == (new.profile, new.repeats)
        return alike and not self.stored.keys() <= new.stored.keys()

    def beside(self, others: "Repeats") -> "Repeats":
        """These, and those of claims that were not measured here.

        Args:
            others: as many, under the same profile.
        """
        return self.model_copy(
            update={
                "stored": {**others.stored, **self.stored},
                "outcomes": {**others.outcomes, **self.outcomes},
                "parts": {**others.parts, **self.parts},
            }
        )


Measurement = Literal["promotion", "reference", "wrong"]
"""What is measured by itself, and has its own code."""


class Rates(BaseModel):
    """All measurements.

    Attributes:
        spec_version: of the specification whose seeds were used.
        code: measurement, such as ``promotion``, to the code that gave it.
        promotion: of every part that the reference has passed; decides which of them are checked on implementations.
        reference: of what is checked, in other orders than those of the promotion.
        wrong: defect to how often F01 got which outcome.
        wrong_rewards: defect to cell to the final rewards of its first runs, by which a change of the code is compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec_version: str
    code: Mapping[Measurement, Code] = {}
    promotion: Repeats | None = None
    reference: Repeats | None = None
    wrong: Mapping[str, Mapping[str, int]] = {}
    wrong_rewards: Mapping[str, Mapping[str, tuple[float, ...]]] = {}

    def promoted(self, claim: str, part: str) -> bool:
        """Whether a part is stable enough to be checked on others: it never failed, and passed often enough.

        Args:
            claim: its id.
            part: its name.
        """
        if self.promotion is None:
            return False
        counts = self.promotion.parts.get(claim, {}).get(part, {})
        clean = {"FAIL", "INVALID"}.isdisjoint(counts)
        return clean and counts.get("PASS", 0) >= PROMOTED_SHARE * self.promotion.repeats


def read_rates(conformance: Path) -> Rates:
    """What was measured; empty if nothing was.

    Args:
        conformance: folder of the checks.

    Raises:
        IntegrityError: if the file is not one of these.
    """
    kept = read_kept(conformance / FILE_NAME, Rates, again="sdpo-ref claims promote --keep")
    return Rates(spec_version=SPEC_VERSION) if kept is None else kept


def keep_repeats(conformance: Path, name: Literal["promotion", "reference"], found: Repeats) -> None:
    """Write repeats of the procedure beside what else was measured, which keeps the code that gave it.

    Repeats of other claims stay, if they are as many and of code that gives the same numbers: the orders of a claim do
    not depend on what else is measured.

    Args:
        conformance: folder of the checks.
        name: of the measurement.
        found: what was measured with the code of this package.
    """
    rates = _of_this_specification(read_rates(conformance))
    before, known = rates.code.get(name), rates.promotion if name == "promotion" else rates.reference
    code = Code(decided=code_fingerprint())
    if known is not None and before is not None and before.now == code.now and known.leaves(found):
        found, code = found.beside(known), before
    write_rates(conformance, rates.model_copy(update={"code": {**rates.code, name: code}, name: found}))


def keep_wrong(
    conformance: Path, defect: str, outcomes: Mapping[str, int], rewards: Mapping[str, tuple[float, ...]]
) -> None:
    """Write how F01 came out for a defect, beside other defects that were measured with code of the same numbers.

    Args:
        conformance: folder of the checks.
        defect: its name.
        outcomes: how often which.
        rewards: cell to the final rewards of the first runs.
    """
    rates, now = _of_this_specification(read_rates(conformance)), code_fingerprint()
    before = rates.code.get("wrong")
    same = before is not None and before.now == now
    wrong, kept = (rates.wrong, rates.wrong_rewards) if same else ({}, {})
    changed = {
        "code": {**rates.code, "wrong": before if same else Code(decided=now)},
        "wrong": {**wrong, defect: dict(outcomes)},
        "wrong_rewards": {**kept, defect: rewards},
    }
    write_rates(conformance, rates.model_copy(update=changed))


def write_rates(conformance: Path, rates: Rates) -> Path:
    """Write them so that a change of one number is a change of one line.

    Args:
        conformance: folder of the checks.
        rates: to write.
    """
    return write_kept(conformance / FILE_NAME, rates)


def _of_this_specification(rates: Rates) -> Rates:
    return rates if rates.spec_version == SPEC_VERSION else Rates(spec_version=SPEC_VERSION)


PROMOTING, CONFIRMING = 0, 1
"""Seeds of the orders in which parts are promoted, and in which what is checked is confirmed."""


def repeat(
    wanted: Mapping[str, Sequence[Part]],
    claims: Sequence[Claim],
    folder: Path,
    *,
    profile: ProfileName,
    repeats: int,
    seed: int,
) -> Repeats:
    """Decide claims over and over; each repeat takes the stored seeds in an order of its own.

    Runs are those of the reference distributions, so what is repeated is the procedure with its looks and its mutants.
    Levels are compared with themselves and always hold; each real run compares fresh runs with them.
    Implements: STAT-010.

    Args:
        wanted: id of a claim to its parts that are checked.
        claims: all there are.
        folder: of the reference distributions.
        profile: how thorough.
        repeats: how many.
        seed: of the orders.

    Returns:
        How often which verdict was reached, claim by claim and part by part.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name, parts in wanted.items() if parts}
    of_parts = {name: {part.name: Counter[str]() for part in wanted[name]} for name in found}
    counts = {claim.id: Stored(folder).count(claim.seeds) for claim in claims}
    for number in range(repeats):
        for claim in claims:
            if not wanted.get(claim.id):
                continue
            order = list(range(counts[claim.id]))
            random.Random(f"{seed}|{claim.id}|{number}").shuffle(order)  # noqa: S311 - no secret
            source = Stored(folder, tuple(order))
            (verdict,) = judge({claim.id: wanted[claim.id]}, claims, fresh=source, stored=source, profile=profile)
            found[claim.id][_word(verdict.outcome)] += 1
            for answer in verdict.answers:
                of_parts[claim.id][answer.question.part.name][_word(answer.outcome)] += 1
    stored = {name: counts[name] for name in found}
    return Repeats(profile=profile, repeats=repeats, stored=stored, outcomes=found, parts=of_parts)


def _word(outcome: ClaimOutcome | None) -> str:
    return "NOT-RUN" if outcome is None else outcome.value
