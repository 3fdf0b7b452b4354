"""The goals as data: they can be read and judged, and each is measured by a benchmark or says why not."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.goals import NO_GPU, NOT_RUN, Measure, goals
from sdpo_ref.errors import InvalidInputError

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
DEFAULT_REASONS = (NO_GPU, NOT_RUN)
BARS = ("missed", "must", "stretch")

numbers = st.floats(0, 1e3)


def test_every_goal_of_the_design_is_there() -> None:
    """L1 to L13, A1 to A4, C1, C2 and S1 to S7, each once and each with a measure."""
    counts = {"L": 13, "A": 4, "C": 2, "S": 7}
    expected = [f"{letter}{number + 1}" for letter, count in counts.items() for number in range(count)]
    assert list(goals()) == expected
    assert all(goal.measures for goal in goals().values())


def test_a_stretch_is_harder_than_its_must() -> None:
    """Whatever reaches the higher bar reaches the lower one."""
    for goal in goals().values():
        for measure in goal.measures:
            if measure.stretch is not None:
                lower, higher = sorted((measure.must, measure.stretch))
                assert measure.must == (higher if measure.better == "lower" else lower), goal.id


@given(must=numbers, stretch=numbers, values=st.tuples(numbers, numbers), better=st.sampled_from(["lower", "higher"]))
def test_a_better_number_never_gets_a_worse_verdict(
    must: float, stretch: float, values: tuple[float, float], better: str
) -> None:
    """The verdict is monotone in the number, whichever way is better."""
    bars = sorted((must, stretch), reverse=better == "lower")
    measure = Measure("x", must=bars[0], stretch=bars[1], better=better)  # type: ignore[arg-type]
    worse, good = sorted(values, reverse=better == "lower")
    assert BARS.index(measure.verdict(worse)) <= BARS.index(measure.verdict(good))


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.8, "stretch"), (0.95, "must"), (0.951, "missed"), (float("nan"), "missed")]
)
def test_a_bar_is_reached_when_it_is_met(value: float, verdict: str) -> None:
    """A number equal to the bar reaches it; one that is not a number reaches none."""
    assert goals()["C2"].measure("time / plain torch").verdict(value) == verdict


def test_what_is_not_finite_reaches_no_bar() -> None:
    """Infinitely fast is a fault of the clock."""
    assert Measure("x", must=1.0, better="higher").verdict(float("inf")) == "missed"


def test_a_measure_that_nobody_asked_for_is_refused() -> None:
    """The error names what the goal has."""
    with pytest.raises(InvalidInputError, match="time / G4"):
        goals()["C2"].measure("time")


def test_each_goal_is_decided_somewhere() -> None:
    """A benchmark names each goal that a CPU can decide, an item of the queue each other, or the goal says why not."""
    on_cpu = _ids(re.findall(r"pytest\.mark\.goal\((.*)\)", _text(BENCHMARKS.glob("test_*.py"))))
    on_gpu = _ids([_text((BENCHMARKS / "gpu").glob("*.py"))])
    for goal in goals().values():
        measured = goal.id in (on_gpu if goal.needs_gpu else on_cpu)
        assert measured or goal.not_measured not in DEFAULT_REASONS, f"{goal.id} is measured by nothing"


def _text(files: Iterable[Path]) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _ids(texts: Iterable[str]) -> set[str]:
    return {found for text in texts for found in re.findall(r"\"([LACS]\d+)\"", text)}
