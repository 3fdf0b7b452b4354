"""Training steps on a model that is small enough to check every weight of, and a small world for a trainer's step.

The first are for level 3 (spec/05-trainer), the second for calling a trainer of level 4 once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.protocols.parts import MicroBatch, StepProblem
from sdpo_ref.simulation.assembly import assemble
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import random_stream
from sdpo_ref.teachers.chat import left_padded
from sdpo_ref.types import FULL, Judgement, Rollouts, Support
from sdpo_ref.verification.checks.inputs import input_generator
from sdpo_ref.verification.checks.settings import Setting

VOCAB = 7
TIME = 4

TOOLS = ("sttss.", "sstsst", "tss...", "tt....")
"""Completions in which tools wrote: s for a sampled token, t for one that a tool wrote, . for padding.

A tool in the middle; two turns, the last of which nothing follows; a tool before anything is sampled; and tools alone.
"""


def step_problem(
    *,
    steps_per_iteration: Sequence[Sequence[Sequence[int]]] = (((4, 2),),),
    usable: bool = True,
    ragged_prompts: bool = False,
    alpha: float = 0.0,
    support: Support = FULL,
    temperature: float = 1.0,
    teacher: Literal["live", "frozen", "ema"] = "ema",
    update_rate: float = 0.25,
    learning_rate: float = 0.5,
    seed: int = 0,
) -> StepProblem:
    """A problem with one optimiser step for each entry, on rollouts of the given lengths.

    Args:
        steps_per_iteration: optimiser steps of each iteration, each with the completion lengths of its rows; every
            step is one micro-batch (see :func:`cut` for more).
        usable: whether the teacher has a context anywhere.
        ragged_prompts: whether prompts, and reprompts, differ in length within a micro-batch.
        alpha: of the divergence.
        support: of the divergence.
        temperature: of both sides.
        teacher: kind of teacher weights.
        update_rate: of the EMA.
        learning_rate: of gradient descent.
        seed: of weights and tokens.

    Returns:
        The problem; the same arguments give the same problem.
    """
    generator = input_generator(seed)
    weights = PrefixSumPolicy.random(VOCAB, generator=generator)

    def make_model() -> PrefixSumPolicy:
        return PrefixSumPolicy(weights.current.detach(), weights.prefix.detach())

    iterations = tuple(
        tuple(
            (_micro_batch(lengths, usable=usable, ragged=ragged_prompts, generator=generator),) for lengths in iteration
        )
        for iteration in steps_per_iteration
    )
    return StepProblem(make_model, iterations, learning_rate, alpha, support, temperature, teacher, update_rate)


def with_a_confident_teacher(problem: StepProblem, *, factor: float) -> StepProblem:
    """The same problem, in which one token makes the model that reads it confident, and only the teacher reads it.

    A student that is uncertain and far from its teacher has large gradients under the reverse KL.

    Args:
        problem: of one step with one micro-batch.
        factor: of that token's weights.

    Returns:
        The problem with the last token of the vocabulary at the end of each reprompt, and nowhere else.
    """
    confident = VOCAB - 1
    (((batch,),),) = problem.iterations

    def without(token_ids: Tensor) -> Tensor:
        return token_ids.where(token_ids != confident, 0)

    reprompts = without(batch.reprompts.token_ids)
    reprompts[:, -1] = confident
    batch = replace(
        batch,
        prompts=replace(batch.prompts, token_ids=without(batch.prompts.token_ids)),
        reprompts=replace(batch.reprompts, token_ids=reprompts),
        completions=without(batch.completions),
    )

    def make_model() -> nn.Module:
        model = problem.make_model()
        with torch.no_grad():
            model.get_parameter("prefix")[confident] *= factor
        return model

    return replace(problem, make_model=make_model, iterations=(((batch,),),))


def problem_on(setting: Setting, **options: Any) -> StepProblem:
    """A problem in a setting that is on offer.

    Args:
        setting: alpha and support.
        options: as in :func:`step_problem`.

    Returns:
        The problem.
    """
    return step_problem(**setting.options, **options)


def with_tied_weights(problem: StepProblem) -> StepProblem:
    """The same problem on a model whose two weights are one, as the embedding and the head of a language model are.

    Args:
        problem: any.

    Returns:
        The problem; its model has the one parameter ``current``.
    """

    def make_model() -> nn.Module:
        model = problem.make_model()
        model.register_parameter("prefix", model.get_parameter("current"))
        return model

    return replace(problem, make_model=make_model)


class ManyKindsOfWeights(nn.Module):
    """The small model with weights of other kinds and names: an embedding, a vector, a number.

    Whatever moves the weights, by its own gradient: the embedding's update is that of ``model.current``, the vector's
    is the sum of that over tokens, and the number's is the sum's share along :data:`DIRECTION`.

    Args:
        model: whose logits they move.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        current = model.get_parameter("current").detach()
        self.model, self.embed_tokens, self.norm = model, nn.Module(), nn.Module()
        self.embed_tokens.weight = nn.Parameter(0.5 * current.flip(0))
        self.norm.bias = nn.Parameter(0.1 * current[0])
        self.norm.weight = nn.Parameter(0.2 * current[0, 0])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits at each position."""
        logits: Tensor = self.model(input_ids, attention_mask)
        embedding, vector, number = (
            self.get_parameter(name) for name in ("embed_tokens.weight", "norm.bias", "norm.weight")
        )
        return logits + embedding[input_ids] + vector + number * DIRECTION.to(logits)


DIRECTION = torch.linspace(-1.0, 2.0, VOCAB, dtype=torch.float64)
"""Along which the one number of :class:`ManyKindsOfWeights` moves logits."""


def with_many_kinds_of_weights(problem: StepProblem) -> StepProblem:
    """The same problem on a model with weights of other kinds.

    Args:
        problem: any.
    """
    return replace(problem, make_model=lambda: ManyKindsOfWeights(problem.make_model()))


def with_tools(problem: StepProblem, rows: Sequence[str], *, seed: int = 0) -> StepProblem:
    """The same problem as one step on completions in which tools wrote, one for each of its first rows.

    Args:
        problem: with a context for its first rows.
        rows: of equal length, in the letters of :data:`TOOLS`.
        seed: of the tokens.

    Returns:
        The problem; both masks are given.
    """
    first = select(problem.iterations[0][0][0], range(len(rows)))
    letters = [list(row) for row in rows]
    batch = replace(
        first,
        completions=torch.randint(VOCAB, (len(rows), len(rows[0])), generator=input_generator(seed + 1)),
        completion_mask=torch.tensor([[letter == "s" for letter in row] for row in letters]),
        attended_mask=torch.tensor([[letter != "." for letter in row] for row in letters]),
    )
    return replace(problem, iterations=(((batch,),),))


def without_a_context(problem: StepProblem, *, iteration: int) -> StepProblem:
    """The same problem, in one iteration of which no teacher has a context.

    Args:
        problem: any.
        iteration: number of the iteration, from 0.

    Returns:
        The problem.
    """

    def unusable(part: MicroBatch) -> MicroBatch:
        return replace(part, self_distillation_mask=torch.zeros_like(part.self_distillation_mask))

    steps = tuple(tuple(unusable(part) for part in step) for step in problem.iterations[iteration])
    before, after = problem.iterations[:iteration], problem.iterations[iteration + 1 :]
    return replace(problem, iterations=(*before, steps, *after))


def cut(micro_batch: MicroBatch, rows_each: int) -> tuple[MicroBatch, ...]:
    """The same rollouts in micro-batches of ``rows_each`` rows.

    Args:
        micro_batch: what to cut.
        rows_each: rows of each part; divides their number.

    Returns:
        The parts in order.
    """
    count = micro_batch.completions.shape[0]
    return tuple(select(micro_batch, range(first, first + rows_each)) for first in range(0, count, rows_each))


def select(micro_batch: MicroBatch, rows: Sequence[int]) -> MicroBatch:
    """Some rows of a micro-batch, in the given order."""
    at = torch.tensor(list(rows), dtype=torch.long)
    prompts, reprompts = micro_batch.prompts, micro_batch.reprompts
    return MicroBatch(
        type(prompts)(prompts.token_ids[at], prompts.mask[at], prompts.group_ids[at]),
        type(reprompts)(reprompts.token_ids[at], reprompts.mask[at], reprompts.group_ids[at]),
        micro_batch.completions[at],
        micro_batch.completion_mask[at],
        micro_batch.self_distillation_mask[at],
        None if micro_batch.attended_mask is None else micro_batch.attended_mask[at],
    )


def _micro_batch(lengths: Sequence[int], *, usable: bool, ragged: bool, generator: torch.Generator) -> MicroBatch:
    """Rows with completions of these lengths; reprompts are longer than prompts."""

    def tokens(count: int) -> list[int]:
        drawn: list[int] = torch.randint(VOCAB, (count,), generator=generator).tolist()
        return drawn

    group_ids = torch.zeros(len(lengths), dtype=torch.long)
    prompts = [tokens(2 + (row % 2 if ragged else 0)) for row in range(len(lengths))]
    reprompted = [[*question, *tokens(2 + (row % 3 if ragged else 0))] for row, question in enumerate(prompts)]
    mask = torch.arange(TIME) < torch.tensor(lengths)[:, None]
    return MicroBatch(
        left_padded(prompts, group_ids),
        left_padded(reprompted, group_ids),
        torch.randint(VOCAB, (len(lengths), TIME), generator=generator),
        mask,
        torch.full((len(lengths),), usable),
    )


@dataclass(frozen=True)
class SmallWorld:
    """What a trainer is given, and the judgement that it then receives.

    Attributes:
        policy: to be trained.
        base: another copy of it, to stay near to.
        teacher: of the policy.
        rollouts: that the policy sampled.
        judgement: of the rollouts.
    """

    policy: Policy
    base: Policy
    teacher: Teacher
    rollouts: Rollouts
    judgement: Judgement


def small_world() -> SmallWorld:
    """A world of two prompts, four positions and eight tokens; made anew at each call, always the same."""
    sizes = WorldSettings(prompts=2, time=4, vocab=8, embedding=4, aspects=2)
    parts = assemble(RunSettings(world=sizes, method=Sdpo()), seed=0)
    policy = parts.trainer.policy
    rollouts = policy.sample(
        every_prompt(parts.world, 4), num_tokens=sizes.time, generator=random_stream(0, 1, "rollouts")
    )
    judgement = parts.oracle.judge(rollouts, generator=random_stream(0, 1, "judgement"))
    return SmallWorld(policy, FirstOrderPolicy.base(parts.world), parts.teacher, rollouts, judgement)
