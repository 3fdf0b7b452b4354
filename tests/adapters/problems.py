"""Small inputs that several adapters are tried on."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from sdpo_ref.protocols.parts import Attempt, Message, MicroBatch, StepProblem
from sdpo_ref.types import FULL, DistillationBatch, Prompts

STUDENT = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
TEACHER = torch.tensor([0.2, 0.6, 0.2], dtype=torch.float64)
QUARTER_DIVERGENCE = 0.0435492538
"""D of STUDENT and TEACHER at alpha = 1/4, by hand: 3/4 KL(S || M) + 1/4 KL(T || M) with M = 3/4 S + 1/4 T."""

PROMPT: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 2?"},
)


def golden_batch(*, active: tuple[bool, ...]) -> DistillationBatch:
    """Rows of three tokens, of which two count; every token has STUDENT's and TEACHER's probabilities."""
    rows = len(active)
    return DistillationBatch(
        student_logits=STUDENT.log().expand(rows, 3, 3).clone().requires_grad_(),
        teacher_logits=TEACHER.log().expand(rows, 3, 3).clone(),
        completions=torch.zeros(rows, 3, dtype=torch.long),
        completion_mask=torch.tensor([[True, True, False]] * rows),
        self_distillation_mask=torch.tensor(active),
    )


def attempt(completion: str, reward: float, feedback: str | None = None, *, group: int = 0) -> Attempt:
    """An attempt at PROMPT."""
    return Attempt(group=group, prompt=PROMPT, completion=completion, reward=reward, feedback=feedback)


class TokenCounts(nn.Module):
    """Logits are a matrix times the number of times that each token was read so far; zero at padded positions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 9, dtype=torch.float64).reshape(3, 3))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """One row of logits for each position."""
        counted = attention_mask[..., None].to(self.weight.dtype)
        read = nn.functional.one_hot(input_ids, 3) * counted
        logits: Tensor = (read.cumsum(dim=1) @ self.weight) * counted
        return logits


def one_micro_batch() -> MicroBatch:
    """Two rollouts; reprompts of both rows are equally long, and longer than the prompts."""
    groups = torch.tensor([0, 0])
    everything = torch.tensor([True, True])
    return MicroBatch(
        prompts=Prompts(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[False, True], [True, True]]), groups),
        reprompts=Prompts(torch.tensor([[1, 2, 2], [1, 2, 0]]), torch.ones(2, 3, dtype=torch.bool), groups),
        completions=torch.tensor([[1, 2], [0, 1]]),
        completion_mask=torch.tensor([[True, True], [True, False]]),
        self_distillation_mask=everything,
    )


def row_beside(*, extra_tokens: int) -> MicroBatch:
    """One usable row beside one that is not usable and whose reprompt is longer by some tokens."""
    micro_batch = one_micro_batch()
    reprompts = torch.ones(2, 3 + extra_tokens, dtype=torch.long)
    mask = torch.ones_like(reprompts, dtype=torch.bool)
    mask[0, 3:] = False
    return replace(
        micro_batch,
        reprompts=Prompts(reprompts, mask, micro_batch.reprompts.group_ids),
        self_distillation_mask=torch.tensor([True, False]),
    )


def step_problem(*, teacher: str, accumulation: int = 1, passes: int = 1) -> StepProblem:
    """Two iterations, each of ``passes`` optimiser steps on ``accumulation`` copies of one micro-batch."""
    step = (one_micro_batch(),) * accumulation
    return StepProblem(
        make_model=TokenCounts,
        iterations=((step,) * passes,) * 2,
        learning_rate=0.1,
        alpha=0.5,
        support=FULL,
        temperature=1.0,
        teacher=teacher,  # type: ignore[arg-type]
        update_rate=0.5,
    )
