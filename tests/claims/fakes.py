"""Claims of a few comparisons, and sources that answer without running anything."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from sdpo_ref.claims.comparison import Metrics
from sdpo_ref.claims.procedure import Question
from sdpo_ref.claims.profile import design_of
from sdpo_ref.claims.runs import RunName
from sdpo_ref.claims.schema import Claim

SDPO_LEADS = 0.1
"""How far SDPO is ahead in :func:`leading`, in final reward."""


@dataclass
class Told:
    """A source that returns what a function returns, and stores the runs that were wanted."""

    say: Callable[[RunName], Metrics | None]
    asked: list[RunName] = field(default_factory=list)

    def values(self, runs: Collection[RunName]) -> Mapping[RunName, Metrics]:
        """What the function says; a run of which it says nothing is missing."""
        self.asked += runs
        told = {one: self.say(one) for one in runs}
        return {one: metrics for one, metrics in told.items() if metrics is not None}


def leading(one: RunName) -> Metrics:
    """SDPO ahead by the same at every seed; mutants behind."""
    lead = {"": SDPO_LEADS, "bundled": SDPO_LEADS}.get(one.variant, -SDPO_LEADS)
    method = dict(one.cell.labels).get("method")
    return {"final_reward": 0.5 + 0.001 * one.index + (lead if method == "sdpo" else 0.0)}


def tiny_claim(**changes: object) -> Claim:
    """Two comparisons of cells of F01: SDPO against RLOO and GRPO in scalar."""
    return Claim.model_validate(
        {
            "id": "F01",
            "title": "Tiny",
            "statement": "SDPO is ahead.",
            "estimand": "probability of a win",
            "pairing": "by seed",
            "alpha": 0.05,
            "beta": 0.01,
            "looks": (8, 16, 32, 64),
            "seeds": {"claim": "F01", "setting": "test"},
            "negative_control": {"part": "reward", "mutant": "deranged"},
            "parts": [tiny_part()],
            **changes,
        }
    )


def tiny_part(**changes: object) -> dict[str, object]:
    """The record of the part of :func:`tiny_claim`."""
    return {
        "name": "reward",
        "says": "SDPO is ahead",
        "source": "study",
        "experiment": "F01",
        "lane": {"kind": "direction", "resolution": 0.001},
        "metric": "final_reward",
        "over": {"baseline": ("rloo", "grpo")},
        "terms": [
            {"weight": 1.0, "cell": {"method": "sdpo", "regime": "scalar"}},
            {"weight": -1.0, "cell": {"method": "$baseline", "regime": "scalar"}},
        ],
        **changes,
    }


def question(claim: Claim) -> Question:
    """About the claim's first part, under its own looks."""
    return Question(claim, claim.parts[0], design_of(claim, "standard", claims=13))
