"""The questions behind the golden vectors, as data; their answers are in ``derivation``."""

from collections.abc import Callable, Mapping

from sdpo_ref.vectors.case import Case, Kind
from sdpo_ref.vectors.cases import (
    advantages,
    divergence_edges,
    divergence_golden,
    hidden,
    loss_batches,
    loss_worked,
    server_top_k,
    teachers,
)

_SOURCES: Mapping[Kind, tuple[Callable[[], list[Case]], ...]] = {
    "divergence": (divergence_golden.cases, divergence_edges.cases),
    "loss": (loss_worked.cases, loss_batches.cases),
    "hidden_loss": (hidden.cases,),
    "top_k_loss": (server_top_k.cases,),
    "hybrid": (advantages.hybrid_cases,),
    "implicit_reward": (advantages.implicit_reward_cases,),
    "trust_region": (teachers.trust_region_cases,),
    "average": (teachers.average_cases,),
}


def cases(kind: Kind) -> list[Case]:
    """Every case of a kind, small ones first, so that the first failure is the one to look at."""

    def size(case: Case) -> int:
        return sum(len(tensor.values) for tensor in case.inputs.values())

    return sorted((case for source in _SOURCES[kind] for case in source()), key=size)
