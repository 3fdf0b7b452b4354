"""Two saved results side by side."""

from collections.abc import Sequence

from benchmarks.goals import goals
from benchmarks.record import Cost, Results
from benchmarks.table import aligned, seconds

_NOISE = 0.05
"""Smaller relative changes are not reported: two runs of the same code differ as much."""


def comparison(old: Results, new: Results) -> str:
    """What changed: goals by their measures, contestants by their time and memory.

    Args:
        old: the earlier results.
        new: the later ones.

    Returns:
        Markdown tables, with a warning above them if the machines differ.
    """
    parts = [*_warnings(old, new), _goals(old, new), _costs(old, new)]
    return "\n\n".join(part for part in parts if part)


def _warnings(old: Results, new: Results) -> list[str]:
    lines = [f"{name} results are of size 'tiny'" for name, one in (("old", old), ("new", new)) if one.size == "tiny"]
    differing = [
        f"{name} {old.machine.get(name, 'none')} -> {new.machine.get(name, 'none')}"
        for name in sorted(old.machine.keys() | new.machine.keys())
        if name not in {"commit", "load"} and old.machine.get(name) != new.machine.get(name)
    ]
    if differing:
        lines.append("other machine or versions: " + "; ".join(differing) + "; only ratios can be compared")
    return lines


def _goals(old: Results, new: Results) -> str:
    rows: list[Sequence[str]] = []
    for goal in goals().values():
        for measure in goal.measures:
            before, after = old.value(goal.id, measure.name), new.value(goal.id, measure.name)
            if before is None and after is None:
                continue
            verdicts = ["not measured" if value is None else measure.verdict(value) for value in (before, after)]
            verdict = verdicts[1] if verdicts[0] == verdicts[1] else " -> ".join(verdicts)
            change = "" if before is None or after is None else _change(before, after, better=measure.better)
            rows.append((goal.id, measure.name, _digits(before), _digits(after), change, verdict))
    return aligned(("goal", "measure", "old", "new", "change", "verdict"), rows) if rows else ""


def _costs(old: Results, new: Results) -> str:
    before, after = _by_name(old), _by_name(new)
    rows: list[Sequence[str]] = []
    for title, name in after:
        if (then := before.get((title, name))) is not None:
            now = after[title, name]
            peak = _change(then.peak_bytes, now.peak_bytes) if then.peak_bytes and now.peak_bytes else ""
            time = _change(then.seconds, now.seconds) if then.seconds and now.seconds else ""
            rows.append((title, name, _seconds(then), _seconds(now), time, peak))
    return aligned(("race", "contestant", "old", "new", "time", "memory"), rows) if rows else ""


def _by_name(results: Results) -> dict[tuple[str, str], Cost]:
    return {(race.title, cost.name): cost for race in results.races for cost in race.costs}


def _seconds(cost: Cost) -> str:
    return "" if cost.seconds is None else seconds(cost.seconds)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _change(before: float, after: float, *, better: str = "lower") -> str:
    if before == after or (before and abs(after / before - 1) < _NOISE):
        return "same"
    word = "better" if (after < before) == (better == "lower") else "worse"
    return f"{after / before - 1:+.0%} {word}" if before else word
