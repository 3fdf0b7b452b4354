"""Divergence of one token (LOSS-001 to LOSS-025): which tokens are compared, and how."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mpmath import exp, inf, log, mpf

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.vectors.derivation.numbers import Row, kl, log_sum_exp

Comparison = Callable[[Row, Row, mpf], mpf]
"""A divergence of two distributions on the same support, given alpha."""

Restriction = Callable[[Row, Sequence[int]], list[mpf]]
"""A distribution restricted to the chosen tokens."""


@dataclass(frozen=True)
class TokenSupport:
    """Which tokens are compared.

    Attributes:
        kind: as in the specification.
        k: number of tokens of a top-k kind.
        top_k_from: whose most likely tokens these are.
    """

    kind: Literal["full", "top_k_tail", "top_k_renormalized", "sampled_token"]
    k: int | None = None
    top_k_from: Literal["student", "teacher"] = "student"


def generalized_divergence(student: Row, teacher: Row, alpha: mpf) -> mpf:
    """(1 - alpha) KL(S ‖ M) + alpha KL(T ‖ M) with M = (1 - alpha) S + alpha T, and the two KL at the ends."""
    if alpha == 0:
        return kl(teacher, student)
    if alpha == 1:
        return kl(student, teacher)
    mixture = mixed(student, teacher, alpha)
    return (1 - alpha) * kl(student, mixture) + alpha * kl(teacher, mixture)


def mixed(student: Row, teacher: Row, teacher_weight: mpf) -> list[mpf]:
    """Log of the arithmetic mixture of two distributions."""
    masses = [(1 - teacher_weight) * exp(s) + teacher_weight * exp(t) for s, t in zip(student, teacher, strict=True)]
    return [log(mass) if mass else -inf for mass in masses]


def most_likely(log_probs: Row, k: int) -> list[int]:
    """Indices of the ``k`` most likely tokens, most likely first.

    Raises:
        InvalidInputError: if the k-th and the next token are equally likely, so that the choice is not defined.
    """
    order = sorted(range(len(log_probs)), key=lambda index: -log_probs[index])
    if k < len(order) and log_probs[order[k - 1]] == log_probs[order[k]]:
        raise InvalidInputError(f"tokens {order[k - 1]} and {order[k]} tie for place {k}; change the case's numbers")
    return order[:k]


def with_tail(log_probs: Row, chosen: Sequence[int]) -> list[mpf]:
    """The chosen tokens and one bucket with the summed mass of all others, if there are others."""
    others = [value for index, value in enumerate(log_probs) if index not in set(chosen)]
    head = [log_probs[index] for index in chosen]
    return [*head, log_sum_exp(others)] if others else head


def renormalized(log_probs: Row, chosen: Sequence[int]) -> list[mpf]:
    """The chosen tokens, rescaled to sum to one."""
    head = [log_probs[index] for index in chosen]
    total = log_sum_exp(head)
    return [value - total for value in head]


def chosen_tokens(student: Row, teacher: Row, support: TokenSupport) -> list[int]:
    """Indices that the support compares; the whole vocabulary without a top-k."""
    if support.k is None:
        return list(range(len(student)))
    return most_likely(student if support.top_k_from == "student" else teacher, support.k)


def token_divergence(
    student: Row,
    teacher: Row,
    *,
    alpha: mpf,
    support: TokenSupport,
    chosen: Sequence[int] | None = None,
    comparison: Comparison = generalized_divergence,
    restriction: Restriction | None = None,
) -> mpf:
    """Divergence of one token, in nats.

    Args:
        student: normalised log-probabilities of the student.
        teacher: normalised log-probabilities of the teacher.
        alpha: interpolation coefficient.
        support: which tokens are compared.
        chosen: the support's tokens, if they are to stay fixed while the student moves.
        comparison: the divergence; defects replace it.
        restriction: how distributions are cut to the support; defects replace it.
    """
    if chosen is None:
        chosen = chosen_tokens(student, teacher, support)
    if restriction is None:
        restriction = renormalized if support.kind == "top_k_renormalized" else with_tail
    return comparison(restriction(student, chosen), restriction(teacher, chosen), alpha)
