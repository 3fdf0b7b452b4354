"""Packages that only the study needs, imported when they are."""

import importlib
from typing import Any

from sdpo_ref.errors import UnsupportedError


def needed(package: str) -> Any:
    """A package of the extra ``study``.

    Args:
        package: its name for import.

    Returns:
        The module.

    Raises:
        UnsupportedError: if it is not installed.

    Example:
        >>> needed("json").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UnsupportedError(
            f"this needs {error.name or package}, which is not installed; run `pip install 'sdpo-ref[study]'`"
        ) from error
