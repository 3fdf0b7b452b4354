"""From ``module:factory,key=value`` to a loaded implementation; every way in which that fails has its own message.

The text is that of Python entry points with keyword arguments added. The working directory is searched first, so
that a file ``my_sdpo.py`` beside the user is ``my_sdpo:make``.
"""

import ast
import difflib
import importlib
import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from sdpo_ref.config.profile import Profile, resolve_profile
from sdpo_ref.errors import LoadError, SdpoRefError
from sdpo_ref.verify.capabilities import PARTS, declared_capabilities

SHORT_NAMES: Mapping[str, str] = {"reference": "sdpo_ref.reference:make"}
"""Names that stand for a longer one."""

_SHAPE = "write MODULE:FACTORY, for instance my_sdpo:make or my_sdpo:make,dtype=float64"
_OPTION = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)")
_NOT_THE_USERS = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    "<frozen ",
)


@dataclass(frozen=True)
class Loaded:
    """An implementation with its declarations resolved.

    Attributes:
        spec: the text that it was loaded from.
        implementation: the object whose parts are called.
        name: what it calls itself, or else its text.
        profile: the choices that it declares.
        capabilities: what it declares to offer.
    """

    spec: str
    implementation: object
    name: str
    profile: Profile
    capabilities: frozenset[str]


@dataclass(frozen=True)
class _Target:
    """The three parts of ``module:factory,key=value``."""

    module: str
    attribute: str
    options: Mapping[str, object]


def load(spec: str) -> Loaded:
    """Import, call the factory, and resolve what the implementation declares.

    Args:
        spec: ``module:factory``, with ``,key=value`` for each keyword argument of the factory. Values are read as
            Python literals where possible, and as text otherwise. ``reference`` is the bundled reference.

    Raises:
        LoadError: if the text is malformed, the module or the attribute does not exist, or importing or calling it
            raises; the message says where and what to do.
        UsageError: if the implementation declares an unknown profile, profile field or capability, or has no part.
    """
    target = _parse(spec)
    found = _attribute(_module(target), target)
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
    return _declared(spec, implementation)


def _declared(spec: str, implementation: object) -> Loaded:
    try:
        return Loaded(
            spec=spec,
            implementation=implementation,
            name=str(getattr(implementation, "name", None) or spec),
            capabilities=declared_capabilities(implementation),
            profile=resolve_profile(getattr(implementation, "profile", "paper")),
        )
    except SdpoRefError:
        raise
    except Exception as error:
        raise LoadError(
            f"reading name, capabilities and profile of {spec} raised {_summary(error)} ({_where(error)}); "
            "capabilities is a list of ids, profile a name or a mapping of fields"
        ) from error


def _parse(spec: str) -> _Target:
    """Split the text.

    Example:
        >>> _parse("my_sdpo:make,alpha=0.5,dtype=float64").options
        {'alpha': 0.5, 'dtype': 'float64'}
    """
    head, *options = _OPTION.split(spec.strip())
    module, colon, attribute = SHORT_NAMES.get(head, head).partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        stem = Path(module.replace("\\", "/")).stem
        raise LoadError(
            f"{spec!r} names a file; go to its folder and write the module's name: {stem}:{attribute or 'FACTORY'}"
        )
    if not colon:
        near = difflib.get_close_matches(head, SHORT_NAMES, n=1)
        hint = f"; or did you mean {near[0]!r}?" if near else ""
        raise LoadError(f"{spec!r} does not name a factory; {_SHAPE}{hint}")
    dotted = (*module.split("."), *attribute.split("."))
    if not all(name.isidentifier() for name in dotted):
        raise LoadError(f"{spec!r} is not a valid name; {_SHAPE}")
    return _Target(module, attribute, dict(map(_option, options)))


def _option(text: str) -> tuple[str, object]:
    key, _, value = text.partition("=")
    try:
        return key.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return key.strip(), value.strip()


def _module(target: _Target) -> ModuleType:
    here = str(Path.cwd())
    if sys.path[0] != here:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(target.module)
    except ModuleNotFoundError as error:
        missing = error.name or target.module
        if target.module == missing or target.module.startswith(f"{missing}."):
            raise LoadError(_not_found(target.module, missing)) from error
        raise LoadError(
            f"{target.module} imports {missing!r}, which is not installed ({_where(error)}); "
            f"install it into {sys.executable}, then run this again"
        ) from error
    except (Exception, SystemExit) as error:
        raise LoadError(f"importing {target.module} raised {_summary(error)} ({_where(error)})") from error


def _not_found(module: str, missing: str) -> str:
    files = sorted(path.stem for path in Path.cwd().glob("*.py"))
    near = difflib.get_close_matches(module, files, n=3)
    if near:
        fix = f"did you mean {' or '.join(near)}, which this folder has?"
    elif missing != module:
        fix = f"the package {missing!r} itself was not found; install it with pip or check its name"
    else:
        fix = f"run this from the folder that contains {module}.py, or install the package with pip"
    return f"there is no module {module!r}; {fix}"


def _attribute(module: ModuleType, target: _Target) -> object:
    found: object = module
    for name in target.attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [entry for entry in vars(module) if not entry.startswith("_")]
            own = [entry for entry in public if getattr(vars(module)[entry], "__module__", None) == module.__name__]
            near = difflib.get_close_matches(name, public, n=3) or own[:8]
            hint = f"it has {', '.join(near)}" if near else "it defines nothing public"
            raise LoadError(f"{target.module} has no {target.attribute!r}; {hint}") from None
    return found


def _is_factory(found: object) -> TypeGuard[Callable[..., object]]:
    """A class, a function, or any callable without parts of its own is called; an object with parts is not."""
    if inspect.isclass(found) or inspect.isroutine(found) or isinstance(found, partial):
        return True
    return callable(found) and not any(hasattr(found, part) for part in PARTS)


def _call(factory: Callable[..., object], target: _Target) -> object:
    try:
        return factory(**target.options)
    except (Exception, SystemExit) as error:
        call = f"{target.attribute}({', '.join(f'{key}={value!r}' for key, value in target.options.items())})"
        if isinstance(error, TypeError) and len(_foreign_frames(error)) == 0:
            raise LoadError(
                f"{call} does not fit: {error}; name a factory, that is a function which takes no argument (or the "
                "key=value given here) and returns an object with your parts"
            ) from error
        raise LoadError(f"{call} in {target.module} raised {_summary(error)} ({_where(error)})") from error


def _summary(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _where(error: BaseException) -> str:
    """File, line and code of the last line that is the user's own, or else of the last line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = _foreign_frames(error)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    if not frames:
        return "no line of yours was reached"
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}: `{frame.line}`"


def _foreign_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The traceback without this file and without the import machinery."""
    machinery = (__file__, importlib.__file__, "<frozen importlib")
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith(machinery)]
