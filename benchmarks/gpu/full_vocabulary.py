"""L1 to L5, L7 and L11: the loss on the whole vocabulary, beside plain torch, Liger and the bare matrix products."""

from benchmarks.contestants import (
    FOUR_PRODUCTS,
    PLAIN_TORCH,
    chunked,
    compiled_plain_torch,
    four_products,
    fused,
    of_loss,
    plain_torch,
)
from benchmarks.gpu.device import costs, peak_ratio, ratio, rotation
from benchmarks.gpu.work import Work
from benchmarks.peers import liger_chunked, liger_fused, peers

REVERSE_KL, JSD = 1.0, 0.5
FUSED, FUSED_JSD = "fused, reverse KL", "fused, JSD"
LIGER_FUSED, LIGER_CHUNKED = "Liger 0.8.5 fused JSD", "Liger 0.8.5 chunked JSD, compiled"


def reverse_kl(work: Work) -> None:
    """L1, L2 and the first half of L3."""
    batches = rotation(work.sizes.full, work)
    liger, absent = peers({LIGER_FUSED: lambda: liger_fused(alpha=REVERSE_KL, name=LIGER_FUSED)})
    contestants = [
        of_loss(FUSED, fused(alpha=REVERSE_KL)),
        four_products(batches[0]),
        of_loss(PLAIN_TORCH, plain_torch(alpha=REVERSE_KL)),
        *liger,
        of_loss("chunked, reverse KL", chunked(alpha=REVERSE_KL)),
        of_loss("torch.compile of plain torch", compiled_plain_torch(alpha=REVERSE_KL)),
    ]
    found = costs(contestants, batches, work)
    work.race(f"Reverse KL from hidden states, bf16, {work.sizes.full}", list(found.values()))
    for one in absent:
        work.skip(one.name, one.why)
    _add(work, "L1", "time / G4", ratio(found, FUSED, FOUR_PRODUCTS))
    _add(work, "L2", "time / plain torch", ratio(found, FUSED, PLAIN_TORCH))
    _add(work, "L3", "time / Liger fused, reverse KL", ratio(found, FUSED, LIGER_FUSED))


def jsd(work: Work) -> None:
    """The rest of L3, L4, L5 and L7."""
    batches = rotation(work.sizes.full, work)
    liger, absent = peers(
        {
            LIGER_FUSED: lambda: liger_fused(alpha=JSD, name=LIGER_FUSED),
            LIGER_CHUNKED: lambda: liger_chunked(alpha=JSD, compiled=True, name=LIGER_CHUNKED),
        }
    )
    contestants = [
        of_loss(FUSED_JSD, fused(alpha=JSD)),
        of_loss(FUSED, fused(alpha=REVERSE_KL)),
        of_loss(PLAIN_TORCH, plain_torch(alpha=JSD)),
        *liger,
    ]
    found = costs(contestants, batches, work)
    work.race(f"JSD from hidden states, bf16, {work.sizes.full}", list(found.values()))
    for one in absent:
        work.skip(one.name, one.why)
    _add(work, "L3", "time / Liger fused, JSD", ratio(found, FUSED_JSD, LIGER_FUSED))
    _add(work, "L4", "time / Liger chunked, JSD", ratio(found, FUSED_JSD, LIGER_CHUNKED))
    _add(work, "L5", "peak / plain torch", peak_ratio(found, FUSED_JSD, PLAIN_TORCH))
    _add(work, "L7", "time JSD / reverse KL", ratio(found, FUSED_JSD, FUSED))


def vocabularies(work: Work) -> None:
    """L11."""
    for vocab, shape in work.sizes.other.items():
        batches = rotation(shape, work)
        found = costs([of_loss(FUSED, fused(alpha=REVERSE_KL)), four_products(batches[0])], batches, work)
        work.race(f"Reverse KL from hidden states, bf16, {shape}", list(found.values()))
        _add(work, "L11", f"time / G4, V={vocab}", ratio(found, FUSED, FOUR_PRODUCTS))


def _add(work: Work, goal: str, measure: str, value: float | None) -> None:
    if value is not None:
        work.add(goal, measure, value)
