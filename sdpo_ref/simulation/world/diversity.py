"""How varied a first-order policy's completions are, and how far one policy is from another, exactly.

The tables are those of the neighbour ``exact`` (spec/06-simulation, section A). Self-BLEU alone is of samples, since it
has no closed form.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.divergence import kl_divergence
from sdpo_ref.simulation.world.exact import marginals, previous_marginals


def completion_entropy(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, " prompt"]:
    r"""Entropy of whole completions, by the chain rule.

    .. math::
        H(y) = \sum_t \sum_u m_{t-1}(u) \Big[ -\sum_v p_t(v \mid u) \log p_t(v \mid u) \Big], \qquad 0 \log 0 = 0

    Implements: SIM-018.

    Args:
        transition_log_probs: the policy, in nats.

    Returns:
        Nats; between 0 and T log V.

    Example:
        >>> completion_entropy(torch.full((1, 3, 2, 2), 0.5).log())  # 3 log 2
        tensor([2.0794])
    """
    of_each_row: Tensor = torch.special.entr(transition_log_probs.exp()).sum(-1)
    return (previous_marginals(transition_log_probs) * of_each_row).sum((-2, -1))


def distinctness(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, "prompt time"]:
    r"""Chance that two completions to the same prompt differ at a position.

    .. math::
        d_t = 1 - \sum_v m_t(v)^2

    Its mean over positions is the expected share of positions at which two completions differ.
    Implements: SIM-019.

    Args:
        transition_log_probs: the policy, in nats.

    Returns:
        Between 0 and 1 - 1/V.

    Example:
        >>> distinctness(torch.full((1, 2, 4, 4), 0.25).log())
        tensor([[0.7500, 0.7500]])
    """
    return 1 - marginals(transition_log_probs).square().sum(-1)


def policy_kl(
    p_log_probs: Float[Tensor, "prompt time previous vocab"], q_log_probs: Float[Tensor, "prompt time previous vocab"]
) -> Float[Tensor, " prompt"]:
    r"""KL(p ‖ q) between two policies as distributions over whole completions.

    .. math::
        \mathrm{KL}(p \| q) = \sum_t \sum_u m_{t-1}(u)\, \mathrm{KL}(p_t(\cdot \mid u) \| q_t(\cdot \mid u))

    A prefix that ``p`` never reaches counts nothing, however much the two differ after it.
    Implements: SIM-020.

    Args:
        p_log_probs: the policy that weights, in nats.
        q_log_probs: the policy that is compared with it, in nats.

    Returns:
        Nats; never negative.

    Example:
        >>> fair, biased = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
        >>> policy_kl(fair.log().expand(1, 2, 2, 2), biased.log().expand(1, 2, 2, 2))  # 2 times 0.5108
        tensor([1.0217])
    """
    reached = previous_marginals(p_log_probs)
    of_each_row = kl_divergence(p_log_probs, q_log_probs)
    return torch.where(reached > 0, reached * of_each_row, 0.0).sum((-2, -1))


def distinct_n(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"], *, n: int, completions: int
) -> Float[Tensor, " prompt"]:
    r"""Expected distinct-n: different n-grams among all n-grams of several completions to one prompt.

    An n-gram g is missing from G completions with probability :math:`(1 - \sum_t f_t(g))^G`, where :math:`f_t(g)` is
    the chance that a completion has it at t for the first time. That follows from the chance of having it at t at all:

    .. math::
        f_t(g) = \Pr(g \text{ at } t) - \sum_{s < t} f_s(g) \Pr(g \text{ at } t \mid g \text{ at } s)

    In closed form for n = 1 and n = 2. From n = 3 on there is no such table over V^n n-grams at a bearable price
    (and occurrences overlap by more than one token), and self-BLEU has no closed form at all: both are for samples.
    Implements: SIM-021.

    Args:
        transition_log_probs: the policy, in nats.
        n: length of the n-grams, 1 or 2.
        completions: how many completions are pooled, G >= 1.

    Returns:
        In (0, 1]; 1 if no n-gram occurs twice.

    Raises:
        InvalidInputError: if n is neither 1 nor 2, exceeds the length of a completion, or G is below 1.

    Example:
        >>> distinct_n(torch.full((1, 1, 4, 4), 0.25).log(), n=1, completions=2)  # (1 + 3/4) / 2
        tensor([0.8750])
    """
    prompts, time, _, vocab = transition_log_probs.shape
    if n not in (1, 2) or n > time or completions < 1:
        raise InvalidInputError(
            f"received n={n} and completions={completions} for completions of {time} tokens; allowed are n of 1 or 2, "
            "n at most the length, and completions of 1 or more; count longer n-grams in samples"
        )
    probs = transition_log_probs.exp()
    reached = marginals(transition_log_probs)
    first_times: list[Tensor] = []  # [prompt, vocab] or [prompt, vocab, vocab]: at each end position so far
    between: list[Tensor] = []  # [prompt, from, to]: from each end position so far to this one
    for end in range(n - 1, time):
        steps = [torch.einsum("xuv,xvw->xuw", path, probs[:, end]) for path in between]
        if n == 1:
            chance = reached[:, end]
            again = [path.diagonal(dim1=-2, dim2=-1) for path in steps]
        else:
            chance = reached[:, end - 1, :, None] * probs[:, end]
            again = [path.transpose(-2, -1) * probs[:, end] for path in between]
        first = chance - sum((f * a for f, a in zip(first_times, again, strict=True)), torch.zeros_like(chance))
        first_times.append(first)
        between = [*steps, torch.eye(vocab, dtype=probs.dtype).expand(prompts, -1, -1)]
    missing = 1 - torch.stack(first_times).sum(0)
    expected = (1 - missing.clamp(0, 1) ** completions).flatten(1).sum(-1)
    return expected / (completions * (time - n + 1))


def self_bleu(completions: Sequence[Sequence[int]], *, longest: int = 4) -> float:
    r"""Mean BLEU of each completion against all others: 1 if they are alike.

    .. math::
        \mathrm{BLEU} = \exp\Big( \frac1n \sum_{k=1}^{n} \log \frac{m_k + [k > 1]}{c_k + [k > 1]} \Big)

    with m of the c k-grams of a completion found among the others, each as often as in the one that has it most often;
    one is added above and below from bigrams on, so that a missing 4-gram does not make everything zero. Completions
    have one length, so there is no brevity penalty.
    Implements: SIM-132.

    Args:
        completions: token ids, at least two completions of one length.
        longest: n, the longest n-gram.

    Returns:
        Between 0 and 1.

    References:
        Zhu et al. 2018 (Texygen); smoothing as in Lin and Och 2004.

    Example:
        >>> self_bleu([[1, 2, 3, 4], [1, 2, 3, 4]]), self_bleu([[1], [2]], longest=1)
        (1.0, 0.0)
    """
    logarithms = [0.0] * len(completions)
    for length in range(1, longest + 1):
        counts = [_ngrams(completion, length) for completion in completions]
        for own, matched in enumerate(_found_among_others(counts)):
            smoothing = int(length > 1)
            logarithms[own] += _log((matched + smoothing) / (counts[own].total() + smoothing))
    return sum(math.exp(one / longest) for one in logarithms) / len(completions)


def _found_among_others(counts: Sequence[Counter[tuple[int, ...]]]) -> list[int]:
    """For each completion, how many of its n-grams others have, each as often as in the one that has it most often."""
    highest: dict[tuple[int, ...], tuple[int, int, int]] = {}  # n-gram to most, whose, and most of the others
    for index, grams in enumerate(counts):
        for gram, count in grams.items():
            most, whose, second = highest.get(gram, (0, -1, 0))
            highest[gram] = (count, index, most) if count > most else (most, whose, max(second, count))
    return [
        sum(min(count, second if whose == own else most) for count, (most, whose, second) in _beside(grams, highest))
        for own, grams in enumerate(counts)
    ]


def _beside(
    grams: Counter[tuple[int, ...]], highest: Mapping[tuple[int, ...], tuple[int, int, int]]
) -> Iterator[tuple[int, tuple[int, int, int]]]:
    return ((count, highest[gram]) for gram, count in grams.items())


def _ngrams(completion: Sequence[int], length: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(completion[at : at + length]) for at in range(len(completion) - length + 1))


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf
