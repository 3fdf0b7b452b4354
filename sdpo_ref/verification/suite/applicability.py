"""Whether a requirement applies to an implementation, and if not, what it would have to offer."""

from collections.abc import Collection, Iterable

from sdpo_ref.verification.suite.capabilities import part_of

NOT_OFFERED = "not offered: "
"""How the reason of a status N/A begins, if it is about capabilities and not about the profile."""


def not_declared(needs: Iterable[str], declared: Collection[str]) -> tuple[str, ...]:
    """Needed capabilities that are not declared; only the part itself, where the whole part is missing.

    Example:
        >>> not_declared(["loss", "loss.temperature"], {"divergence"})
        ('loss',)
        >>> not_declared(["loss", "loss.temperature"], {"loss"})
        ('loss.temperature',)
    """
    missing = (need for need in needs if need not in declared)
    return tuple(dict.fromkeys(need if part_of(need) in declared else part_of(need) for need in missing))


def reason(missing: Iterable[str]) -> str:
    """The reason of a status N/A."""
    return f"{NOT_OFFERED}{', '.join(missing)}"
