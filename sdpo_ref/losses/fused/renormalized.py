r"""The renormalised top-k support from hidden states: only k tokens of the vocabulary have a value and a gradient.

The side that chooses the tokens is projected onto the vocabulary; the other side's k logits are gathered from its head.
With :math:`g` the gradient of the k cells of each row, which has no part outside them, nothing dense is left to do:

.. math::
    \partial h_n = \sum_j g_{nj} W_{v(n,j)}, \qquad \partial W_v = \sum_{n,j : v(n,j) = v} g_{nj} h_n

The second sum is over segments of the entries, sorted by token. Where k is not small against the vocabulary, gathering
rows takes longer than the matrix products that it replaces; the result is the same.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.losses.fused import launch
from sdpo_ref.losses.fused.options import Options
from sdpo_ref.losses.fused.packing import PackedRows
from sdpo_ref.losses.fused.sources import Gradients, Inputs, Needs, counted_rows, project
from sdpo_ref.losses.fused.supports import importance_ratios, student_normalizers


def renormalized_losses(
    inputs: Inputs,
    weight: Float[Tensor, "vocab hidden"],
    rows: PackedRows,
    options: Options,
    needs: Needs,
    *,
    size: int,
) -> tuple[Float[Tensor, " row"], Gradients]:
    """Losses and gradients of packed rows.

    Args:
        inputs: hidden states and heads.
        weight: the student's head.
        rows: all that are computed.
        options: with a renormalised support.
        needs: which gradients are wanted.
        size: how many rows are projected at a time.

    Returns:
        Losses, zero in rows that do not count, and the gradient of their weighted sum.
    """
    room, k = rows.places.shape[0], min(options.support.k or 1, weight.shape[0])
    device = weight.device
    losses = torch.zeros(room, device=device)
    ids = torch.zeros(room, k, dtype=torch.int64, device=device)
    slopes = torch.zeros(room, k, device=device)
    logits = torch.empty(min(size, room), weight.shape[0], device=device)
    for start in range(0, room, size):
        chunk = slice(start, min(start + size, room))
        part = rows.part(chunk.start, chunk.stop)
        losses[chunk], ids[chunk], slopes[chunk] = _chunk(
            inputs, weight, part, options, logits[: part.places.shape[0]], k=k
        )
    del logits
    return losses, _pull_back(inputs, weight, rows, ids=ids, slopes=slopes, needs=needs)


def _chunk(
    inputs: Inputs,
    weight: Float[Tensor, "vocab hidden"],
    rows: PackedRows,
    options: Options,
    logits: Float[Tensor, "row vocab"],
    *,
    k: int,
) -> tuple[Float[Tensor, " row"], Int[Tensor, "row k"], Float[Tensor, "row k"]]:
    """Losses, tokens and weighted gradients of the cells; ``logits`` is room for one side."""
    student, teacher = counted_rows(inputs.student, rows), counted_rows(inputs.teacher, rows)
    is_shared = inputs.teacher_weight is None
    teacher_weight = weight if inputs.teacher_weight is None else inputs.teacher_weight
    teacher_bias = inputs.bias if is_shared else inputs.teacher_bias

    if options.top_k_from == "teacher":
        project(teacher, teacher_weight, teacher_bias, logits)
        ids = logits.topk(k, dim=1, sorted=False).indices
        teacher_cells = logits.gather(1, ids)
    if options.top_k_from == "student" or options.ratio_cap is not None:
        project(student, weight, inputs.bias, logits)
    if options.top_k_from == "student":
        ids = logits.topk(k, dim=1, sorted=False).indices
        teacher_cells = launch.gathered_logits(teacher, teacher_weight, teacher_bias, ids)
        student_cells = logits.gather(1, ids)
    else:
        student_cells = launch.gathered_logits(student, weight, inputs.bias, ids)

    ratios = torch.ones_like(rows.weights)
    if options.ratio_cap is not None:
        token_logits = logits.gather(1, rows.token_ids[:, None])[:, 0] / options.temperature
        ratios = importance_ratios(token_logits - student_normalizers(logits, rows, options), rows, options)
    losses, slopes = launch.cells(
        student_cells / options.temperature, teacher_cells / options.temperature, rows, alpha=options.alpha
    )
    return losses * ratios, ids, slopes * (rows.weights * ratios)[:, None]


def _pull_back(
    inputs: Inputs,
    weight: Float[Tensor, "vocab hidden"],
    rows: PackedRows,
    *,
    ids: Int[Tensor, "row k"],
    slopes: Float[Tensor, "row k"],
    needs: Needs,
) -> Gradients:
    (room, k), (vocab, width) = ids.shape, weight.shape
    student = inputs.student
    none = torch.empty(0, device=student.device)
    gradients = [none, none.clone(), none.clone()]
    if needs.student:
        gradients[0] = torch.zeros(student.shape, device=student.device)
        pulled = torch.empty(room, width, device=student.device)
        starts = torch.arange(0, (room + 1) * k, k, device=ids.device)
        launch.weighted_rows(weight, ids.reshape(-1), slopes.reshape(-1), starts, pulled)
        gradients[0].view(-1, width).index_copy_(0, rows.places, pulled)
    if needs.weight or needs.bias:
        # Rows that do not count are given a token behind the vocabulary, which belongs to no segment.
        tokens, order = torch.where(rows.past[:, None], vocab, ids).reshape(-1).sort(stable=True)
        values = slopes.reshape(-1)[order]
        starts = torch.searchsorted(tokens, torch.arange(vocab + 1, device=ids.device))
        if needs.weight:
            hidden = student.reshape(-1, width)
            gradients[1] = torch.empty(weight.shape, device=weight.device)
            launch.weighted_rows(hidden, rows.places[order // k], values, starts, gradients[1])
        if needs.bias:
            gradients[2] = torch.empty(vocab, device=weight.device)
            ones = values.new_ones(1, 1)
            entries = torch.zeros_like(order)
            launch.weighted_rows(ones, entries, values, starts, gradients[2][:, None])
    return gradients[0], gradients[1], gradients[2]
