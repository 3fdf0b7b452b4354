"""The report on disk: every file is complete or is not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sdpo_ref.errors import UsageError
from sdpo_ref.study.report.contents import Contents, Drawn
from sdpo_ref.study.report.page import file_name, html, markdown


def write_report(contents: Contents, folder: Path) -> list[Path]:
    """Write the page, the Markdown and its figures.

    Args:
        contents: of the report.
        folder: made if it is not there.

    Returns:
        The files, the page first.

    Raises:
        UsageError: if the folder cannot be written to; files that were there before stay as they were.
    """
    return [write_text(folder / name, text) for name, text in _texts(contents)]


def write_figure(drawn: Drawn, folder: Path) -> Path:
    """Write one figure where the report has it, and nothing else.

    Args:
        drawn: the figure.
        folder: of the report; made if it is not there.

    Returns:
        The file.

    Raises:
        UsageError: if it cannot be written.
    """
    return write_text(folder / file_name(drawn), drawn.svg + "\n")


def _texts(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "report.html", html(contents)
    yield "report.md", markdown(contents)
    for drawn in contents.figures:
        yield file_name(drawn), drawn.svg + "\n"


def write_text(path: Path, text: str) -> Path:
    """Write a file whole, or not at all.

    Args:
        path: its folder is made if it is not there.
        text: of the file.

    Returns:
        The file.

    Raises:
        UsageError: if it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise UsageError(
            f"{path} cannot be written ({error.strerror}); name another folder with --out, or make room"
        ) from error
    return path
