"""The golden files of a suite and their hashes: what was released, byte by byte.

``conformance/SHA256SUMS`` has one line a file, as ``sha256sum --check SHA256SUMS`` reads them. The commands that write
golden files record them; ``sdpo-ref verify`` compares them before it uses them. Each golden vector and each
registered record also has a hash of its own, so that a changed number can be located.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from sdpo_ref.errors import IntegrityError

SUMS = "SHA256SUMS"
"""In ``conformance/``. A suite without it is not released; an empty one is where recording begins."""

GOLDEN = (
    "claims.json",
    "findings.json",
    "lead.json",
    "published.json",
    "published-claims.json",
    "rates.json",
    "mutants/answers.json",
    "mutants/kill-matrix.json",
    "reference/*",
    "vectors/*.json",
    "vectors/*.safetensors",
)
"""Which files are golden. The manifest is not: a run compares it with everything that it found."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
_REPAIR = "restore the files of the release: reinstall sdpo-ref, or `git checkout` in a checkout"


def require_golden(conformance: Path) -> None:
    """Compare every golden file with its recorded hash.

    Args:
        conformance: folder of the checks.

    Raises:
        IntegrityError: if a file was changed, added or removed since it was recorded; the message names each.
    """
    if not (conformance / SUMS).exists():
        return
    recorded, found = _recorded(conformance), _found(conformance)
    changed = sorted(name for name in recorded.keys() & found if recorded[name] != found[name])
    problems = [
        *(f"{name} was changed" for name in changed),
        *(f"{name} is missing" for name in sorted(recorded.keys() - found)),
        *(f"{name} is not recorded" for name in sorted(found.keys() - recorded)),
    ]
    if problems:
        raise IntegrityError(
            f"golden files in {conformance} are not those that {SUMS} records: {'; '.join(problems)}; {_REPAIR}. "
            "To change them on purpose, use the command that writes them (CONTRIBUTING.md)"
        )


def record_golden(conformance: Path, names: Collection[str]) -> None:
    """Record some golden files as they are now; what is recorded about others stays. Without a list, nothing is done.

    Args:
        conformance: folder of the checks.
        names: patterns as in :data:`GOLDEN`.
    """
    if not (conformance / SUMS).exists():
        return
    kept = {name: mark for name, mark in _recorded(conformance).items() if not _is_any(name, names)}
    now = {name: mark for name, mark in _found(conformance).items() if _is_any(name, names)}
    lines = (f"{mark}  {name}\n" for name, mark in sorted({**kept, **now}.items()))
    (conformance / SUMS).write_text("".join(lines), encoding="ascii", newline="\n")


def _is_any(name: str, patterns: Collection[str]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)


def _found(conformance: Path) -> Mapping[str, str]:
    files = {file for pattern in GOLDEN for file in conformance.glob(pattern) if file.is_file()}
    return {file.relative_to(conformance).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _recorded(conformance: Path) -> dict[str, str]:
    path = conformance / SUMS
    lines = path.read_text(encoding="utf-8").splitlines()
    parsed = [_LINE.fullmatch(line) for line in lines]
    wrong = [line for line, match in zip(lines, parsed, strict=True) if match is None]
    if wrong:
        raise IntegrityError(f"{path} has a line that is not a hash and a file: {wrong[0][:80]!r}; {_REPAIR}")
    return {match[2]: match[1] for match in parsed if match is not None}
