"""One line of the reference, replaced: the whole implementation is loaded again around the altered file.

Losses, supports and steps all use the altered line, as they would after a slip of the pen; nothing of the loaded
reference changes.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import sdpo_ref
from sdpo_ref.errors import IntegrityError
from sdpo_ref.protocols.profile import resolve_profile
from sdpo_ref.verification.suite.capabilities import PARTS

_ROOT = Path(sdpo_ref.__file__).parent
_STACK = ("functional", "losses", "teachers", "trainers", "bundled")
"""Packages and modules that are loaded again. The others, such as types, errors and ``simulation``, are shared: the
altered and the loaded reference take and return objects of the same classes."""


_LOSSES = frozenset(
    {
        *("divergence", "loss", "hidden_loss", "top_k_loss", "hybrid_loss", "sdft_loss", "implicit_reward", "step"),
        "trust_region",
    }
)
_TRAINERS = frozenset({"trainer", "hybrid_trainer"})
_REACHES: Mapping[str, frozenset[str]] = {
    "functional/advantages.py": frozenset({"hybrid_loss"}),
    "functional/agreement.py": _TRAINERS,
    "functional/averaging.py": frozenset({"step", "trust_region", "low_rank_average"}),
    "functional/implicit_reward.py": frozenset({"implicit_reward"}),
    "functional/importance.py": frozenset({"loss", "hidden_loss", "top_k_loss"}),
    "functional/penalty.py": _TRAINERS,
    "functional/policy_gradient.py": _TRAINERS,
    "functional/preference.py": _TRAINERS,
    "functional/sampled_token.py": frozenset({"loss", "hidden_loss", "hybrid_loss"}),
    "losses/denominator.py": frozenset({"loss", "step"}),
    "losses/sdft.py": frozenset({"sdft_loss"}),
    "teachers/context.py": frozenset({"context", "demonstration_context"}),
    "teachers/low_rank.py": frozenset({"low_rank_average"}),
    "teachers/reprompt.py": _TRAINERS,
    "teachers/success.py": frozenset({"context"}),
    "teachers/weights.py": _TRAINERS,
    "trainers/processes.py": frozenset({"step"}),
    "trainers/step.py": frozenset({"step"}),
}
"""Parts of an implementation that a file's lines can reach, where that is not most of them."""


@dataclass(frozen=True)
class Planted:
    """A factory of the reference with a piece of one file replaced.

    Attributes:
        file: below ``sdpo_ref``, such as ``functional/divergence.py``.
        line: the piece as it stands there, exactly once.
        instead: what stands there instead.
    """

    file: str
    line: str
    instead: str

    @property
    def parts(self) -> frozenset[str]:
        """The parts that can differ from the reference's; none if the file is not loaded again."""
        if self.file.split("/")[0].removesuffix(".py") not in _STACK:
            return frozenset()
        return _REACHES.get(self.file, _LOSSES | {"completion_mask"})

    def altered(self) -> str:
        """The file's text with the piece replaced.

        Raises:
            IntegrityError: if the piece is not there exactly once, so that a mutant whose line was rewritten does not
                become a copy of the reference in silence.
        """
        source = (_ROOT / self.file).read_text(encoding="utf-8")
        if source.count(self.line) != 1:
            raise IntegrityError(
                f"{self.file} holds {self.line!r} {source.count(self.line)} times, a mutant needs it once; adapt it"
            )
        return source.replace(self.line, self.instead)

    def __call__(self) -> object:
        """The implementation."""
        return altered_reference(self.file, self.altered())


def altered_reference(file: str, source: str, *, profile: str | Mapping[str, object] = "paper") -> object:
    """The reference with the text of one file replaced; a file of an optimised loss alters the variant that uses it.

    Args:
        file: below ``sdpo_ref``.
        source: its text.
        profile: of the reference: a name, or the fields in which it departs from the paper's.

    Returns:
        An implementation that shares no function with the loaded reference.

    Raises:
        IntegrityError: if the file is none of those that are loaded again, so that the change would be without effect.
    """
    name = "sdpo_ref." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if not _in_stack(name):
        raise IntegrityError(
            f"{file} is not loaded again with the reference, received a change of it; allowed are files of "
            f"{', '.join(_STACK)}; change one of those, or add its package to _STACK in sdpo_ref/mutants/plant.py"
        )
    code = compile(source, str(_ROOT / file), "exec")
    factory = "chunked" if file.startswith("losses/chunked/") else "make"
    with _own_stack(_Altered(name, code, _package(file))):
        make = getattr(importlib.import_module("sdpo_ref.bundled"), factory)
        implementation: Any = make(profile if isinstance(profile, str) else "paper")
    return implementation if isinstance(profile, str) else _declaring(profile, implementation)


def reference_under(profile: Mapping[str, object]) -> object:
    """The reference under fields of a profile that no published variant has together.

    Args:
        profile: the fields in which it departs from the paper's.

    Returns:
        An implementation.
    """
    return _declaring(profile, importlib.import_module("sdpo_ref.bundled").make("paper"))


def _declaring(profile: Mapping[str, object], implementation: Any) -> SimpleNamespace:
    """The reference with a profile that is not published, and hence without published defaults."""
    implementation._profile = resolve_profile(profile)  # noqa: SLF001 - its constructor takes published names only
    parts = [part for part in PARTS if part != "defaults" and hasattr(implementation, part)]
    offered = {part: getattr(implementation, part) for part in parts}
    return SimpleNamespace(**offered, capabilities="all", profile=profile)


def alter_for_good(file: str, source: str) -> None:
    """Exchange the text of one file for the rest of this process; all of the package is to be imported afterwards.

    Args:
        file: below ``sdpo_ref``.
        source: its text.
    """
    name = "sdpo_ref." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for loaded in [it for it in sys.modules if it == "sdpo_ref" or it.startswith("sdpo_ref.")]:
        del sys.modules[loaded]
    sys.meta_path.insert(0, _Altered(name, compile(source, str(_ROOT / file), "exec"), _package(file)))


def _package(file: str) -> Path | None:
    """The folder of a package's own file; ``None`` for any other file."""
    return (_ROOT / file).parent if file.endswith("/__init__.py") else None


class _Altered(importlib.abc.MetaPathFinder):
    """Finds one module, with other code than its file's; the folder of its submodules if it is a package."""

    def __init__(self, name: str, code: CodeType, package: Path | None) -> None:
        self._name, self._code, self._package = name, code, package

    def find_spec(
        self, fullname: str, path: Iterable[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The altered module, or nothing."""
        del path, target
        if fullname != self._name:
            return None
        loader = _Given(fullname, self._code)
        spec = importlib.util.spec_from_loader(fullname, loader, is_package=self._package is not None)
        if spec is not None and self._package is not None:
            spec.submodule_search_locations = [str(self._package)]
        return spec


class _Given(importlib.abc.InspectLoader):
    """Loads code that is at hand."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def get_source(self, fullname: str) -> str | None:
        """None: the altered text is nowhere on disk."""
        del fullname
        return None

    def get_code(self, fullname: str) -> CodeType:
        """The code."""
        del fullname
        return self._code


@contextmanager
def _own_stack(finder: importlib.abc.MetaPathFinder) -> Iterator[None]:
    """Imports made inside get modules of their own; everything is as before afterwards."""
    before = {name: module for name, module in sys.modules.items() if _in_stack(name)}
    attributes = {name: getattr(sdpo_ref, name) for name in _STACK if hasattr(sdpo_ref, name)}
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _in_stack(name)]:
            del sys.modules[name]
        sys.modules.update(before)
        for name, module in attributes.items():
            setattr(sdpo_ref, name, module)


def _in_stack(name: str) -> bool:
    return name.startswith("sdpo_ref.") and name.split(".")[1] in _STACK
