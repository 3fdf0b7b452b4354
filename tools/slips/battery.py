"""A battery: slips that a person thought of, with the sentence that forbids each, or why none does."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from sdpo_ref.errors import IntegrityError
from sdpo_ref.mutants.plant import Planted, altered_reference

FOLDER = Path(__file__).parent
BATTERIES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the files beside this one."""


@dataclass(frozen=True)
class Slip:
    """A piece of one file of the reference, replaced as a slip of the pen would.

    Attributes:
        name: unique within its battery.
        kind: of what the slip is an example; find one, and look for others of its kind.
        file: below ``sdpo_ref``.
        line: the piece as it stands there, exactly once.
        instead: what stands there instead.
        forbidden_by: requirements that it breaks; empty if no sentence forbids it.
        outside: why no sentence does, where none does.
        profile: that the altered reference declares.
        parts: whose checks are run; empty for all that the file can reach.
    """

    name: str
    kind: str
    file: str
    line: str
    instead: str
    forbidden_by: tuple[str, ...] = ()
    outside: str = ""
    profile: str = "paper"
    parts: tuple[str, ...] = ()

    @property
    def planted(self) -> Planted:
        """The replacement."""
        return Planted(self.file, self.line, self.instead)


def read(text: str) -> tuple[Slip, ...]:
    """The slips of a battery.

    Args:
        text: TOML with one table ``[[slip]]`` for each.

    Returns:
        Slips in their order.

    Raises:
        IntegrityError: if a key is unknown or missing, a name stands twice, or a slip is neither forbidden nor outside.
    """
    known = {field.name for field in fields(Slip)}
    found: list[Slip] = []
    for table in tomllib.loads(text).get("slip", []):
        wrong = (set(table) - known) | ({"name", "kind", "file", "line", "instead"} - set(table))
        if wrong or bool(table.get("forbidden_by")) == bool(table.get("outside")):
            raise IntegrityError(
                f"slip {table.get('name')!r} has unknown or missing {sorted(wrong)}, or is not exactly one of "
                "forbidden_by and outside; adapt the entry"
            )
        lists = {name: tuple(table[name]) for name in ("forbidden_by", "parts") if name in table}
        found.append(Slip(**{**table, **lists}))
    names = [slip.name for slip in found]
    if len(set(names)) < len(names):
        raise IntegrityError(f"slips {sorted({it for it in names if names.count(it) > 1})} stand twice; rename one")
    return tuple(found)


def slips(battery: str) -> tuple[Slip, ...]:
    """The slips of one file.

    Args:
        battery: one of :data:`BATTERIES`.

    Returns:
        Slips in their order.
    """
    return read((FOLDER / f"{battery}.toml").read_text(encoding="utf-8"))


def make(battery: str, name: str) -> object:
    """The reference with one slip.

    Args:
        battery: one of :data:`BATTERIES`.
        name: of the slip.

    Returns:
        An implementation.
    """
    slip = next(it for it in slips(battery) if it.name == name)
    return altered_reference(slip.file, slip.planted.altered(), profile=slip.profile)
