"""The loss of each row of a chunk, and its gradient over the student's logits in their place."""

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.losses.fused import launch
from sdpo_ref.losses.fused.options import Options
from sdpo_ref.losses.fused.packing import PackedRows


def row_losses_(
    student: Float[Tensor, "row vocab"],
    teacher: Float[Tensor, "row vocab"],
    gradient: Float[Tensor, "row vocab"] | None,
    rows: PackedRows,
    options: Options,
) -> Float[Tensor, " row"]:
    """The losses of packed rows. The logits of both sides are used up.

    Args:
        student: logits, float32.
        teacher: the same.
        gradient: out, times the rows' weights; lies over ``student``. ``None`` if none is wanted.
        rows: sampled tokens, weights, and which rows count.
        options: of the loss.

    Returns:
        Nats (``sampled_token``: nats squared), with the importance ratio; zero in rows that do not count.
    """
    if options.support.k is not None:
        return _top_k_losses_(student, teacher, gradient, rows, options, k=options.support.k)
    return launch.rows(student, teacher, gradient, rows, options)


def _top_k_losses_(
    student: Float[Tensor, "row vocab"],
    teacher: Float[Tensor, "row vocab"],
    gradient: Float[Tensor, "row vocab"] | None,
    rows: PackedRows,
    options: Options,
    *,
    k: int,
) -> Float[Tensor, " row"]:
    has_tail = options.support.kind == "top_k_tail"
    chooser = student if options.top_k_from == "student" else teacher
    ids = chooser.topk(min(k, chooser.shape[1]), dim=1, sorted=False).indices
    token_logits = student.gather(1, rows.token_ids[:, None])[:, 0] / options.temperature

    if has_tail:
        student_cells, teacher_cells = launch.tail_cells(student, teacher, ids, rows, temperature=options.temperature)
        normalizers = student_cells.logsumexp(1)
    else:
        student_cells = student.gather(1, ids) / options.temperature
        teacher_cells = teacher.gather(1, ids) / options.temperature
        normalizers = student_normalizers(student, rows, options)
    ratio = importance_ratios(token_logits - normalizers, rows, options)

    losses, slopes = launch.cells(student_cells, teacher_cells, rows, alpha=options.alpha)
    if gradient is not None:
        slopes = slopes * (rows.weights * ratio)[:, None]
        if has_tail:
            launch.tail_gradient(
                student,
                gradient,
                ids=ids,
                student_cells=student_cells,
                slopes=slopes,
                packed=rows,
                temperature=options.temperature,
            )
        else:
            gradient.zero_().scatter_(1, ids, slopes.to(gradient.dtype))
    return losses * ratio


def student_normalizers(
    student: Float[Tensor, "row vocab"], rows: PackedRows, options: Options
) -> Float[Tensor, " row"]:
    """Log-normalisers over the vocabulary, which a renormalised support needs for the importance ratio only.

    Args:
        student: logits, float32.
        rows: which rows count.
        options: of the loss.

    Returns:
        Nats; zero where there is no importance ratio.
    """
    if options.ratio_cap is None:
        return student.new_zeros(student.shape[0])
    return launch.normalizers(student, rows, temperature=options.temperature)


def importance_ratios(
    token_log_probs: Float[Tensor, " row"], rows: PackedRows, options: Options
) -> Float[Tensor, " row"]:
    """Truncated importance ratios; one where there are none, zero in rows that do not count.

    Args:
        token_log_probs: of the sampled tokens under the student.
        rows: with the behaviour log-probabilities.
        options: of the loss.
    """
    if options.ratio_cap is None or rows.behaviour is None:
        return torch.ones_like(token_log_probs)
    ratios = importance_ratio(token_log_probs, rows.behaviour, ratio_cap=options.ratio_cap)
    return torch.where(rows.past, 0.0, ratios)
