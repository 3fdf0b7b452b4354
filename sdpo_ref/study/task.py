"""The identity of one unit of work: what was asked, and which code answered."""

import functools
import hashlib
import json
from dataclasses import dataclass

from sdpo_ref.simulation.run_settings import TaskSettings
from sdpo_ref.study.fingerprint import code_fingerprint, factory_fingerprint


@dataclass(frozen=True)
class Task:
    """Settings and a seed.

    Attributes:
        settings: all there is to know but the seed.
        seed: of the world, the corpus, the oracle and the run.
    """

    settings: TaskSettings
    seed: int

    @functools.cached_property
    def key(self) -> str:
        """A name that changes with the settings, the seed and the meaning of the code, and with nothing else."""
        asked = {
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "code": code_fingerprint(),
            "parts": {name: factory_fingerprint(name) for name in sorted(factories(self.settings))},
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def factories(settings: TaskSettings) -> set[str]:
    """Third-party parts that a task uses, as ``module:factory``."""
    if settings.kind == "probe":
        return set()
    named = (
        settings.oracle_factory,
        getattr(settings.method, "factory", None),
        getattr(settings.method, "implementation", None),
        getattr(settings.method, "teacher_factory", None),
    )
    return {name for name in named if name is not None}
