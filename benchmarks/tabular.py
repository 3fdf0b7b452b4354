"""The smallest problem that has SDPO's shape: tables of logits, a teacher that is the student and a tilt, and Adam.

16 contexts and 32 actions, reverse KL over all actions, no sampling and no reader: what is left is what a training step
itself costs. The goals S1, S2, S5 and S7 were set on it; what a run of the study costs is in ``runs``.
"""

import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.batched.student import Adam

CONTEXTS, ACTIONS = 16, 32
RATE = 0.05
TILE = 128
"""Runs that are stepped together: their weights and averages stay in a processor's cache."""


def tilts(runs: int, *, device: str = "cpu") -> Float[Tensor, "run context action"]:
    """What the teacher of each run adds to the student's logits.

    Args:
        runs: how many.
        device: where.
    """
    drawn = torch.randn(runs, CONTEXTS, ACTIONS, generator=torch.Generator().manual_seed(0))
    return drawn.to(device)


def train_one(tilt: Float[Tensor, "context action"], steps: int) -> Float[Tensor, "context action"]:
    """One run as one writes it first: autograd and ``torch.optim.Adam``.

    Args:
        tilt: of its teacher.
        steps: how many.

    Returns:
        Logits at the end.
    """
    table = torch.nn.Parameter(torch.zeros_like(tilt))
    optimizer = torch.optim.Adam([table], lr=RATE)
    for _ in range(steps):
        student = torch.log_softmax(table, dim=-1)
        teacher = torch.log_softmax((table + tilt).detach(), dim=-1)
        optimizer.zero_grad()
        torch.autograd.backward((student.exp() * (student - teacher)).sum(-1).mean())
        optimizer.step()
    return table.detach()


def train_together(tilt: Float[Tensor, "run context action"], steps: int) -> Float[Tensor, "run context action"]:
    r"""Many runs as one program: the gradient in closed form, :math:`p (\mathrm{E}_p D - D)`, and Adam with a run axis.

    Args:
        tilt: of each run's teacher.
        steps: how many.

    Returns:
        Logits at the end.
    """
    return torch.cat([_train_tile(part, steps) for part in torch.split(tilt, TILE)])


def _train_tile(tilt: Float[Tensor, "run context action"], steps: int) -> Float[Tensor, "run context action"]:
    table = torch.zeros_like(tilt)
    adam = Adam([table], torch.full_like(tilt[:, 0, 0], RATE))
    step = step_of(table, tilt, adam)
    for _ in range(steps):
        step()
    return table


def step_of(
    table: Float[Tensor, "run context action"], tilt: Float[Tensor, "run context action"], adam: Adam
) -> Callable[[], None]:
    """One step of all runs, in buffers that are there already.

    Args:
        table: logits, updated in place.
        tilt: of each run's teacher.
        adam: over the table.
    """
    chances, gradient = torch.empty_like(table), torch.empty_like(table)

    def step() -> None:
        torch.softmax(table, dim=-1, out=chances)
        expected = torch.mul(chances, tilt, out=gradient).sum(-1, keepdim=True)
        torch.sub(expected, tilt, out=gradient).mul_(chances).div_(CONTEXTS)
        adam.step([gradient])

    return step


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start
