"""What a decision rule can say, and what a claim with several comparisons says."""

from collections.abc import Iterable
from enum import StrEnum

from sdpo_ref.errors import InvalidInputError


class Ruling(StrEnum):
    """What the evidence allows to be said of one comparison or of one claim."""

    PASS = "PASS"  # noqa: S105  (a verdict)
    """The claim holds; wrong with at most the rule's false-pass rate."""

    FAIL = "FAIL"
    """The claim is refuted; wrong with at most the rule's false-fail rate."""

    INCONCLUSIVE = "INCONCLUSIVE"
    """The seeds do not decide. No error rate is stated for it; more seeds may decide."""

    INVALID = "INVALID"
    """The evidence cannot be used: a control failed, a value is not finite, or a metric is saturated."""


def all_of(rulings: Iterable[Ruling]) -> Ruling:
    """Ruling of a claim that says that every comparison holds: an intersection for PASS, a union for FAIL.

    Implements: STAT-027.

    Because every comparison has to pass, the false-pass rate needs no correction for their number. Because one that
    fails is enough, the false-fail rate does: each comparison gets its share.

    Args:
        rulings: of the comparisons, at least one.

    Returns:
        INVALID if any is, else FAIL if any is, else INCONCLUSIVE if any is, else PASS.

    Raises:
        InvalidInputError: if there is none; a claim about nothing is not true.

    Example:
        >>> str(all_of([Ruling.PASS, Ruling.INCONCLUSIVE, Ruling.FAIL]))
        'FAIL'
    """
    found = set(rulings)
    if not found:
        raise InvalidInputError("received no ruling; a claim needs at least one comparison; check what was selected")
    return next(one for one in (Ruling.INVALID, Ruling.FAIL, Ruling.INCONCLUSIVE, Ruling.PASS) if one in found)
