"""Implementations with one defect each: what the suite must catch (spec/decisions/0024).

Each is an ordinary implementation: ``sdpo-ref verify sdpo_ref.mutants:make,name=coefficients_swapped`` (or its id)
fails, and ``sdpo-ref verify sdpo_ref.mutants:make_benign,name=float32`` does not. One file for each chapter of the
specification; ``conformance/mutants/README.md`` is the table of all of them with what catches each.
"""

import importlib
import pkgutil
from functools import cache
from typing import Any

from sdpo_ref.errors import LoadError
from sdpo_ref.mutants.mutant import Mutant


@cache
def mutants() -> tuple[Mutant, ...]:
    """All mutants, in the order of the specification.

    Example:
        >>> mutants()[5].id, mutants()[5].name
        ('M006', 'coefficients_swapped')
    """
    files = (importlib.import_module(f"{__name__}.{it.name}") for it in pkgutil.iter_modules(__path__))
    found = [mutant for file in files if hasattr(file, "chapter") for mutant in file.chapter.mutants]
    return tuple(sorted(found, key=lambda it: it.id))


def make(name: str) -> object:
    """A mutant.

    Args:
        name: its name or its id.

    Returns:
        An implementation with one defect.

    Raises:
        LoadError: if there is none of that name.
    """
    for mutant in mutants():
        if name in (mutant.name, mutant.id):
            return mutant.build()
    raise LoadError(f"no mutant is called {name!r}; conformance/mutants/README.md lists them")


def make_benign(name: str, **options: Any) -> object:
    """An implementation that is right although it is different.

    Args:
        name: of a benign variant.
        options: of its factory; only ``compiled`` has any.

    Returns:
        An implementation.

    Raises:
        LoadError: if there is none of that name.
    """
    from sdpo_ref.mutants.benign import BENIGN

    if name not in BENIGN:
        raise LoadError(f"no benign variant is called {name!r}; they are {', '.join(map(repr, BENIGN))}")
    return BENIGN[name](**options)
