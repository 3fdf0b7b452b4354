"""The part of README.md that is written from the saved results."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Results, load
from benchmarks.table import detail_lines, goal_table, machine_line, race_tables
from sdpo_ref.errors import UsageError

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BEGIN = "<!-- written by `python -m benchmarks render`; edit the text around it, not this -->"
END = "<!-- end of what is written -->"


def saved() -> list[Results]:
    """The results that are kept with the code, by file name.

    Raises:
        UsageError: if one of them cannot be read, or is only a trial.
    """
    found = []
    for path in sorted((FOLDER / "results").glob("*.json")):
        results = load(path)
        if results.size != "full":
            raise UsageError(f"{path.name} is of size {results.size!r}, whose numbers mean nothing; keep size 'full'")
        found.append(results)
    return found


def rendered(results: Sequence[Results]) -> str:
    """What stands between the markers.

    Args:
        results: of one machine each.

    Returns:
        Markdown: the goals, then for each machine where the numbers come from and what every contestant needed.
    """
    parts = [goal_table(results)]
    for one in results:
        parts += [machine_line(one), *race_tables(one)]
        parts += [f"Not run there: {name}: {why}." for name, why in one.skipped.items()]
        parts += ["Behind the numbers of the goals:", detail_lines(one)]
    return "\n\n".join(parts)


def page(text: str, results: Sequence[Results]) -> str:
    """A page with the part between its markers written anew.

    Args:
        text: of the page.
        results: to show.

    Returns:
        The page.

    Raises:
        UsageError: if the markers are not there, each once and in order.

    Example:
        >>> page(f"before {BEGIN} old {END} after", []).startswith(f"before {BEGIN}")
        True
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise UsageError(f"the page needs the lines {BEGIN!r} and {END!r}, once each and in this order")
    return f"{before}{BEGIN}\n\n{rendered(results)}\n\n{END}{after}"
