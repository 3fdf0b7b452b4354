"""L6, L8, L9 and L10: what a frozen head, masked tokens and a top-k support save."""

import torch

from benchmarks.contestants import FOUR_PRODUCTS, PLAIN_TORCH, four_products, fused, of_loss, plain_torch
from benchmarks.gpu.device import costs, peak_beyond, race, rotation
from benchmarks.gpu.work import Work
from benchmarks.inputs import hidden_batch
from benchmarks.peers import peers, trl_top_k
from benchmarks.record import Cost
from sdpo_ref.types import Support

REVERSE_KL, JSD = 1.0, 0.5
FULL = "fused, full vocabulary"


def frozen_head(work: Work) -> None:
    """L6: three of the four matrix products, and no gradient of the head in memory."""
    sizes = work.sizes
    batch = hidden_batch(sizes.full, dtype=torch.bfloat16, device=sizes.device, head_trained=False)
    contestants = [of_loss("fused, head frozen", fused(alpha=REVERSE_KL)), four_products(batch)]
    times = race(contestants, [batch], work)
    ours, products = times["fused, head frozen"], times[FOUR_PRODUCTS]
    del contestants
    jsds = [of_loss("fused, JSD", fused(alpha=JSD)), of_loss(PLAIN_TORCH, plain_torch(alpha=JSD))]
    for one in jsds:
        one.step(batch)
    peaks = [peak_beyond(one, batch, work) for one in jsds]
    work.add("L6", "peak / plain torch", peaks[0] / max(peaks[1], 1), ours=peaks[0], plain_torch=peaks[1])
    work.add("L6", "time / three quarters of G4", ours.median / (0.75 * products.median), seconds=ours.median)


def masked(work: Work) -> None:
    """L8: half of the tokens do not count, and the host knows how many do; unknown, all are computed (0020)."""
    sizes = work.sizes
    whole, half = (
        hidden_batch(sizes.full, dtype=torch.bfloat16, device=sizes.device, masked=share) for share in (0.0, 0.5)
    )
    times = [
        race([of_loss("fused", fused(alpha=REVERSE_KL, counted_tokens=int(batch.loss_mask.sum())))], [batch], work)[
            "fused"
        ].median
        for batch in (whole, half, half, whole)
    ]
    value = (times[1] + times[2]) / (times[0] + times[3])
    counted = float(half.loss_mask.float().mean())
    work.add("L8", "time, half of the tokens masked / none", value, share_that_counts=counted)


def top_k(work: Work) -> None:
    """L9 and L10, with TRL's path beside them."""
    k, batches = work.sizes.top_k, rotation(work.sizes.full, work)
    renormalized, tail, theirs = "fused, renormalised top-k", "fused, top-k with tail", f"TRL 1.16 top-{k} with tail"
    trl, absent = peers({theirs: lambda: trl_top_k(alpha=REVERSE_KL, k=k, tail=True, name=theirs)})
    contestants = [
        of_loss(FULL, fused(alpha=REVERSE_KL)),
        of_loss(renormalized, fused(alpha=REVERSE_KL, support=Support("top_k_renormalized", k=k)), exact=False),
        of_loss(tail, fused(alpha=REVERSE_KL, support=Support("top_k_tail", k=k)), exact=False),
        *trl,
    ]
    found = costs(contestants, batches, work)
    work.race(f"Top-{k} supports from hidden states, bf16, {work.sizes.full}", list(found.values()))
    for one in absent:
        work.skip(one.name, one.why)
    for goal, name in (("L9", renormalized), ("L10", tail)):
        if name in found:
            work.add(goal, "time top-100 / full", _median(found[name]) / _median(found[FULL]))


def _median(cost: Cost) -> float:
    assert cost.median_seconds is not None
    return cost.median_seconds
