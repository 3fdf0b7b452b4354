"""What runs must share to be computed together, and what each of them brings along."""

from collections.abc import Hashable
from dataclasses import dataclass

from sdpo_ref.simulation.reader import Knowledge
from sdpo_ref.simulation.settings.method import Hybrid, Sdpo
from sdpo_ref.simulation.settings.run import RunSettings
from sdpo_ref.simulation.world import World


@dataclass(frozen=True)
class Run:
    """One run of a batch.

    Attributes:
        settings: of the run, with :func:`batch_key` not ``None``.
        seed: of the oracle and of everything that is drawn in a step.
        world: the ground truth.
        knowledge: of each of the settings' readers.
    """

    settings: RunSettings
    seed: int
    world: World
    knowledge: tuple[Knowledge, ...]


def batch_key(settings: RunSettings) -> Hashable | None:
    """Equal for runs that have the same shape and take the same steps; numbers may differ, from noise to learning rate.

    Args:
        settings: of a run.

    Returns:
        The key; ``None`` for a run that only the simulator ``reference`` can do: one with a third party's part, or one
        whose placebo is told in several regimes.

    Example:
        >>> from sdpo_ref.simulation.settings.method import Rloo
        >>> slow, fast = (RunSettings(method=Rloo(learning_rate=rate)) for rate in (0.1, 0.2))
        >>> batch_key(slow) == batch_key(fast)
        True
    """
    method = settings.method
    if method.method in ("third_party", "implementation") or settings.oracle_factory is not None:
        return None
    if isinstance(method, Sdpo | Hybrid) and (
        method.teacher_factory is not None or (method.placebo is not None and len(settings.oracle.regimes) > 1)
    ):
        return None
    if method.method == "span_rloo" and len(settings.oracle.regimes) > 1:
        return None
    taken = method.model_dump(include={"method", "student", "epochs", "teacher", "placebo", "gated"})
    world = settings.world
    return (
        (world.prompts, world.time, world.vocab, world.aspects, settings.group_size),
        tuple((one.regime, one.spans if one.regime == "critique" else 0) for one in settings.oracle.regimes),
        tuple(sorted(taken.items())),
        (settings.steps, settings.measure_every),
    )
