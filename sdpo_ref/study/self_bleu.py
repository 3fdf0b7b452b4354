"""Self-BLEU, by the name and the formula that people know from text: for samples, since it has no closed form."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence


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
