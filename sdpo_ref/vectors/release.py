"""Deriving all vectors anew: to compare them with the released files, or to replace those for a stated reason."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.vectors import store
from sdpo_ref.vectors.case import KINDS, Answer, Case, Kind
from sdpo_ref.vectors.cases import cases
from sdpo_ref.vectors.derivation.answers import answer


@dataclass(frozen=True)
class Difference:
    """How the released vectors differ from what is derived now.

    Attributes:
        added: ids that are derived and not released.
        removed: ids that are released and no longer derived.
        changed: ids whose tensors, options, text or known wrong numbers differ, or whose released tensors do not
            have the recorded hash.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        """Number of ids of each sort."""
        return f"added {len(self.added)}, removed {len(self.removed)}, changed {len(self.changed)}"


Derived = list[tuple[Case, Answer]]


def derive(kind: Kind) -> Derived:
    """Every case of a kind with its answer."""
    return [(case, answer(case)) for case in cases(kind)]


def difference(kind: Kind, derived: Derived, folder: Path) -> Difference:
    """What the files of a kind and the derivation disagree about."""
    released = {entry["id"]: entry for entry in _entries(folder / f"{kind}.json")}
    now = {case.id: store.entry(case, found) for case, found in derived}
    common = released.keys() & now.keys()
    changed = {id_ for id_ in common if released[id_] != now[id_]} | _damaged(kind, folder, common)
    return Difference(
        tuple(id_ for id_ in now if id_ not in released),
        tuple(id_ for id_ in released if id_ not in now),
        tuple(id_ for id_ in now if id_ in changed),
    )


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return entries


def _damaged(kind: Kind, folder: Path, ids: Iterable[str]) -> set[str]:
    """Released ids whose tensors are not what their own hash says; all of them if the file cannot be read."""
    try:
        vectors = store.read_unverified(kind, folder)
    except IntegrityError:
        return set(ids)
    return {vector.id for vector in vectors if store.actual_hash(vector) != vector.sha256} & set(ids)


def replace_files(reason: str, folder: Path) -> Difference:
    """Write every file anew, and say why in ``HISTORY.md``; nothing is touched if nothing differs.

    Args:
        reason: why released numbers may change; one line that a reader understands later.
        folder: where the files are.

    Returns:
        What was changed.

    Raises:
        UsageError: if the reason is empty or has several lines.
    """
    reason = reason.strip()
    if not reason or "\n" in reason:
        raise UsageError(f"the reason must be one line of text, received {reason!r}; say why released numbers change")
    derived = {kind: derive(kind) for kind in KINDS}
    found = [difference(kind, derived[kind], folder) for kind in KINDS]
    total = Difference(
        tuple(id_ for part in found for id_ in part.added),
        tuple(id_ for part in found for id_ in part.removed),
        tuple(id_ for part in found for id_ in part.changed),
    )
    if total:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            store.write(kind, derived[kind], folder)
        with (folder / "HISTORY.md").open("a", encoding="utf-8", newline="\n") as history:
            history.write(f"- {reason} ({total}; root `{_root(derived)}`)\n")
    return total


def _root(derived: dict[Kind, Derived]) -> str:
    """Hash over the content hashes of all vectors, sorted by id."""
    hashes = {case.id: store.entry(case, found)["sha256"] for kind in KINDS for case, found in derived[kind]}
    return hashlib.sha256("".join(hashes[id_] for id_ in sorted(hashes)).encode()).hexdigest()[:16]
