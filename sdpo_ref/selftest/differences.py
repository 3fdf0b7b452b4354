"""How two kill matrices differ, in what does not depend on the machine."""

from collections.abc import Iterable

from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row


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
    lines = [line for row in found.rows for line in _of_row(before.get(row.id), row)]
    if complete:
        after = {row.id for row in found.rows}
        lines += [f"{name} is in the matrix on file and no more" for name in before if name not in after]
        if set(filed.benign) != set(found.benign):
            lines.append(f"right variants are {', '.join(found.benign)}, on file {', '.join(filed.benign)}")
    return [f"{line}; write the matrix with `sdpo-ref selftest`" for line in lines]


def _of_row(before: Row | None, now: Row) -> Iterable[str]:
    if before is None:
        yield f"{now.id} {now.name} is not in the matrix on file"
        return
    for name in ("name", "family", "defect", "wrong", "effect", "caught_by", "seen_in"):
        if getattr(before, name) != getattr(now, name):
            yield f"{now.id} {now.name}: its {name} is another than on file"
    more = sorted(set(now.failed) - set(before.failed))
    less = sorted(set(before.failed).intersection(now.caught_by) - set(now.failed))
    if more:
        yield f"{now.id} {now.name}: now also fails {', '.join(more)}"
    if less:
        yield f"{now.id} {now.name}: no longer fails {', '.join(less)}"
