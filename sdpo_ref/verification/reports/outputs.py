"""Which form of a report goes to which file: refused before a run if it cannot be written, written after it."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.badge import badge_as_json, badge_as_svg
from sdpo_ref.verification.reports.diff import Difference
from sdpo_ref.verification.reports.junit import junit
from sdpo_ref.verification.reports.markdown import markdown
from sdpo_ref.verification.reports.page import page

STDOUT = "-"
"""Instead of the name of a file."""


@dataclass(frozen=True)
class Outputs:
    """Forms of a report and the files that they go to.

    Attributes:
        targets: form to file, ``-`` for standard output; ``None`` where the form is not wanted.
    """

    targets: Mapping[str, str | None]

    @property
    def wanted(self) -> dict[str, str]:
        """Forms that go somewhere."""
        return {form: target for form, target in self.targets.items() if target is not None}

    @property
    def to_stdout(self) -> bool:
        """Whether standard output belongs to one of them."""
        return STDOUT in self.wanted.values()

    def refuse_unwritable(self) -> None:
        """Refuse before a run what could not be written after it.

        Raises:
            UsageError: if two go to the same place, a folder is missing, or a file cannot be written.
        """
        places = {
            form: target if target == STDOUT else str(Path(target).resolve()) for form, target in self.wanted.items()
        }
        for place, number in Counter(places.values()).items():
            if number > 1:
                forms = " and ".join(f"--{form}" for form in places if places[form] == place)
                raise UsageError(f"{forms} both go to {place}; give each a file of its own")
        for target in self.wanted.values():
            if target != STDOUT:
                _refuse_unwritable(Path(target))

    def write(self, forms: Mapping[str, Callable[[], str]]) -> None:
        """Write what is wanted.

        Args:
            forms: how each is made.

        Raises:
            UsageError: if a file cannot be written, which was not known before the run.
        """
        for form, target in self.wanted.items():
            text = forms[form]()
            if target == STDOUT:
                sys.stdout.flush()
                sys.stdout.buffer.write(text.encode())
                continue
            try:
                Path(target).write_text(text, encoding="utf-8")
            except OSError as error:
                raise UsageError(
                    f"cannot write {target}: {error.strerror}; the verdict stands, write it again"
                ) from error


def _refuse_unwritable(path: Path) -> None:
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {folder}; create it first")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; name a file in it")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied; choose another place")


def forms(report: Report, outputs: Outputs, difference: Difference | None) -> Mapping[str, Callable[[], str]]:
    """How each form is made, by the name of its option.

    Args:
        report: of a run.
        outputs: where they go; a badge is a picture if its file is called so.
        difference: from an older report, for the forms that show it.
    """
    picture = outputs.wanted.get("badge", "").lower().endswith(".svg")
    return {
        "json": report.to_json,
        "junit": lambda: junit(report),
        "markdown": lambda: markdown(report, difference),
        "html": lambda: page(report, difference),
        "badge": lambda: badge_as_svg(report) if picture else badge_as_json(report),
    }
