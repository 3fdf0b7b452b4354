"""Parts from outside this package, made by the factories that settings name."""

import functools
import inspect
from typing import TypeVar

from sdpo_ref._loading import find, parse, resolve
from sdpo_ref.errors import LoadError

Part = TypeVar("Part")


def made_by(factory: str, protocol: type[Part], *given: object, **options: object) -> Part:
    """Call a third party's factory, and check that it returns what the protocol demands.

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
    return _seen_to_be(protocol, resolve(factory)(*given, **options), factory)


def made_by_implementation(
    implementation: str, part: str, protocol: type[Part], *given: object, **options: object
) -> Part:
    """Call a part of an implementation, and check that it returns what the protocol demands.

    Args:
        implementation: ``module:factory[,key=value]`` of an object with parts.
        part: name of the attribute to call.
        protocol: what it must return.
        given: positional arguments.
        options: keyword arguments.

    Returns:
        What the part made.

    Raises:
        LoadError: if there is no such implementation or part, or it returns something else. What the implementation
            itself raises passes.
    """
    target = parse(implementation)
    found = find(target)
    is_factory = inspect.isclass(found) or inspect.isroutine(found) or isinstance(found, functools.partial)
    whole = found(**target.options) if callable(found) and (is_factory or not hasattr(found, part)) else found
    make = getattr(whole, part, None)
    if not callable(make):
        raise LoadError(f"{implementation} has no part {part!r} that can be called; give it one, or do not declare it")
    return _seen_to_be(protocol, make(*given, **options), f"{part} of {implementation}")


def _seen_to_be(protocol: type[Part], made: object, who: str) -> Part:
    if not isinstance(made, protocol):
        raise LoadError(
            f"{who} returned a {type(made).__name__}, which is no {protocol.__name__}; "
            f"give it the methods of sdpo_ref.protocols.{protocol.__name__}"
        )
    return made
