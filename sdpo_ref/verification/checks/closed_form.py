"""The weights after each update of a step problem, written out: no autograd, no code of the reference.

The second derivation for level 3, for alpha 0 and 1 on the full vocabulary and for the sampled token. Loops over
rows, tokens and prefixes, as one would on paper: slow, and meant to be read.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.types import Prompts

Weights = Mapping[str, Tensor]
"""``current`` and ``prefix`` of the small model."""


def closed_form_trace(problem: StepProblem, profile: Profile, *, teacher_start: Weights) -> StepTrace:
    """Weights of student and teacher at the start and after each optimiser step.

    Args:
        problem: alpha must be 0 or 1 and the support full, or alpha 1 and the support the sampled token.
        profile: aggregation, accumulation and EMA cadence.
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


def token_weights(loss_mask: Tensor, aggregation: str) -> Tensor:
    """The weight of each token of a batch in its loss, written out from the table in spec/04-loss, E.

    Args:
        loss_mask: True where a token counts; at least one does.
        aggregation: which mean.

    Returns:
        Weights; zero where the mask is False.
    """
    weights = torch.zeros(loss_mask.shape, dtype=torch.float64)
    for row, time in loss_mask.nonzero().tolist():
        weights[row, time] = _token_weight(aggregation, loss_mask[row], [loss_mask])
    return weights


def divergence_of(problem: StepProblem, micro_batch: MicroBatch, student: Weights, teacher: Weights) -> float:
    """Sum of the divergences of all counted tokens, in nats."""
    total = 0.0
    for row, time in (micro_batch.completion_mask & micro_batch.self_distillation_mask[:, None]).nonzero().tolist():
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
    masks = [part.completion_mask & part.self_distillation_mask[:, None] for part in micro_batches]
    for part, mask in zip(micro_batches, masks, strict=True):
        among = [mask] if profile.accumulation == "micro_batch_mean" else masks
        share = 1 / len(micro_batches) if profile.accumulation == "micro_batch_mean" else 1.0
        for row, time in mask.nonzero().tolist():
            weight = share * _token_weight(profile.aggregation, mask[row], among)
            _add_token(slope, weight, problem, part, row, time, student, teacher)
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
    p, q, log_ratio = log_p.exp(), log_q.exp(), log_p - log_q
    if problem.support.kind == "sampled_token":
        sampled = int(part.completions[row, time])
        score = torch.nn.functional.one_hot(torch.tensor(sampled), p.shape[0]) - p
        slope_of_logits = log_ratio[sampled] * score / problem.temperature
    elif problem.alpha == 0:
        slope_of_logits = (p - q) / problem.temperature
    else:
        slope_of_logits = p * (log_ratio - (p * log_ratio).sum()) / problem.temperature
    slope["current"][prefix[-1]] += weight * slope_of_logits
    for token in prefix:
        slope["prefix"][token] += weight * slope_of_logits


def _prefix(part: MicroBatch, prompts: Prompts, row: int, time: int) -> list[int]:
    """Token ids that stand before completion token ``time``: the prompt without padding, and the completion so far."""
    prompt: list[int] = prompts.token_ids[row][prompts.mask[row]].tolist()
    completion: list[int] = part.completions[row, :time].tolist()
    return [*prompt, *completion]


def _log_distribution(weights: Weights, prefix: Sequence[int], temperature: float) -> Tensor:
    logits = weights["current"][prefix[-1]] + sum(weights["prefix"][token] for token in prefix)
    return (logits / temperature).log_softmax(-1)
