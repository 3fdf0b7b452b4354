"""Reading rulings along a grid of levels, such as rates of noise: how far is a claim verified?"""

from collections.abc import Sequence
from itertools import pairwise

from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.errors import InvalidInputError


def verified_prefix(rulings: Sequence[Ruling]) -> int:
    """How many of the grid's levels, from the first, pass before one does not. Implements: STAT-004.

    Each level is decided by itself; no curve is fitted, and a level beyond a gap verifies nothing.

    Args:
        rulings: of the levels, in their order.

    Example:
        >>> verified_prefix([Ruling.PASS, Ruling.INCONCLUSIVE, Ruling.PASS])
        1
    """
    return next((level for level, ruling in enumerate(rulings) if ruling is not Ruling.PASS), len(rulings))


def grid_reading(levels: Sequence[float], rulings: Sequence[Ruling]) -> str:
    """Up to which level the claim is verified, and what became of the rest. Implements: STAT-004.

    Args:
        levels: increasing, in their own unit.
        rulings: one for each level.

    Returns:
        One line. After the first level that does not pass, each one is named with its ruling, PASS included.

    Raises:
        InvalidInputError: if there is no level, one has no ruling, or they do not increase.

    Example:
        >>> grid_reading([0.0, 0.1, 0.3, 0.5], [Ruling.PASS, Ruling.PASS, Ruling.PASS, Ruling.INCONCLUSIVE])
        'verified to 0.3; 0.5 INCONCLUSIVE'
    """
    if not levels or len(levels) != len(rulings):
        raise InvalidInputError(
            f"received {len(levels)} levels and {len(rulings)} rulings; allowed is one ruling for "
            "each of at least one level"
        )
    if any(not earlier < later for earlier, later in pairwise(levels)):
        raise InvalidInputError(f"received levels {list(levels)}; allowed are increasing ones")
    verified = verified_prefix(rulings)
    start = f"verified to {levels[verified - 1]:g}" if verified else "not verified"
    rest = [f"{level:g} {ruling}" for level, ruling in zip(levels[verified:], rulings[verified:], strict=True)]
    return "; ".join([start, ", ".join(rest)] if rest else [start])
