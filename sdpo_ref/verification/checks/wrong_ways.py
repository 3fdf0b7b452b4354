"""Trainers that are known to be wrong, each as one change of the trainer that is written out.

``sdpo_ref/mutants/trainer.py`` enters each as a mutant under the same number; here they are what a trainer that
differs from the reference is compared with, in the same process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sdpo_ref.verification.checks.closed_form import token_weights
from sdpo_ref.verification.checks.written_out import RIGHT, Tokens, Way, declared, reverse_kl


@dataclass(frozen=True)
class WrongWay:
    """A known wrong trainer.

    Attributes:
        name: permanent.
        wrong: what is wrong, one clause.
        effect: what that does to training, one clause.
        way: how it trains.
    """

    name: str
    wrong: str
    effect: str
    way: Way


def _sampled(tokens: Tokens, values: Tensor) -> Tensor:
    """The sampled token's entry, kept as a column."""
    return values.gather(-1, tokens.ids[..., None])


def _score(tokens: Tokens) -> Tensor:
    """Gradient of the sampled token's log-probability with respect to the logits."""
    one_hot = torch.nn.functional.one_hot(tokens.ids, tokens.student.shape[-1])
    return one_hot - tokens.student.softmax(-1)


def _log_ratio(tokens: Tokens) -> Tensor:
    return tokens.student.log_softmax(-1) - tokens.teacher.log_softmax(-1)


def _forward_kl(tokens: Tokens) -> Tensor:
    return tokens.student.softmax(-1) - tokens.teacher.softmax(-1)


def _jsd(tokens: Tokens) -> Tensor:
    p, q = tokens.student.softmax(-1), tokens.teacher.softmax(-1)
    ratio = 0.5 * (p / ((p + q) / 2)).log()
    return p * (ratio - (p * ratio).sum(-1, keepdim=True))


def _sampled_token(tokens: Tokens) -> Tensor:
    return _sampled(tokens, _log_ratio(tokens)) * _score(tokens)


def _k3(tokens: Tokens) -> Tensor:
    return (1 - (-_sampled(tokens, _log_ratio(tokens))).exp()) * _score(tokens)


def _k1(tokens: Tokens) -> Tensor:
    return _score(tokens)


def _through_the_teacher(tokens: Tokens) -> Tensor:
    return reverse_kl(tokens) + tokens.teacher.softmax(-1) - tokens.student.softmax(-1)


def _of_logits(tokens: Tokens) -> Tensor:
    return 2 * (tokens.student - tokens.teacher)


def _standardised(tokens: Tokens) -> Tensor:
    """Rewards less their group's mean, over its deviation."""
    found = torch.zeros_like(tokens.rewards)
    for group in sorted(set(tokens.group_ids.tolist())):
        own = tokens.group_ids == group
        centred = tokens.rewards[own] - tokens.rewards[own].mean()
        found[own] = centred / (centred.square().mean().sqrt() + 1e-6)
    return found


def _grpo(tokens: Tokens) -> Tensor:
    return -_standardised(tokens)[:, None, None] * _score(tokens)


def _hybrid(tokens: Tokens) -> Tensor:
    return reverse_kl(tokens) + 0.5 * _grpo(tokens)


def _top_k(tokens: Tokens, k: int, *, tail: bool) -> Tensor:
    log_p, log_q = tokens.student.log_softmax(-1), tokens.teacher.log_softmax(-1)
    ids = log_p.topk(min(k, log_p.shape[-1] - 1), dim=-1).indices
    inside = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, ids, value=True)

    def logsum(values: Tensor, where: Tensor) -> Tensor:
        return values.masked_fill(~where, -torch.inf).logsumexp(-1, keepdim=True)

    if tail:
        ratio = torch.where(inside, log_p - log_q, logsum(log_p, ~inside) - logsum(log_q, ~inside))
        return log_p.exp() * (ratio - (log_p.exp() * ratio).sum(-1, keepdim=True))
    own = torch.where(inside, log_p - logsum(log_p, inside), -torch.inf)
    ratio = torch.where(inside, own - (log_q - logsum(log_q, inside)), 0.0)
    return own.exp() * (ratio - (own.exp() * ratio).sum(-1, keepdim=True))


def _stronger(factor: float) -> Callable[[Tokens], Tensor]:
    return lambda tokens: tokens.student + factor * (tokens.teacher - tokens.student)


def _signs(tokens: Tokens) -> Tensor:
    tilt = tokens.teacher - tokens.student
    return tokens.student + (tilt - tilt.mean(-1, keepdim=True)).sign()


def _of_the_neighbour(tokens: Tokens) -> Tensor:
    """Every group has what the teacher made of the next group's feedback."""
    group = int((tokens.group_ids == tokens.group_ids[0]).sum())
    return tokens.student + (tokens.teacher - tokens.student).roll(group, dims=0)


def _of_the_row_before(tokens: Tokens) -> Tensor:
    return tokens.student + (tokens.teacher - tokens.student).roll(1, dims=0)


def _one_late(tokens: Tokens) -> Tensor:
    return tokens.teacher.roll(1, dims=1)


def _deaf(tokens: Tokens) -> Tensor:
    return tokens.student


def _at_temperature(tokens: Tokens) -> Tensor:
    return reverse_kl(replace(tokens, student=tokens.student / 2, teacher=tokens.teacher / 2)) / 2


def _on(counted: Callable[[Tokens], Tensor]) -> Callable[[Tokens], Tensor]:
    """The declared aggregation of other tokens than those that count."""
    return lambda tokens: token_weights(counted(tokens), tokens.profile.aggregation)


def _as(aggregation: str) -> Callable[[Tokens], Tensor]:
    """Another aggregation of the tokens that count."""
    return lambda tokens: token_weights(tokens.counted, aggregation)


def _times(factor: Callable[[Tokens], Tensor]) -> Callable[[Tokens], Tensor]:
    return lambda tokens: declared(tokens) * factor(tokens)


def _every_second(tokens: Tokens) -> Tensor:
    return tokens.counted & (torch.arange(tokens.usable.shape[0]) % 2 == 0)[:, None]


def _but_the_last(tokens: Tokens) -> Tensor:
    last = tokens.sampled.long().cumsum(-1) == tokens.sampled.sum(-1, keepdim=True)
    return tokens.counted & ~last


def _first_alone(tokens: Tokens) -> Tensor:
    return tokens.counted & (tokens.sampled.long().cumsum(-1) == 1)


def _of_all_places(tokens: Tokens) -> Tensor:
    return tokens.counted.double() / tokens.counted.numel()


def _sum(tokens: Tokens) -> Tensor:
    return tokens.counted.double()


_QUIET = "no reward shows it, because Adam divides by the gradient's size"

WRONG_WAYS: Mapping[str, WrongWay] = {
    "M501": WrongWay(
        "weighted_by_the_reward",
        "each rollout's loss is weighted by its reward",
        "what went badly is hardly learned from, and no final reward shows it",
        Way(weigh=_times(lambda tokens: tokens.rewards[:, None])),
    ),
    "M502": WrongWay(
        "teacher_one_call_late",
        "the teacher has the weights that the student had one call before",
        "the student is held back by its own past, a little",
        Way(teacher="before"),
    ),
    "M503": WrongWay(
        "teacher_of_the_start",
        "the teacher has the weights of the start, where it should have the student's",
        "the student never goes further than one reading of feedback from where it began",
        Way(teacher="start"),
    ),
    "M504": WrongWay(
        "every_second_rollout",
        "half of the rollouts are not trained on",
        "half of the judgements are paid for and not used",
        Way(weigh=_on(_every_second)),
    ),
    "M505": WrongWay(
        "teacher_three_times_as_strong",
        "what the teacher read moves its scores three times as far",
        f"the gradient is three times as large; {_QUIET}",
        Way(scores=_stronger(3.0)),
    ),
    "M506": WrongWay(
        "teacher_a_fifth_stronger",
        "what the teacher read moves its scores a fifth further",
        f"the gradient is a fifth larger; {_QUIET}",
        Way(scores=_stronger(1.2)),
    ),
    "M507": WrongWay(
        "teacher_a_third_as_strong",
        "what the teacher read moves its scores three tenths as far",
        f"the gradient is three tenths of the right one; {_QUIET}",
        Way(scores=_stronger(0.3)),
    ),
    "M508": WrongWay(
        "vocabulary_averaged",
        "the divergence is the mean over the vocabulary, where it should be the sum",
        f"the gradient is smaller by the size of the vocabulary; {_QUIET}",
        Way(weigh=_times(lambda tokens: torch.tensor(1.0 / tokens.student.shape[-1], dtype=torch.float64))),
    ),
    "M509": WrongWay(
        "sum_for_the_mean",
        "the losses of tokens are summed, where they should be averaged",
        "steps grow with the batch, and weigh its calls by their lengths",
        Way(weigh=_sum),
    ),
    "M510": WrongWay(
        "jensen_shannon",
        "the divergence is Jensen-Shannon's, where it should be the reverse KL",
        "more variety is kept, and what is credited is learned more slowly",
        Way(slope=_jsd),
    ),
    "M511": WrongWay(
        "forward_kl",
        "the divergence is the forward KL, where it should be the reverse one",
        "every mode of the teacher is covered, also those that feedback speaks against",
        Way(slope=_forward_kl),
    ),
    "M512": WrongWay(
        "sampled_token_only",
        "only the sampled token is compared, where the whole vocabulary should be",
        "right on average, and as noisy as a policy gradient",
        Way(slope=_sampled_token),
    ),
    "M513": WrongWay(
        "k3_differentiated",
        "the estimate k3 of the KL divergence is differentiated",
        "its gradient is that of the other direction, and noisy",
        Way(slope=_k3),
    ),
    "M514": WrongWay(
        "k1_differentiated",
        "the mean log-ratio of sampled tokens is differentiated",
        "its gradient is zero on average: noise",
        Way(slope=_k1),
    ),
    "M515": WrongWay(
        "padding_trained",
        "the completion mask is ignored",
        "padding is trained, and short completions weigh less",
        Way(weigh=_on(lambda tokens: torch.ones_like(tokens.sampled) & tokens.usable[:, None])),
    ),
    "M516": WrongWay(
        "rows_without_context_trained",
        "rows whose teacher has no context are trained",
        "they pull the student to where it is, and all others weigh less",
        Way(weigh=_on(lambda tokens: tokens.sampled)),
    ),
    "M517": WrongWay(
        "every_place_trained",
        "both masks are ignored",
        "padding and rows without a context are trained",
        Way(weigh=_on(lambda tokens: torch.ones_like(tokens.sampled))),
    ),
    "M518": WrongWay(
        "neighbours_feedback",
        "each prompt's teacher reads the feedback of its neighbour",
        "the student learns what another prompt's evaluator wants",
        Way(scores=_of_the_neighbour),
    ),
    "M519": WrongWay(
        "row_befores_feedback",
        "each row has the teacher of the row before it",
        "credit goes to the wrong attempt",
        Way(scores=_of_the_row_before),
    ),
    "M520": WrongWay(
        "at_temperature_two",
        "both sides are divided by a temperature of two, and nothing asked for it",
        "the student is trained on softer distributions than it samples from",
        Way(slope=_at_temperature),
    ),
    "M521": WrongWay(
        "gradient_kept",
        "the gradient of the step before is not cleared",
        "every step repeats all that came before",
        Way(clears=False),
    ),
    "M522": WrongWay(
        "two_updates_a_call",
        "two updates are made on the same rollouts, where one was asked for",
        "the second is off-policy, and the rate is in effect doubled",
        Way(times=2),
    ),
    "M523": WrongWay(
        "last_token_untrained",
        "the last token of each completion is not trained",
        "how to end is never learned",
        Way(weigh=_on(_but_the_last)),
    ),
    "M524": WrongWay(
        "first_token_alone",
        "only the first token of each completion is trained",
        "nothing else is learned",
        Way(weigh=_on(_first_alone)),
    ),
    "M525": WrongWay(
        "weights_decay",
        "weights decay by a hundredth of the rate, the default of AdamW",
        "the student forgets where there is no feedback",
        Way(decay=0.01),
    ),
    "M526": WrongWay(
        "weights_decay_faster",
        "weights decay by a tenth of the rate",
        "the student forgets where there is no feedback",
        Way(decay=0.1),
    ),
    "M527": WrongWay(
        "weights_in_the_gradient",
        "a hundredth of the weights is added to the gradient",
        "the student forgets where there is no feedback",
        Way(pull=0.01),
    ),
    "M528": WrongWay(
        "rate_a_tenth_larger",
        "the learning rate is a tenth larger than asked for",
        "the run is another one than was recorded",
        Way(rate=1.1),
    ),
    "M529": WrongWay(
        "rate_doubled",
        "the learning rate is twice what was asked for",
        "the run is another one than was recorded",
        Way(rate=2.0),
    ),
    "M530": WrongWay(
        "rate_halved",
        "the learning rate is half of what was asked for",
        "the run is another one than was recorded",
        Way(rate=0.5),
    ),
    "M531": WrongWay(
        "through_the_teacher",
        "gradient flows through the teacher's scores",
        "the loss falls by making the teacher worse",
        Way(slope=_through_the_teacher),
    ),
    "M532": WrongWay(
        "teacher_one_token_late",
        "the teacher's scores are those of the token before",
        "every token is compared with the distribution of another one",
        Way(scores=_one_late),
    ),
    "M533": WrongWay(
        "policy_gradient",
        "the loss is the policy gradient of standardised rewards, and no teacher is read",
        "it is GRPO under another name",
        Way(slope=_grpo),
    ),
    "M534": WrongWay(
        "reward_added",
        "the policy gradient of standardised rewards is added to the loss",
        "it is a hybrid under another name",
        Way(slope=_hybrid),
    ),
    "M535": WrongWay(
        "signs_of_the_teacher",
        "the teacher's scores are the student's plus or minus one, by the sign of what it read",
        "how much a token is worth is lost",
        Way(scores=_signs),
    ),
    "M536": WrongWay(
        "squared_error_of_logits",
        "the loss is the squared difference of the logits",
        "tokens that are never sampled weigh as much as likely ones",
        Way(slope=_of_logits),
    ),
    "M537": WrongWay(
        "top_four_rescaled",
        "the four likeliest tokens are compared, both sides rescaled, where the whole vocabulary should be",
        "what is unlikely can never be learned",
        Way(slope=lambda tokens: _top_k(tokens, 4, tail=False)),
    ),
    "M538": WrongWay(
        "top_four_with_a_tail",
        "the four likeliest tokens and one bucket are compared, where the whole vocabulary should be",
        "what is unlikely is learned as one",
        Way(slope=lambda tokens: _top_k(tokens, 4, tail=True)),
    ),
    "M539": WrongWay(
        "gradient_cut",
        "the gradient is cut to a norm of .001",
        "calls from which little is learned weigh as much as the others",
        Way(limit=1e-3),
    ),
    "M540": WrongWay(
        "mean_of_row_means",
        "every completion weighs the same, where every token should",
        "tokens of long completions weigh less",
        Way(weigh=_as("row_mean")),
    ),
    "M541": WrongWay(
        "divided_by_every_place",
        "the sum over tokens that count is divided by all places, padding and unusable rows among them",
        "sparse batches make small steps",
        Way(weigh=_of_all_places),
    ),
    "M542": WrongWay(
        "without_adam",
        "the step is that of plain gradient descent",
        "the rate means something else",
        Way(adaptive=False),
    ),
    "M543": WrongWay(
        "without_momentum",
        "Adam's first moment is not kept",
        "each call follows its own noise",
        Way(moments=(0.0, 0.999)),
    ),
    "M544": WrongWay(
        "uphill",
        "the step goes uphill",
        "the student runs from its teacher",
        Way(rate=-1.0),
    ),
    "M545": WrongWay(
        "deaf",
        "the teacher's scores are the student's, whatever it read",
        "nothing is learned",
        Way(scores=_deaf),
    ),
    "M546": WrongWay(
        "masked_by_a_product",
        "what does not count is multiplied by zero and not left out",
        "a NaN behind the mask destroys the step of all",
        Way(leaves_out=False),
    ),
    "M547": WrongWay(
        "gradient_cut_at_one",
        "the gradient is cut to a norm of one, a common default",
        "calls from which much is learned weigh no more than the others",
        Way(limit=1.0),
    ),
}
"""Id to what is wrong."""

assert RIGHT not in [known.way for known in WRONG_WAYS.values()]  # noqa: S101 - each departs from the specification
