"""How often verdicts were right when that was measured, as kept in ``conformance/rates.json``."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.profile import ProfileName
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.fingerprint import code_fingerprint

FILE_NAME = "rates.json"
"""In ``conformance/``."""

PROMOTED_SHARE = 0.95
"""Of the repeats that a part must pass; of failures it may have none."""


class Repeats(BaseModel):
    """What the whole procedure said of the bundled reference, over and over.

    Attributes:
        profile: how thorough.
        repeats: how many.
        stored: claim to how many stored seeds each repeat drew from.
        rulings: claim to how often which verdict was reached.
        parts: claim to part to the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: ProfileName
    repeats: int
    stored: Mapping[str, int]
    rulings: Mapping[str, Mapping[str, int]]
    parts: Mapping[str, Mapping[str, Mapping[str, int]]]


class Rates(BaseModel):
    """All measurements.

    Attributes:
        spec_version: of the specification whose seeds were used.
        code: fingerprint of the code that was run.
        promotion: of every part that the reference has passed; decides which of them are asked of implementations.
        reference: of what is asked, in other orders than those of the promotion.
        wrong: defect to how often F01 got which ruling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec_version: str
    code: str
    promotion: Repeats | None = None
    reference: Repeats | None = None
    wrong: Mapping[str, Mapping[str, int]] = {}

    def promoted(self, claim: str, part: str) -> bool:
        """Whether a part is stable enough to be asked of others: it never failed, and passed often enough.

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
        IntegrityError: if the file is none of ours.
    """
    path = conformance / FILE_NAME
    if not path.exists():
        return Rates(spec_version=SPEC_VERSION, code=code_fingerprint())
    try:
        return Rates.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise IntegrityError(f"{path} cannot be read ({error}); restore it, or measure again") from error


def keep(conformance: Path, **measured: object) -> None:
    """Write what was measured beside the rest, unless that belongs to other code.

    Args:
        conformance: folder of the checks.
        **measured: fields of :class:`Rates`.
    """
    now = Rates(spec_version=SPEC_VERSION, code=code_fingerprint())
    there = read_rates(conformance)
    rates = there if (there.spec_version, there.code) == (now.spec_version, now.code) else now
    document = rates.model_copy(update=measured).model_dump(mode="json")
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (conformance / FILE_NAME).write_text(text + "\n", encoding="utf-8")
