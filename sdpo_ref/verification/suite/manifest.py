"""The locked denominator: which requirements there are, with which words, and which checks decide each.

``conformance/manifest.json`` is rewritten by ``sdpo-ref spec lock`` only. If what a run finds differs from it, checks
may be missing, so the run is incomplete (exit code 5).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.isolation.events import Check
from sdpo_ref.verification.suite.catalogue import Catalogue

FILE_NAME = "manifest.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Locked:
    """What is locked about one requirement."""

    strength: str
    level: int
    sentence_sha256: str
    checks: tuple[str, ...]


Manifest = Mapping[str, Locked]
"""Requirement id to what is locked about it."""


def lock(catalogue: Catalogue, checks: Iterable[Check]) -> Manifest:
    """The manifest of a specification and its checks; checks are locked by function, without parameters."""
    functions: dict[str, set[str]] = {requirement.id: set() for requirement in catalogue}
    for check in checks:
        for requirement_id in check.requirements:
            functions.setdefault(requirement_id, set()).add(check.function)
    return {
        requirement.id: Locked(
            requirement.strength,
            requirement.level,
            requirement.sentence_sha256,
            tuple(sorted(functions[requirement.id])),
        )
        for requirement in catalogue
    }


def read_manifest(conformance: Path) -> Manifest:
    """The manifest that the suite was released with; empty if there is none yet.

    Raises:
        IntegrityError: if the file is not a manifest.
    """
    path = conformance / FILE_NAME
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {
            requirement_id: Locked(**{**fields, "checks": tuple(fields["checks"])})
            for requirement_id, fields in document["requirements"].items()
        }
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise IntegrityError(f"{path} is not a manifest ({error}); restore it, or run `sdpo-ref spec lock`") from error


def write_manifest(conformance: Path, manifest: Manifest) -> None:
    """Write it so that a change of one requirement is a change of a few lines."""
    requirements = {
        requirement_id: {
            "strength": locked.strength,
            "level": locked.level,
            "sentence_sha256": locked.sentence_sha256,
            "checks": list(locked.checks),
        }
        for requirement_id, locked in sorted(manifest.items())
    }
    text = json.dumps({"schema": _SCHEMA, "requirements": requirements}, indent=2)
    (conformance / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def differences(released: Manifest, found: Manifest) -> tuple[str, ...]:
    """What differs between two manifests, one line each; nothing if they agree.

    Example:
        >>> one = {"LOSS-001": Locked("MUST", 0, "ab", ("loss/test_ends.py::test_forward",))}
        >>> differences(one, {})
        ('LOSS-001: gone (locked as MUST with 1 check)',)
    """
    lines: list[str] = []
    for requirement_id in sorted({*released, *found}):
        before, after = released.get(requirement_id), found.get(requirement_id)
        if before is None and after is not None:
            lines.append(f"{requirement_id}: new ({after.strength} with {_count(after)})")
        elif after is None and before is not None:
            lines.append(f"{requirement_id}: gone (locked as {before.strength} with {_count(before)})")
        elif before is not None and after is not None:
            lines.extend(f"{requirement_id}: {change}" for change in _changes(before, after))
    return tuple(lines)


def _changes(before: Locked, after: Locked) -> list[str]:
    changes = [
        f"{name} was {getattr(before, name)}, is {getattr(after, name)}"
        for name in ("strength", "level")
        if getattr(before, name) != getattr(after, name)
    ]
    if before.sentence_sha256 != after.sentence_sha256:
        changes.append("its sentence changed")
    changes += [f"check gone: {check}" for check in before.checks if check not in after.checks]
    changes += [f"check new: {check}" for check in after.checks if check not in before.checks]
    return changes


def _count(locked: Locked) -> str:
    return f"{len(locked.checks)} check{'' if len(locked.checks) == 1 else 's'}"
