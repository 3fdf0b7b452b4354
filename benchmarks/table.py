"""Results as tables: in the terminal, and in README.md between two markers."""

from collections.abc import Iterable, Sequence

from benchmarks.goals import Goal, Measure, goals
from benchmarks.record import Cost, Race, Results

_BOUND = {"lower": "≤", "higher": "≥"}


def measured_table(results: Results) -> str:
    """Must, stretch and measured for each measure that has a number.

    Args:
        results: of one machine.

    Returns:
        A Markdown table whose columns are aligned, so that it can be read as it is.
    """
    rows = [
        (goal.id, *_asked(measure), *_answered(measure, value, results))
        for goal, measure in _measures()
        if (value := results.value(goal.id, measure.name)) is not None
    ]
    return aligned(("goal", "measure", "must", "stretch", "measured", "verdict"), rows)


def goal_table(results: Sequence[Results]) -> str:
    """All goals, with the numbers of each machine, or why there is none.

    Args:
        results: of one machine each.

    Returns:
        A Markdown table.
    """
    rows: list[Sequence[str]] = []
    for goal, measure in _measures():
        found = [(one, value) for one in results if (value := one.value(goal.id, measure.name)) is not None]
        answers = [_answered(measure, value, one) for one, value in found]
        missing = ("not measured", goal.not_measured)
        rows.extend((goal.id, goal.title, *_asked(measure), *answer) for answer in answers or [missing])
    return aligned(("goal", "what", "measure", "must", "stretch", "measured", "verdict"), rows)


def _measures() -> list[tuple[Goal, Measure]]:
    return [(goal, measure) for goal in goals().values() for measure in goal.measures]


def _asked(measure: Measure) -> tuple[str, str, str]:
    def bar(value: float | None) -> str:
        return "" if value is None else f"{_BOUND[measure.better]} {_number(value, measure)}"

    return measure.name, bar(measure.must), bar(measure.stretch)


def _answered(measure: Measure, value: float, results: Results) -> tuple[str, str]:
    where = "" if results.machine["gpu"] == "none" else f" ({results.machine['gpu']})"
    return _number(value, measure), measure.verdict(value) + where


def _number(value: float, measure: Measure) -> str:
    unit = "" if measure.unit in {"ratio", "times", "count"} else f" {measure.unit}"
    sign = "x" if measure.unit == "times" else ""
    return f"{value:.3g}{sign}{unit}"


def race_tables(results: Results) -> list[str]:
    """What every contestant needed, a table for each race.

    Args:
        results: of one machine.

    Returns:
        Each with its title above it.
    """
    return [f"{race.title}\n\n{_race_table(race)}" for race in results.races]


def _race_table(race: Race) -> str:
    header = ("contestant", "time, least (median)", "peak memory", "first call", "note")
    rows = [header, *(_cost_row(cost) for cost in race.costs)]
    filled = [column for column in zip(*rows, strict=True) if any(column[1:])]
    head, *rest = zip(*filled, strict=True)
    return aligned(head, rest)


def _cost_row(cost: Cost) -> tuple[str, ...]:
    time = "" if cost.seconds is None else seconds(cost.seconds)
    if cost.median_seconds is not None:
        time += f" ({seconds(cost.median_seconds)})"
    peak = "" if cost.peak_bytes is None else f"{cost.peak_bytes / 1e6:.0f} MB"
    first = "" if cost.first_seconds is None else seconds(cost.first_seconds)
    return cost.name, time, peak, first, cost.note


def seconds(value: float) -> str:
    """A duration with three digits.

    Args:
        value: in seconds.

    Returns:
        In seconds, milliseconds or microseconds.

    Example:
        >>> seconds(0.01234)
        '12.3 ms'
    """
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def detail_lines(results: Results) -> str:
    """What stands behind the numbers of goals, a line for each that has something behind it."""
    lines = [
        f"- {one.goal}, {one.measure}: {'; '.join(f'{name} {value:.3g}' for name, value in one.details.items())}"
        for one in results.measurements
        if one.details
    ]
    return "\n".join([*lines, *(f"- {name}: {value:.3g}" for name, value in results.checks.items())])


def machine_line(results: Results) -> str:
    """Where and when numbers were taken, in one sentence."""
    machine = dict(results.machine)
    commit, gpu = machine.pop("commit"), machine.pop("gpu")
    versions = ", ".join(f"{name} {machine[name]}" for name in machine if name not in _PLACE)
    device = machine["cpu"] if gpu == "none" else f"{gpu}, {machine['cpu']}"
    return (
        f"Taken {results.taken[:10]} on {device} ({machine['cores']} cores, {machine['threads']} threads in use, "
        f"load {machine['load']} before), {machine['system']}, {versions}, commit {commit}."
    )


_PLACE = ("cpu", "cores", "threads", "load", "system")


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with padded cells.

    Args:
        header: of the columns.
        rows: each as long as the header.

    Returns:
        Lines without a newline at the end.

    Example:
        >>> print(aligned(("a", "b"), [("1", "long")]))
        | a | b    |
        |---|------|
        | 1 | long |
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in (header, *rows)]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
