"""Execute runs in the world of the published study, and keep of each what other tasks of the study keep."""

import math
from collections.abc import Sequence

from sdpo_ref.errors import DivergedError
from sdpo_ref.published.batch import batch_key
from sdpo_ref.published.objects import run_alone
from sdpo_ref.published.run import Measured, run_batch
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.study.outcome import Curve, Outcome


def execute_published(settings: Sequence[PublishedSettings], seeds: Sequence[int]) -> list[Outcome]:
    """Do runs of the published study: as one program, or one by one with objects where a part is from outside.

    Args:
        settings: of the runs, with one :func:`~sdpo_ref.published.batch.batch_key`.
        seeds: of the runs.

    Raises:
        InvalidInputError: if the settings cannot be one program.
        LoadError: if a part from outside cannot be made.
    """
    if all(batch_key(one) is None for one in settings):
        return [_alone(one, seed) for one, seed in zip(settings, seeds, strict=True)]
    return [_outcome(one, found) for one, found in zip(settings, run_batch(settings, seeds), strict=True)]


def _alone(settings: PublishedSettings, seed: int) -> Outcome:
    try:
        return _outcome(settings, run_alone(settings, seed))
    except DivergedError as error:
        return Outcome(error=str(error))


def _outcome(settings: PublishedSettings, found: Measured) -> Outcome:
    """A run whose logits are not finite any more has ended early; its numbers would mean nothing."""
    if not all(map(math.isfinite, found.metrics.values())):
        return Outcome(
            error=f"the logits are not finite after {settings.steps} steps at rate {settings.learning_rate:g}"
        )
    start = settings.time * math.log(settings.vocab)
    return Outcome(
        metrics=dict(found.metrics),
        curve=Curve(
            step=found.steps,
            reward=found.rewards,
            entropy=tuple(settings.time * one for one in found.entropies),
            distinctness=found.distinctness,
            kl_to_base=tuple(start - settings.time * one for one in found.entropies),
        ),
    )
