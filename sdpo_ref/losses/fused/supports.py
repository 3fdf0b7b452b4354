r"""The loss of each row of a chunk on each support, and its gradient with respect to the student's logits.

From hidden states the renormalised top-k support has a shorter way: only k tokens of the vocabulary have a value and a
gradient there. The side that chooses the tokens is projected onto the vocabulary; the other side's k logits are
gathered from its head. With :math:`g` the gradient of the k cells of each row, which is zero outside them, nothing
dense is left to do:

.. math::
    \partial h_n = \sum_j g_{nj} W_{v(n,j)}, \qquad \partial W_v = \sum_{n,j : v(n,j) = v} g_{nj} h_n

The second sum is over segments of the entries, sorted by token. Where k is not small against the vocabulary, gathering
rows takes longer than the matrix products that it replaces; the result is the same.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.losses.fused import launch
from sdpo_ref.losses.fused.sources import Gradients, Inputs, Needs, hidden_rows, project
from sdpo_ref.losses.fused.tokens import PackedTokens
from sdpo_ref.losses.options import LossOptions


def token_losses_(
    student: Float[Tensor, "row vocab"],
    teacher: Float[Tensor, "row vocab"],
    gradient: Float[Tensor, "row vocab"] | None,
    rows: PackedTokens,
    options: LossOptions,
) -> Float[Tensor, " row"]:
    """The loss of each row of a chunk, and its gradient in place of the student's logits. Both sides are overwritten.

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
    rows: PackedTokens,
    options: LossOptions,
    *,
    k: int,
) -> Float[Tensor, " row"]:
    has_tail = options.support.kind == "top_k_tail"
    chooser = student if options.top_k_from == "student" else teacher
    ids = chooser.topk(min(k, chooser.shape[1]), dim=1, sorted=False).indices
    tail_origins = None
    if has_tail:
        token_logits = student.gather(1, rows.token_ids[:, None])[:, 0]
        cells, tail_origins = launch.tail_cells(student, teacher, ids, rows, temperature=options.temperature)
        above = (token_logits - tail_origins[:, 0]) / options.temperature
        ratio = importance_ratios(above - cells.student.logsumexp(1), rows, options)
    else:
        cells = _cells(student.gather(1, ids), teacher.gather(1, ids), temperature=options.temperature)
        ratio = importance_ratios(student_token_log_probs(student, rows, options), rows, options)

    losses, slopes = launch.cells(cells, rows, alpha=options.alpha)
    if gradient is not None:
        slopes = slopes * (rows.weights * ratio)[:, None]
        if tail_origins is not None:
            launch.tail_gradient(
                student,
                gradient,
                ids=ids,
                origins=tail_origins,
                slopes=slopes,
                packed=rows,
                temperature=options.temperature,
            )
        else:
            gradient.zero_().scatter_(1, ids, slopes.to(gradient.dtype))
    return losses * ratio


def _cells(
    student: Float[Tensor, "row cell"], teacher: Float[Tensor, "row cell"], *, temperature: float
) -> launch.Cells:
    """Cells without a tail, from logits; a few for each row, so they are subtracted in float64."""
    above, teacher_above = (_above_largest(side.double()) / temperature for side in (student, teacher))
    neither = (above == -torch.inf) & (teacher_above == -torch.inf)
    gaps = torch.where(neither, 0.0, teacher_above - above)
    return launch.Cells(above.float(), teacher_above.float(), gaps.float())


def _above_largest(cells: Float[Tensor, "row cell"]) -> Float[Tensor, "row cell"]:
    largest = cells.amax(1, keepdim=True)
    return cells - torch.where(largest == -torch.inf, 0.0, largest)


def student_token_log_probs(
    student: Float[Tensor, "row vocab"], rows: PackedTokens, options: LossOptions
) -> Float[Tensor, " row"]:
    """Log-probabilities of the sampled tokens, which a renormalised support needs for the importance ratio only.

    Args:
        student: logits, float32.
        rows: sampled tokens, and which rows count.
        options: of the loss.

    Returns:
        Nats; zero where there is no importance ratio.
    """
    if options.ratio_cap is None:
        return student.new_zeros(student.shape[0])
    return launch.token_log_probs(student, rows, temperature=options.temperature)


def importance_ratios(
    token_log_probs: Float[Tensor, " row"], rows: PackedTokens, options: LossOptions
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


def renormalized_losses(
    inputs: Inputs,
    weight: Float[Tensor, "vocab hidden"],
    rows: PackedTokens,
    options: LossOptions,
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
    return losses, _gradients(inputs, weight, rows, ids=ids, slopes=slopes, needs=needs)


def _chunk(
    inputs: Inputs,
    weight: Float[Tensor, "vocab hidden"],
    rows: PackedTokens,
    options: LossOptions,
    logits: Float[Tensor, "row vocab"],
    *,
    k: int,
) -> tuple[Float[Tensor, " row"], Int[Tensor, "row k"], Float[Tensor, "row k"]]:
    """Losses, tokens and weighted gradients of the cells; ``logits`` is room for one side."""
    student, teacher = hidden_rows(inputs.student, rows), hidden_rows(inputs.teacher, rows)
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
        ratios = importance_ratios(student_token_log_probs(logits, rows, options), rows, options)
    cells = _cells(student_cells, teacher_cells, temperature=options.temperature)
    losses, slopes = launch.cells(cells, rows, alpha=options.alpha)
    return losses * ratios, ids, slopes * (rows.weights * ratios)[:, None]


def _gradients(
    inputs: Inputs,
    weight: Float[Tensor, "vocab hidden"],
    rows: PackedTokens,
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
        of_hidden = torch.empty(room, width, device=student.device)
        starts = torch.arange(0, (room + 1) * k, k, device=ids.device)
        launch.weighted_rows(weight, ids.reshape(-1), slopes.reshape(-1), starts, of_hidden)
        gradients[0].view(-1, width).index_copy_(0, rows.places, of_hidden)
    if needs.weight or needs.bias:
        # Rows that do not count get a token id beyond the vocabulary, which belongs to no segment.
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
