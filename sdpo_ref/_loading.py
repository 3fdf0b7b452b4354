"""From ``module:factory,key=value`` to a factory; every way in which that fails has its own message.

The text is that of Python entry points with keyword arguments added. The working directory is searched first, so
that a file ``my_sdpo.py`` beside the user is ``my_sdpo:make``.
"""

import ast
import difflib
import functools
import importlib
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sdpo_ref._network_guard import refuse_network_if_told
from sdpo_ref.errors import LoadError

_SHAPE = "write MODULE:FACTORY, for instance my_sdpo:make or my_sdpo:make,dtype=float64"
_OPTION = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)")
_NOT_THE_USERS = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    "<frozen ",
)


@dataclass(frozen=True)
class Target:
    """The three parts of ``module:factory,key=value``.

    Attributes:
        module: dotted name.
        attribute: name inside the module; dots lead further in.
        options: keyword arguments; values are Python literals where possible, and text otherwise.
    """

    module: str
    attribute: str
    options: Mapping[str, object]


def resolve(name: str) -> Callable[..., Any]:
    """The factory of a third party, with its ``key=value`` filled in.

    Args:
        name: ``module:factory``, with ``,key=value`` for each keyword argument that is given here.

    Returns:
        A function that takes what is left.

    Raises:
        LoadError: if the text is malformed, the module or the attribute does not exist, importing raises, or what
            was found cannot be called; the message says where and what to do.

    Example:
        >>> resolve("math:hypot")(3.0, 4.0)
        5.0
    """
    target = parse(name)
    factory = find(target)
    if not callable(factory):
        raise LoadError(
            f"{target.attribute} in {target.module} is a {type(factory).__name__}, which cannot be called; "
            "name a function or a class that returns your part"
        )
    return functools.partial(factory, **target.options) if target.options else factory


def parse(spec: str, short_names: Mapping[str, str] | None = None) -> Target:
    """Split the text.

    Args:
        spec: ``module:factory,key=value``.
        short_names: names that stand for a longer one.

    Raises:
        LoadError: if the text is malformed.

    Example:
        >>> parse("my_sdpo:make,alpha=0.5,dtype=float64").options
        {'alpha': 0.5, 'dtype': 'float64'}
    """
    known = short_names or {}
    head, *options = _OPTION.split(spec.strip())
    module, colon, attribute = known.get(head, head).partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        stem = Path(module.replace("\\", "/")).stem
        raise LoadError(
            f"{spec!r} names a file; go to its folder and write the module's name: {stem}:{attribute or 'FACTORY'}"
        )
    if not colon:
        near = difflib.get_close_matches(head, known, n=1)
        hint = f"; or did you mean {near[0]!r}?" if near else ""
        raise LoadError(f"{spec!r} does not name a factory; {_SHAPE}{hint}")
    dotted = (*module.split("."), *attribute.split("."))
    if not all(name.isidentifier() for name in dotted):
        raise LoadError(f"{spec!r} is not a valid name; {_SHAPE}")
    return Target(module, attribute, dict(map(_option, options)))


def find(target: Target) -> object:
    """Import the module and look the attribute up.

    Args:
        target: what to look for.

    Raises:
        LoadError: if there is no such module or attribute, or importing raises.
    """
    refuse_network_if_told()
    module = _module(target)
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


def summary(error: BaseException) -> str:
    """Type and message of an exception, as the last line of its traceback has them.

    Example:
        >>> summary(ValueError("too large"))
        'ValueError: too large'
    """
    return traceback.format_exception_only(error)[-1].strip()


def where(error: BaseException, *, machinery: str = __file__) -> str:
    """File, line and code of the last line that is the user's own, or else of the last line.

    Args:
        error: with its traceback.
        machinery: file of the caller, whose lines say nothing to the user.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = foreign_frames(error, machinery=machinery)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    if not frames:
        return "no line of yours was reached"
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}: `{frame.line}`"


def foreign_frames(error: BaseException, *, machinery: str = __file__) -> list[traceback.FrameSummary]:
    """The traceback without this file, the caller's file and the import machinery.

    Args:
        error: with its traceback.
        machinery: file of the caller.
    """
    ours = (__file__, machinery, importlib.__file__, "<frozen importlib")
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith(ours)]


def _option(text: str) -> tuple[str, object]:
    key, _, value = text.partition("=")
    try:
        return key.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return key.strip(), value.strip()


def _module(target: Target) -> ModuleType:
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
            f"{target.module} imports {missing!r}, which is not installed ({where(error)}); "
            f"install it into {sys.executable}, then run this again"
        ) from error
    except (Exception, SystemExit) as error:
        raise LoadError(f"importing {target.module} raised {summary(error)} ({where(error)})") from error


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
