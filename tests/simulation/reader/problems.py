"""Worlds, readers of them, and rollouts with judgements to read."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sdpo_ref.simulation.oracles import build_oracle
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader import Knowledge, Reader
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.corpus import annotate
from sdpo_ref.types import Feedback, Judgement, Prompts, Rollouts

REGIMES: tuple[RegimeName, ...] = ("binary", "ordinal", "scalar", "rubric", "critique")
SMALL = WorldSettings(prompts=3, time=4, vocab=5, aspects=2, embedding=3)


@dataclass(frozen=True)
class Problem:
    """A batch in a world, and a teacher that can read it."""

    world: World
    policy: FirstOrderPolicy
    conditioning: ReadFeedback
    rollouts: Rollouts
    judgement: Judgement


def reader_of(world: World, settings: ReaderSettings, seed: int = 0) -> Reader:
    """The reader that learns from a corpus of the world."""
    corpus = annotate(world, seed=seed)
    known = Knowledge.learn(corpus, world.embeddings, basis=settings.basis, noise=world.settings.annotation_noise)
    return Reader.from_settings(known, settings)


def problem(
    regime: RegimeName, sizes: WorldSettings = SMALL, *, seed: int = 0, group: int = 6, kappa: float = 0.7
) -> Problem:
    """A world with its base policy, some rollouts for each prompt, and what an oracle says about them."""
    world = World.draw(sizes, seed=seed)
    policy = FirstOrderPolicy.base(world)
    prompt_ids = torch.arange(sizes.prompts).repeat_interleave(group)
    prompts = Prompts(prompt_ids[:, None], torch.ones(len(prompt_ids), 1, dtype=torch.bool), prompt_ids)
    rollouts = policy.sample(prompts, num_tokens=sizes.time, generator=random_stream(seed, "rollouts"))
    feedback = RegimeSettings(regime=regime, spans=2 if sizes.time == SMALL.time else 4)
    oracle = build_oracle(world, OracleSettings(regimes=(feedback,)), seed=seed)
    judgement = oracle.judge(rollouts, generator=random_stream(seed, "judgements"))
    reader = reader_of(world, ReaderSettings(feedback=feedback), seed)
    return Problem(world, policy, ReadFeedback(reader, kappa=kappa), rollouts, judgement)


def rows_of(rollouts: Rollouts, rows: Tensor) -> Rollouts:
    """Some of the rollouts, in the order given."""
    prompts = rollouts.prompts
    return Rollouts(
        Prompts(prompts.token_ids[rows], prompts.mask[rows], prompts.group_ids[rows]),
        rollouts.completions[rows],
        rollouts.completion_mask[rows],
        rollouts.behaviour_log_probs[rows],
    )


def said_of(judgement: Judgement, rows: Tensor) -> Judgement:
    """What was said of some of the rollouts."""
    return Judgement(judgement.rewards[rows], tuple(judgement.feedback[row] for row in rows.tolist()))


def without_feedback(judgement: Judgement, rows: set[int]) -> Judgement:
    """The judgement with gaps."""
    kept = [None if row in rows else said for row, said in enumerate(judgement.feedback)]
    return replace(judgement, feedback=tuple(kept))


def ratings_of(judgement: Judgement, kinds: int) -> Tensor:
    """Ratings as a matrix."""
    told: list[Feedback] = [said for said in judgement.feedback if said is not None]
    return torch.tensor([said.ratings for said in told], dtype=torch.float64).reshape(-1, kinds)
