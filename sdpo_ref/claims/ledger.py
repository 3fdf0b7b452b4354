"""The ledger of registered records: a number that is changed after it was registered does not go unnoticed."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sdpo_ref import SPEC_VERSION
from sdpo_ref.claims.reader import record_sha256
from sdpo_ref.claims.schema import Claim
from sdpo_ref.errors import IntegrityError, UsageError

FILE_NAME = "claims.json"
"""In ``conformance/``."""


class Entry(BaseModel):
    """One registration.

    Attributes:
        spec_version: of the specification.
        reason: why records were registered or changed.
        records: fingerprints of those that are new or changed, by id.
        gone: ids of those that are not there any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec_version: str
    reason: str
    records: dict[str, str]
    gone: tuple[str, ...] = ()


class Ledger(BaseModel):
    """All registrations, the oldest first; nothing is ever taken out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries: tuple[Entry, ...] = ()

    def registered(self) -> Mapping[str, str]:
        """Fingerprint of each record in force."""
        found: dict[str, str] = {}
        for entry in self.entries:
            found |= entry.records
            for name in entry.gone:
                found.pop(name, None)
        return found

    def differences(self, claims: Mapping[str, Claim]) -> tuple[str, ...]:
        """How the records differ from the registered ones, one line each.

        Implements: STAT-012.

        Args:
            claims: as the specification has them.
        """
        registered = self.registered()
        now = {name: record_sha256(claim) for name, claim in claims.items()}
        return (
            *(f"{name}: new record" for name in now.keys() - registered.keys()),
            *(f"{name}: record gone" for name in registered.keys() - now.keys()),
            *(f"{name}: record changed" for name in sorted(now.keys() & registered) if now[name] != registered[name]),
        )


def read_ledger(conformance: Path) -> Ledger:
    """The ledger of a suite; empty if nothing was registered yet.

    Args:
        conformance: folder of the checks.

    Raises:
        IntegrityError: if the file is no ledger.
    """
    path = conformance / FILE_NAME
    if not path.exists():
        return Ledger()
    try:
        return Ledger.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise IntegrityError(f"{path} is no ledger of claims ({error}); restore it") from error


def register(conformance: Path, claims: Mapping[str, Claim], reason: str) -> tuple[str, ...]:
    """Add what differs to the ledger.

    Args:
        conformance: folder of the checks.
        claims: as the specification has them.
        reason: in a sentence.

    Returns:
        What differed; nothing is written if nothing did.

    Raises:
        UsageError: if no reason is given.
    """
    if not reason.strip():
        raise UsageError("received an empty reason; say in a sentence why records are registered or changed")
    ledger = read_ledger(conformance)
    differences = ledger.differences(claims)
    if not differences:
        return ()
    registered = ledger.registered()
    now = {name: record_sha256(claim) for name, claim in claims.items()}
    entry = Entry(
        spec_version=SPEC_VERSION,
        reason=reason.strip(),
        records={name: mark for name, mark in now.items() if registered.get(name) != mark},
        gone=tuple(sorted(registered.keys() - now.keys())),
    )
    text = json.dumps(Ledger(entries=(*ledger.entries, entry)).model_dump(mode="json"), indent=1, ensure_ascii=False)
    (conformance / FILE_NAME).write_text(text + "\n", encoding="utf-8")
    return differences
