"""Which seeds repeat an experiment, and which are kept for tuning."""

from sdpo_ref.errors import UsageError

_FIRST_OF_TUNING = 1_000_000


def claim_seeds(count: int) -> tuple[int, ...]:
    """Seeds of the claims: 0, 1, 2 and so on.

    Implements: SIM-149.

    Args:
        count: how many; at least 1 and at most a million.

    Raises:
        UsageError: if there are none, or so many that they reach those of tuning.

    Example:
        >>> claim_seeds(3)
        (0, 1, 2)
    """
    return tuple(range(_allowed(count)))


def tuning_seeds(count: int) -> tuple[int, ...]:
    """Seeds on which settings are chosen; no claim uses them.

    Implements: SIM-149.

    Args:
        count: how many; at least 1 and at most a million.

    Raises:
        UsageError: if the number is outside that.

    Example:
        >>> tuning_seeds(2)
        (1000000, 1000001)
    """
    return tuple(_FIRST_OF_TUNING + number for number in range(_allowed(count)))


def _allowed(count: int) -> int:
    if not 1 <= count <= _FIRST_OF_TUNING:
        raise UsageError(f"received {count} seeds; allowed are 1 to {_FIRST_OF_TUNING}, and 5 are the study's protocol")
    return count
