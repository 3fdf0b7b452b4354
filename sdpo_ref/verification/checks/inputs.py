"""Inputs of checks: random but reproducible, and awkward on purpose.

Fixture rule: rows of unequal length, some unusable, padding at both ends of the time axis, an interior alpha other
than one half, student and teacher that are no permutations of each other, behaviour log-probabilities on both sides
of the cap, an odd vocabulary. Each relaxation would let a class of defects survive.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import strategies
from torch import Tensor

from sdpo_ref.protocols.top_k import ServerTopK
from sdpo_ref.types import DistillationBatch
from sdpo_ref.vectors.case import Kind
from sdpo_ref.vectors.store import load
from sdpo_ref.verification.suite.capabilities import SUPPORTS

NEEDS_OF_SUPPORT: Mapping[tuple[str, str], str] = {
    (part, kind): capability
    for part, supports in SUPPORTS.items()
    for kind, capability in supports.items()
    if capability != part
}
"""The capability that a support needs beyond its part."""

_BETWEEN_REPEATS = 1_000_003
"""Seeds of two repeats are this far apart, further than any two seeds of checks."""

_repeat: list[int] = [0]


@contextmanager
def inputs_of(repeat: int) -> Iterator[None]:
    """Give the checks the random inputs of another repeat; ``sdpo-ref selftest --repeats`` measures with that.

    Args:
        repeat: its number; 0 for the inputs that `sdpo-ref verify` always takes.
    """
    _repeat.append(repeat)
    try:
        yield
    finally:
        _repeat.pop()


def input_generator(seed: int) -> torch.Generator:
    """A source of random inputs; the same in every run of the suite.

    Args:
        seed: of the check.

    Returns:
        A generator on the CPU.
    """
    return torch.Generator().manual_seed(repeated_seed(seed))


def repeated_seed(seed: int) -> int:
    """The seed of a check as a number, for inputs that are made from one.

    Args:
        seed: of the check.

    Returns:
        The same in every run of the suite; another in each repeat.
    """
    return seed + _BETWEEN_REPEATS * _repeat[-1]


def random_batch(seed: int, *, dtype: torch.dtype = torch.float64, vocab: int = 11) -> DistillationBatch:
    """Four rows of a batch with everything in it that can go wrong.

    Row 0 has padding at its start and end, row 1 is full, row 2 is unusable, row 3 has a single counted token.

    Args:
        seed: of the numbers.
        dtype: of logits and log-probabilities.
        vocab: number of tokens.

    Returns:
        A batch with behaviour log-probabilities up to about one nat away from the student.
    """
    source = input_generator(seed)
    rollout, time = 4, 6
    student, teacher = 2.0 * torch.randn(2, rollout, time, vocab, generator=source, dtype=torch.float64)
    completions = torch.randint(vocab, (rollout, time), generator=source)
    chosen = student.log_softmax(-1).gather(-1, completions[..., None]).squeeze(-1)
    shift = torch.randn(rollout, time, generator=source, dtype=torch.float64)
    mask = torch.ones(rollout, time, dtype=torch.bool)
    mask[0, 0] = mask[0, 4:] = False
    mask[3] = torch.arange(time) == 2
    return DistillationBatch(
        student.to(dtype),
        teacher.to(dtype),
        completions,
        mask,
        torch.tensor([True, True, False, True]),
        (chosen + shift).to(dtype),
    )


def on_policy(batch: DistillationBatch) -> DistillationBatch:
    """The same batch without behaviour log-probabilities."""
    return replace(batch, behaviour_log_probs=None)


def every_row(batch: DistillationBatch) -> DistillationBatch:
    """The same batch, on-policy and with a teacher for every row."""
    return replace(on_policy(batch), self_distillation_mask=torch.ones_like(batch.self_distillation_mask))


def lists_of(batch: DistillationBatch, k: int = 4, *, temperature: float = 1.0) -> ServerTopK:
    """What a server would answer about the teacher of a batch.

    Args:
        batch: whose teacher is known in full.
        k: tokens of each list.
        temperature: of its log-probabilities.

    Returns:
        Lists of the most likely tokens, most likely first.
    """
    top = (batch.teacher_logits / temperature).log_softmax(-1).topk(k, dim=-1)
    masks = batch.completions, batch.completion_mask, batch.self_distillation_mask, batch.behaviour_log_probs
    return ServerTopK(batch.student_logits, top.indices, top.values, *masks, temperature)


def distributions(*, size: int = 5, low: float = -6.0, high: float = 6.0) -> strategies.SearchStrategy[Tensor]:
    """Log-probabilities of ``size`` tokens, from logits between ``low`` and ``high``.

    Args:
        size: number of tokens.
        low: smallest logit.
        high: largest logit.

    Returns:
        A hypothesis strategy that shrinks towards equal logits.
    """
    logits = strategies.lists(strategies.floats(low, high, allow_nan=False, width=32), min_size=size, max_size=size)
    return logits.map(lambda values: torch.tensor(values, dtype=torch.float64).log_softmax(-1))


def vector_parameters(kind: Kind, *, part: str, wanted: str | None = None) -> list[object]:
    """Golden vectors of a kind as pytest parameters, each marked with its requirements and what it needs.

    Args:
        kind: which vectors.
        part: the part that answers them.
        wanted: keep those with this in their id.

    Returns:
        Parameters for ``pytest.mark.parametrize``.
    """
    return [
        pytest.param(
            vector,
            id=vector.id,
            marks=[
                pytest.mark.requirement(*vector.requirements),
                pytest.mark.needs(*_needs(part, vector.options)),
            ],
        )
        for vector in load(kind)
        if wanted is None or wanted in vector.id
    ]


def _needs(part: str, options: Mapping[str, object]) -> list[str]:
    needs = [part]
    support = NEEDS_OF_SUPPORT.get((part, str(options.get("support", "full"))))
    needs += [support] if support else []
    needs += [f"{part}.temperature"] if options.get("temperature", 1.0) != 1.0 else []
    needs += [f"{part}.importance"] if options.get("ratio_cap") is not None else []
    return needs
