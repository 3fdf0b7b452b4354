"""From what a user names to experiments: claims of the study, TOML or JSON files of their own, or everything."""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sdpo_ref.errors import UsageError
from sdpo_ref.study.experiment import Experiment
from sdpo_ref.study.experiments import EXPERIMENTS


def chosen_experiments(names: Sequence[str]) -> list[Experiment]:
    """The experiments that were named, each once.

    Args:
        names: such as ``F01`` in any case, or files that end in ``.toml`` or ``.json``; none for all of the study.

    Returns:
        Experiments in the order of the names.

    Raises:
        UsageError: if a name is unknown, a file is no experiment, or two files have one name for an experiment.
    """
    found: dict[str, Experiment] = {}
    for name in dict.fromkeys(names or EXPERIMENTS):
        experiment = _one(name)
        if found.setdefault(experiment.name, experiment) != experiment:
            raise UsageError(f"two experiments are called {experiment.name}; give the one in {name} a name of its own")
    return list(found.values())


def _one(name: str) -> Experiment:
    if Path(name).suffix in SUFFIXES:
        return read_experiment(Path(name))
    if name.upper() in EXPERIMENTS:
        return EXPERIMENTS[name.upper()]()
    near = difflib.get_close_matches(name.upper(), EXPERIMENTS, n=1)
    raise UsageError(
        f"no experiment is called {name!r}; {f'did you mean {near[0]}? There' if near else 'there'} are "
        f"{', '.join(EXPERIMENTS)}, or name a file that ends in {' or '.join(SUFFIXES)}"
    )


SUFFIXES = (".toml", ".json")
"""Of files that hold an experiment."""

_SHOWN = 10


def read_experiment(path: Path) -> Experiment:
    """Read and check a file.

    Implements: SIM-150.

    Args:
        path: ends in ``.toml`` or ``.json``.

    Returns:
        The experiment; whatever can be found wrong without running it has been refused.

    Raises:
        UsageError: if the file cannot be read or is no experiment; one line for each mistake, saying which cell and
            which setting, what was received and what is allowed.
    """
    document = _document(path)
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        mistakes = [_mistake(one, document) for one in _causes(error.errors())]
        more = [f"and {len(mistakes) - _SHOWN} more"] if len(mistakes) > _SHOWN else []
        raise UsageError("\n".join([f"{path} is no experiment that can be run:", *mistakes[:_SHOWN], *more])) from error


def _document(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        document: object = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}; check its name and folder") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # also what is not UTF-8
        raise UsageError(f"{path} is not {path.suffix.removeprefix('.').upper()}: {error}") from error
    return document


def _causes(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without errors of a whole whose parts have errors of their own."""
    places = [one["loc"] for one in errors]
    return [
        one
        for one, at in zip(errors, places, strict=True)
        if not any(len(inner) > len(at) and inner[: len(at)] == at for inner in places)
    ]


def _mistake(error: ErrorDetails, document: object) -> str:
    at = error["loc"]
    message = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "extra_forbidden":
            message = f"there is no such setting; {_nearest(str(at[-1]), _siblings(at))}"
        case "missing":
            message = "is missing"
        case "union_tag_not_found":
            message = f"{error['ctx']['discriminator']} is missing, which says what this is"
        case "value_error":
            pass
        case _:
            message = f"received {_short(repr(error['input']))}, {message[:1].lower()}{message[1:]}"
    return f"  {_place(at, document)}: {message}"


def _short(text: str, longest: int = 80) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _place(at: Sequence[str | int], document: object) -> str:
    """Which cell, by number and labels, and which setting in it; names of alternatives are left out."""
    words: list[str] = []
    found: Any = document
    if len(at) >= 2 and at[0] == "cells" and isinstance(at[1], int):
        found = found["cells"][at[1]]
        labels = found.get("labels") if isinstance(found, Mapping) else None
        named = ", ".join(f"{axis} = {value}" for axis, value in labels.items()) if isinstance(labels, Mapping) else ""
        words.append(f"cell {at[1] + 1}{f' ({named})' if named else ''}")
        at = at[2:]
    setting = ""
    for number, step in enumerate(at):
        if isinstance(step, int):
            setting += f"[{step}]"
        elif (isinstance(found, Mapping) and step in found) or number == len(at) - 1:
            setting += f".{step}" if setting else step
        else:
            continue
        found = found[step] if _has(found, step) else None
    return " ".join([*words, setting]).strip() or "the file"


def _has(found: object, step: str | int) -> bool:
    if isinstance(found, Mapping):
        return step in found
    return isinstance(found, Sequence) and isinstance(step, int) and step < len(found)


def _siblings(at: Sequence[str | int]) -> list[str]:
    """Settings that are allowed where one was found that is not."""
    schema = Experiment.model_json_schema()
    node: Mapping[str, Any] = schema
    for step in at[:-1]:
        if isinstance(step, int):
            node = node["items"]
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        else:
            node = {"$ref": node["discriminator"]["mapping"][step]}
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return list(node["properties"])


def _nearest(name: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1)
    return f"did you mean {near[0]}?" if near else f"allowed are {', '.join(allowed)}"
