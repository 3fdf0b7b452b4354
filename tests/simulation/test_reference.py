"""The clear simulator: what a run depends on, and that exact measurements are what sampling would find."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from sdpo_ref.errors import DivergedError, InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.measure import Gauge, Measurement, area_under_curve, credit_correlation, steps_to_reach
from sdpo_ref.simulation.oracles import build_oracle
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.simulation.run import every_prompt, run
from sdpo_ref.simulation.settings import OracleSettings, WorldSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.simulation.world.exact import expected_score
from sdpo_ref.types import Judgement, Rollouts, StepReport

SETTINGS = WorldSettings(prompts=3, time=4, vocab=5, aspects=2, embedding=3)


@dataclass
class Climb:
    """Follows the exact gradient of the expected score: the upper end of what any method can do."""

    world: World
    policy: Policy
    learning_rate: float = 2.0

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """One exact gradient step, whatever was judged."""
        assert rollouts.completions.shape[0] == judgement.rewards.shape[0]
        assert isinstance(self.policy, FirstOrderPolicy)
        score = expected_score(self.policy.transition_log_probs(), self.world.step_scores()).sum()
        (gradient,) = torch.autograd.grad(score, self.policy.table)
        with torch.no_grad():
            self.policy.table.add_(self.learning_rate * gradient)
        return StepReport(0.0, 1, 0, {})


def climbing(world_seed: int, **options: object) -> list[Measurement]:
    world = World.draw(SETTINGS, seed=world_seed)
    oracle = build_oracle(world, OracleSettings(), seed=world_seed)
    settings = {"steps": 6, "group_size": 4, "seed": world_seed} | options
    return run(world, oracle, Climb(world, FirstOrderPolicy.base(world)), **settings)  # type: ignore[arg-type]


def test_base_policy_measures_zero() -> None:
    """Before any update: normalised reward 0, no distance from the base."""
    start = climbing(1)[0]
    assert start.step == 0
    assert start.reward == pytest.approx(0.0, abs=1e-12)
    assert start.kl_to_base == pytest.approx(0.0, abs=1e-12)


def test_exact_gradient_climbs_and_loses_diversity() -> None:
    """Every step of the exact gradient raises the reward; entropy falls on the way; nothing passes the optimum."""
    curve = climbing(2, steps=60)
    rewards = [at.reward for at in curve]
    assert all(later > earlier for earlier, later in pairwise(rewards))
    assert 0.7 < rewards[-1] <= 1.0
    assert curve[-1].entropy < curve[0].entropy
    assert curve[-1].distinctness < curve[0].distinctness


def test_measuring_changes_nothing() -> None:
    """Every second step measured gives the same numbers, and always the end."""
    often, seldom = climbing(3), climbing(3, measure_every=4)
    assert [at.step for at in seldom] == [0, 4, 6]
    assert seldom == [at for at in often if at.step in {0, 4, 6}]


def test_rollouts_depend_on_seed_and_step_only() -> None:
    """The same seed shows an observer the same rollouts and judgements, another seed others."""

    def watched(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        climbing(4, seed=seed, observe=lambda _, rollouts, judged: seen.append((rollouts.completions, judged.rewards)))
        return seen

    first, again, other = watched(1), watched(1), watched(2)
    assert all(
        torch.equal(a, b) for left, right in zip(first, again, strict=True) for a, b in zip(left, right, strict=True)
    )
    assert not torch.equal(first[0][1], other[0][1])
    assert not torch.equal(first[0][1], first[1][1])


def test_measured_score_is_what_sampling_finds() -> None:
    """E z within four standard errors of the mean over 20 000 samples; the advantage of sampled tokens is centred."""
    world = World.draw(SETTINGS, seed=5)
    policy, gauge = FirstOrderPolicy.base(world), Gauge(world)
    rollouts = policy.sample(every_prompt(world, 20_000), num_tokens=4, generator=random_stream(5, "check"))
    scores = world.latent_score(rollouts.prompts.group_ids, rollouts.completions)
    error = float(scores.std()) / scores.numel() ** 0.5
    assert abs(float(scores.mean()) - gauge.measure(policy, step=0).score) < 4 * error
    assert abs(float(gauge.true_advantages(policy, rollouts).mean())) < 4 * error


def test_credit_of_the_truth_and_of_a_broadcast() -> None:
    """The truth has credit 1; the same number on every token of a completion has less, and more than none."""
    world = World.draw(SETTINGS, seed=6)
    policy = FirstOrderPolicy.base(world)
    rollouts = policy.sample(every_prompt(world, 500), num_tokens=4, generator=random_stream(6, "check"))
    truth = Gauge(world).true_advantages(policy, rollouts)
    broadcast = truth.sum(-1, keepdim=True).expand_as(truth)
    assert credit_correlation(truth, truth, rollouts.completion_mask) == pytest.approx(1.0)
    assert 0.2 < credit_correlation(broadcast, truth, rollouts.completion_mask) < 0.8
    assert credit_correlation(torch.ones_like(truth), truth, rollouts.completion_mask) == 0.0


def test_curve_summaries() -> None:
    """Area by trapezoids of unequal width; the first step at a level."""
    curve = [Measurement(step, reward, 0.0, 0.0, 0.0, 0.0) for step, reward in ((0, 0.0), (2, 1.0), (10, 1.0))]
    assert area_under_curve(curve) == pytest.approx((1 + 8) / 10)
    assert steps_to_reach(curve, 0.5) == 2
    with pytest.raises(InvalidInputError, match="at least 2"):
        area_under_curve(curve[:1])


@pytest.mark.parametrize("option", ["steps", "group_size", "measure_every"])
def test_numbers_below_one_are_refused(option: str) -> None:
    """By name."""
    with pytest.raises(InvalidInputError, match=option):
        climbing(7, **{option: 0})


def test_policy_that_cannot_be_measured_is_refused() -> None:
    """The message names the class that can."""
    world = World.draw(SETTINGS, seed=8)
    policy = PrefixSumPolicy.random(5, generator=torch.Generator().manual_seed(0))
    oracle = build_oracle(world, OracleSettings(), seed=8)
    with pytest.raises(InvalidInputError, match="PrefixSumPolicy"):
        run(world, oracle, Climb(world, policy), steps=1, group_size=2, seed=8)


def test_broken_policy_is_noticed() -> None:
    """NaN does not become a measurement."""
    world = World.draw(SETTINGS, seed=9)
    policy = FirstOrderPolicy.base(world)
    with torch.no_grad():
        policy.table[0, 0, 0] = torch.nan
    with pytest.raises(DivergedError, match="NaN after step 3"):
        Gauge(world).measure(policy, step=3)
