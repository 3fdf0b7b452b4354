"""Third parties' parts stand beside the bundled ones or in their place, and what does not fit is refused early."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdpo_ref.errors import LoadError, UsageError
from sdpo_ref.published.settings import Control, Outside, PublishedSettings
from sdpo_ref.simulation.methods import Sdpo, ThirdParty
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.study.experiment import Cell, Experiment, Task
from sdpo_ref.study.user_parts import Parts, all_with_parts, with_parts

MODULE = """
def trainer(policy, teacher, *, learning_rate): ...
def teacher(policy, conditioning): ...
def oracle(world, settings, *, seed): ...
def flexible(*parts, **options): ...
def nothing(): ...
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working directory with the user's parts, which are forgotten afterwards."""
    (tmp_path / "door_parts.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    sys.modules.pop("door_parts", None)


def run(method: str, **options: object) -> RunSettings:
    """Settings of a run."""
    return RunSettings.model_validate({"method": {"method": method, **options}})


def of(*cells: Cell, name: str = "F00") -> Experiment:
    """An experiment with these cells."""
    return Experiment(name=name, title="t", question="q", cells=cells)


SDPO = Cell(labels={"method": "sdpo", "x": 1}, settings=run("sdpo", learning_rate=0.3, teacher="ema"))
PENALIZED = Cell(labels={"method": "sdpo", "x": 2}, settings=run("sdpo", kl_weight=0.01))
RLOO = Cell(labels={"method": "rloo", "x": 1}, settings=run("rloo", learning_rate=0.2))
ARM = Cell(labels={"arm": "sdpo"}, settings=run("sdpo", student="features"))
PROBE = Cell(labels={"noise": 0.1}, settings=ProbeSettings())


def test_a_trainer_stands_beside_sdpo() -> None:
    """In the same settings, with its learning rate and student, under its own name."""
    made = with_parts(of(SDPO, RLOO), trainer="door_parts:trainer")
    assert [cell.labels["method"] for cell in made.cells] == ["sdpo", "door_parts:trainer", "rloo"]
    beside = made.cells[1]
    assert isinstance(beside.settings, RunSettings)
    assert beside.settings.method == ThirdParty(factory="door_parts:trainer", learning_rate=0.3)
    assert beside.settings.model_copy(update={"method": None}) == SDPO.settings.model_copy(update={"method": None})
    assert beside.labels["x"] == 1
    assert (made.cells[0], made.cells[2]) == (SDPO, RLOO)


def test_a_trainer_does_not_stand_where_there_is_a_penalty() -> None:
    """It is not told of it, and would repeat one run under several labels; a teacher does."""
    made = with_parts(of(PENALIZED), trainer="door_parts:trainer", teacher="door_parts:teacher")
    assert [cell.labels["method"] for cell in made.cells] == ["sdpo", "sdpo+door_parts:teacher"]


def test_an_arm_is_a_method_too() -> None:
    """F12 calls its methods arms."""
    made = with_parts(of(ARM), trainer="door_parts:trainer", teacher="door_parts:teacher")
    assert [cell.labels["arm"] for cell in made.cells] == ["sdpo", "door_parts:trainer", "sdpo+door_parts:teacher"]
    assert isinstance(made.cells[1].settings, RunSettings)
    assert made.cells[1].settings.method.student == "features"


def test_a_teacher_teaches_sdpo() -> None:
    """With SDPO's settings, beside the bundled one."""
    made = with_parts(of(SDPO, RLOO), teacher="door_parts:teacher")
    assert [cell.labels["method"] for cell in made.cells] == ["sdpo", "sdpo+door_parts:teacher", "rloo"]
    taught = made.cells[1].settings
    assert isinstance(taught, RunSettings)
    assert taught.method == Sdpo(learning_rate=0.3, teacher="ema", teacher_factory="door_parts:teacher")


def test_an_oracle_judges_every_run() -> None:
    """Under the old labels, but as other tasks; probes are left out, and a line says so."""
    made = with_parts(of(SDPO, PROBE, RLOO), oracle="door_parts:oracle")
    assert [cell.labels for cell in made.cells] == [SDPO.labels, RLOO.labels]
    assert all(
        isinstance(cell.settings, RunSettings) and cell.settings.oracle_factory == "door_parts:oracle"
        for cell in made.cells
    )
    fitted, lines = all_with_parts([of(SDPO, PROBE), of(PROBE, name="F07")], Parts(oracle="door_parts:oracle"))
    assert [one.name for one in fitted] == ["F00"]
    assert Task(fitted[0].cells[0].settings, 0).key != Task(SDPO.settings, 0).key
    assert lines == [
        f"{name}: 1 probes are left out, because only a run can have another oracle" for name in ("F00", "F07")
    ]
    with pytest.raises(UsageError, match="received --oracle for F07: probes"):
        with_parts(of(PROBE, name="F07"), oracle="door_parts:oracle")


PUBLISHED = Cell(labels={"method": "sdpo"}, settings=PublishedSettings(feedback="binary"))
BASELINE = Cell(labels={"method": "reinforce"}, settings=PublishedSettings(method="reinforce"))
CONTROLLED = Cell(labels={"arm": "constant 0.5"}, settings=PublishedSettings(control=Control(feedback=0.5)))
DOSE = Cell(labels={"told": 0.5}, settings=PublishedSettings(control=Control(told=0.5)))


def test_parts_stand_beside_the_published_sdpo_and_its_controls() -> None:
    """A trainer without the pull, which it is not given; where cells have no names of methods, there is no place."""
    experiment = of(PUBLISHED, BASELINE, CONTROLLED, DOSE, name="C0x")
    made = with_parts(experiment, trainer="door_parts:trainer")
    assert [next(iter(cell.labels.values())) for cell in made.cells] == [
        *("sdpo", "door_parts:trainer", "reinforce"),
        *("constant 0.5", "constant 0.5: door_parts:trainer", 0.5),
    ]
    trainer = Outside(trainer="door_parts:trainer")
    assert made.cells[1].settings == PublishedSettings(feedback="binary", pull=0.0, outside=trainer)
    assert made.cells[4].settings == PublishedSettings(control=Control(feedback=0.5), pull=0.0, outside=trainer)
    taught = with_parts(experiment, teacher="door_parts:teacher").cells[1]
    assert taught.labels == {"method": "sdpo+door_parts:teacher"}
    assert taught.settings == PublishedSettings(feedback="binary", outside=Outside(teacher="door_parts:teacher"))


def test_no_oracle_judges_the_published_study() -> None:
    """It is about an evaluator of its own: left out beside others, refused alone."""
    fitted, lines = all_with_parts([of(SDPO), of(PUBLISHED, name="P0x")], Parts(oracle="door_parts:oracle"))
    assert [one.name for one in fitted] == ["F00"]
    assert lines == ["P0x: 1 runs are left out, because the published study has its own evaluator"]
    with pytest.raises(UsageError, match=r"received --oracle for P0x: .* leave it out, or name another"):
        all_with_parts([of(PUBLISHED, name="P0x")], Parts(oracle="door_parts:oracle"))


def test_without_parts_nothing_changes() -> None:
    """And nothing is said."""
    assert with_parts(of(SDPO, PROBE)) == of(SDPO, PROBE)
    assert all_with_parts([of(SDPO, PROBE)], Parts()) == ([of(SDPO, PROBE)], [])


def test_a_part_needs_a_place() -> None:
    """Experiments without SDPO stay as they are and are named; if all are such, it is an error."""
    fitted, lines = all_with_parts([of(SDPO), of(RLOO, name="F0r")], Parts(trainer="door_parts:trainer"))
    assert [len(one.cells) for one in fitted] == [2, 1]
    assert lines == ["F0r: has no run labelled sdpo for --trainer to stand beside"]
    with pytest.raises(UsageError, match=r"--teacher stands beside runs labelled method or arm sdpo; F0r has none"):
        all_with_parts([of(RLOO, name="F0r")], Parts(teacher="door_parts:teacher"))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (Parts(trainer="door_nowhere:make"), r"there is no module 'door_nowhere'"),
        (Parts(oracle="door_parts:orcale"), r"door_parts has no 'orcale'; it has oracle"),
        (
            Parts(teacher="door_parts:nothing"),
            r"--teacher door_parts:nothing does not fit: it will be called as nothing\(policy, conditioning\), and too",
        ),
        (
            Parts(trainer="door_parts:teacher"),
            r"learning_rate\), and got an unexpected keyword argument 'learning_rate'",
        ),
        (Parts(oracle="door_parts:trainer"), r"trainer\(world, settings, \*, seed\), and missing a required"),
        (Parts(trainer="door_parts:flexible,url=a:b"), r"has a second colon"),
    ],
)
def test_what_does_not_fit_is_refused(parts: Parts, message: str) -> None:
    """By name, and with what it will be called with."""
    with pytest.raises(LoadError, match=message):
        all_with_parts([of(SDPO)], parts)


def test_options_of_a_factory_are_filled_in() -> None:
    """They become part of the label."""
    fitted, _ = all_with_parts([of(SDPO)], Parts(trainer="door_parts:flexible,beta=2"))
    assert fitted[0].cells[1].labels["method"] == "door_parts:flexible,beta=2"


def test_a_part_that_a_file_names_is_looked_up_as_well() -> None:
    """A user's own experiment may have third parties' parts in its settings."""
    others = Cell(labels={"method": "x"}, settings=run("third_party", factory="door_nowhere:make"))
    with pytest.raises(LoadError, match="there is no module 'door_nowhere'"):
        all_with_parts([of(others)], Parts())
