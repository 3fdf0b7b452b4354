"""The noise depends on the generator only: not on the regime, the biases, or the neighbours."""

import pytest
import torch

from sdpo_ref.simulation.oracles import (
    CritiqueOracle,
    Draws,
    Heterogeneous,
    NoiseLevel,
    Positivity,
    RubricOracle,
    ScalarOracle,
    StagedOracle,
    Verbosity,
)
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Judgement, Rollouts
from tests.simulation.oracles.problems import REGIMES, WITH_EFFECT, close, judged, ratings_of, same


@pytest.mark.parametrize("regime", REGIMES)
def test_the_same_generator_gives_the_same_judgement(world: World, rollouts: Rollouts, regime: str) -> None:
    """Bit for bit, and another generator gives another."""
    oracle = REGIMES[regime](world, 0.15)
    assert same(judged(oracle, rollouts), judged(oracle, rollouts))
    assert not same(judged(oracle, rollouts), judged(oracle, rollouts, seed=4))


def test_successive_judgements_differ(world: World, rollouts: Rollouts) -> None:
    """A second look at the same rollouts has its own noise."""
    generator = torch.Generator().manual_seed(3)
    oracle = ScalarOracle(world)
    assert not same(oracle.judge(rollouts, generator=generator), oracle.judge(rollouts, generator=generator))


@pytest.mark.parametrize("wrapper", WITH_EFFECT)
@pytest.mark.parametrize("regime", REGIMES)
def test_every_oracle_takes_one_number(world: World, rollouts: Rollouts, regime: str, wrapper: str) -> None:
    """After a judgement the generator stands where it stands after one draw, whatever was judged and how."""
    generator, expected = (torch.Generator().manual_seed(3) for _ in range(2))
    WITH_EFFECT[wrapper](REGIMES[regime](world, 0.15)).judge(rollouts, generator=generator)
    torch.randint(2**63 - 1, (1,), generator=expected)
    assert torch.equal(generator.get_state(), expected.get_state())


def test_the_overall_rating_is_the_same_in_every_regime(world: World, rollouts: Rollouts) -> None:
    """The rubric's reward is the scalar's, and the ordinal level the one that is nearest to it."""
    ordinal, scalar, rubric = (
        judged(REGIMES[name](world, 0.15), rollouts).rewards for name in ("ordinal", "scalar", "rubric")
    )
    assert torch.equal(scalar, rubric)
    assert torch.equal(ordinal, (4 * scalar).round() / 4)


def test_parts_have_the_same_noise_in_every_regime(world: World, rollouts: Rollouts) -> None:
    """Part j of a rubric and part j of a critique err alike where neither is clipped."""
    errors = []
    for oracle, quiet in (
        (RubricOracle(world, 1e-3), RubricOracle(world, 0.0)),
        (CritiqueOracle(world, 1e-3), CritiqueOracle(world, 0.0)),
    ):
        errors.append((ratings_of(judged(oracle, rollouts)) - ratings_of(judged(quiet, rollouts)))[:, -4:])
    within = (errors[0] != 0) & (errors[1] != 0) & (errors[0] - errors[1]).abs().lt(1e-12)
    assert float(within.double().mean()) > 0.95


@pytest.mark.parametrize("wrapper", ["positivity", "severity", "central tendency", "verbosity", "position"])
def test_the_same_noise_under_every_bias(world: World, rollouts: Rollouts, wrapper: str) -> None:
    """What a biased oracle's noise adds to its clean ratings is what the unbiased one's adds to its own."""
    bias, errors = WITH_EFFECT[wrapper], []
    for wrap in (bias, lambda oracle: oracle):
        noisy = judged(wrap(ScalarOracle(world, 1e-3)), rollouts).rewards
        errors.append(noisy - judged(wrap(ScalarOracle(world, 0.0)), rollouts).rewards)
    clipped = errors[0].abs().gt(0) & errors[1].abs().gt(0)
    assert float(clipped.double().mean()) > 0.9
    torch.testing.assert_close(errors[0][clipped], errors[1][clipped], rtol=0, atol=1e-12)


@pytest.mark.parametrize("regime", REGIMES)
def test_neighbours_do_not_matter(world: World, rollouts: Rollouts, regime: str) -> None:
    """A rollout that one of several oracles judges gets what that oracle would have given it among all."""
    first, second = REGIMES[regime](world, 0.15), NoiseLevel(REGIMES[regime](world, 0.15), 0.5)
    member_of = (0, 1, 1, 0, 1, 0)
    mixed = judged(Heterogeneous((first, second), member_of), rollouts)
    alone = [judged(first, rollouts), judged(second, rollouts)]
    chosen = [alone[member_of[prompt]] for prompt in rollouts.prompts.group_ids.tolist()]
    rewards = torch.stack([judgement.rewards[row] for row, judgement in enumerate(chosen)])
    expected = Judgement(rewards, tuple(judgement.feedback[row] for row, judgement in enumerate(chosen)))
    assert close(mixed, expected)
    assert not close(mixed, alone[0])
    assert not close(mixed, alone[1])


def test_a_bias_reaches_only_its_own_ratings(world: World, rollouts: Rollouts) -> None:
    """Rows without a filler token are bit for bit what they were, among rows that have some."""
    plain = ScalarOracle(world)
    biased = judged(Verbosity(plain, 3.0, (0,)), rollouts).rewards
    has_filler = (rollouts.completions == 0).any(-1)
    assert torch.equal(biased[~has_filler], judged(plain, rollouts).rewards[~has_filler])
    assert bool(has_filler.any())
    assert not bool(has_filler.all())


def test_draws_of_rows_are_rows_of_draws() -> None:
    """Selection, also of a selection, picks the numbers that were there."""
    draws = Draws.from_generator(torch.Generator().manual_seed(0), 9)
    rows, within = torch.tensor([7, 2, 5]), torch.tensor([2, 0])
    assert torch.equal(draws.select(rows).normal("noise", 3), draws.normal("noise", 3)[rows])
    assert torch.equal(draws.select(rows).select(within).uniform("missing"), draws.uniform("missing")[rows][within])


def test_purposes_have_their_own_numbers() -> None:
    """Two purposes do not share a stream."""
    draws = Draws.from_generator(torch.Generator().manual_seed(0), 9)
    assert not bool((draws.normal("noise", 1) == draws.normal("other", 1)).any())


def test_common_random_numbers_pair_strengths(world: World, rollouts: Rollouts) -> None:
    """With one generator more positivity never lowers a reward, noise or not."""

    def rewards(oracle: StagedOracle) -> torch.Tensor:
        return judged(oracle, rollouts).rewards

    weak, strong = (rewards(Positivity(ScalarOracle(world, 0.4), strength)) for strength in (0.3, 0.6))
    assert bool((strong >= weak).all())
    assert bool((strong > weak).any())
