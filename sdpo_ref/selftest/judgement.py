"""From findings to the kill matrix, and to what is wrong with the suite."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from sdpo_ref.selftest.findings import Finding
from sdpo_ref.selftest.targets import Target
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Liveness, Row, Tolerance
from sdpo_ref.verification.suite.catalogue import Catalogue

UNBREAKABLE: Mapping[str, str] = {
    "ORACLE-001": "about the types of this package, which an implementation does not bring; its check builds broken "
    "judgements itself, and tests/test_types.py the rest",
}
"""MUSTs that no mutant can break, with the reason."""

WARNINGS = frozenset({"CONF-002", "CONF-003"})
"""SHOULDs that say how an implementation is checked, not what is wrong with it; right variants may fail them."""

BOUNDED: Mapping[str, str] = {
    "loss/test_gradient.py::test_half_precision_logits": "its gradient comes back in half precision: the error is the "
    "format's own rounding, which is bounded, and a wider tolerance would not see half-precision arithmetic",
}
"""Check functions whose tolerances are not eight times the error of a right implementation, with the reason."""

BENIGN_MARGIN = 8.0
"""A tolerance is at least this many times the largest error of a right implementation."""

WRONG_MARGIN = 10.0
"""A mutant that fails by number misses a tolerance by at least this factor."""


def matrix_of(targets: Sequence[Target], findings: Mapping[str, Finding]) -> KillMatrix:
    """What the findings say, in the order of the targets.

    Args:
        targets: what was run.
        findings: by name.

    Returns:
        The matrix.
    """
    rows, benign = [], {}
    for target in targets:
        found, mutant = findings[target.name], target.mutant
        if mutant is None:
            benign[target.name] = tuple(found.failed)
            continue
        rows.append(
            Row(
                mutant.id,
                mutant.name,
                mutant.family,
                mutant.defect,
                mutant.wrong,
                mutant.effect,
                mutant.caught_by,
                failed=tuple(found.requirements),
                checks=frozenset(found.failed),
                live=Liveness(found.probe, found.difference) if found.probe else None,
                seen_in=mutant.seen_in,
            )
        )
    parts = {check: part for target in targets for check, part in findings[target.name].parts.items()}
    return KillMatrix(tuple(rows), parts, benign, tolerances(targets, findings))


def tolerances(targets: Sequence[Target], findings: Mapping[str, Finding]) -> tuple[Tolerance, ...]:
    """How each tolerance lies between right and wrong, for all that right implementations were compared under.

    Args:
        targets: what was run.
        findings: by name.

    Returns:
        Tolerances in the order of their checks.
    """
    right: dict[str, float] = {}
    wrong: dict[str, float] = {}
    for target in targets:
        for key, units in findings[target.name].margins.items():
            if target.mutant is None:
                right[key] = max(units, right.get(key, 0.0))
            elif units > 1.0:
                wrong[key] = min(units, wrong.get(key, math.inf))
    found = []
    for key in sorted(right):
        check, relative, absolute = key.split("|")
        found.append(Tolerance(check, float(relative), float(absolute), _rounded(right[key]), _known(wrong.get(key))))
    return tuple(found)


def _known(units: float | None) -> float | None:
    return None if units is None else _rounded(units)


def _rounded(units: float) -> float:
    return float(f"{units:.2g}")


def problems(
    targets: Sequence[Target], findings: Mapping[str, Finding], catalogue: Catalogue, *, everything: bool
) -> tuple[str, ...]:
    """What is wrong, one line each; nothing if the suite has the power that it claims.

    Args:
        targets: what was run.
        findings: by name.
        catalogue: the specification.
        everything: whether all targets were run, so that a MUST that kills nothing can be told.

    Returns:
        Lines for a person.
    """
    lines = [line for target in targets for line in _of_target(target, findings[target.name])]
    if everything:
        killed = {name for it in targets if it.mutant for name in findings[it.name].requirements}
        lines += decorations(catalogue, killed)
        lines += [
            f"tolerance of {it.check} ({it.relative:g}, {it.absolute:g}): {text}"
            for it in tolerances(targets, findings)
            for text in too_near(it)
        ]
    return tuple(lines)


def decorations(catalogue: Catalogue, killed: Collection[str]) -> Iterable[str]:
    """MUSTs of levels 0 to 3 that no mutant fails, and stated exceptions that one does."""
    for requirement in catalogue:
        if requirement.strength != "MUST" or requirement.level > 3:
            continue
        if requirement.id not in killed and requirement.id not in UNBREAKABLE:
            yield f"{requirement.id} kills no mutant: it is decoration, or a mutant is missing"
        if requirement.id in killed and requirement.id in UNBREAKABLE:
            yield f"{requirement.id} kills a mutant; take it out of UNBREAKABLE in sdpo_ref/selftest/judgement.py"


def too_near(tolerance: Tolerance) -> Iterable[str]:
    """Why a tolerance does not separate right from wrong; nothing if it does, or if it is a stated exception.

    Example:
        >>> list(too_near(Tolerance("loss/test_a.py::test_b", 1e-9, 0.0, benign=0.5, wrong=1e6)))
        ['a right implementation comes to 0.5 of it, allowed is 1/8']
    """
    if tolerance.check in BOUNDED:
        return
    if tolerance.benign * BENIGN_MARGIN > 1.0:
        yield f"a right implementation comes to {tolerance.benign:g} of it, allowed is 1/{BENIGN_MARGIN:g}"
    if tolerance.wrong is not None and tolerance.wrong < WRONG_MARGIN:
        yield f"a mutant misses it by a factor of {tolerance.wrong:g} only, demanded is {WRONG_MARGIN:g}"


def _of_target(target: Target, found: Finding) -> Iterable[str]:
    name = f"{target.mutant.id} {target.name}" if target.mutant else target.name
    for line in found.broken:
        yield f"{name}: {line}"
    if found.broken:
        return
    if target.mutant is None:
        failed = sorted(set(found.requirements) - WARNINGS)
        if failed:
            yield f"{name} is right and fails {', '.join(failed)}"
        return
    missed = sorted(set(target.mutant.caught_by) - set(found.requirements))
    if not found.requirements:
        yield f"{name} survives"
    elif missed:
        yield f"{name} is not caught by {', '.join(missed)}, but by {', '.join(found.requirements)}"
    if not found.probe:
        yield f"{name} is not live: no probe tells it from the reference"
