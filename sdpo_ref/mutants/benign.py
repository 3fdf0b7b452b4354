"""Implementations that are right although they are different: no MUST may fail for them.

Training in bfloat16 is among them as what it may be: logits of half precision, or a loss under autocast. There is no
variant that computes in bfloat16, because that is a defect (LOSS-091), and so no profile that would forgive it.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.bundled import Reference, chunked, hidden
from sdpo_ref.functional.support import on_support
from sdpo_ref.losses.server_top_k import top_k_loss
from sdpo_ref.mutants.mutant import GOOD, with_parts
from sdpo_ref.mutants.server_top_k import lists
from sdpo_ref.mutants.unusual import UNUSUAL, in_float32
from sdpo_ref.mutants.variation import Options, good, loss, reused
from sdpo_ref.protocols.profile import PROFILES
from sdpo_ref.protocols.top_k import ServerTopK, TopKBatch
from sdpo_ref.types import DistillationBatch, Support
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, part_of


def float32() -> object:
    """Everything in float32, as training does."""

    def part(batch: DistillationBatch, *, denominator: Any = None, group: Any = None, **options: Any) -> Tensor:
        return good(in_float32(batch), {**options, "denominator": denominator, "group": group})

    return with_parts(
        divergence=lambda s, t, **o: GOOD.divergence(s.float(), t.float(), **o),
        loss=part,
        capabilities={it for it in CAPABILITIES if part_of(it) in {"divergence", "loss"}},
    )


def flipped(batch: DistillationBatch) -> DistillationBatch:
    """The vocabulary in reverse order, so that sums over it run the other way."""
    last = batch.student_logits.shape[-1] - 1
    return replace(
        batch,
        student_logits=batch.student_logits.flip(-1),
        teacher_logits=batch.teacher_logits.flip(-1),
        completions=torch.where(batch.completion_mask, last - batch.completions, 0),
    )


def permuted(batch: DistillationBatch) -> DistillationBatch:
    """The rows in reverse order."""
    rows: dict[str, Any] = {name: None if it is None else it.flip(0) for name, it in vars(batch).items()}
    return DistillationBatch(**rows)


def without_guard(batch: DistillationBatch, options: Options) -> Tensor:
    """A batch in which nothing counts takes another path to the same zero."""
    return (
        good(batch, options)
        if batch.loss_mask.any()
        else torch.where(batch.loss_mask[..., None], batch.student_logits, 0.0).sum()
    )


def gradient_strided(batch: DistillationBatch, options: Options) -> Tensor:
    """The gradient lies in memory with the vocabulary first, as after a product with the transposed head."""
    student = batch.student_logits + 0.0
    if student.requires_grad:
        student.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        )
    return good(replace(batch, student_logits=student), options)


def half_to_double(batch: DistillationBatch, options: Options) -> Tensor:
    """Logits of half precision are raised to float64, further than they need to be."""
    half = {torch.float16, torch.bfloat16}
    raised = {
        name: logits.double()
        for name, logits in (("student_logits", batch.student_logits), ("teacher_logits", batch.teacher_logits))
        if logits.dtype in half
    }
    return good(replace(batch, **raised), options)


def under_autocast(batch: DistillationBatch, options: Options) -> Tensor:
    """The loss is computed where matrix products are in bfloat16, as in mixed-precision training."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return good(batch, options)


_SMALL = 3
"""Tokens of a vocabulary that is not worth compiling for."""


def compiled(*, kinds: int = 8) -> object:
    """The loss through ``torch.compile``; only its graph is captured where there is no C++ compiler.

    What it makes can be differentiated once, as it reuses the memory of what it saved. A vocabulary of three is left
    alone: that is asked how exact the loss is, at each alpha and support, and would use up the kinds.

    Args:
        kinds: for how many kinds of inputs and options PyTorch compiles each function; it runs later ones uncompiled.
            Eight is PyTorch's own limit and takes 200 CPU seconds in all checks, two takes 40.
    """
    from torch import _dynamo

    _dynamo.config.recompile_limit = kinds
    found = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    fast = torch.compile(good, backend="inductor" if found else "aot_eager")
    return with_parts(loss=loss(lambda b, o: (fast if b.student_logits.shape[-1] > _SMALL else good)(b, o)))


def textbook(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    """The divergence as sums of p (log p - log q), the mixture as the logarithm of a sum of probabilities."""
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must lie in [0, 1], received {alpha}")
    s, t = on_support(student, teacher, support=support, top_k_from="student")
    if alpha in {0.0, 1.0}:
        return _kl(t, s) if alpha == 0.0 else _kl(s, t)
    floor = torch.finfo(s.dtype).tiny
    m = ((1 - alpha) * s.exp() + alpha * t.exp()).clamp_min(floor).log()
    return (1 - alpha) * _kl(s, m) + alpha * _kl(t, m)


def spread(batch: ServerTopK, options: Options) -> Tensor:
    """The loss of logits, the rest of each list spread evenly over the tokens that it lacks."""
    if options["support"] == "cross_entropy":
        return top_k_loss(TopKBatch.of(batch), **options)
    return top_k_loss(TopKBatch.of(batch), **options, impl="chunked")


def textbook_lists(batch: ServerTopK, options: Options) -> Tensor:
    """Sums of p (log p - log q) over the cells of a list, which is sorted first if need be."""
    order = batch.teacher_log_probs.detach().argsort(dim=-1, descending=True)
    ids, scores = batch.teacher_ids.gather(-1, order), batch.teacher_log_probs.detach().gather(-1, order)
    top_k_loss(TopKBatch.of(replace(batch, teacher_ids=ids, teacher_log_probs=scores)), **options)  # what it refuses
    counts, alpha = batch.loss_mask, options["alpha"]
    logits = torch.where(counts[..., None], batch.student_logits, 0.0) / options["temperature"]
    student = logits.log_softmax(-1)
    ids = torch.where(counts[..., None], ids, torch.arange(ids.shape[-1]))
    scores = torch.where(counts[..., None], scores, -10.0)
    head = student.gather(-1, ids)
    if options["support"] == "cross_entropy":
        tokens = -(scores.softmax(-1) * head).sum(-1)
    elif options["support"] == "top_k_renormalized":
        tokens = _textbook_cells(head.log_softmax(-1), scores.log_softmax(-1), alpha)
    elif ids.shape[-1] == student.shape[-1]:
        tokens = _textbook_cells(head, scores, alpha)
    else:
        others = student.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
        rest = torch.log1p(-scores.exp().sum(-1, keepdim=True))
        tokens = _textbook_cells(torch.cat([head, others], -1), torch.cat([scores, rest], -1), alpha)
    if options["ratio_cap"] is not None:
        sampled = student.gather(-1, torch.where(counts, batch.completions, 0)[..., None]).squeeze(-1)
        recorded = torch.zeros_like(sampled) if batch.behaviour_log_probs is None else batch.behaviour_log_probs
        ratio = (sampled - torch.where(counts, recorded, 0.0)).detach().clamp(-20, 20).exp()
        tokens = tokens * ratio.clamp(max=options["ratio_cap"])
    return torch.where(counts, tokens, 0.0).sum() / counts.sum().clamp_min(1)


def _textbook_cells(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    if alpha in {0.0, 1.0}:
        return _kl(t, s) if alpha == 0.0 else _kl(s, t)
    m = ((1 - alpha) * s.exp() + alpha * t.exp()).log()
    return (1 - alpha) * _kl(s, m) + alpha * _kl(t, m)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Terms without mass are zero and those that are excluded infinite, in value and gradient."""
    has_mass = p > -torch.inf
    ratio = torch.where(has_mass, p, 0.0) - torch.where(has_mass, q, 0.0)
    terms = torch.where(has_mass, p, -torch.inf).exp() * torch.where(ratio == torch.inf, 0.0, ratio)
    return torch.where(ratio == torch.inf, torch.inf, terms).sum(-1)


BENIGN: Mapping[str, Callable[..., object]] = {
    **{f"profile-{name}": lambda name=name: Reference(name) for name in PROFILES},
    "chunked": chunked,
    "float32": float32,
    "vocabulary-reversed": lambda: with_parts(loss=loss(lambda b, o: good(flipped(b), o))),
    "rows-reversed": lambda: with_parts(loss=loss(lambda b, o: good(permuted(b), o))),
    "gradient-strided": lambda: with_parts(loss=loss(gradient_strided)),
    "half-raised-to-float64": lambda: with_parts(loss=loss(half_to_double)),
    "bfloat16-autocast": lambda: with_parts(loss=loss(under_autocast)),
    "compiled": compiled,
    "empty-batches-apart": lambda: with_parts(loss=loss(without_guard)),
    "buffer-reused": lambda: with_parts(divergence=reused(0.0)),
    "textbook": lambda: with_parts(divergence=textbook),
    **{name: variant.build for name, variant in UNUSUAL.items()},
    "hidden-states-alone": hidden,
    "hidden-states-alone-chunked": lambda: hidden(impl="chunked"),
    "lists-spread": lambda: with_parts(top_k_loss=lists(spread)),
    "lists-textbook": lambda: with_parts(top_k_loss=lists(textbook_lists)),
}
"""Name to factory."""
