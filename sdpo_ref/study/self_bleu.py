"""Self-BLEU, by the name and the formula that people know from text: for samples, since it has no closed form."""

import math
from collections import Counter
from collections.abc import Sequence


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
    counts = [[_ngrams(completion, k) for completion in completions] for k in range(1, longest + 1)]
    scores = []
    for own in range(len(completions)):
        logarithms = []
        for k, of_all in enumerate(counts):
            others = Counter[tuple[int, ...]]()
            for index, grams in enumerate(of_all):
                if index != own:
                    others |= grams
            matched, total = (of_all[own] & others).total(), of_all[own].total()
            smoothing = int(k > 0)
            logarithms.append(_log((matched + smoothing) / (total + smoothing)))
        scores.append(math.exp(sum(logarithms) / longest))
    return sum(scores) / len(scores)


def _ngrams(completion: Sequence[int], length: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(completion[at : at + length]) for at in range(len(completion) - length + 1))


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf
