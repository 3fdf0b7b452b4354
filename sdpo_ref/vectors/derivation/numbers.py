"""Distributions as lists of log-probabilities, at mpmath's current working precision.

A token without mass has log-probability minus infinity. Callers choose the precision, normally with
``mpmath.workdps(DIGITS)``.
"""

from collections.abc import Callable, Iterable, Sequence

from mpmath import exp, inf, log, mpf

DIGITS = 50
"""Working precision in decimal digits."""

STEP = "1e-20"
"""Step of the central difference: its truncation error is about 1e-40 and its rounding error about 1e-30."""

Row = Sequence[mpf]
"""Numbers over the vocabulary (or over a support) of one token."""


def exact(values: Iterable[float]) -> list[mpf]:
    """Floats as numbers of the working precision, without rounding."""
    return [mpf(value) for value in values]


def log_sum_exp(values: Row) -> mpf:
    """Logarithm of the sum of exponentials; minus infinity for an empty or massless list."""
    finite = [value for value in values if value != -inf]
    if not finite:
        return -inf
    largest = max(finite)
    return largest + log(sum(exp(value - largest) for value in finite))


def log_softmax(logits: Row, temperature: mpf = 1) -> list[mpf]:
    """Normalised log-probabilities of ``logits / temperature``."""
    scaled = [value / temperature for value in logits]
    normaliser = log_sum_exp(scaled)
    return [value - normaliser for value in scaled]


def kl(first: Row, second: Row) -> mpf:
    """KL(first ‖ second) in nats, with 0 log 0 = 0; infinite where only ``second`` has no mass.

    Nothing is assumed about the sums, so that a defect that forgets to normalise can be computed too.
    """
    total = mpf(0)
    for log_p, log_q in zip(first, second, strict=True):
        if log_p == -inf:
            continue
        if log_q == -inf:
            return inf
        total += exp(log_p) * (log_p - log_q)
    return total


def gradient(function: Callable[[list[mpf]], mpf], at: Row) -> list[mpf]:
    """Central difference of ``function`` in each coordinate; zero where the coordinate is minus infinity.

    A logit of minus infinity has no neighbourhood: no finite step changes the distribution.
    """
    step = mpf(STEP)

    def derivative(index: int) -> mpf:
        if at[index] == -inf:
            return mpf(0)
        above, below = list(at), list(at)
        above[index] += step
        below[index] -= step
        return (function(above) - function(below)) / (2 * step)

    return [derivative(index) for index in range(len(at))]
