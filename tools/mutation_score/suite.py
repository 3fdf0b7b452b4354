"""Which small changes of a file some check of the suite notices, under any profile that can be declared."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import get_args

from sdpo_ref.errors import IntegrityError
from sdpo_ref.mutants.mutant import Mutant
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.selftest import worker
from sdpo_ref.mutants.selftest.targets import Finding, Target
from sdpo_ref.protocols.profile import PROFILES, Profile, resolve_profile
from sdpo_ref.verification.suite.capabilities import PARTS
from tools.mutation_score.mutations import UNCHANGED

Change = tuple[str, int]
"""A file below ``sdpo_ref``, and the number of one of its changes."""

_ADDRESS = "tools.mutation_score.mutations:make"
_ANY_FILE = "losses/reference.py"

_LOSSES = frozenset({"loss", "sdft_loss", "hybrid_loss", "step"})
_CONCERNS: Mapping[str, frozenset[str]] = {
    "aggregation": _LOSSES,
    "accumulation": frozenset({"step"}),
    "missing_behaviour": frozenset({"loss"}),
    "top_k_from": _LOSSES | {"divergence"},
    "own_success": frozenset({"context"}),
    "feedback_when": frozenset({"context"}),
    "ema_cadence": frozenset({"step"}),
    "hybrid": frozenset({"hybrid_loss"}),
    "group_advantage": frozenset({"hybrid_loss"}),
}
"""The parts of an implementation in which a choice can show."""


def declarations() -> tuple[str, ...]:
    """The profiles under which a change is asked about: all that are published, then each choice that none makes.

    Returns:
        Names, and ``field:value`` for the paper's profile with another choice.

    Example:
        >>> declarations()[0], "aggregation:row_sum" in declarations()
        ('paper', True)
    """
    published = {(field, getattr(profile, field)) for profile in PROFILES.values() for field in Profile.model_fields}
    fields = Profile.model_fields.items()
    choices = [
        (field, value) for field, info in fields for value in get_args(info.annotation) if isinstance(value, str)
    ]
    return (*PROFILES, *(f"{field}:{value}" for field, value in choices if (field, value) not in published))


@cache
def parts_to_ask(declares: str) -> frozenset[str]:
    """The parts that answer differently than under every profile before this one; the others need no second run.

    Args:
        declares: one of :func:`declarations`.

    Returns:
        Parts of an implementation.

    Example:
        >>> sorted(parts_to_ask("trl-sdft")), sorted(parts_to_ask("top_k_from:teacher"))
        (['hybrid_loss'], ['divergence', 'hybrid_loss', 'loss', 'sdft_loss', 'step'])
    """
    before = declarations()[: declarations().index(declares)]
    return frozenset(part for part in PARTS if _choices(declares, part) not in [_choices(it, part) for it in before])


def _choices(declares: str, part: str) -> tuple[object, ...]:
    """What a profile declares about a part."""
    field, _, value = declares.partition(":")
    profile = resolve_profile({field: value} if value else declares)
    return tuple(getattr(profile, name) for name, parts in _CONCERNS.items() if part in parts)


def noticed_by_suite(
    changes: Sequence[Change], unchanged: Sequence[str] = (), *, profiles: Sequence[str] | None = None
) -> Mapping[Change, str]:
    """Run the suite on each change until a check fails.

    Args:
        changes: what to run.
        unchanged: profiles under which the reference as it stands is run first.
        profiles: under which a change is run, the first ones of :func:`declarations`; all if not given.

    Returns:
        For each change that is noticed the profile and the check.

    Raises:
        IntegrityError: if the suite fails what was not changed, so that its failures say nothing.
    """
    ran: set[Change] = set()
    noticed: dict[Change, str] = {}
    faults: list[str] = []

    def report(finding: Finding) -> None:
        file, number, declares = finding.name.split("|")
        change, by = (file, int(number)), next(iter([*finding.failed, *finding.broken]), "")
        ran.add(change)
        if by and change[1] == UNCHANGED:
            faults.append(f"the reference as it stands fails under {declares}: {by}; run `sdpo-ref verify` first")
        elif by:
            noticed[change] = f"{declares}: {by}"

    worker.run(_targets(changes, unchanged, noticed, profiles or declarations()), report, first_only=True)
    faults += [f"the suite ended before {missing}; run fewer files" for missing in sorted(set(changes) - ran)]
    if faults:
        raise IntegrityError(faults[0])
    return noticed


def _targets(
    changes: Sequence[Change], unchanged: Sequence[str], noticed: Mapping[Change, str], profiles: Sequence[str]
) -> Iterator[Target]:
    """What is as it stands, then each change under one profile after the other, until it is noticed."""
    for declares in unchanged:
        yield _target(_ANY_FILE, UNCHANGED, declares, parts=frozenset())
    for file, number in changes:
        for declares in profiles:
            parts = Planted(file, "", "").parts & parts_to_ask(declares)
            if parts and (file, number) not in noticed:
                yield _target(file, number, declares, parts=parts)
        sys.stderr.write(f"{file} {number}: {noticed.get((file, number), 'no check notices')}\n")


def _target(file: str, number: int, declares: str, *, parts: frozenset[str]) -> Target:
    mutant = Mutant("", "", "", "", "", "", (), lambda: None, parts)
    return Target(f"{file}|{number}|{declares}", f"{_ADDRESS},file={file},number={number},declares={declares}", mutant)
