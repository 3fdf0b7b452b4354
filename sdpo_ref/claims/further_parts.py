"""What is asked of implementations beside the parts of the records: the reference's level, in more than one number.

A final reward is one number of a run. SDPO's loss weighted by the reward has the same final reward, and learns early
faster; Jensen-Shannon's divergence has nearly the same, and keeps more variety.
"""

from collections.abc import Sequence

from sdpo_ref.claims.schema import Part, Reproduction

_MARGIN_OF_VARIETY = 0.05


def with_further_levels(parts: Sequence[Part]) -> list[Part]:
    """The parts of a claim, and behind each that asks for the reference's level two that ask for it in other metrics.

    They compare the same runs, so that they cost nothing, and have error rates of their own: those of the claim's
    other comparisons do not change. An implementation that does the same differs by rounding, whatever the margin.
    Implements: STAT-036.

    Args:
        parts: of a claim, that an implementation is asked.

    Returns:
        All of them.
    """
    return [one for part in parts for one in (part, *_levels(part))]


def _levels(part: Part) -> tuple[Part, ...]:
    if not isinstance(part.lane, Reproduction) or part.metric != "final_reward":
        return ()
    early = {
        "name": f"early {part.name}",
        "says": "an implementation has the reference's reward after a quarter of the steps",
        "metric": "early_reward",
    }
    variety = {
        "name": f"{part.name} of variety",
        "says": "an implementation has the reference's final distinctness, to a twentieth",
        "metric": "final_distinctness",
        "log": True,
        "lane": Reproduction(margin=_MARGIN_OF_VARIETY),
    }
    return part.model_copy(update=early), part.model_copy(update=variety)
