"""A trainer's first calls in two small worlds, what is seen of them, and what they are compared with.

One world is the study's own, smaller: the policy samples, the oracle judges, the teacher reads. In the other, rollouts
are given, so that they may differ in length, be padded with garbage and lack feedback. Both take milliseconds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sdpo_ref.claims.first_gradient import watched
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.protocols.attention import up_to_the_last
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.simulation.assembly import assemble
from sdpo_ref.simulation.methods import Sdpo
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import random_stream
from sdpo_ref.types import Feedback, Judgement, Prompts, Rollouts, TeacherView
from sdpo_ref.verification.checks.comparison import describe
from sdpo_ref.verification.checks.mismatch import Mismatch
from sdpo_ref.verification.checks.written_out import LARGEST_EPSILON, RIGHT, Way, WrittenOut
from sdpo_ref.verification.checks.wrong_ways import WRONG_WAYS

CALLS = 3
"""Calls of a trainer that are compared."""

LEARNING_RATE = 0.1

ABSOLUTE = 1e-6
"""Nats by which a log-probability may differ after each call, beside what Adam's epsilon explains."""

RELATIVE = 1e-5
"""Length of the difference of two gradients, relative to the right one: rounding in float32 is a hundredth of it."""

LIKE, NEAR = 0.02, 0.4
"""How far a trainer may be from a known wrong one, relative to how far that is from the right one, to be called alike
and to be called near."""


class AnyTrainer(Protocol):
    """**Protocol:** a trainer, whatever its step returns."""

    @property
    def policy(self) -> Policy:
        """As trained so far."""
        ...

    def step(self, rollouts: Rollouts, judgement: Judgement) -> object:
        """One call."""
        ...


MakeTrainer = Callable[..., AnyTrainer]
"""As :class:`~sdpo_ref.protocols.parts.MakeTrainer`."""

_VOCAB, _LONGEST = 5, 4
"""Sizes of the world with completions of unequal length."""


@dataclass(frozen=True)
class TrainerInputs:
    """What a trainer is made with, and what it is then given.

    Attributes:
        policy: to be trained.
        teacher: of the policy.
        base: the policy to stay near to: a copy, or another one.
        give: the rollouts and the judgement of a call, by its number from 1.
        probe: rollouts at which log-probabilities are compared.
    """

    policy: FirstOrderPolicy
    teacher: Teacher
    base: FirstOrderPolicy
    give: Callable[[int], tuple[Rollouts, Judgement]]
    probe: Rollouts


MakeInputs = Callable[[], TrainerInputs]
"""Makes inputs anew at each call, always the same; hashable, so that what it leads to is computed once."""


@dataclass(frozen=True)
class Asked:
    """Options that a trainer is made with; what is left as it is here is not passed on.

    Attributes:
        optimizer_steps: into how many optimiser steps the rollouts of a call are cut.
        micro_batches: into how many parts each optimiser step is cut.
        kl_weight: of the penalty for leaving a copy of the policy.
        learning_rate: of Adam.
    """

    optimizer_steps: int = 1
    micro_batches: int = 1
    kl_weight: float = 0.0
    learning_rate: float = LEARNING_RATE

    def given(self, inputs: TrainerInputs) -> dict[str, Any]:
        """As keyword arguments."""
        options: dict[str, Any] = {"learning_rate": self.learning_rate}
        if self.optimizer_steps != 1:
            options["optimizer_steps"] = self.optimizer_steps
        if self.micro_batches != 1:
            options["micro_batches"] = self.micro_batches
        if self.kl_weight:
            options |= {"reference": inputs.base, "kl_weight": self.kl_weight}
        return options


NOTHING_MORE = Asked()
"""A learning rate and no other option."""


@dataclass(frozen=True)
class SmallStudy:
    """The study's loop in a world of three prompts, four positions and six tokens.

    Attributes:
        seed: of everything random.
    """

    seed: int = 0

    def __call__(self) -> TrainerInputs:
        """Make it."""
        sizes = WorldSettings(prompts=3, time=4, vocab=6, embedding=4, aspects=2)
        parts = assemble(RunSettings(world=sizes, method=Sdpo()), seed=self.seed)
        policy, base = parts.trainer.policy, FirstOrderPolicy.base(parts.world)
        assert isinstance(policy, FirstOrderPolicy)  # noqa: S101 - that of every method of the study
        prompts = every_prompt(parts.world, 4)

        def sampled(sampler: FirstOrderPolicy, *name: str | int) -> Rollouts:
            return sampler.sample(prompts, num_tokens=sizes.time, generator=random_stream(self.seed, *name))

        def give(call: int) -> tuple[Rollouts, Judgement]:
            rollouts = sampled(policy, call, "rollouts")
            return rollouts, parts.oracle.judge(rollouts, generator=random_stream(self.seed, call, "judgement"))

        return TrainerInputs(policy, parts.teacher, base, give, sampled(base, "probe"))


class PaddedPolicy(FirstOrderPolicy):
    """A policy that does not read the ids of padding, which may be any."""

    def logits(self, prompts: Prompts, completions: Tensor, completion_mask: Tensor) -> Tensor:
        """Scores for completion token t given the prompt and the token before t, sampled or written by a tool."""
        return super().logits(prompts, torch.where(up_to_the_last(completion_mask), completions, 0), completion_mask)


class RatingTeacher(nn.Module):
    """The student after it has read ratings: each rollout's scores are moved along directions, by its two ratings.

    Args:
        policy: whose scores are moved: the student, or a copy that stays where it is.
        directions: of each rating, at each position.
        garbage: stands wherever nothing counts.
        graph: whether the scores carry a graph, which the protocol does not allow them to.
    """

    def __init__(self, policy: FirstOrderPolicy, directions: Tensor, *, garbage: float, graph: bool) -> None:
        super().__init__()
        self.policy = policy
        self.strength = nn.Parameter(torch.ones((), dtype=torch.float64))
        self._directions, self._garbage, self._graph = directions, garbage, graph

    def view(self, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores for every token; rows are usable that have feedback.

        Args:
            rollouts: any rows.
            judgement: on them.
        """
        usable = torch.tensor([one is not None for one in judgement.feedback], dtype=torch.bool)
        given = [(0.0, 0.0) if one is None else one.ratings for one in judgement.feedback]
        ratings = torch.tensor(given, dtype=torch.float64)
        with torch.set_grad_enabled(self._graph):
            logits = self.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
            tilt = torch.einsum("nk,ktv->ntv", ratings, self._directions)
            tilt = nn.functional.pad(tilt, (0, 0, 0, logits.shape[1] - tilt.shape[1]))
            counted = rollouts.completion_mask & usable[:, None]
            stray = self._garbage * (1 + torch.arange(logits.shape[-1]))
            found = torch.where(counted[..., None], logits + self.strength * tilt, stray.to(logits))
        return TeacherView(found if self._graph else found.detach(), usable)

    def update(self, student: Policy) -> None:
        """Nothing: what moves it is not a trainer's business here.

        Args:
            student: of now.
        """


LENGTHS = ((4, 2, 3, 4, 2, 2, 4, 3), (2, 4, 2, 3, 2, 3, 2, 2), (4, 4, 3, 4, 2, 4, 3, 4))
"""Of the completions of four prompts, two to each, in three calls: the calls differ in how many tokens count."""

WITHOUT_FEEDBACK = (2, 7)
"""A quarter of the rows."""


@dataclass(frozen=True)
class Ragged:
    """The other world: completions of three lengths, padded, and rows without feedback.

    Attributes:
        seed: of everything random.
        padding: ids behind the mask.
        wider: positions of padding more than the longest completion needs.
        garbage: scores of the teacher, and recorded log-probabilities, where nothing counts.
        distance: how far what it reads moves the teacher.
        usable: whether any row has feedback.
        stray: is added to the sampled ids of rows without feedback.
        order: of the rows.
        live: whether the teacher has the student's weights of now, or those of the start.
        graph: whether the teacher's scores carry a graph.
        tools: whether tools wrote the second token of each completion of three tokens or more.
    """

    seed: int = 0
    padding: tuple[int, ...] = (4, 1, 3)
    wider: int = 0
    garbage: float = 7.0
    distance: float = 3.0
    usable: bool = True
    stray: int = 0
    order: tuple[int, ...] = tuple(range(len(LENGTHS[0])))
    live: bool = True
    graph: bool = False
    tools: bool = False

    def __call__(self) -> TrainerInputs:
        """Make it."""
        source = random_stream(self.seed, "ragged")
        table = torch.randn(len(LENGTHS[0]) // 2, _LONGEST, _VOCAB, generator=source, dtype=torch.float64)
        table = nn.functional.pad(table, (0, 0, 0, self.wider))
        grammar = 0.5 * torch.randn(_VOCAB, _VOCAB, generator=source, dtype=torch.float64)
        directions = self.distance * torch.randn(2, _LONGEST, _VOCAB, generator=source, dtype=torch.float64)
        policy, base = PaddedPolicy(table, grammar), PaddedPolicy(table, grammar)
        teacher = RatingTeacher(policy if self.live else base, directions, garbage=self.garbage, graph=self.graph)
        probe, _ = _drawn(replace(self, order=Ragged.order, stray=0), 0)
        return TrainerInputs(
            policy, teacher, base, lambda call: _given(policy, *_drawn(self, call), self.garbage), probe
        )


def _drawn(world: Ragged, call: int) -> tuple[Rollouts, Judgement]:
    """The rollouts of a call and their judgement; log-probabilities are still missing. Call 0 is the probe's."""
    source = random_stream(world.seed, "ragged", call)
    lengths = torch.tensor(LENGTHS[call % len(LENGTHS)])
    rows, width = len(lengths), _LONGEST + world.wider
    mask = torch.arange(width) < lengths[:, None]
    written = (torch.arange(width) == 1) & (lengths > 2)[:, None] & world.tools
    completions = torch.zeros(rows, width, dtype=torch.long)
    completions[:, :_LONGEST] = torch.randint(_VOCAB, (rows, _LONGEST), generator=source)
    rewards = torch.rand(rows, generator=source, dtype=torch.float64)
    ratings: list[list[float]] = (2 * torch.rand(rows, 2, generator=source, dtype=torch.float64) - 1).tolist()
    without = [(row + call) % rows for row in WITHOUT_FEEDBACK]
    completions[without] = (completions[without] + world.stray) % _VOCAB
    completions = torch.where(mask, completions, torch.tensor(world.padding).repeat(width)[:width])
    groups = torch.arange(rows) // 2
    feedback = tuple(
        None if row in without or not world.usable else Feedback(f"rated {given}", tuple(given))
        for row, given in enumerate(ratings)
    )
    prompts = Prompts(groups[:, None], torch.ones(rows, 1, dtype=torch.bool), groups)
    rollouts = Rollouts(prompts, completions, mask & ~written, torch.zeros(rows, width, dtype=torch.float64))
    order = torch.tensor(world.order)
    return rollouts.select(order), Judgement(rewards, feedback).select(order)


def _given(policy: Policy, rollouts: Rollouts, judgement: Judgement, garbage: float) -> tuple[Rollouts, Judgement]:
    """With the log-probabilities that the policy has now, and garbage behind the mask."""
    ids = torch.where(rollouts.completion_mask, rollouts.completions, 0)
    before = log_probs(policy, rollouts).gather(-1, ids[..., None]).squeeze(-1)
    return replace(rollouts, behaviour_log_probs=before.masked_fill(~rollouts.completion_mask, garbage)), judgement


@dataclass(frozen=True)
class Enumerated:
    """A policy without preferences and, for each prompt, every completion once: what is right on average is exact here.

    Attributes:
        seed: of the policy to stay near to, and of the ratings.
    """

    seed: int = 0

    def __call__(self) -> TrainerInputs:
        """Make it."""
        source, vocab = random_stream(self.seed, "enumerated"), 3
        completions = torch.cartesian_prod(torch.arange(vocab), torch.arange(vocab)).repeat(2, 1)
        rows, width = completions.shape
        groups = torch.arange(2).repeat_interleave(rows // 2)
        near, directions = torch.randn(2, 2, width, vocab, generator=source, dtype=torch.float64)
        without = torch.zeros_like(near), torch.zeros(vocab, vocab, dtype=torch.float64)
        policy, base = FirstOrderPolicy(*without), FirstOrderPolicy(near, without[1])
        ratings: list[list[float]] = (2 * torch.rand(rows, 2, generator=source, dtype=torch.float64) - 1).tolist()
        sampled = torch.ones_like(completions, dtype=torch.bool)
        prompts = Prompts(groups[:, None], torch.ones(rows, 1, dtype=torch.bool), groups)
        before = torch.full(completions.shape, -math.log(vocab), dtype=torch.float64)
        rollouts = Rollouts(prompts, completions, sampled, before)
        feedback = tuple(Feedback(f"rated {given}", tuple(given)) for given in ratings)
        judgement = Judgement(torch.rand(rows, generator=source, dtype=torch.float64), feedback)
        teacher = RatingTeacher(policy, directions, garbage=0.0, graph=False)
        return TrainerInputs(policy, teacher, base, lambda _call: (rollouts, judgement), rollouts)


def log_probs(policy: Policy, rollouts: Rollouts) -> Tensor:
    """Log-probabilities of every token at every place, and zero where nothing was sampled."""
    with torch.no_grad():
        logits = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    return torch.where(rollouts.completion_mask[..., None], logits.double().log_softmax(-1), 0.0)


def own_weights(inputs: TrainerInputs) -> dict[str, Tensor]:
    """The teacher's weights that are not the student's, by name, live.

    Args:
        inputs: whose teacher is a module.
    """
    assert isinstance(inputs.teacher, nn.Module)  # noqa: S101 - that of ragged completions is
    found: dict[str, Tensor] = inputs.teacher.state_dict()
    students = {weight.data_ptr() for weight in inputs.policy.state_dict().values()}
    return {name: weight for name, weight in found.items() if weight.data_ptr() not in students}


@dataclass(frozen=True)
class Steps:
    """What was seen of a trainer's first calls.

    Attributes:
        log_probs: of the policy before the first call and after each.
        gradient: of the first optimiser step with respect to the policy's weights; ``None`` if none could be seen.
    """

    log_probs: tuple[Tensor, ...]
    gradient: Tensor | None

    @property
    def moved(self) -> Tensor:
        """All that the calls did."""
        return torch.stack(self.log_probs[1:]) - self.log_probs[0]


def first_steps(
    make: MakeTrainer, make_inputs: MakeInputs, asked: Asked = NOTHING_MORE, *, calls: int = CALLS
) -> Steps:
    """Make a trainer and call it.

    Args:
        make: the trainer's factory.
        make_inputs: makes what it is given.
        asked: options of the factory.
        calls: how many.
    """
    inputs = make_inputs()
    trainer = make(inputs.policy, inputs.teacher, **asked.given(inputs))
    found = [log_probs(trainer.policy, inputs.probe)]
    gradient: Tensor | None = None
    for call in range(1, calls + 1):
        rollouts, judgement = inputs.give(call)
        with watched(list(inputs.policy.parameters())) as seen:
            trainer.step(rollouts, judgement)
        gradient = seen.gradient if call == 1 else gradient
        found.append(log_probs(trainer.policy, inputs.probe))
    return Steps(tuple(found), gradient)


@cache
def written_out_steps(
    make_inputs: MakeInputs, profile: Profile, way: Way = RIGHT, asked: Asked = NOTHING_MORE, *, calls: int = CALLS
) -> Steps:
    """The same of the trainer that is written out; computed once in a process.

    Args:
        make_inputs: makes what the trainer was given.
        profile: what the implementation declares.
        way: how to train; as the specification says, if left out.
        asked: options that the trainer was made with.
        calls: how many.
    """
    made: list[WrittenOut] = []

    def make(policy: FirstOrderPolicy, teacher: Teacher, **options: Any) -> WrittenOut:
        made.append(WrittenOut(policy, teacher, profile=profile, way=way, **options))
        return made[0]

    found = first_steps(make, make_inputs, asked, calls=calls)
    return Steps(found.log_probs, made[0].gradients[0].flatten())


def compare_gradient(
    found: Steps,
    make_inputs: MakeInputs,
    profile: Profile,
    asked: Asked = NOTHING_MORE,
    *,
    given: Mapping[str, object],
    way: Way = RIGHT,
) -> None:
    """Raise unless the first gradient has the direction and the size of the declared loss's.

    Args:
        found: of a trainer; nothing is compared where no gradient was seen.
        make_inputs: makes what it was given.
        profile: what it declares.
        asked: options that it was made with.
        given: the same in words.
        way: how to train.

    Raises:
        Mismatch: with cosine and relative size, and the known wrong trainer that it looks like.
    """
    calls = len(found.log_probs) - 1
    wanted = written_out_steps(make_inputs, profile, way, asked, calls=calls)
    if found.gradient is None or wanted.gradient is None:
        return
    if float((found.gradient - wanted.gradient).norm()) <= RELATIVE * float(wanted.gradient.norm()):
        return
    raise Mismatch(
        expected="the first gradient of the declared loss: cosine 1, size 1",
        got=f"differs from the reference at step 1: {_of_gradients(found.gradient, wanted.gradient)}",
        tolerance=f"{RELATIVE:g} of its length",
        given=describe(given),
        looks_like=nearest(found, make_inputs, profile) if (asked, way) == (NOTHING_MORE, RIGHT) else "",
    )


def compare_steps(
    found: Steps,
    make_inputs: MakeInputs,
    profile: Profile,
    asked: Asked = NOTHING_MORE,
    *,
    given: Mapping[str, object],
    way: Way = RIGHT,
) -> None:
    """Raise unless the policy has the reference's log-probabilities after each call.

    Where the gradient is small, rounding and Adam's epsilon decide how far a weight moves. So what two values of that
    epsilon, 1e-8 and 1e-5, make of the same training may lie between a trainer and the reference.

    Args:
        found: of a trainer.
        make_inputs: makes what it was given.
        profile: what it declares.
        asked: options that it was made with.
        given: the same in words.
        way: how to train.

    Raises:
        Mismatch: with the first call that differs, by how much, and the known wrong trainer that it looks like.
    """
    calls = len(found.log_probs) - 1
    wanted = written_out_steps(make_inputs, profile, way, asked, calls=calls)
    other = written_out_steps(make_inputs, profile, replace(way, epsilon=LARGEST_EPSILON), asked, calls=calls)
    for call, got in enumerate(found.log_probs):
        right, slack = wanted.log_probs[call], other.log_probs[call]
        off = (got - right).abs()
        if bool((off <= ABSOLUTE + (slack - right).abs()).all()):
            continue
        words = f"differs from the reference after call {call}: {_how_far(off)}"
        if call == 1 and found.gradient is not None and wanted.gradient is not None:
            words = f"{words}; its first gradient has {_of_gradients(found.gradient, wanted.gradient)}"
        elif call > 1:
            words = f"{words}; it was equal until then"
        raise Mismatch(
            expected=f"the log-probabilities of the reference after each of {calls} calls",
            got=words,
            tolerance=f"{ABSOLUTE:g} nats, and what an epsilon of Adam up to {LARGEST_EPSILON:g} explains",
            given=describe(given),
            looks_like=nearest(found, make_inputs, profile) if (asked, way) == (NOTHING_MORE, RIGHT) else "",
        )


def _how_far(off: Tensor) -> str:
    return "not finite" if not bool(torch.isfinite(off).all()) else f"by up to {float(off.max()):.2g} nats"


def _of_gradients(found: Tensor, wanted: Tensor) -> str:
    if not bool(torch.isfinite(found).all()):
        return "a value that is not finite"
    size = float(found.norm() / wanted.norm().clamp_min(1e-300))
    if size == 0:
        return "size 0"
    cosine = float(found @ wanted / (found.norm() * wanted.norm()))
    return f"cosine {cosine:.4f}, size {size:.4g}"


def nearest(found: Steps, make_inputs: MakeInputs, profile: Profile) -> str:
    """The known wrong trainer whose first calls are most like these; empty if none is near.

    Compared are all that the calls did to the policy and, where it was seen, the first gradient.

    Args:
        found: of a trainer that was asked for nothing more than a learning rate.
        make_inputs: makes what it was given.
        profile: what it declares.
    """
    calls = len(found.log_probs) - 1
    right = written_out_steps(make_inputs, profile, calls=calls)
    seen = found.gradient is not None
    mine = _signature(found, right, with_gradient=seen)
    if not bool(torch.isfinite(mine).all()):
        return ""
    best, likest = math.inf, ""
    for id_, known in WRONG_WAYS.items():
        wrong = written_out_steps(make_inputs, profile, known.way, calls=calls)
        theirs = _signature(wrong, right, with_gradient=seen)
        size = max(float(theirs.norm()), float(mine.norm()))
        off = float((mine - theirs).norm()) / size if float(theirs.norm()) > ABSOLUTE else math.inf
        if off < best:
            best, likest = off, id_
    if best > NEAR:
        return ""
    words = f"{likest} {WRONG_WAYS[likest].wrong}"
    return words if best <= LIKE else f"nearest: {words}"


def _signature(steps: Steps, right: Steps, *, with_gradient: bool) -> Tensor:
    """How a training differs from the right one: in what it did, in units of that, and in its first gradient."""
    did: Tensor = (steps.moved - right.moved).flatten() / right.moved.norm()
    if not with_gradient or steps.gradient is None or right.gradient is None:
        return did
    return torch.cat([did, (steps.gradient - right.gradient) / right.gradient.norm()])
