"""A user's file is an experiment, or each of its mistakes is one line that says where and what is allowed."""

import json
from pathlib import Path

import pytest

from sdpo_ref.errors import UsageError
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.study.user_experiment import chosen_experiments, read_experiment

GOOD = """
name = "mine"
title = "Mine"
question = "Who wins?"

[[cells]]
labels = { method = "sdpo", size = 6 }
[cells.settings]
kind = "run"
steps = 3
world = { prompts = 2, time = 4, vocab = 6 }
oracle = { regimes = [{ regime = "critique", spans = 2 }] }
readers = [{ feedback = { regime = "critique", spans = 2 } }]
method = { method = "sdpo", learning_rate = 0.2 }
"""


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    """A file of the user's."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_an_experiment(tmp_path: Path) -> None:
    """As TOML or as JSON, with defaults for what is not said."""
    from_toml = read_experiment(written(tmp_path, GOOD))
    (cell,) = from_toml.cells
    assert cell.labels == {"method": "sdpo", "size": 6}
    assert isinstance(cell.settings, RunSettings)
    assert (cell.settings.steps, cell.settings.group_size, cell.settings.method.learning_rate) == (3, 8, 0.2)
    as_json = written(tmp_path, from_toml.model_dump_json(), "mine.json")
    assert read_experiment(as_json) == from_toml


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("spans = 2 } }]", "spans = 3 } }]", r"readers expect the regimes \('critique of 3',\), the oracle has"),
        ("spans = 2", "spans = 9", r"received spans=9 and time=4; a critique has at most one span for each position"),
        (
            '"critique", spans = 2 }] }',
            '"critique", noise = -0.1 }] }',
            r"regimes\[0\].noise: received -0.1, input .*0$",
        ),
        (
            '"critique"',
            '"thumbs"',
            r"regime: received 'thumbs', input should be 'binary', 'ordinal', 'scalar', 'rubric' or",
        ),
        ("steps = 3", "stepz = 3", r"settings.stepz: there is no such setting; did you mean steps\?"),
        ("vocab = 6 ", "zzz = 6 ", r"settings.world.zzz: there is no such setting; allowed are prompts, time, vocab"),
        ("steps = 3", "steps = 'x'", r"settings.steps: received 'x', input should be a valid integer"),
        ("learning_rate = 0.2", "learning_rate = nan", r"settings.method.learning_rate: received nan, input"),
        (
            'method = "sdpo", l',
            'method = "sdpoo", l',
            r"settings.method: received .*'sdpoo'.*expected tags: 'sdpo', 'sd",
        ),
        (
            'kind = "run"\n',
            "",
            r"cell 1 \(method = sdpo, size = 6\) settings: 'kind' is missing, which says what this is",
        ),
        ("labels =", "lables =", r"cell 1 (labels: is missing|lables: there is no such setting; did you mean labels)"),
        ('title = "Mine"', "", r"^  title: is missing$"),
        ('name = "mine"', 'name = "a b"', r"^  name: received 'a b', string should match pattern"),
        ("[[cells]]", "[[cell]]", r"^  cell: there is no such setting; did you mean cells\?"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Which file, which cell, which setting, what was received, what is allowed; consequences are not said again."""
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(UsageError, match=rf"(?m)^.*mine.toml is no experiment that can be run:$[\s\S]*{message}"):
        read_experiment(path)


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    """Each on a line of its own, by cell, and no more than ten."""
    cells = [
        {"labels": {"n": n}, "settings": {"kind": "run", "method": {"method": "rloo"}, "steps": -n}} for n in range(12)
    ]
    path = written(tmp_path, json.dumps({"name": "m", "title": "t", "question": "q", "cells": cells}), "mine.json")
    with pytest.raises(UsageError) as caught:
        read_experiment(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[3] == "  cell 3 (n = 2) settings.steps: received -2, input should be greater than or equal to 1"
    assert lines[-1] == "and 2 more"


def test_two_cells_with_the_same_labels_are_refused(tmp_path: Path) -> None:
    """They could not be told apart."""
    path = written(tmp_path, GOOD + GOOD[GOOD.index("[[cells]]") :])
    with pytest.raises(UsageError, match=r"the file: received two cells with the labels"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.toml", "name = ", r"mine.toml is not TOML: Invalid value"),
        ("mine.json", "{", r"mine.json is not JSON: .*line 1"),
        ("mine.json", "[]", r"the file: received \[\], input should be a valid dictionary"),
    ],
)
def test_a_file_of_another_kind(tmp_path: Path, name: str, text: str, message: str) -> None:
    """Where it stops to be readable is said."""
    with pytest.raises(UsageError, match=message):
        read_experiment(written(tmp_path, text, name))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, or not text."""
    with pytest.raises(UsageError, match=r"there is no file .*nowhere.toml"):
        read_experiment(tmp_path / "nowhere.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*folder.toml: Is a directory"):
        read_experiment(tmp_path / "folder.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe4'")
    with pytest.raises(UsageError, match=r"latin.toml is not TOML: .*utf-8"):
        read_experiment(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("F99", r"no experiment is called 'F99'; did you mean F0\d\? There are F01, F02"),
        ("everything", r"no experiment is called 'everything'; there are F01, F02.* or name a file that ends in .toml"),
        ("mine.yaml", r"no experiment is called 'mine.yaml'"),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_exist(name: str, message: str) -> None:
    """And with the nearest."""
    with pytest.raises(UsageError, match=message):
        chosen_experiments([name])


def test_a_name_stands_for_one_experiment(tmp_path: Path) -> None:
    """The same file twice is one experiment; two different ones of one name are refused."""
    path = str(written(tmp_path, GOOD))
    assert [one.name for one in chosen_experiments([path, path])] == ["mine"]
    other = str(written(tmp_path, GOOD.replace("steps = 3", "steps = 4"), "other.toml"))
    with pytest.raises(UsageError, match=r"two experiments are called mine; give the one in .*other.toml a name"):
        chosen_experiments([path, other])
