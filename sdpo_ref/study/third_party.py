"""Parts that others wrote, made by the factories that settings name."""

from typing import TypeVar

from sdpo_ref.errors import LoadError
from sdpo_ref.loading import resolve

Part = TypeVar("Part")


def made_by(factory: str, protocol: type[Part], *given: object, **options: object) -> Part:
    """Call a third party's factory, and see that what it returns is what was asked for.

    Args:
        factory: ``module:factory``.
        protocol: what it must return.
        given: positional arguments.
        options: keyword arguments.

    Returns:
        The part.

    Raises:
        LoadError: if there is no such factory, or it returns something else. What the factory itself raises passes.
    """
    made = resolve(factory)(*given, **options)
    if not isinstance(made, protocol):
        raise LoadError(
            f"{factory} returned a {type(made).__name__}, which is no {protocol.__name__}; "
            f"give it the methods of sdpo_ref.protocols.{protocol.__name__}"
        )
    return made
