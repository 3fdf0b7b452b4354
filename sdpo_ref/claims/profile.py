"""How many seeds a verdict may use, and with which error rates."""

from dataclasses import dataclass
from typing import Literal

from sdpo_ref.claims.schema import Claim, Statement

ProfileName = Literal["smoke", "standard", "certify"]
"""Five seeds, which is the study's own protocol; the claims' own looks; the same looks at stricter rates."""

SMOKE_SEEDS = "F01"
"""Claims with these seeds are checked under ``smoke``: those about the runs in the four regimes."""

FIVE_SEEDS = (5,)
"""Looks of the study's own protocol."""

CERTIFIED_ALPHA = 0.01
"""False-pass rate of each claim under ``certify``."""

CERTIFIED_BETA = 0.01
"""False-fail rate of all claims together under ``certify``."""


@dataclass(frozen=True)
class Design:
    """Looks and error rates of one claim.

    Attributes:
        looks: numbers of seeds at which is decided.
        alpha: false-pass rate of the claim.
        beta: false-fail rate of the claim.
    """

    looks: tuple[int, ...]
    alpha: float
    beta: float


def design_of(claim: Statement, profile: ProfileName, *, claims: int) -> Design:
    """A claim's design under a profile.

    Implements: STAT-014.

    Args:
        claim: with its own looks and rates.
        profile: how thorough.
        claims: how many claims there are, which under ``certify`` share a rate.

    Example:
        >>> from sdpo_ref.claims.records import released_claims
        >>> design_of(released_claims()["F01"], "smoke", claims=14).looks
        (5,)
    """
    match profile:
        case "smoke":
            return Design(FIVE_SEEDS, claim.alpha, claim.beta)
        case "standard":
            return Design(claim.looks, claim.alpha, claim.beta)
        case "certify":
            return Design(claim.looks, CERTIFIED_ALPHA, CERTIFIED_BETA / claims)


def is_checked_under(claim: Claim, profile: ProfileName) -> bool:
    """Whether a profile has the claim at all."""
    return profile != "smoke" or claim.seeds.claim == SMOKE_SEEDS
