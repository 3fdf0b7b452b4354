"""The claim records: read out of spec/07-claims, and the ledger of those that are registered."""

import functools
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sdpo_ref import SPEC_VERSION
from sdpo_ref._resources import content
from sdpo_ref.claims.schema import Claim, Statement
from sdpo_ref.errors import IntegrityError, UsageError

CHAPTER = "07-claims.md"
"""In ``spec/``."""

PUBLISHED_CHAPTER = "09-published-study.md"
"""Has the statements of the published study, and the controls, beside its protocol."""

_HEADING = re.compile(r"### ([FPC]\d\d)[ \t]*\n")
Record = TypeVar("Record", bound=Statement)

_LIMITS = re.compile(r"^- Limits: (.*)$", re.MULTILINE)
_FENCED = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_claims(spec: Path) -> Mapping[str, Claim]:
    """Every claim record of a specification, in reading order.

    Args:
        spec: folder of the chapters.

    Returns:
        Id to claim; empty if the specification has no such chapter.

    Raises:
        IntegrityError: if a record is malformed, or stands under another claim's heading.
    """
    return _read(spec / CHAPTER, Claim)


def read_published(spec: Path) -> Mapping[str, Statement]:
    """Every statement of the published study with its controls, in reading order.

    Args:
        spec: folder of the chapters.

    Returns:
        Id to record; empty if the specification has no such chapter.

    Raises:
        IntegrityError: if a record is malformed, or stands under another heading.
    """
    return _read(spec / PUBLISHED_CHAPTER, Statement)


def _read(path: Path, kind: type[Record]) -> Mapping[str, Record]:
    if not path.exists():
        return {}
    found: dict[str, Record] = {}
    for heading, sentence, block in _blocks(path):
        try:
            claim = kind.model_validate({"id": heading, "statement": sentence, **tomllib.loads(block)})
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise IntegrityError(f"{path}: the record of {heading} cannot be read: {error}") from error
        if heading in found:
            raise IntegrityError(f"{path}: {heading} has two records; a claim has one")
        found[heading] = claim
    return found


@functools.cache
def released_claims() -> Mapping[str, Claim]:
    """The claims of the released specification."""
    return read_claims(content("spec"))


def chosen_claims(claims: Mapping[str, Record], names: tuple[str, ...]) -> tuple[Record, ...]:
    """Claims by name.

    Args:
        claims: all there are.
        names: such as ``F01``, in any case; none for all.

    Raises:
        UsageError: if a name is unknown.
    """
    unknown = [name for name in names if name.upper() not in claims]
    if unknown:
        raise UsageError(f"no claim is called {unknown[0]!r}; there are {', '.join(claims)}")
    wanted = {name.upper() for name in names} or set(claims)
    return tuple(claim for name, claim in claims.items() if name in wanted)


def limits_of(spec: Path) -> dict[str, str]:
    """Under which conditions each claim is made, and what each control explains, by id.

    Args:
        spec: folder of the chapters.
    """
    texts = [(spec / chapter).read_text(encoding="utf-8") for chapter in (CHAPTER, PUBLISHED_CHAPTER)]
    sections = [section for text in texts for section in re.split(r"^(?=#{2,3} )", text, flags=re.MULTILINE)]
    named = ((_HEADING.match(section), _LIMITS.search(section)) for section in sections)
    return {heading[1]: limits[1] for heading, limits in named if heading is not None and limits is not None}


def record_sha256(claim: BaseModel) -> str:
    """Fingerprint of a record; neither layout counts, nor whose statement a part is.

    Implements: STAT-012, STAT-034.
    """
    decided = claim.model_dump(mode="json", exclude={"parts": {"__all__": {"source"}}})
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _blocks(path: Path) -> Iterator[tuple[str, str, str]]:
    """Heading, sentence (the paragraph after the line of strength and level) and record of each claim."""
    for section in re.split(r"^(?=### )", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = _HEADING.match(section)
        if heading is None:
            continue
        paragraphs = re.split(r"\n\s*\n", section[heading.end() :].strip())
        for block in _FENCED.findall(section):
            yield heading[1], " ".join(paragraphs[1].split()), block


LEDGER = "claims.json"
"""In ``conformance/``: registrations of our own claims."""

PUBLISHED_LEDGER = "published-claims.json"
"""Beside it: of the published figures with their margins, of the published statements, and of their controls."""


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

    def differences(self, claims: Mapping[str, BaseModel]) -> tuple[str, ...]:
        """How the records differ from the registered ones, one line each.

        Implements: STAT-012.
        """
        registered = self.registered()
        now = {name: record_sha256(claim) for name, claim in claims.items()}
        return (
            *(f"{name}: new record" for name in now.keys() - registered.keys()),
            *(f"{name}: record gone" for name in registered.keys() - now.keys()),
            *(f"{name}: record changed" for name in sorted(now.keys() & registered) if now[name] != registered[name]),
        )


def read_ledger(conformance: Path, name: str = LEDGER) -> Ledger:
    """The ledger of a suite; empty if nothing was registered yet.

    Args:
        conformance: folder of the checks.
        name: of the file.

    Raises:
        IntegrityError: if the file is no ledger.
    """
    path = conformance / name
    if not path.exists():
        return Ledger()
    try:
        return Ledger.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise IntegrityError(f"{path} is no ledger of claims ({error}); restore it") from error


def register(conformance: Path, claims: Mapping[str, BaseModel], reason: str, name: str = LEDGER) -> tuple[str, ...]:
    """Add what differs to the ledger.

    Args:
        conformance: folder of the checks.
        claims: as the specification has them.
        reason: in a sentence.
        name: of the file.

    Returns:
        What differed; nothing is written if nothing did.

    Raises:
        UsageError: if no reason is given.
    """
    if not reason.strip():
        raise UsageError("received an empty reason; say in a sentence why records are registered or changed")
    ledger = read_ledger(conformance, name)
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
    (conformance / name).write_text(text + "\n", encoding="utf-8")
    return differences
