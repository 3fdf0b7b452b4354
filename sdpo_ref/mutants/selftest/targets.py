"""What is run, every mutant and every right variant as text that a worker can load, and what was found about each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sdpo_ref.errors import UsageError
from sdpo_ref.mutants import mutants
from sdpo_ref.mutants.benign import BENIGN
from sdpo_ref.mutants.mutant import Mutant
from sdpo_ref.mutants.unusual import UNUSUAL
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix

SLOW_CHECKS = (
    "trainer/test_processes.py::test_one_empty_process",
    "trainer/test_processes.py::test_unequal_processes",
    "trainer/test_processes.py::test_processes_on_which_nothing_counts",
    "trainer/test_processes.py::test_micro_batches_on_processes",
    "trainer/test_processes.py::test_groups_of_processes",
    "trainer/test_processes.py::test_nothing_counts_anywhere",
    "trainer/test_processes.py::test_mean_gradient",
    "loss/test_outside.py::test_same_outside_a_test",
)
"""These start interpreters, which takes as long as all other checks together. They are run for mutants that no other
check finds, for the reference, and for right variants with a loss of their own."""

_SHARE = 4
"""Of the checks of an unusual right variant, ``--check`` runs one in so many."""

_OWN_LOSSES = ("profile-paper", "chunked", "gradient-strided", "empty-batches-apart")
_OWN_PROCESSES = ("step-under-ddp", "step-of-gathered-counts")


@dataclass(frozen=True)
class Target:
    """An implementation to run the suite on.

    Attributes:
        name: of the mutant or of the right variant.
        address: what ``sdpo-ref verify`` takes.
        mutant: its entry, or ``None`` for a right variant.
        repeat: which random inputs the checks take; 0 for those of ``sdpo-ref verify``.
        filed: for a mutant, ids of the checks that fail for it according to the kill matrix on file. If there are any,
            only those of them that belong to a requirement in ``caught_by`` are run; if they do not decide all of
            ``caught_by``, the requirement's other checks as well. Empty: all checks of its parts are run.
        filed_probe: name of the call that shows a difference from the reference according to the file; tried first.
        share: one check of so many is run; which ones differs from variant to variant.
    """

    name: str
    address: str
    mutant: Mutant | None
    repeat: int = 0
    filed: frozenset[str] = frozenset()
    filed_probe: str = ""
    share: int = 1

    @property
    def key(self) -> str:
        """Name and repeat; no two targets of a run share it."""
        return f"{self.name}@{self.repeat}" if self.repeat else self.name

    @property
    def request(self) -> str:
        """One line of JSON, from which :func:`requested` makes the same target in a worker."""
        fields = {name: getattr(self, name) for name in ("name", "address", "repeat", "filed_probe", "share")}
        return json.dumps({**fields, "filed": sorted(self.filed)})

    @property
    def parts(self) -> frozenset[str]:
        """Parts whose checks are run; empty for all."""
        if self.mutant is not None:
            return self.mutant.parts
        return UNUSUAL[self.name].parts if self.name in UNUSUAL else frozenset()

    def part_of(self, checks: Sequence[Any]) -> list[Any]:
        """Its share of some checks; others for each variant, so that every check is run for some.

        Args:
            checks: in a fixed order.
        """
        return [check for at, check in enumerate(checks, start=sum(map(ord, self.name))) if at % self.share == 0]

    @property
    def with_slow_checks(self) -> bool:
        """Whether the checks that start interpreters are run."""
        if self.mutant is None:
            return self.name in (*_OWN_LOSSES, *_OWN_PROCESSES) and not self.repeat
        return self.mutant.seen_from_outside

    @property
    def isolated(self) -> bool:
        """Whether it must have a process of its own."""
        return self.mutant is not None and self.mutant.isolated


def all_targets() -> tuple[Target, ...]:
    """Every mutant, then every right variant."""
    wrong = [Target(it.name, f"sdpo_ref.mutants:make,name={it.name}", it) for it in mutants()]
    return (*wrong, *(Target(name, f"sdpo_ref.mutants:make_benign,name={name}", None) for name in BENIGN))


def requested(line: str, known: Mapping[str, Target]) -> Target:
    """The target from its request.

    Args:
        line: :attr:`Target.request`.
        known: every target by name.

    Example:
        >>> target = replace(all_targets()[0], filed=frozenset({"a::b[1]"}), filed_probe="a call")
        >>> requested(target.request, {target.name: target}) == target
        True
    """
    fields = json.loads(line)
    return replace(known[fields["name"]], **{**fields, "filed": frozenset(fields["filed"])})


def for_check(targets: Sequence[Target], matrix: KillMatrix) -> tuple[Target, ...]:
    """The same targets as ``--check`` runs them.

    A mutant is restricted to the checks that decide it according to the matrix on file. Right variants run every check,
    unusual ones a quarter of those of their parts; ``compiled`` is compiled for two kinds of inputs and not for eight.

    Args:
        targets: to restrict.
        matrix: on file. A mutant that it does not contain runs all checks of its parts.
    """
    rows = {row.name: row for row in matrix.rows}
    found = []
    for target in targets:
        row = rows.get(target.name) if target.mutant else None
        if row:
            found.append(replace(target, filed=row.checks, filed_probe=row.live.probe if row.live else ""))
        elif target.name in UNUSUAL:
            found.append(replace(target, share=_SHARE))
        elif target.name == "compiled":
            found.append(replace(target, address=f"{target.address},kinds=2"))
        else:
            found.append(target)
    return tuple(found)


def repeated(repeats: int) -> tuple[Target, ...]:
    """Right variants under other random inputs of the checks, repeat after repeat.

    The compiled variant is left out: a process compiles it for the first few inputs only. So are unusual ones, whose
    numbers are those of the reference.

    Args:
        repeats: how many other inputs.

    Returns:
        Every right variant ``repeats`` times.
    """
    right = [it for it in all_targets() if it.mutant is None and it.name not in {"compiled", *UNUSUAL}]
    return tuple(replace(target, repeat=number) for number in range(1, repeats + 1) for target in right)


def select(targets: Sequence[Target], only: Sequence[str]) -> tuple[Target, ...]:
    """Targets chosen by name, by id or by the beginning of their family.

    Args:
        targets: to choose from.
        only: names; empty for all.

    Returns:
        The chosen ones.

    Raises:
        UsageError: if a name chooses nothing.
    """

    def named(target: Target, name: str) -> bool:
        it = target.mutant
        return name in (target.name, it and it.id) or (it is not None and it.family.startswith(name))

    for name in only:
        if not any(named(target, name) for target in targets):
            raise UsageError(
                f"--only {name!r} is no mutant, family or benign variant; see conformance/mutants/README.md"
            )
    return tuple(target for target in targets if not only or any(named(target, name) for name in only))


Margins = dict[str, float]
"""``check|relative|absolute`` to the largest error in units of the tolerance."""


@dataclass
class Finding:
    """What was found about one target.

    Attributes:
        name: of the target.
        failed: checks that failed or raised.
        parts: the part of the implementation that each failed check calls first.
        broken: checks that broke themselves, or what kept the target from being run.
        requirements: requirements of the failed checks.
        decided: requirements of which at least one check ran.
        margins: how near comparisons came to their tolerances.
        probe: the call that shows a difference from the reference; empty if none does.
        difference: how far apart the two answers are.
        seconds: how long it took.
    """

    name: str
    failed: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    requirements: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    margins: Margins = field(default_factory=dict)
    probe: str = ""
    difference: str = ""
    seconds: float = 0.0

    def encode(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, line: str) -> "Finding":
        """The finding from its line."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**fields)
