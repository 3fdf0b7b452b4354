"""Where the numbers of a verdict come from: fresh runs, or stored ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sdpo_ref.claims.comparison import CellName
from sdpo_ref.claims.quantity import Metrics
from sdpo_ref.claims.schema import Seeds

UNDER_TEST = ""
"""The variant in which SDPO is what is being verified."""

BUNDLED = "bundled"
"""The variant in which SDPO is the bundled reference; other variants are names of mutants of it."""


@dataclass(frozen=True)
class Asked:
    """One run whose metrics are asked for.

    Attributes:
        seeds: of the claim.
        index: of the repeat, from 0.
        cell: of the study.
        variant: whose SDPO.
    """

    seeds: Seeds
    index: int
    cell: CellName
    variant: str = UNDER_TEST


@runtime_checkable
class Source(Protocol):
    """**Protocol:** gives metrics of runs."""

    def values(self, asked: Collection[Asked]) -> Mapping[Asked, Metrics]:
        """Metrics of those runs that there was time for, or that there are."""
        ...
