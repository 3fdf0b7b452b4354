"""Which mutant fails which check: written by ``sdpo-ref selftest``, read for a diagnosis."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError

FILE = Path("mutants") / "kill-matrix.json"
"""Below ``conformance/``."""

_SCHEMA = 1


@dataclass(frozen=True)
class Liveness:
    """Where a mutant differs from the reference.

    Attributes:
        probe: the call that shows it.
        difference: in words: how far apart two numbers are, or what is done instead of an answer.
    """

    probe: str
    difference: str


@dataclass(frozen=True)
class Row:
    """What the suite says about one mutant.

    Attributes:
        id: permanent.
        name: permanent.
        family: what goes wrong in general.
        defect: id of the first mutant with the same defect.
        wrong: what is wrong.
        effect: what that does to training.
        caught_by: requirements that must fail.
        failed: requirements that fail, those whose prerequisite failed included.
        checks: checks that fail.
        live: where it differs from the reference.
        seen_in: public code that had this defect; empty if it is not known from any.
    """

    id: str
    name: str
    family: str
    defect: str
    wrong: str
    effect: str
    caught_by: tuple[str, ...]
    failed: tuple[str, ...]
    checks: frozenset[str]
    live: Liveness | None
    seen_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tolerance:
    """How a tolerance lies between right and wrong implementations, in units of itself.

    Attributes:
        check: the check function that has it.
        relative: its relative part.
        absolute: its absolute part.
        benign: the largest error of a right implementation; infinite if it is not finite.
        wrong: the smallest error by which a mutant fails it; infinite if it is not finite, ``None`` if none does.
    """

    check: str
    relative: float
    absolute: float
    benign: float
    wrong: float | None


@dataclass(frozen=True)
class KillMatrix:
    """All mutants and right variants with what the suite says about them.

    Attributes:
        rows: one for each mutant.
        parts: the part of an implementation that each check calls first, for checks that some mutant fails.
        benign: right variants, each with the checks that failed.
        tolerances: how far each lies from right and from wrong.
    """

    rows: tuple[Row, ...]
    parts: Mapping[str, str]
    benign: Mapping[str, tuple[str, ...]]
    tolerances: tuple[Tolerance, ...]


def read_kill_matrix(conformance: Path | None = None) -> KillMatrix:
    """The matrix that the suite was released with.

    Args:
        conformance: folder of the suite; the released one by default.

    Returns:
        The matrix.

    Raises:
        IntegrityError: if there is none, or the file is not one.
    """
    path = (conformance or content("conformance")) / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return _parse(document)
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is not a kill matrix ({error!r}); write it with `sdpo-ref selftest`") from error


def write_kill_matrix(conformance: Path, matrix: KillMatrix) -> None:
    """Write it so that a change of one mutant is a change of one line."""
    checks = sorted({check for row in matrix.rows for check in row.checks})
    number = {check: index for index, check in enumerate(checks)}
    rows = [{**asdict(row), "checks": sorted(number[check] for check in row.checks)} for row in matrix.rows]
    lines = {
        "checks": _lines([[check, matrix.parts.get(check, "")] for check in checks]),
        "mutants": _lines(rows),
        "benign": _lines([{"name": name, "failed": failed} for name, failed in matrix.benign.items()]),
        "tolerances": _lines([_finite(tolerance) for tolerance in matrix.tolerances]),
    }
    body = ",\n".join(f'"{name}": {text}' for name, text in lines.items())
    path = conformance / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{\n"schema": {_SCHEMA},\n{body}\n}}\n', encoding="utf-8")


def _lines(items: list[Any]) -> str:
    inner = ",\n".join(json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items)
    return f"[\n{inner}\n]"


def _finite(tolerance: Tolerance) -> dict[str, Any]:
    """JSON has no infinity; a text stands for it."""
    return {name: "inf" if value == float("inf") else value for name, value in asdict(tolerance).items()}


def _tolerance(fields: Mapping[str, Any]) -> Tolerance:
    read: dict[str, Any] = {name: float("inf") if value == "inf" else value for name, value in fields.items()}
    return Tolerance(**read)


def _parse(document: Mapping[str, Any]) -> KillMatrix:
    if document["schema"] != _SCHEMA:
        raise ValueError(f"schema {document['schema']}, this release reads {_SCHEMA}")
    parts = dict(document["checks"])
    checks = list(parts)
    return KillMatrix(
        rows=tuple(
            Row(
                **{
                    **fields,
                    "caught_by": tuple(fields["caught_by"]),
                    "seen_in": tuple(fields["seen_in"]),
                    "failed": tuple(fields["failed"]),
                    "checks": frozenset(checks[index] for index in fields["checks"]),
                    "live": fields["live"] and Liveness(**fields["live"]),
                }
            )
            for fields in document["mutants"]
        ),
        parts=parts,
        benign={entry["name"]: tuple(entry["failed"]) for entry in document["benign"]},
        tolerances=tuple(_tolerance(fields) for fields in document["tolerances"]),
    )
