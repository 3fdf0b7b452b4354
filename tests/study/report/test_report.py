"""The report on disk: from a store to one page, one Markdown file and its figures."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdpo_ref.errors import UsageError
from sdpo_ref.study.experiment import Cell, Experiment
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.provenance import provenance
from sdpo_ref.study.report.contents import Contents, contents_of
from sdpo_ref.study.report.files import write_figure, write_report
from sdpo_ref.study.report.outside import Arm, Outside, Reward
from sdpo_ref.study.report.page import html, markdown
from sdpo_ref.study.store import Record, Store
from sdpo_ref.study.summary import Estimate
from sdpo_ref.study.user_parts import Parts
from tests.study import synthetic

SEEDS = (0, 1, 2)


def stored(path: Path, experiments: Sequence[Experiment], *, leave_out: int = 0, fail: int = 0) -> Store:
    """A store in which these experiments have been run, but for some tasks, of which some ended early."""
    store = Store(path)
    for made in experiments:
        cells = {cell.settings: cell for cell in made.cells}
        for number, task in enumerate(list(made.tasks(SEEDS))[leave_out:]):
            found = synthetic.outcome(dict(cells[task.settings].labels), task.seed)
            store.put(
                Record(
                    key=task.key,
                    settings=task.settings,
                    seed=task.seed,
                    outcome=Outcome(error="the policy holds NaN") if number < fail else found,
                    provenance=provenance(started=0.0, wall_seconds=1.0, simulator="reference"),
                )
            )
    return store


def reported(tmp_path: Path, names: Sequence[str] = ("F06",), *, leave_out: int = 0, fail: int = 0) -> Contents:
    """What the report says about experiments of the study."""
    experiments = [synthetic.experiment(name) for name in names]
    with stored(tmp_path / "store.sqlite", experiments, leave_out=leave_out, fail=fail) as store:
        return contents_of(experiments, SEEDS, store)


def test_a_verdict_stands_beside_its_figures_and_beside_no_other(tmp_path: Path) -> None:
    """As text, in both forms, with both figures of F06; it cannot hold a tag."""
    experiments = [synthetic.experiment(name) for name in ("F06", "F11")]
    with stored(tmp_path / "store.sqlite", experiments) as store:
        contents = contents_of(experiments, SEEDS, store, outside=Outside({"F06": ["HOLDS <b>"], "F04": ["never"]}))
    assert [(drawn.figure.experiment, drawn.verdicts) for drawn in contents.figures] == [
        ("F06", ("HOLDS <b>",)),
        ("F06", ("HOLDS <b>",)),
        ("F11", ()),
    ]
    assert html(contents).count("<strong>Verdict.</strong> HOLDS &lt;b&gt;") == 2
    assert markdown(contents).count("\n**Verdict.** HOLDS &lt;b>\n") == 2
    assert "never" not in html(contents) + markdown(contents)


def test_the_page_holds_everything_and_fetches_nothing(tmp_path: Path) -> None:
    """One file: drawings inside, no script, no link to anywhere; the command under its figure (SIM-155)."""
    contents = reported(tmp_path)
    page = html(contents)
    assert page.count("<svg") == len(contents.figures) == 2
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert not re.findall(r"url\((?!#)[^)]*\)|@import", page)
    assert "sdpo-ref study run F06 --seeds 3 &amp;&amp; sdpo-ref study report --seeds 3 --figure noise" in page
    assert contents.origins["code"] in page


def test_every_cell_is_in_the_table(tmp_path: Path) -> None:
    """With as many seeds as were run, and its mean."""
    contents = reported(tmp_path)
    cells = synthetic.experiment("F06").cells
    assert len(contents.rows) == len(cells)
    assert {row.finished for row in contents.rows} == {len(SEEDS)}
    found = contents.rows[0].estimates["final_reward"]
    rewards = [synthetic.outcome(dict(cells[0].labels), seed).metrics["final_reward"] for seed in SEEDS]
    assert found is not None
    assert found.mean == pytest.approx(sum(rewards) / len(rewards))


def test_what_is_missing_or_failed_is_said_first(tmp_path: Path) -> None:
    """Before any figure, with the command that runs the rest; failed runs are counted and not averaged (SIM-156)."""
    contents = reported(tmp_path, leave_out=4, fail=2)
    page = html(contents)
    total = len(synthetic.experiment("F06").cells) * len(SEEDS)
    assert f"F06 is incomplete: {total - 4} of {total}" in page
    assert "2 runs ended early" in page
    assert page.index("incomplete") < page.index("<svg")


def test_an_experiment_without_runs_is_named_and_not_drawn(tmp_path: Path) -> None:
    """No empty axes."""
    with Store(tmp_path / "store.sqlite") as store:
        contents = contents_of([synthetic.experiment("F05")], SEEDS, store)
    assert contents.figures == ()
    assert "F05 is incomplete: 0 of" in contents.warnings[0]


def test_labels_cannot_break_the_page_or_the_table(tmp_path: Path) -> None:
    """A user's own experiment may be labelled with anything."""
    hostile = "<img src=x onerror=alert(1)>|\n# no"
    settings = synthetic.experiment("F06").cells[0].settings
    made = Experiment(
        name="mine", title="Mine", question="Who?", cells=(Cell(labels={"method": hostile}, settings=settings),)
    )
    with Store(tmp_path / "store.sqlite") as store:
        contents = contents_of([made], SEEDS, store)
    assert "<img" not in html(contents)
    line = next(line for line in markdown(contents).splitlines() if line.startswith("| mine"))
    assert "<img" not in line
    assert line.count("|") - line.count("\\|") == 8


def test_files_are_written_whole(tmp_path: Path) -> None:
    """Page, Markdown and every figure that the Markdown shows; nothing unfinished is left, and twice gives the same."""
    contents = reported(tmp_path, ("F06", "F05"))
    first = write_report(contents, tmp_path / "out")
    texts = [path.read_text(encoding="utf-8") for path in first]
    shown = re.findall(r"\]\((figures/[^)]*)\)", texts[1])
    assert len(shown) == 3
    assert all((tmp_path / "out" / name).is_file() for name in shown)
    assert [path.read_text(encoding="utf-8") for path in write_report(contents, tmp_path / "out")] == texts
    assert not list((tmp_path / "out").rglob("*.unfinished"))


def test_the_picture_stands_first_with_its_own_command_and_not_beside_a_figure_alone(tmp_path: Path) -> None:
    """It is of no store; an arm that was not run in a world says why."""
    arm = Arm("SDPO <i>", "sdpo", True, {"ours": Reward(Estimate(0.25, 0.1, 4))}, {"published": "not asked"})
    made = synthetic.experiment("F06")
    with stored(tmp_path / "store.sqlite", [made]) as store:
        contents = contents_of([made], SEEDS, store, outside=Outside(arms=[arm]))
        alone = contents_of([made], SEEDS, store, outside=Outside(arms=[arm]), only="noise")
    assert [drawn.figure.name for drawn in contents.figures] == ["lead", "noise", "information"]
    assert [drawn.figure.name for drawn in alone.figures] == ["noise"]
    first = contents.figures[0]
    assert all(text in first.svg for text in ("not asked", ">.25<", "SDPO &lt;i&gt;"))
    assert "```sh\nsdpo-ref claims picture\n```" in markdown(contents)


def test_one_figure_is_the_one_of_the_report(tmp_path: Path) -> None:
    """``--figure`` writes the same bytes to the same place, and touches nothing else."""
    contents = reported(tmp_path)
    write_report(contents, tmp_path / "whole")
    alone = write_figure(contents.figures[0], tmp_path / "alone")
    assert alone.relative_to(tmp_path / "alone") == Path("figures/noise.svg")
    assert alone.read_bytes() == (tmp_path / "whole" / "figures" / "noise.svg").read_bytes()
    assert [path.name for path in (tmp_path / "alone").rglob("*") if path.is_file()] == ["noise.svg"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """And what to do; a file in the way stays."""
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"taken.*--out"):
        write_report(reported(tmp_path), tmp_path / "taken")
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


def test_runs_of_several_versions_are_pointed_out(tmp_path: Path) -> None:
    """Rows of one key may come from several machines."""
    made = synthetic.experiment("F05")
    with stored(tmp_path / "store.sqlite", [made]) as store:
        (record,) = store.records({next(made.tasks(SEEDS)).key})
        store.put(
            record.model_copy(
                update={"provenance": record.provenance.model_copy(update={"torch": "9.9", "git_dirty": True})}
            )
        )
        contents = contents_of([made], SEEDS, store)
    assert any("several versions of torch" in warning and "9.9" in warning for warning in contents.warnings)
    assert any("not committed" in warning for warning in contents.warnings)


def test_the_printed_command_names_third_parties_parts(tmp_path: Path) -> None:
    """Without them it would make another figure."""
    made = synthetic.experiment("F06")
    with stored(tmp_path / "store.sqlite", [made], leave_out=1) as store:
        contents = contents_of([made], SEEDS, store, parts=Parts(oracle="tired:make").options())
    for text in (html(contents).replace("&amp;", "&"), markdown(contents)):
        assert "run F06 --seeds 3 --oracle tired:make && sdpo-ref study report --seeds 3 --oracle tired:make" in text
    assert "--seeds 3 --oracle tired:make`" in contents.warnings[0]
