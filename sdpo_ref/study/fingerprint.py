"""Which code a result came from: a hash of its meaning, so that comments and docstrings may change.

The code is that of the modules that execute a run and of every module of this package that these import, followed
through the text of their import statements. So a change in a trainer makes stored results stale, and one in the
optimised losses, which no run executes, does not (spec/decisions/0029).
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import sdpo_ref
from sdpo_ref.errors import LoadError

WorldName = Literal["simulated", "published"]
"""Our own world (spec/06-simulation), and that of the published study (spec/09-published-study)."""

_EXECUTING: Mapping[WorldName, tuple[str, ...]] = {
    "simulated": ("sdpo_ref.study.execute", "sdpo_ref.study.execute_batch"),
    "published": ("sdpo_ref.published.run", "sdpo_ref.published.objects"),
}
"""Where the runs and probes of a world are executed; what else a number depends on, these import."""


@functools.cache
def code_fingerprint(world: WorldName = "simulated") -> str:
    """Of everything in this package that a run executes.

    Args:
        world: that it runs in.
    """
    return fingerprint_of(Path(sdpo_ref.__file__).parent, world)


def fingerprint_of(package: Path, world: WorldName = "simulated") -> str:
    """Of everything that a run executes in a copy of this package.

    Args:
        package: its folder, named as the package is.
        world: that the run is in.

    Returns:
        Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, file in sorted(executed_modules(package, world).items()):
        digest.update(name.encode())
        digest.update(meaning(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def executed_modules(package: Path, world: WorldName = "simulated") -> dict[str, Path]:
    """The modules that execute a run, and those of the package that they import, directly or not.

    A package's ``__init__`` belongs to them only where something is imported from it by name: merely standing above
    an imported module changes no number.

    Args:
        package: folder of this package, or of a copy.
        world: that the run is in.

    Returns:
        Module name to file.
    """
    found: dict[str, Path] = {}
    waiting = list(_EXECUTING[world])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _file(package, name)
            waiting += _imported(package, found[name])
    return found


@functools.cache
def factory_fingerprint(factory: str) -> str:
    """Of the module that a third party's factory is in; modules that it imports are not seen.

    Args:
        factory: ``module:factory``.

    Raises:
        LoadError: if the module has no source file.
    """
    module = factory.partition(":")[0]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise LoadError(
            f"{module} has no Python source, so its results could not be distinguished from those of a newer version"
        )
    return hashlib.sha256(meaning(Path(found.origin).read_text(encoding="utf-8")).encode()).hexdigest()[:16]


def meaning(source: str) -> str:
    r"""The syntax tree of a module without docstrings and comments.

    Args:
        source: Python.

    Returns:
        A text that is equal for sources that differ in words and layout only.

    Example:
        >>> meaning("x = 1  # one") == meaning("'''One.'''\nx=1")
        True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def _imported(package: Path, file: Path) -> Iterator[str]:
    """Modules of the package that a file imports, inside functions as well; never the package itself."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if _is_module(package, name) else node.module for name in inside]
        else:
            continue
        yield from (name for name in names if name.startswith(f"{sdpo_ref.__name__}."))


def _is_module(package: Path, name: str) -> bool:
    return name.startswith(f"{sdpo_ref.__name__}.") and _file(package, name).exists()


def _file(package: Path, name: str) -> Path:
    path = package.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
