"""What a mutant is: an implementation with one defect, and what is claimed about it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sdpo_ref.bundled import Reference
from sdpo_ref.verification.suite.capabilities import PARTS

Build = Callable[[], object]
"""Makes an implementation; called each time it is loaded."""

GOOD = Reference("paper")
"""What a mutant is like in every part that it does not change; without trainers, so that no claim is checked."""


@dataclass(frozen=True)
class Mutant:
    """An implementation with one defect.

    Attributes:
        id: permanent, never used for another defect.
        name: permanent, in words.
        family: what goes wrong in general; mutants of one family break the same kind of thing.
        defect: id of the first mutant with this very defect; its own, unless it makes one of before in another way.
        wrong: what is wrong, one clause.
        effect: what that does to training, one clause.
        caught_by: requirements that must fail.
        build: makes it.
        parts: the parts that differ from the reference's; empty if any may.
        isolated: whether it hangs or ends its process, so that it needs one of its own.
        seen_from_outside: whether it takes a check that starts processes to see it; those are run for no other mutant.
        seen_in: public code that had this defect: an issue or pull request (``huggingface/trl#3043``), a repository, or
            a release that was read or run (``trl-1.16``). Empty if it is not known from any.
    """

    id: str
    name: str
    family: str
    defect: str
    wrong: str
    effect: str
    caught_by: tuple[str, ...]
    build: Build
    parts: frozenset[str] = frozenset()
    isolated: bool = False
    seen_from_outside: bool = False
    seen_in: tuple[str, ...] = ()


class Chapter:
    """Collects the mutants of one file, family by family, each with one line of the table."""

    def __init__(self) -> None:
        self.mutants: list[Mutant] = []
        self._family = ""

    def family(self, name: str) -> None:
        """Begin a family: what is entered from here on belongs to it.

        Args:
            name: what goes wrong in general.
        """
        self._family = name

    def enter(
        self,
        heading: str,
        wrong: str,
        effect: str,
        build: Build | None = None,
        *,
        same_as: str = "",
        isolated: bool = False,
        seen_from_outside: bool = False,
        seen_in: str = "",
        **parts: Any,
    ) -> None:
        """Enter a mutant of the family that was begun last.

        Args:
            heading: id, name and the requirements that must fail: ``M041 tail_dropped: LOSS-020 LOSS-023``.
            wrong: see :class:`Mutant`.
            effect: see :class:`Mutant`.
            build: makes it; left out if only some parts of the reference are replaced.
            same_as: id of the mutant with the same defect, made in another way.
            isolated: see :class:`Mutant`.
            seen_from_outside: see :class:`Mutant`.
            seen_in: see :class:`Mutant`; separated by blanks.
            parts: the parts to replace.
        """
        mutant, _, caught_by = heading.partition(": ")
        id_, name = mutant.split()
        self.mutants.append(
            Mutant(
                id=id_,
                name=name,
                family=self._family,
                defect=same_as or id_,
                wrong=wrong,
                effect=effect,
                caught_by=tuple(caught_by.split()),
                build=build or (lambda: with_parts(**parts)),
                parts=frozenset(parts) & frozenset(PARTS) if build is None else getattr(build, "parts", frozenset()),
                isolated=isolated,
                seen_from_outside=seen_from_outside,
                seen_in=tuple(seen_in.split()),
            )
        )


def with_parts(**parts: Any) -> SimpleNamespace:
    """The reference under the paper's profile with some of its parts replaced.

    Args:
        parts: attributes of an implementation.

    Returns:
        An implementation.
    """
    offered = {part: getattr(GOOD, part) for part in PARTS if hasattr(GOOD, part)}
    return SimpleNamespace(**{"profile": "paper", "capabilities": "all", **offered, **parts})
