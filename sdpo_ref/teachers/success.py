"""Which attempts succeeded (spec/02-oracle, ORACLE-003 to ORACLE-006)."""

from collections.abc import Sequence

from sdpo_ref.protocols.profile import ContextRules


def successes(rewards: Sequence[float], groups: Sequence[int], rules: ContextRules) -> list[bool]:
    """Whether each attempt succeeded, by a fixed threshold and, with a quantile, by rank within its group.

    With ``success_quantile = q`` an attempt must have a strictly higher reward than at least the share q of its
    group. Only the order of rewards matters, so the rule means the same for every increasing rescaling of the
    reward, and a group in which all rewards are equal has no success.
    Implements: ORACLE-003, ORACLE-004, ORACLE-005.

    Args:
        rewards: one for each attempt; a NaN is never a success and never worse than another.
        groups: equal for attempts at the same prompt.
        rules: the threshold and the quantile.

    Returns:
        One flag for each attempt.

    Example:
        >>> rules = ContextRules(success_threshold=float("-inf"), success_quantile=0.5)
        >>> successes([0.1, 0.4, 0.4, 0.9], [0, 0, 0, 0], rules)
        [False, False, False, True]
    """
    flags = []
    for reward, group in zip(rewards, groups, strict=True):
        succeeded = reward >= rules.success_threshold
        if rules.success_quantile is not None:
            members = [other for other, of in zip(rewards, groups, strict=True) if of == group]
            worse = sum(other < reward for other in members)
            succeeded = succeeded and worse / len(members) >= rules.success_quantile
        flags.append(succeeded)
    return flags
