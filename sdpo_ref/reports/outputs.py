"""Writes a document in every form that was asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdpo_ref.errors import UsageError
from sdpo_ref.reports.badge import badge_text
from sdpo_ref.reports.document import Document
from sdpo_ref.reports.html import page
from sdpo_ref.reports.markdown import markdown


@dataclass(frozen=True)
class Outputs:
    """Files to write; ``None`` for those that nobody asked for.

    Attributes:
        markdown: of the summary.
        html: of the page.
        badge: of the badge, a picture if its name ends in ``.svg``.
    """

    markdown: Path | None = None
    html: Path | None = None
    badge: Path | None = None

    def write(self, document: Document) -> None:
        """Write them.

        Args:
            document: of a run.

        Raises:
            UsageError: if a file cannot be written.
        """
        if self.markdown is not None:
            append(self.markdown, markdown(document))
        if self.html is not None:
            write(self.html, page(document))
        if self.badge is not None:
            write(self.badge, badge_text(document, self.badge))


def refuse_unwritable(*paths: Path | None) -> None:
    """Say before a run that its report would have no place.

    Args:
        paths: of the files.

    Raises:
        UsageError: if a folder is missing, or a path is a folder.
    """
    for path in paths:
        if path is None:
            continue
        if not path.resolve().parent.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {path.resolve().parent}; create it first")
        if path.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder; name a file in it")


def write(path: Path, text: str) -> None:
    """Write a report."""
    _written(path, lambda: path.write_text(text, encoding="utf-8"))


def append(path: Path, text: str) -> None:
    """Add to a summary, as build servers want it: several jobs share one."""

    def add() -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    _written(path, add)


def _written(path: Path, act: Callable[[], object]) -> None:
    try:
        act()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file") from error
