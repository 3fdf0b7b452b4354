"""Proof that a mutant is live: a call to which it answers differently from the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.bundled import make
from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, Mismatch, NotOfferedError
from sdpo_ref.verification.checks.processes import run_processes
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.shares import CASES, as_tensor
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.probe_calls import probes_of

TOLERANCE = 1e-12
"""Of two float64 results, relative and absolute; that of the properties in the suite."""

FACTOR = 10.0
"""A difference counts from this many tolerances on."""

_TRAINERS = ("trainer", "hybrid_trainer")
"""Parts that the reference has under the paper's profile alone, and not where it is copied to plant one defect."""

Answer = Tensor | str
"""A tensor, or the words for anything else."""


def first_difference(implementation: object, parts: frozenset[str], likely: str = "") -> tuple[str, str] | None:
    """The first call to which an implementation answers differently from the reference.

    Args:
        implementation: what to compare.
        parts: parts that may differ; empty for all.
        likely: name of the call to try first, if there is one of that name.

    Returns:
        Name of the call and the difference in words, or ``None`` if there is none.
    """
    try:
        mutant = Subject(implementation)
    except SystemExit:
        return "reading its precision", "SystemExit instead of an answer"
    probes = probes_of()
    for name in sorted(probes, key=lambda name: name != likely):
        part, call = probes[name]
        if (parts and part not in parts) or (part in _TRAINERS and not mutant.has_part(part)):
            continue
        found = difference(_answers(mutant, call), _answers_of_reference(name))
        if found:
            return name, found
    return None


def first_difference_in_processes(address: str) -> tuple[str, str] | None:
    """The first work on several processes that an implementation does otherwise than the reference.

    Args:
        address: ``module:factory`` text of the implementation.

    Returns:
        Name of the work and the difference in words, or ``None`` if there is none.
    """
    case, on = "another", Setting(1.0, FULL)
    for work in ("step", "loss"):
        found, expected = (
            [
                leaf
                for outcome in run_processes(it, work, on, world=CASES[case].world, case=case)
                for leaf in _flat({name: as_tensor(value) for name, value in _numbers(outcome.found).items()})
                or [outcome.message.partition(":")[0]]
            ]
            for it in (address, "reference")
        )
        words = difference(found, expected)
        if words:
            return f"{work} on four processes", words
    return None


def _numbers(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The gradient, or the student's last weights."""
    return found["student"][-1] if "student" in found else found


def difference(found: Sequence[Answer], expected: Sequence[Answer]) -> str:
    """How two lists of answers differ, in words; empty if they agree within ten tolerances.

    Args:
        found: of the mutant.
        expected: of the reference.

    Returns:
        Words, or nothing.

    Example:
        >>> difference([torch.tensor(1.5)], [torch.tensor(1.0)])
        '0.5 apart'
        >>> difference(["ValueError"], [torch.tensor(1.0)])
        'ValueError instead of an answer'
    """
    for got, wanted in zip(found, expected, strict=False):
        words = _between(got, wanted)
        if words:
            return words
    return "" if len(found) == len(expected) else f"{len(found)} answers instead of {len(expected)}"


def _between(got: Answer, wanted: Answer) -> str:
    if isinstance(got, str) or isinstance(wanted, str):
        if isinstance(got, str) and isinstance(wanted, str):
            return "" if got == wanted else "another text"
        return f"{got} instead of an answer" if isinstance(got, str) else f"an answer instead of {wanted}"
    if got.shape != wanted.shape:
        return f"shape {tuple(got.shape)} instead of {tuple(wanted.shape)}"
    one, other = got.double(), wanted.double()
    same = (one == other) | (one.isnan() & other.isnan())
    off = torch.where(same, 0.0, (one - other).abs())
    if not bool(torch.isfinite(off).all()):
        return "not finite instead of finite" if bool(torch.isfinite(other).all()) else "other places are not finite"
    beyond = off > FACTOR * TOLERANCE * (1 + torch.where(other.isfinite(), other.abs(), 0.0))
    return f"{float(off.max()):.2g} apart" if bool(beyond.any()) else ""


@cache
def _answers_of_reference(name: str) -> list[Answer]:
    """Computed once in a process."""
    return _answers(_reference(), probes_of()[name][1])


@cache
def _reference() -> Subject:
    """One for all calls: how exact its parts are is measured once."""
    return Subject(make())


def _answers(subject: Subject, call: object) -> list[Answer]:
    try:
        return list(_flat(call(subject)))  # type: ignore[operator]
    except NotOfferedError:
        return ["NotImplementedError"]
    except ImplementationRaisedError as error:
        return [error.summary.partition(":")[0]]
    except Mismatch as error:
        return [error.got]
    except SystemExit:
        return ["SystemExit"]


def _flat(value: object) -> Sequence[Answer]:
    if isinstance(value, Tensor):
        return [value.detach()]
    if isinstance(value, Mapping):
        return [leaf for name in sorted(value, key=str) for leaf in (str(name), *_flat(value[name]))]
    if is_dataclass(value) and not isinstance(value, type):
        return [leaf for field in fields(value) for leaf in _flat(getattr(value, field.name))]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _flat(item)]
    return [str(value)]
