"""Which code a result came from: a hash of its meaning, so that comments and docstrings may change."""

import ast
import functools
import hashlib
import importlib.util
from pathlib import Path

import sdpo_ref
from sdpo_ref.errors import LoadError

_PACKAGES = (
    *("config", "functional", "losses", "oracles", "policies", "protocols", "reader", "simulator", "teachers"),
    *("trainers", "world", "types.py"),
    *(f"study/{name}.py" for name in ("assembly", "build_teacher", "build_trainer", "credit", "execute")),
    *(
        f"study/{name}.py"
        for name in ("execute_batch", "metrics", "outcome", "probe", "probe_batch", "self_bleu", "simulators")
    ),
    "study/third_party.py",
)
"""What a number of the study can depend on."""


@functools.cache
def code_fingerprint() -> str:
    """Of everything in this package that a run executes."""
    root = Path(sdpo_ref.__file__).parent
    files = sorted(file for name in _PACKAGES for file in _sources(root / name))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode())
        digest.update(meaning(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


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
            f"{module} has no Python source, so its results could not be told from those of a newer version"
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


def _sources(path: Path) -> list[Path]:
    return [path] if path.suffix == ".py" else list(path.rglob("*.py"))
