"""benchmarks/README.md shows what is saved beside it, and nothing else."""

import pytest

from benchmarks.goals import goals
from benchmarks.page import BEGIN, END, README, page, saved
from benchmarks.record import Results
from sdpo_ref.errors import UsageError


def test_the_page_is_what_the_saved_results_render_to() -> None:
    """`python -m benchmarks render` would change nothing."""
    text = README.read_text(encoding="utf-8")
    assert text == page(text, saved()), "run `python -m benchmarks render` and commit the page"


def test_every_goal_stands_on_the_page() -> None:
    """With a number, or with the words 'not measured' and the reason."""
    lines = README.read_text(encoding="utf-8").splitlines()
    for goal in goals().values():
        own = [line for line in lines if line.startswith(f"| {goal.id} ")]
        assert len(own) >= len(goal.measures), goal.id
        for measure in goal.measures:
            measured = any(one.value(goal.id, measure.name) is not None for one in saved())
            (*_, line) = [line for line in own if f"| {measure.name} " in line]
            assert ("not measured" in line and goal.not_measured in line) != measured, line


def test_rendering_twice_changes_nothing() -> None:
    """What is between the markers is replaced, what is around them is kept."""
    text = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    once = page(text, [])
    assert "old" not in once
    assert once.startswith("above\n")
    assert once.endswith("\nbelow\n")
    assert page(once, []) == once


@pytest.mark.parametrize("text", ["", BEGIN, END, END + BEGIN, BEGIN + BEGIN + END, BEGIN + END + END])
def test_a_page_without_its_markers_is_refused(text: str) -> None:
    """The error names both markers."""
    with pytest.raises(UsageError, match="end of what is written"):
        page(text, [])


def test_a_trial_is_not_kept(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of size 'tiny' among the saved ones are refused by name."""
    from pathlib import Path

    from benchmarks import page as module

    folder = Path(str(tmp_path))
    Results(size="tiny", machine={}).save(folder / "results" / "trial.json")
    monkeypatch.setattr(module, "FOLDER", folder)
    with pytest.raises(UsageError, match=r"trial\.json is of size 'tiny'"):
        saved()
