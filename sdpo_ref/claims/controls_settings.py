"""Known defects of a study's runs, for negative controls: a rule that lets one pass decides nothing."""

from collections.abc import Callable, Mapping

from sdpo_ref.simulation.methods import Hybrid, Sdpo
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings, TaskSettings
from sdpo_ref.simulation.settings import PlaceboName

Mutant = Callable[[TaskSettings], TaskSettings]


def deranged(settings: TaskSettings) -> TaskSettings:
    """SDPO whose teacher reads another prompt's feedback."""
    return _with_placebo(settings, "deranged")


def constant(settings: TaskSettings) -> TaskSettings:
    """SDPO whose teacher always reads the same."""
    return _with_placebo(settings, "constant")


def informed(settings: TaskSettings) -> TaskSettings:
    """A placebo whose teacher reads the feedback after all."""
    return _with_placebo(settings, None)


def ungated(settings: TaskSettings) -> TaskSettings:
    """A hybrid that believes every teacher."""
    if isinstance(settings, RunSettings) and isinstance(settings.method, Hybrid):
        return settings.model_copy(update={"method": settings.method.model_copy(update={"gated": False})})
    return settings


def tabular(settings: TaskSettings) -> TaskSettings:
    """A student without the reader's features."""
    if isinstance(settings, RunSettings):
        return settings.model_copy(update={"method": settings.method.model_copy(update={"student": "table"})})
    return settings


def single_draw(settings: TaskSettings) -> TaskSettings:
    """A gradient under one draw of the noise, in place of the mean over many."""
    return settings.model_copy(update={"draws": 1}) if isinstance(settings, ProbeSettings) else settings


def misled(settings: TaskSettings) -> TaskSettings:
    """SDPO whose feedback points the wrong way for every prompt."""
    if isinstance(settings, RunSettings):
        return settings.model_copy(update={"oracle": settings.oracle.model_copy(update={"misleading_share": 1.0})})
    return settings


MUTANTS: Mapping[str, Mutant] = {
    mutant.__name__: mutant for mutant in (deranged, constant, informed, ungated, tabular, single_draw, misled)
}
"""Name to the change of a run's settings."""


def _with_placebo(settings: TaskSettings, placebo: PlaceboName | None) -> TaskSettings:
    if isinstance(settings, RunSettings) and isinstance(settings.method, Sdpo | Hybrid):
        return settings.model_copy(update={"method": settings.method.model_copy(update={"placebo": placebo})})
    return settings
