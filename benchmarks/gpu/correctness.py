"""Before anything is timed: the fused loss against the truth, and how exact it is in half precision (A1)."""

import itertools

import torch

from benchmarks.accuracy import answer, errors, truth
from benchmarks.contestants import Loss, chunked, fused, plain_torch, reference
from benchmarks.gpu.work import Work
from benchmarks.inputs import Shape, hidden_batch
from benchmarks.peers import liger_chunked_loss, liger_fused_loss
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Support

AWKWARD = (Shape(1, 8, 33), Shape(7, 24, 130), Shape(37, 72, 4099))
SUPPORTS = (FULL, Support("top_k_tail", k=5), Support("top_k_renormalized", k=5))
ALPHAS = (0.0, 0.3, 1.0)
SLACK = {torch.float32: 1e-5, torch.bfloat16: 5e-3}
"""What the fused loss may err beyond plain code of the same dtype, relative to the truth."""


def against_the_truth(work: Work) -> None:
    """Value and gradients on awkward shapes: no worse than the reference in the same dtype, plus the slack.

    Raises:
        AssertionError: naming the cases that are worse.
    """
    cases = [*itertools.product(ALPHAS, SUPPORTS), (1.0, SAMPLED_TOKEN)]
    shapes = AWKWARD if work.sizes.device != "cpu" else AWKWARD[1:2]
    worse = []
    for dtype, slack in SLACK.items():
        furthest = 0.0
        for shape, (alpha, support) in itertools.product(shapes, cases):
            batch = hidden_batch(shape, dtype=dtype, device=work.sizes.device, masked=0.3 if shape.tokens > 1 else 0.0)
            right = truth(reference(alpha=alpha, support=support), batch)
            plain = errors(answer(reference(alpha=alpha, support=support), batch), right)
            ours = errors(answer(fused(alpha=alpha, support=support), batch), right)
            pairs = {"loss": (ours.loss, plain.loss)}
            pairs |= {name: (off, plain.gradients[name]) for name, off in ours.gradients.items()}
            furthest = max(furthest, ours.worst_gradient)
            worse += [
                f"{dtype}, {shape}, alpha={alpha}, {support.kind}: {name} off by {off:.2g}, plain code by {allowed:.2g}"
                for name, (off, allowed) in pairs.items()
                if not off <= allowed + slack
            ]
        work.check(f"{dtype}, fused: largest error of a gradient on awkward shapes", furthest)
    assert not worse, f"{len(worse)} cases: {'; '.join(worse[:5])}"


def half_precision(work: Work) -> None:
    """A1 on the device, with what others make of the same batches."""
    losses: dict[str, Loss] = {
        "fused": fused(alpha=1.0),
        "chunked": chunked(alpha=1.0),
        "plain torch": plain_torch(alpha=1.0),
    }
    try:
        losses["Liger 0.8.5 fused JSD"] = liger_fused_loss(alpha=1.0)
        losses["Liger 0.8.5 chunked JSD"] = liger_chunked_loss(alpha=1.0, compiled=False)
    except ImportError as error:
        work.skip("accuracy of Liger 0.8.5", str(error))
    found: dict[str, dict[str, float]] = {name: {} for name in losses}
    for gap in work.sizes.gaps:
        batch = hidden_batch(work.sizes.accuracy, dtype=torch.bfloat16, device=work.sizes.device, gap=gap)
        right = truth(reference(alpha=1.0), batch)
        for name, loss in losses.items():
            off = errors(answer(loss, batch), right).worst_gradient
            found[name][f"{name}, KL {float(right.loss):.2g}"] = off
    ours = found.pop("fused")
    others = {case: off for of_one in found.values() for case, off in of_one.items()}
    work.add("A1", "largest relative error", max(ours.values()), **ours, **others)
    work.add("A1", "largest / smallest over the KLs (flat)", max(ours.values()) / min(ours.values()))
