"""One row of the store: what was asked, what was found, and where it comes from."""

import json
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from sdpo_ref.simulation.run_settings import TaskSettings
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.provenance import Provenance


class Record(BaseModel):
    """A finished task.

    Attributes:
        key: of the task; see :class:`~sdpo_ref.study.task.Task`.
        settings: all that was asked but the seed; no experiment is named, because several may share a task.
        seed: of the repeat.
        outcome: what was found.
        provenance: where it comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    settings: TaskSettings
    seed: int
    outcome: Outcome
    provenance: Provenance


@dataclass(frozen=True)
class Entry:
    """A row without its numbers, readable also if another version of the code wrote it.

    Attributes:
        key: of the task.
        settings: as :func:`settings_text` writes them.
        seed: of the repeat.
        failed: whether the outcome is an error.
        wall_seconds: how long the task took, in seconds.
    """

    key: str
    settings: str
    seed: int
    failed: bool
    wall_seconds: float


def settings_text(settings: BaseModel) -> str:
    """Settings as JSON, equal for equal settings.

    Args:
        settings: of a task.

    Example:
        >>> from sdpo_ref.simulation.settings import RegimeSettings
        >>> settings_text(RegimeSettings())
        '{"noise": 0.15, "regime": "scalar", "spans": 4}'
    """
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)
