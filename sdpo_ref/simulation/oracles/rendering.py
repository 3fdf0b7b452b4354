"""From ratings to the words that a language model reads."""

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

WORDS = ("very poor", "poor", "fair", "good", "excellent")
"""The five levels of a Likert scale, lowest first."""


def rendered(labels: Sequence[str], ratings: Float[Tensor, "rollout rating"]) -> list[str]:
    """A sentence for each rating: what it is about, the word of the nearest level, and the rating in hundredths.

    Ratings that differ by more than a hundredth never share a text, so no two levels of the ordinal scale do.
    Implements: SIM-038.

    Args:
        labels: what each rating is about.
        ratings: in [0, 1].

    Returns:
        One text for each rollout.

    Example:
        >>> rendered(["Overall", "Aspect 1"], torch.tensor([[0.75, 0.1]]))
        ['Overall: good (75 of 100). Aspect 1: very poor (10 of 100).']
    """
    hundredths: list[list[int]] = torch.round(100 * ratings).int().T.tolist()
    columns: list[list[str]] = []  # of one label each
    for label, values in zip(labels, hundredths, strict=True):
        sentences = _sentences(label)
        columns.append([sentences[value] for value in values])
    return [" ".join(said) for said in zip(*columns, strict=True)]


@functools.cache
def _sentences(label: str) -> tuple[str, ...]:
    """The sentence for each number of hundredths; rendering 128 rollouts a step must not cost more than judging."""
    return tuple(f"{label}: {WORDS[round(value / 25)]} ({value} of 100)." for value in range(101))
