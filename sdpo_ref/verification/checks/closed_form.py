"""What a loss and a training step have to return, written out: no code of the reference.

The loss is taken on any support from the formulas as they stand. The weights after each update of a step problem are
the second derivation for level 3, without autograd, for every alpha and support.
Loops over rows, tokens and prefixes, as one would on paper: slow, and meant to be read.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.types import DistillationBatch, Prompts, Support
from sdpo_ref.verification.checks.comparison import allowed_after, assert_close

Weights = Mapping[str, Tensor]
"""``current`` and ``prefix`` of the small model."""


def closed_form_trace(problem: StepProblem, profile: Profile, *, teacher_start: Weights) -> StepTrace:
    """Weights of student and teacher at the start and after each optimiser step.

    Args:
        problem: any.
        profile: aggregation, accumulation, whose top-k, and EMA cadence.
        teacher_start: the teacher's weights before the first step, as the implementation reports them, so that a
            teacher that starts elsewhere (TEACH-022) is one fault and not all of level 3.

    Returns:
        What an implementation must report.
    """
    student: Weights = {name: weight.detach().clone() for name, weight in problem.make_model().named_parameters()}
    teacher = student if problem.teacher == "live" else teacher_start
    students, teachers = [student], [teacher]
    for iteration in problem.iterations:
        for number, micro_batches in enumerate(iteration, start=1):
            reading = student if problem.teacher == "live" else teacher
            slope = _step_gradient(problem, profile, micro_batches, student, reading)
            student = {name: student[name] - problem.learning_rate * slope[name] for name in student}
            if problem.teacher == "live":
                teacher = student
            elif problem.teacher == "ema" and (profile.ema_cadence == "optimizer_step" or number == len(iteration)):
                rate = problem.update_rate
                teacher = {name: (1 - rate) * teacher[name] + rate * student[name] for name in teacher}
            students.append(student)
            teachers.append(teacher)
    return StepTrace(tuple(students), tuple(teachers))


def compare_weights(
    found: StepTrace,
    problem: StepProblem,
    profile: Profile,
    *,
    given: Mapping[str, object],
    what: str = "",
    weights: Collection[str] = ("current", "prefix"),
) -> None:
    """Raise unless the student's weights after every step are the written-out ones.

    Args:
        found: what an implementation reports.
        problem: that it was given.
        profile: that it declares.
        given: the problem in words.
        what: is compared, in words; the name of the weight, if left out.
        weights: that are compared, by name.

    Raises:
        Mismatch: at the first weight that differs.
    """
    expected = closed_form_trace(problem, profile, teacher_start=found.teacher[0])
    for moment, (at, wanted) in enumerate(zip(found.student, expected.student, strict=True)):
        for name in wanted:
            if name not in weights:
                continue
            assert_close(
                at[name],
                wanted[name],
                what=what or f"student weight {name!r} after {moment} steps",
                relative=1e-9,
                absolute=1e-10 + allowed_after(found.student[: moment + 1]),
                given={**given, "aggregation": profile.aggregation},
            )


def token_weights(loss_mask: Tensor, aggregation: str, denominator: float | None = None) -> Tensor:
    """The weight of each token of a batch in its loss, written out from the table in spec/04-loss, E.

    Args:
        loss_mask: True where a token counts.
        aggregation: which mean.
        denominator: in place of the batch's own count of tokens or rows; above zero.

    Returns:
        Weights; zero where the mask is False, and everywhere if nothing counts.
    """
    counted = loss_mask.double()
    (rows, time), in_row = loss_mask.shape, counted.sum(-1, keepdim=True).clamp(min=1)
    active = (counted.sum(-1) > 0).sum().clamp(min=1)
    if denominator is not None:
        return counted / denominator / (in_row if aggregation in ("row_mean", "row_mean_all") else 1)
    return {
        "token_mean": counted / counted.sum().clamp(min=1),
        "row_mean": counted / (in_row * active),
        "row_mean_all": counted / (in_row * rows),
        "row_sum": counted / active,
        "time_normalized_sum": counted / time,
    }[aggregation]


def losses_and_gradient(
    batch: DistillationBatch,
    profile: Profile,
    *,
    alpha: float,
    support: Support,
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    denominator: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient with respect to the student's logits, on any support, from the formulas as they stand.

    Args:
        batch: with finite numbers; at least one token counts.
        profile: aggregation, and whose top-k it is.
        alpha: of the divergence.
        support: of the divergence.
        temperature: divides the logits of both sides.
        ratio_cap: of the importance weights; ``None`` for none.
        denominator: in place of the batch's own count of tokens or rows; ``None`` for that.

    Returns:
        The value in nats, and the gradient. On the sampled token only the gradient means something (LOSS-030).
    """
    student = batch.student_logits.detach().double().requires_grad_()
    log_p = (student / temperature).log_softmax(-1)
    log_q = (batch.teacher_logits.detach().double() / temperature).log_softmax(-1)
    ids = torch.where(batch.loss_mask, batch.completions, 0)[..., None]
    sampled = log_p.gather(-1, ids).squeeze(-1)
    if support.kind == "sampled_token":
        tokens = (sampled - log_q.gather(-1, ids).squeeze(-1)).detach() * sampled
    else:
        tokens = divergences(log_p, log_q, alpha=alpha, support=support, top_k_from=profile.top_k_from)
    if ratio_cap is not None:
        assert batch.behaviour_log_probs is not None  # noqa: S101 - for mypy
        tokens = tokens * (sampled - batch.behaviour_log_probs).exp().clamp(max=ratio_cap).detach()
    value = (token_weights(batch.loss_mask, profile.aggregation, denominator) * tokens).sum()
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


def divergences(
    student_log_probs: Tensor, teacher_log_probs: Tensor, *, alpha: float, support: Support, top_k_from: str = "student"
) -> Tensor:
    """The divergence of each token on the cells of a support, from the formulas of spec/04-loss, A and B.

    Args:
        student_log_probs: finite.
        teacher_log_probs: finite.
        alpha: of the divergence.
        support: full, or one of the two top-k.
        top_k_from: whose most likely tokens.

    Returns:
        Nats, one for each token.
    """
    log_p, log_q = student_log_probs, teacher_log_probs
    if support.k is not None:
        head = (log_p if top_k_from == "student" else log_q).topk(min(support.k, log_p.shape[-1]), dim=-1).indices
        log_p, log_q = (_cells(side, head, with_tail=support.kind == "top_k_tail") for side in (log_p, log_q))
    p, q = log_p.exp(), log_q.exp()
    if alpha == 0.0:
        return (q * (log_q - log_p)).sum(-1)
    if alpha == 1.0:
        return (p * (log_p - log_q)).sum(-1)
    log_m = ((1 - alpha) * p + alpha * q).log()
    return (1 - alpha) * (p * (log_p - log_m)).sum(-1) + alpha * (q * (log_q - log_m)).sum(-1)


def _cells(log_probs: Tensor, head: Tensor, *, with_tail: bool) -> Tensor:
    """The head with the mass of all other tokens behind it, or rescaled to sum to one."""
    cells = log_probs.gather(-1, head)
    if not with_tail:
        return cells.log_softmax(-1)
    if head.shape[-1] == log_probs.shape[-1]:
        return cells
    tail = log_probs.scatter(-1, head, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([cells, tail], -1)


def divergence_of(problem: StepProblem, micro_batch: MicroBatch, student: Weights, teacher: Weights) -> float:
    """Sum of the divergences of all counted tokens, in nats."""
    total = 0.0
    for row, time in micro_batch.loss_mask.nonzero().tolist():
        log_p = _log_distribution(student, _prefix(micro_batch, micro_batch.prompts, row, time), problem.temperature)
        log_q = _log_distribution(teacher, _prefix(micro_batch, micro_batch.reprompts, row, time), problem.temperature)
        weighting = log_q.exp() if problem.alpha == 0 else -log_p.exp()
        total += float((weighting * (log_q - log_p)).sum())
    return total


def _step_gradient(
    problem: StepProblem,
    profile: Profile,
    micro_batches: Sequence[MicroBatch],
    student: Weights,
    teacher: Weights,
) -> dict[str, Tensor]:
    slope = {name: torch.zeros_like(weight) for name, weight in student.items()}
    masks = [part.loss_mask for part in micro_batches]
    for part, mask in zip(micro_batches, masks, strict=True):
        among = [mask] if profile.accumulation == "micro_batch_mean" else masks
        share = 1 / len(micro_batches) if profile.accumulation == "micro_batch_mean" else 1.0
        for row, time in mask.nonzero().tolist():
            weight = share * _token_weight(profile.aggregation, mask[row], among)
            _add_token(slope, weight, problem, profile, part, row, time, student, teacher)
    return slope


def _token_weight(aggregation: str, row_mask: Tensor, among: Sequence[Tensor]) -> float:
    """Weight of a counted token, the denominators taken over the masks ``among``."""
    tokens, active = sum(int(mask.sum()) for mask in among), sum(int(mask.any(-1).sum()) for mask in among)
    rows, in_row = sum(mask.shape[0] for mask in among), int(row_mask.sum())
    return {
        "token_mean": 1 / tokens,
        "row_mean": 1 / (in_row * active),
        "row_mean_all": 1 / (in_row * rows),
        "row_sum": 1 / active,
        "time_normalized_sum": 1 / row_mask.shape[0],
    }[aggregation]


def _add_token(  # noqa: PLR0917 - one term of a sum has this many factors
    slope: dict[str, Tensor],
    weight: float,
    problem: StepProblem,
    profile: Profile,
    part: MicroBatch,
    row: int,
    time: int,
    student: Weights,
    teacher: Weights,
) -> None:
    """One token's term: d divergence / d logits goes to the last token's row, and to every prefix token's."""
    prefix = _prefix(part, part.prompts, row, time)
    log_p = _log_distribution(student, prefix, problem.temperature)
    log_q = _log_distribution(teacher, _prefix(part, part.reprompts, row, time), problem.temperature)
    if problem.support.kind == "sampled_token":
        sampled = int(part.completions[row, time])
        score = torch.nn.functional.one_hot(torch.tensor(sampled), log_p.shape[0]) - log_p.exp()
        slope_of_logits = (log_p - log_q)[sampled] * score
    else:
        slope_of_logits = _slope_of_divergence(log_p, log_q, problem, profile)
    slope_of_logits = slope_of_logits / problem.temperature
    slope["current"][prefix[-1]] += weight * slope_of_logits
    for token in prefix:
        slope["prefix"][token] += weight * slope_of_logits


def _slope_of_divergence(log_p: Tensor, log_q: Tensor, problem: StepProblem, profile: Profile) -> Tensor:
    """The gradient of LOSS-061 on the cells; the tail's is shared among its tokens by their probability."""
    kind, k = problem.support.kind, problem.support.k
    head = torch.arange(log_p.shape[-1])
    if k is not None:
        head = (log_p if profile.top_k_from == "student" else log_q).topk(min(k, log_p.shape[-1])).indices
    log_a, log_b = (_cells(side, head, with_tail=kind != "top_k_renormalized") for side in (log_p, log_q))
    a, b, alpha = log_a.exp(), log_b.exp(), problem.alpha
    if alpha == 0.0:
        slope = a - b
    else:
        log_ratio = log_a - (log_b if alpha == 1.0 else ((1 - alpha) * a + alpha * b).log())
        slope = (1.0 if alpha == 1.0 else 1 - alpha) * a * (log_ratio - (a * log_ratio).sum())
    outside = torch.zeros_like(log_p)
    if slope.shape[0] > head.shape[0]:
        outside = slope[-1] * log_p.exp() / a[-1]
    return outside.scatter(0, head, slope[: head.shape[0]])


def _prefix(part: MicroBatch, prompts: Prompts, row: int, time: int) -> list[int]:
    """Token ids that stand before completion token ``time``: the prompt without padding, and the completion so far.

    All of the completion, what tools wrote included (POLICY-007): padding stands behind it.
    """
    prompt: list[int] = prompts.token_ids[row][prompts.mask[row]].tolist()
    completion: list[int] = part.completions[row, :time].tolist()
    return [*prompt, *completion]


def _log_distribution(weights: Weights, prefix: Sequence[int], temperature: float) -> Tensor:
    logits = weights["current"][prefix[-1]] + sum(weights["prefix"][token] for token in prefix)
    return (logits / temperature).log_softmax(-1)
