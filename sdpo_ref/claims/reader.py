"""Reads the claim records out of spec/07-claims: one fenced TOML block under each claim's heading."""

import functools
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from sdpo_ref._resources import content
from sdpo_ref.claims.schema import Claim
from sdpo_ref.errors import IntegrityError, UsageError

FILE_NAME = "07-claims.md"
"""In ``spec/``."""

_HEADING = re.compile(r"### (F\d\d)[ \t]*\n")
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
    path = spec / FILE_NAME
    if not path.exists():
        return {}
    found: dict[str, Claim] = {}
    for heading, sentence, block in _blocks(path):
        try:
            claim = Claim.model_validate({"id": heading, "statement": sentence, **tomllib.loads(block)})
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


def chosen_claims(claims: Mapping[str, Claim], names: tuple[str, ...]) -> tuple[Claim, ...]:
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


def record_sha256(claim: Claim) -> str:
    """Fingerprint of a record; layout does not count.

    Implements: STAT-012.

    Args:
        claim: the record.
    """
    return hashlib.sha256(json.dumps(claim.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _blocks(path: Path) -> Iterator[tuple[str, str, str]]:
    """Heading, sentence (the paragraph after the line of strength and level) and record of each claim."""
    for section in re.split(r"^(?=### )", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = _HEADING.match(section)
        if heading is None:
            continue
        paragraphs = re.split(r"\n\s*\n", section[heading.end() :].strip())
        for block in _FENCED.findall(section):
            yield heading[1], " ".join(paragraphs[1].split()), block
