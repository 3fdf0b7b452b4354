"""The requirements of ``spec/`` as data: looked up by id, grouped by chapter, filtered by level."""

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sdpo_ref.errors import UsageError

Strength = Literal["MUST", "SHOULD", "MAY"]
"""How binding a requirement is (RFC 2119)."""


def is_published_statement(requirement_id: str) -> bool:
    """Whether an id is that of a statement of the published study, such as P01."""
    return re.fullmatch(r"P\d\d", requirement_id) is not None


@dataclass(frozen=True)
class Requirement:
    """One numbered sentence of the specification.

    Attributes:
        id: permanent id, such as ``LOSS-012``.
        strength: MUST, SHOULD or MAY.
        level: 0 divergence, 1 loss, 2 context, 3 step, 4 trainer.
        needs: capabilities that an implementation must declare for the requirement to apply.
        sentence: what is demanded.
        source: where the demand comes from.
        why: its rationale.
        if_broken: what breaking it does to training.
        limits: of a claim, under which conditions it is made; empty for other requirements.
        after: requirements that must hold before a failure of this one is informative.
        profile_fields: profile fields on which the expectation depends.
        chapter: file name of its chapter without suffix, such as ``04-loss``.
        line: line of its heading in that file.
    """

    id: str
    strength: Strength
    level: int
    needs: tuple[str, ...]
    sentence: str
    source: str
    why: str
    if_broken: str
    limits: str
    after: tuple[str, ...]
    profile_fields: tuple[str, ...]
    chapter: str
    line: int

    @property
    def is_on_request(self) -> bool:
        """Whether it belongs to a run only if it is named: a statement of the published study."""
        return is_published_statement(self.id)

    @property
    def anchor(self) -> str:
        """Where to read it: file and heading, as a web page of the repository would link it."""
        return f"spec/{self.chapter}.md#{self.id.lower()}"

    @property
    def sentence_sha256(self) -> str:
        """Fingerprint of the sentence; line breaks do not count."""
        return hashlib.sha256(" ".join(self.sentence.split()).encode()).hexdigest()


@dataclass(frozen=True)
class Catalogue:
    """Every requirement of the specification, in reading order.

    Attributes:
        requirements: by id.
        retired: ids that are never used again, with the reason.
        titles: chapter to the title that its file opens with.
    """

    requirements: Mapping[str, Requirement]
    retired: Mapping[str, str]
    titles: Mapping[str, str]

    def __iter__(self) -> Iterator[Requirement]:
        """Requirements in reading order."""
        return iter(self.requirements.values())

    def __len__(self) -> int:
        """Number of requirements in force."""
        return len(self.requirements)

    def __getitem__(self, requirement_id: str) -> Requirement:
        """The requirement with this id, in any case.

        Raises:
            UsageError: for an unknown id; the message names near misses, or why the id was retired.
        """
        wanted = requirement_id.upper()
        if wanted in self.requirements:
            return self.requirements[wanted]
        if wanted in self.retired:
            raise UsageError(f"{wanted} was retired: {self.retired[wanted]}")
        near = difflib.get_close_matches(wanted, self.requirements, n=3, cutoff=0.6)
        hint = f"did you mean {', '.join(near)}?" if near else "see `sdpo-ref spec list`"
        raise UsageError(f"no requirement is called {requirement_id!r}; {hint}")

    @property
    def of_every_run(self) -> "Catalogue":
        """The same without what is run on request only."""
        every = {requirement.id: requirement for requirement in self if not requirement.is_on_request}
        return Catalogue(every, self.retired, self.titles)

    @property
    def highest_level(self) -> int:
        """The highest level that any requirement has."""
        return max((requirement.level for requirement in self), default=0)

    @property
    def chapters(self) -> tuple[str, ...]:
        """Chapters that hold at least one requirement, in reading order."""
        return tuple(dict.fromkeys(requirement.chapter for requirement in self))
