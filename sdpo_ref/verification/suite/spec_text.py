"""Reads ``spec/*.md`` into a catalogue; a malformed entry is named by file and line.

The format is described in spec/08-conformance: a heading ``### LOSS-012``, a line with strength, level and needs, the
sentence, and a list of Source, Why, If broken, and where they apply After and Profile.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sdpo_ref.errors import IntegrityError
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.verification.suite.capabilities import CAPABILITIES
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement, Strength

_CHAPTERS = "[0-9][0-9]-*.md"
_STUDY = ("06-", "09-")
"""The chapters about simulated worlds, ours and the published one: ``tests/`` decide them, and no implementation is
checked for them, but for the statements of the published study."""
_CLAIM = r"[FP]\d{2}"
"""Ids of claims, as the study has called them from the beginning, and of the published statements."""
_ANY_HEADING = re.compile(r"^#{1,6} ")
_ENTRY = re.compile(rf"^### +(?P<id>[A-Z]+-\S*|{_CLAIM})\s*$")
_ID = re.compile(rf"^(?:[A-Z]+-\d{{3}}|{_CLAIM})$")
_RULE = re.compile(r"^\*\*(?P<strength>MUST|SHOULD|MAY)\*\* · level (?P<level>[0-4])(?: · needs (?P<needs>.+))?$")
_RULE_EXAMPLE = "**MUST** · level 0 · needs `divergence`"
_BULLET = re.compile(r"^- (?P<name>[^:]+): *(?P<text>.*)$")
_DEMANDED = ("Source", "Why", "If broken")
_OPTIONAL = ("After", "Profile", "Limits")


def read_catalogue(spec: Path, *, study: bool = False) -> Catalogue:
    """Every requirement in a folder of chapters.

    Args:
        spec: folder that holds ``00-notation.md`` and so on; other files are not read.
        study: whether to include those of the simulated world, which no implementation is checked for.

    Raises:
        IntegrityError: if the folder has no requirement, or an entry is malformed, repeated, or refers to a
            requirement, capability or profile field that does not exist.
    """
    requirements: dict[str, Requirement] = {}
    retired: dict[str, str] = {}
    titles: dict[str, str] = {}
    for path in sorted(spec.glob(_CHAPTERS)):
        of_study = path.stem.startswith(_STUDY) and not study
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [entry for entry in _entries(path, lines) if not of_study or re.fullmatch(_CLAIM, entry.id)]
        if of_study and not entries:
            continue
        titles[path.stem] = next((line[2:].strip() for line in lines if line.startswith("# ")), path.stem)
        for entry in entries:
            if entry.id in requirements or entry.id in retired:
                raise entry.malformed("this id is used twice; ids are never used again")
            if entry.retired_because is None:
                requirements[entry.id] = _requirement(entry)
            else:
                retired[entry.id] = entry.retired_because
    if not requirements:
        raise IntegrityError(
            f"{spec} holds no requirement; expected files such as 04-loss.md with headings ### LOSS-001"
        )
    _refuse_dangling_prerequisites(requirements)
    return Catalogue(requirements, retired, titles)


@dataclass(frozen=True)
class _Entry:
    """The lines between a requirement's heading and the next heading."""

    id: str
    path: Path
    line: int
    body: tuple[str, ...]

    @property
    def retired_because(self) -> str | None:
        text = " ".join(line.strip() for line in self.body).strip()
        return text.removeprefix("Retired:").strip() if text.startswith("Retired:") else None

    def malformed(self, problem: str) -> IntegrityError:
        return IntegrityError(f"{self.path}:{self.line}: {self.id}: {problem}")


def _entries(path: Path, lines: list[str]) -> Iterator[_Entry]:
    headings = [number for number, line in enumerate(lines) if _ANY_HEADING.match(line)]
    for number, following in zip(headings, [*headings[1:], len(lines)], strict=True):
        heading = _ENTRY.match(lines[number])
        if heading is None:
            continue
        entry = _Entry(heading["id"], path, number + 1, tuple(lines[number + 1 : following]))
        if not _ID.match(entry.id):
            raise entry.malformed("an id is capitals, a hyphen and three digits, such as LOSS-012")
        yield entry


def _requirement(entry: _Entry) -> Requirement:
    paragraphs = re.split(r"\n\s*\n", "\n".join(entry.body).strip())
    rule = _RULE.match(paragraphs[0].strip())
    if rule is None:
        raise entry.malformed(f"the first line after the heading must look like `{_RULE_EXAMPLE}`")
    if len(paragraphs) < 2 or paragraphs[1].startswith("- "):
        raise entry.malformed("there is no sentence between the strength line and the list")
    fields = _bullets(entry)
    needs = _quoted(entry, rule["needs"] or "", CAPABILITIES, "capability")
    return Requirement(
        id=entry.id,
        strength=cast(Strength, rule["strength"]),
        level=int(rule["level"]),
        needs=needs,
        sentence=" ".join(paragraphs[1].split()),
        source=fields["Source"],
        why=fields["Why"],
        if_broken=fields["If broken"],
        limits=fields.get("Limits", ""),
        after=tuple(re.findall(r"[A-Z]+-\d{3}", fields.get("After", ""))),
        profile_fields=_known(entry, fields.get("Profile", ""), Profile.model_fields, "profile field"),
        chapter=entry.path.stem,
        line=entry.line,
    )


def _bullets(entry: _Entry) -> dict[str, str]:
    """The list of an entry, by name, wrapped lines joined."""
    fields: dict[str, str] = {}
    name = ""
    for line in entry.body:
        bullet = _BULLET.match(line)
        if bullet is not None:
            name = bullet["name"]
            if name not in (*_DEMANDED, *_OPTIONAL):
                raise entry.malformed(f"unknown item {name!r}; allowed are {', '.join((*_DEMANDED, *_OPTIONAL))}")
            if name in fields:
                raise entry.malformed(f"the item {name!r} is there twice")
            fields[name] = bullet["text"].strip()
        elif line.startswith("- "):
            raise entry.malformed(f"a list item is `- Name: text`; received {line!r}")
        elif name and line.startswith("  "):
            fields[name] = f"{fields[name]} {line.strip()}".strip()
        else:
            name = ""
    missing = [name for name in _DEMANDED if not fields.get(name)]
    if missing:
        raise entry.malformed(f"the list misses {', '.join(missing)}")
    return fields


def _quoted(entry: _Entry, text: str, allowed: Mapping[str, object], kind: str) -> tuple[str, ...]:
    names = tuple(re.findall(r"`([^`]+)`", text))
    if text and ", ".join(f"`{name}`" for name in names) != text.strip():
        raise entry.malformed(f"`needs` lists each {kind} in backticks, separated by commas; received {text!r}")
    return _refuse_unknown(entry, names, allowed, kind)


def _known(entry: _Entry, text: str, allowed: Mapping[str, object], kind: str) -> tuple[str, ...]:
    names = tuple(name for name in re.split(r"[,\s]+", text.replace("`", "").rstrip(".")) if name)
    return _refuse_unknown(entry, names, allowed, kind)


def _refuse_unknown(entry: _Entry, names: tuple[str, ...], allowed: Mapping[str, object], kind: str) -> tuple[str, ...]:
    for name in names:
        if name not in allowed:
            raise entry.malformed(f"unknown {kind} {name!r}; allowed are {', '.join(allowed)}")
    return names


def _refuse_dangling_prerequisites(requirements: Mapping[str, Requirement]) -> None:
    """Every prerequisite exists, and none leads back to where it came from."""
    for requirement in requirements.values():
        seen: set[str] = set()
        waiting = list(requirement.after)
        while waiting:
            prerequisite = waiting.pop()
            where = f"spec/{requirement.chapter}.md:{requirement.line}: {requirement.id}"
            if prerequisite not in requirements:
                raise IntegrityError(f"{where}: comes after {prerequisite}, which does not exist")
            if prerequisite == requirement.id:
                raise IntegrityError(f"{where}: comes after itself; break the circle of its prerequisites")
            if prerequisite not in seen:
                seen.add(prerequisite)
                waiting.extend(requirements[prerequisite].after)
