"""Where ``spec/`` and ``conformance/`` are: inside the wheel, or beside the package in a checkout."""

from pathlib import Path

from sdpo_ref.errors import IntegrityError

_PACKAGE = Path(__file__).parent


def content(name: str) -> Path:
    """Folder ``spec`` or ``conformance`` as shipped in the wheel, else as found in the checkout.

    Raises:
        IntegrityError: if neither place has it, so the installation is incomplete.
    """
    for root in (_PACKAGE / "_content", _PACKAGE.parent):
        folder = root / name
        if folder.is_dir():
            return folder
    raise IntegrityError(
        f"the folder {name!r} is neither in the installed package nor beside it; "
        "reinstall with `pip install --force-reinstall sdpo-ref`"
    )
