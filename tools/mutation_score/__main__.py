"""How many small changes of the reference are noticed: ``python -m tools.mutation_score FILE|FOLDER...``.

Each change is loaded as an implementation of its own and given to the checks of ``sdpo-ref verify``, levels 0 to 3,
under every profile, until one fails. What they do not notice is given to unit tests, which are named with ``--tests``.
Changes that are none are explained in ``survivors.toml``.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import sdpo_ref
from sdpo_ref.errors import IntegrityError, UsageError
from tools.mutation_score.mutations import UNCHANGED, line_text, variants
from tools.mutation_score.suite import Change, declarations, noticed_by_suite
from tools.mutation_score.survivors import FILE, explained, read
from tools.mutation_score.unit_tests import noticed_by_tests

_ROOT = Path(sdpo_ref.__file__).parent


@dataclass(frozen=True)
class Score:
    """What became of every change.

    Attributes:
        changes: all of them.
        equivalent: those that change nothing, with the reason.
        by_suite: those that the suite notices, with profile and check.
        by_tests: those that only unit tests notice.
    """

    changes: Sequence[Change]
    equivalent: Mapping[Change, str]
    by_suite: Mapping[Change, str]
    by_tests: frozenset[Change]

    @property
    def survivors(self) -> list[Change]:
        """Changes that nothing notices and nothing explains."""
        return [it for it in self.changes if not self.noticed(it) and it not in self.equivalent]

    @property
    def unjust(self) -> list[Change]:
        """Changes that are said to be none although something notices them."""
        return [it for it in self.equivalent if self.noticed(it)]

    def noticed(self, change: Change) -> bool:
        """Whether anything notices a change."""
        return change in self.by_suite or change in self.by_tests


def files_of(names: Sequence[str]) -> list[str]:
    """The files that were asked for.

    Args:
        names: files and folders below ``sdpo_ref``.

    Returns:
        Files below ``sdpo_ref`` in which something can be changed.

    Raises:
        UsageError: if there is no such file.
    """
    found: list[str] = []
    for name in names:
        path = _ROOT / name
        if not path.exists():
            raise UsageError(f"{name} is not below {_ROOT}; name a file or folder such as functional/divergence.py")
        below = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [it.relative_to(_ROOT).as_posix() for it in below]
    # an operator of torch is registered once in a process, so a fused loss cannot be loaded again around a change
    kept = [file for file in dict.fromkeys(found) if not file.startswith("losses/fused/") and variants(file)]
    if not kept:
        raise UsageError(f"{list(names)} holds nothing to change; losses/fused cannot be scored, other folders can")
    return kept


def score(files: Sequence[str], *, tests: Sequence[str] = (), jobs: int = 1, profiles: int | None = None) -> Score:
    """Make every change of some files and see who notices.

    Args:
        files: below ``sdpo_ref``.
        tests: unit tests to ask about what the suite does not notice.
        jobs: number of processes.
        profiles: how many are declared, the paper's first; all if not given.

    Returns:
        What became of every change.
    """
    declared = declarations()[:profiles]
    equivalent = explained(read(FILE.read_text(encoding="utf-8")), files)
    changes = [(file, number) for file in files for number in range(len(variants(file)))]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [(changes[first::jobs], declared[first::jobs]) for first in range(jobs)]
        shares = [pool.submit(noticed_by_suite, *part, profiles=declared) for part in parts]
        by_suite = {change: by for share in shares for change, by in share.result().items()}
        if tests and pool.submit(noticed_by_tests, files[0], UNCHANGED, tests).result():
            raise IntegrityError("the unit tests fail for the files as they stand; run them with pytest first")
        rest = [it for it in changes if tests and it not in by_suite]
        found = pool.map(noticed_by_tests, *zip(*rest, strict=True), [tests] * len(rest)) if rest else ()
        by_tests = frozenset(change for change, noticed in zip(rest, found, strict=True) if noticed)
    return Score(changes, equivalent, by_suite, by_tests)


def render(found: Score) -> str:
    """A table with a line for each file and each folder, then what nothing notices.

    Args:
        found: what to show.

    Returns:
        Markdown.
    """
    files = list(dict.fromkeys(file for file, _ in found.changes))
    folders = list(dict.fromkeys(file.split("/")[0] for file in files))
    lines = ["| | changes | equivalent | suite | suite and unit tests |", "|---|---|---|---|---|"]
    lines += [_row(found, f"`{file}`", [it for it in found.changes if it[0] == file]) for file in files]
    for folder in folders:
        lines.append(_row(found, f"**{folder}/**", [it for it in found.changes if it[0].split("/")[0] == folder]))
    for title, changes in (
        ("Nothing notices", found.survivors),
        ("Noticed, although survivors.toml says that they change nothing", found.unjust),
        ("Only unit tests notice", sorted(found.by_tests)),
    ):
        lines += ["", f"{title}: {len(changes)}", *map(_described, changes)]
    return "\n".join(lines) + "\n"


def _row(found: Score, name: str, changes: Sequence[Change]) -> str:
    real = [it for it in changes if it not in found.equivalent]
    by_suite = sum(it in found.by_suite for it in real)
    by_any = sum(found.noticed(it) for it in real)
    return f"| {name} | {len(changes)} | {len(changes) - len(real)} | {_of(by_suite, real)} | {_of(by_any, real)} |"


def _of(count: int, changes: Sequence[Change]) -> str:
    return f"{count} ({count / len(changes):.1%})" if changes else "–"


def _described(change: Change) -> str:
    file, number = change
    it = variants(file)[number]
    return f"  {file}:{it.line}: {it.before}  ->  {it.after}    in: {line_text(it)}"


def main() -> None:
    """Print the score of each file and what was not noticed.

    Exit code 0: whatever is not noticed is explained, and rightly. 1: it is not.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", help="files or folders below sdpo_ref, such as functional/divergence.py")
    parser.add_argument("--tests", nargs="*", default=[], help="unit tests to ask about what the suite does not notice")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--profiles", type=int, help="how many are declared, the paper's first; all if not given")
    arguments = parser.parse_args()
    found = score(files_of(arguments.files), tests=arguments.tests, jobs=arguments.jobs, profiles=arguments.profiles)
    sys.stdout.write(render(found))
    raise SystemExit(1 if found.survivors or found.unjust else 0)


if __name__ == "__main__":
    main()
