"""Each method's settings as the tuning grid chose them, on seeds that no claim uses (``sdpo-ref study tune``)."""

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.simulation.methods import MethodSettings
from sdpo_ref.simulation.settings import RegimeName, StudentName
from sdpo_ref.study.provenance import Origin

FILE_NAME = "tuned.json"
"""In this package."""


class Trial(BaseModel):
    """One point of the grid.

    Attributes:
        arm: what is tuned, as :func:`arm_name` says it.
        method: its settings at this point.
        mean: of the normalised reward after the last step, over the tuning seeds.
        deviation: between seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str
    method: MethodSettings = Field(discriminator="method")
    mean: float
    deviation: float


class Tuning(BaseModel):
    """The whole grid and its winners.

    Attributes:
        command: that made it.
        rule: by which winners were chosen.
        seeds: that were used; no claim uses them.
        origin: the code that made it.
        winners: arm to settings.
        trials: every point of the grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    rule: str
    seeds: tuple[int, ...]
    origin: Origin
    winners: Mapping[str, MethodSettings]
    trials: tuple[Trial, ...]


def arm_name(method: str, regime: RegimeName, student: StudentName = "table") -> str:
    """What is tuned: a method under a regime, with a student.

    Example:
        >>> arm_name("sdpo", "scalar"), arm_name("rloo", "rubric", "features")
        ('sdpo/scalar', 'rloo/rubric/features')
    """
    return "/".join((method, regime, *(() if student == "table" else (student,))))


def tuned(method: str, regime: RegimeName, student: StudentName = "table", **changes: object) -> MethodSettings:
    """The settings that won the grid.

    Args:
        method: as experiments call it; ``gated`` is the hybrid with a gate.
        regime: of the feedback.
        student: what the student's logits are made of.
        changes: settings that differ on purpose, such as ``kl_weight``.

    Returns:
        Settings of the method.

    Raises:
        UsageError: if nobody has tuned that.
        IntegrityError: if the file of the winners cannot be read.
    """
    arm = arm_name(method, regime, student)
    winners = tuning().winners
    if arm not in winners:
        raise UsageError(f"{arm} is not tuned; tuned are {', '.join(winners)}. Add it to study/tuning.py and run it")
    settings: dict[str, Any] = {**winners[arm].model_dump(), **changes}
    chosen: MethodSettings = TypeAdapter(MethodSettings).validate_python(settings)
    return chosen


@functools.cache
def tuning() -> Tuning:
    """The published grid, as it lies in the package.

    Raises:
        IntegrityError: if it is missing or is not a tuning file.
    """
    file = resources.files("sdpo_ref.study") / FILE_NAME
    try:
        return Tuning.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{FILE_NAME} cannot be read ({error}); reinstall, or run `sdpo-ref study tune`"
        ) from error
