"""What a decision rule can conclude of a comparison, of a claim with several, and along a grid of levels."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise

from sdpo_ref.errors import InvalidInputError


class ClaimOutcome(StrEnum):
    """What the evidence allows to conclude about one comparison or one claim."""

    PASS = "PASS"  # noqa: S105  (a verdict)
    """The claim holds; wrong with at most the rule's false-pass rate."""

    FAIL = "FAIL"
    """The claim is refuted; wrong with at most the rule's false-fail rate."""

    INCONCLUSIVE = "INCONCLUSIVE"
    """The seeds do not decide. No error rate is stated for it; more seeds may decide."""

    INVALID = "INVALID"
    """The evidence cannot be used: a control failed, a value is not finite, or a metric is saturated."""


def all_of(outcomes: Iterable[ClaimOutcome]) -> ClaimOutcome:
    """Outcome of a claim that every comparison holds: an intersection for PASS, a union for FAIL.

    Implements: STAT-027.

    Because every comparison has to pass, the false-pass rate needs no correction for their number. Because one that
    fails is enough, the false-fail rate does: each comparison gets its share.

    Args:
        outcomes: of the comparisons, at least one.

    Returns:
        INVALID if any is, else FAIL if any is, else INCONCLUSIVE if any is, else PASS.

    Raises:
        InvalidInputError: if there is none; a claim about nothing is not true.

    Example:
        >>> str(all_of([ClaimOutcome.PASS, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.FAIL]))
        'FAIL'
    """
    found = set(outcomes)
    if not found:
        raise InvalidInputError("received no outcome; a claim needs at least one comparison; check what was selected")
    return next(
        one
        for one in (ClaimOutcome.INVALID, ClaimOutcome.FAIL, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS)
        if one in found
    )


def verified_prefix(outcomes: Sequence[ClaimOutcome]) -> int:
    """How many of the grid's levels, from the first, pass before one does not. Implements: STAT-004.

    Each level is decided by itself; no curve is fitted, and a level beyond a gap verifies nothing.

    Args:
        outcomes: of the levels, in their order.

    Example:
        >>> verified_prefix([ClaimOutcome.PASS, ClaimOutcome.INCONCLUSIVE, ClaimOutcome.PASS])
        1
    """
    return next((level for level, outcome in enumerate(outcomes) if outcome is not ClaimOutcome.PASS), len(outcomes))


def grid_reading(levels: Sequence[float], outcomes: Sequence[ClaimOutcome]) -> str:
    """Up to which level the claim is verified, and what became of the rest. Implements: STAT-004.

    Args:
        levels: increasing, in their own unit.
        outcomes: one for each level.

    Returns:
        One line. After the first level that does not pass, each one is named with its outcome, PASS included.

    Raises:
        InvalidInputError: if there is no level, one has no outcome, or they do not increase.

    Example:
        >>> passed, undecided = ClaimOutcome.PASS, ClaimOutcome.INCONCLUSIVE
        >>> grid_reading([0.0, 0.1, 0.3, 0.5], [passed, passed, passed, undecided])
        'verified to 0.3; 0.5 INCONCLUSIVE'
    """
    if not levels or len(levels) != len(outcomes):
        raise InvalidInputError(
            f"received {len(levels)} levels and {len(outcomes)} outcomes; allowed is one outcome for "
            "each of at least one level"
        )
    if any(not earlier < later for earlier, later in pairwise(levels)):
        raise InvalidInputError(f"received levels {list(levels)}; allowed are increasing ones")
    verified = verified_prefix(outcomes)
    start = f"verified to {levels[verified - 1]:g}" if verified else "not verified"
    rest = [f"{level:g} {outcome}" for level, outcome in zip(levels[verified:], outcomes[verified:], strict=True)]
    return "; ".join([start, ", ".join(rest)] if rest else [start])
