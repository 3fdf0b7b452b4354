"""From findings to the kill matrix, to what is wrong with the suite, and to differences from the matrix on file."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sdpo_ref.mutants.selftest.targets import Finding, Target
from sdpo_ref.verification.checks.comparison import HALF, TOLERANCES
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
    "policy/test_logits.py::test_shift": "an implementation in float32 rounds a shifted logit to 2^-24 of the shift, "
    "which the check chooses",
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


def with_rows_of(filed: KillMatrix, found: KillMatrix) -> KillMatrix:
    """A matrix in which some rows are newer; tolerances stay, because a margin is one of all implementations.

    Args:
        filed: with the rows of all mutants that were on file.
        found: of some mutants and right variants, which may be new.

    Returns:
        All rows, by id.
    """
    rows = {row.id: row for row in (*filed.rows, *found.rows)}
    return replace(
        filed,
        rows=tuple(rows[name] for name in sorted(rows)),
        parts={**filed.parts, **found.parts},
        benign={**filed.benign, **found.benign},
    )


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
    """What is wrong with the suite or its mutants, one line each; nothing if the suite catches all that it claims to.

    Args:
        targets: what was run.
        findings: by name.
        catalogue: the specification.
        everything: whether all targets were run, so that a MUST that kills nothing can be found.

    Returns:
        Lines for a person.
    """
    lines = [line for target in targets for line in _of_target(target, findings[target.name])]
    if everything:
        killed = {name for it in targets if it.mutant for name in findings[it.name].requirements}
        lines += musts_without_a_kill(catalogue, killed)
        lines += [
            f"tolerance of {it.check} ({it.relative:g}, {it.absolute:g}): {text}"
            for it in tolerances(targets, findings)
            for text in too_near(it)
        ]
    return tuple(lines)


def musts_without_a_kill(catalogue: Catalogue, killed: Collection[str]) -> Iterable[str]:
    """MUSTs of levels 0 to 3 that no mutant fails, and stated exceptions that a mutant does fail."""
    for requirement in catalogue:
        if requirement.strength != "MUST" or requirement.level > 3:
            continue
        if requirement.id not in killed and requirement.id not in UNBREAKABLE:
            yield f"{requirement.id} kills no mutant: enter a mutant that breaks it, or remove the requirement"
        if requirement.id in killed and requirement.id in UNBREAKABLE:
            yield f"{requirement.id} kills a mutant; take it out of UNBREAKABLE of mutants/selftest/problems.py"


def too_near(tolerance: Tolerance) -> Iterable[str]:
    """Why a tolerance does not separate right from wrong; nothing if it does, or if it is a stated exception.

    Example:
        >>> list(too_near(Tolerance("loss/test_a.py::test_b", 1e-9, 0.0, benign=0.5, wrong=1e6)))
        ['a right implementation comes to 0.5 of it, allowed is 1/8']
    """
    of_half_precision = (tolerance.relative, tolerance.absolute) in {TOLERANCES[dtype] for dtype in HALF}
    if tolerance.check in BOUNDED or of_half_precision:  # the rounding of half precision is bounded as well
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
        yield f"{name} is not live: it differs from the reference on no call of verification/diagnosis/probe_calls.py"


def differences(filed: KillMatrix, found: KillMatrix, *, complete: bool) -> list[str]:
    """How the result of ``sdpo-ref selftest --check`` differs from the matrix on file, one line for each difference.

    Measured numbers may differ, and so may single checks of a requirement, because rounding depends on the machine.
    A mutant may not fail a requirement that it does not fail on file. Of the requirements that fail on file, only
    those in ``caught_by`` are compared: checks of the others are not run.

    Args:
        filed: the matrix on file.
        found: by this run.
        complete: whether the run was of everything, so that what is missing from it is gone.

    Returns:
        Lines for a person.
    """
    before = {row.id: row for row in filed.rows}
    lines = [line for row in found.rows for line in _changed(before.get(row.id), row)]
    if complete:
        after = {row.id for row in found.rows}
        lines += [f"{name} is in the matrix on file and no longer a mutant" for name in before if name not in after]
        if set(filed.benign) != set(found.benign):
            lines.append(f"right variants are {', '.join(found.benign)}, on file {', '.join(filed.benign)}")
    return [f"{line}; write the matrix with `sdpo-ref selftest`" for line in lines]


def _changed(before: Row | None, now: Row) -> Iterable[str]:
    if before is None:
        yield f"{now.id} {now.name} is not in the matrix on file"
        return
    for name in ("name", "family", "defect", "wrong", "effect", "caught_by", "seen_in"):
        if getattr(before, name) != getattr(now, name):
            yield f"{now.id} {now.name}: its {name} differs from the one on file"
    more = sorted(set(now.failed) - set(before.failed))
    less = sorted(set(before.failed).intersection(now.caught_by) - set(now.failed))
    if more:
        yield f"{now.id} {now.name}: now also fails {', '.join(more)}"
    if less:
        yield f"{now.id} {now.name}: no longer fails {', '.join(less)}"
