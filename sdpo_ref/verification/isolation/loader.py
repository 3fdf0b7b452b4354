"""From ``module:factory,key=value``, or an object, to an implementation with its declarations resolved.

How the text is read and the module found is in :mod:`sdpo_ref._loading`.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeGuard

from sdpo_ref._loading import Target, find, foreign_frames, parse, summary, where
from sdpo_ref.errors import LoadError, SdpoRefError, UsageError
from sdpo_ref.protocols.profile import Profile, resolve_profile
from sdpo_ref.verification.entry.from_file import importable
from sdpo_ref.verification.isolation.surroundings import as_guest, begin
from sdpo_ref.verification.suite.capabilities import PARTS, declaration, declared_capabilities, has_part

SHORT_NAMES: Mapping[str, str] = {"reference": "sdpo_ref.bundled:make"}
"""Short names of implementations."""

BY_NAME = "an object cannot be loaded in another process; pass MODULE:FACTORY instead"
"""What to do where an implementation must be loaded in another process."""


@dataclass(frozen=True)
class Loaded:
    """An implementation with its declarations resolved.

    Attributes:
        spec: the text that it was loaded from; ``None`` for an object.
        implementation: the object whose parts are called.
        name: its own name, or else its text, or its class.
        profile: the choices that it declares.
        capabilities: what it declares to offer.
    """

    spec: str | None
    implementation: object
    name: str
    profile: Profile
    capabilities: frozenset[str]


def load(spec: str) -> Loaded:
    """Import, call the factory, and resolve what the implementation declares; what that does to the process is undone.

    Args:
        spec: ``module:factory`` or ``path/to/file.py:factory``, with ``,key=value`` for each keyword argument of the
            factory. Values are read as Python literals where possible, and as text otherwise. ``reference`` is the
            bundled reference.

    Raises:
        LoadError: if the text is malformed, the module or the attribute does not exist, or importing or calling it
            raises; the message has the place and the fix.
        UsageError: if the implementation declares an unknown profile, profile field or capability, or has no part.
    """
    target = parse(importable(spec), SHORT_NAMES)
    here = str(Path.cwd())
    if sys.path[0] != here:  # as `find` would, so that it is no change of the implementation's
        sys.path.insert(0, here)
    before = begin()
    try:
        loaded = _declared(spec, _made(target), spec)
    except BaseException:
        before.restore()
        raise
    return replace(loaded, implementation=as_guest(loaded.implementation, before))


def _made(target: Target) -> object:
    found = find(target)
    if _is_factory(found):
        implementation = _call(found, target)
    elif target.options:
        raise LoadError(
            f"{target.attribute} in {target.module} is not a function, so it takes no {set(target.options)}"
        )
    else:
        implementation = found
    if implementation is None:
        raise LoadError(f"{target.attribute}() in {target.module} returned None; end it with `return implementation`")
    return implementation


def load_object(implementation: object) -> Loaded:
    """Resolve what an object with parts declares; the object itself is used, not a copy.

    Args:
        implementation: any object with some of the parts.

    Raises:
        LoadError: if reading its declarations raises.
        UsageError: if it declares an unknown profile, profile field or capability, or has no part.
    """
    loaded = _declared(None, implementation, f"an object of class {type(implementation).__qualname__}")
    return replace(loaded, implementation=as_guest(implementation, begin()))


def _declared(spec: str | None, implementation: object, name: str) -> Loaded:
    try:
        return Loaded(
            spec=spec,
            implementation=implementation,
            name=str(declaration(implementation, "name") or name),
            capabilities=declared_capabilities(implementation),
            profile=resolve_profile(declaration(implementation, "profile") or "paper"),
        )
    except SdpoRefError:
        raise
    except Exception as error:
        raise LoadError(
            f"reading name, capabilities and profile of {name} raised {_what(error)}; "
            "capabilities is a list of ids, profile a name or a mapping of fields"
        ) from error


def _is_factory(found: object) -> TypeGuard[Callable[..., object]]:
    """A class, a function, or any callable without parts of its own is called; an object with parts is not."""
    if inspect.isclass(found) or inspect.isroutine(found) or isinstance(found, partial):
        return True
    return callable(found) and not any(has_part(found, part) for part in PARTS)


def _call(factory: Callable[..., object], target: Target) -> object:
    try:
        return factory(**target.options)
    except (LoadError, UsageError):  # its message has the fix
        raise
    except (Exception, SystemExit) as error:
        call = f"{target.attribute}({', '.join(f'{key}={value!r}' for key, value in target.options.items())})"
        if isinstance(error, TypeError) and len(foreign_frames(error, machinery=__file__)) == 0:
            raise LoadError(
                f"{call} does not fit: {error}; name a factory, that is a function which takes no argument (or the "
                "key=value given here) and returns an object with your parts"
            ) from error
        raise LoadError(f"{call} in {target.module} raised {_what(error)}") from error


def _what(error: BaseException) -> str:
    return f"{summary(error)} ({where(error, machinery=__file__)})"
