"""Changes that nothing can notice: ``survivors.toml`` names each, with the reason why it is no change at all."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sdpo_ref.errors import IntegrityError
from tools.mutation_score.mutations import Variant, line_text, variants

FILE = Path(__file__).parent / "survivors.toml"


@dataclass(frozen=True)
class Explained:
    """One entry.

    Attributes:
        file: below ``sdpo_ref``.
        line: the line's text, without the blanks around it.
        before: the expression that is exchanged.
        after: what stands there instead.
        reason: why values, gradients and errors are the same for every input that is allowed.
        occurrence: which of several such expressions on such lines, from 1.
    """

    file: str
    line: str
    before: str
    after: str
    reason: str
    occurrence: int = 1


def read(text: str) -> tuple[Explained, ...]:
    """The entries of a file.

    Args:
        text: TOML with one table ``[[equivalent]]`` for each entry.

    Returns:
        Entries in their order.

    Raises:
        IntegrityError: if a key is unknown or missing, or a reason is empty.
    """
    known = {field.name for field in fields(Explained)}
    found: list[Explained] = []
    tables = tomllib.loads(text)
    if set(tables) - {"equivalent"}:
        raise IntegrityError(f"survivors.toml has {sorted(tables)}; only [[equivalent]] is allowed")
    for table in tables.get("equivalent", []):
        wrong = (set(table) - known) | (known - {"occurrence"} - set(table))
        if wrong or not str(table["reason"]).strip():
            raise IntegrityError(f"survivors.toml: {table} has unknown, missing or empty {sorted(wrong) or ['reason']}")
        found.append(Explained(**table))
    return tuple(found)


def explained(entries: Sequence[Explained], files: Sequence[str]) -> Mapping[tuple[str, int], str]:
    """The changes that entries speak of.

    Args:
        entries: of ``survivors.toml``.
        files: those that are scored; entries about others are passed over.

    Returns:
        File and number of each change, and the reason.

    Raises:
        IntegrityError: if an entry matches no change, or two match the same.
    """
    reasons: dict[tuple[str, int], str] = {}
    for entry in entries:
        if entry.file not in files:
            continue
        same = [number for number, it in enumerate(variants(entry.file)) if _matches(entry, it)]
        if len(same) < entry.occurrence:
            raise IntegrityError(
                f"survivors.toml: {entry.file} has no change {entry.before!r} -> {entry.after!r} "
                f"(occurrence {entry.occurrence}) on a line {entry.line!r}; adapt the entry or take it out"
            )
        change = (entry.file, same[entry.occurrence - 1])
        if change in reasons:
            raise IntegrityError(f"survivors.toml: two entries for {entry.before!r} on {entry.line!r}; keep one")
        reasons[change] = entry.reason
    return reasons


def _matches(entry: Explained, variant: Variant) -> bool:
    return (entry.line, entry.before, entry.after) == (line_text(variant), variant.before, variant.after)
