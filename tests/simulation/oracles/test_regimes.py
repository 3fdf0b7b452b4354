"""Each regime gives the closed form without noise, the stated noise with it, and stays on its scale."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles import (
    BinaryOracle,
    CritiqueOracle,
    Evidence,
    OrdinalOracle,
    RubricOracle,
    ScalarOracle,
)
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import judged, ratings_of, rollouts_in


def tokens_of(world: World, rollouts: Rollouts, row: int) -> list[float]:
    """Worth of each token by the equation of the latent score, one number at a time."""
    prompt, completion = int(rollouts.prompts.group_ids[row]), rollouts.completions[row].tolist()
    worth = [float(world.quality[prompt, t, token]) for t, token in enumerate(completion)]
    fits = [0.0, *(float(world.coherence[before, after]) for before, after in itertools.pairwise(completion))]
    return [quality + fit for quality, fit in zip(worth, fits, strict=True)]


def logistic(score: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-score))


def test_scalar_without_noise_is_the_true_reward(world: World, rollouts: Rollouts) -> None:
    """Reward and rating are sigmoid(slope z), coherence included."""
    judgement = judged(ScalarOracle(world, noise=0.0), rollouts)
    truth = world.true_reward(rollouts.prompts.group_ids, rollouts.completions)
    torch.testing.assert_close(judgement.rewards, truth, rtol=0, atol=1e-14)
    assert torch.equal(ratings_of(judgement)[:, 0], judgement.rewards)


def test_ordinal_without_noise_is_the_nearest_level(world: World, rollouts: Rollouts) -> None:
    """No level is nearer to the true reward than the one that is given."""
    judgement = judged(OrdinalOracle(world, noise=0.0), rollouts)
    truth = world.true_reward(rollouts.prompts.group_ids, rollouts.completions).tolist()
    assert judgement.rewards.tolist() == [min((0.0, 0.25, 0.5, 0.75, 1.0), key=lambda v: abs(v - r)) for r in truth]
    assert torch.equal(ratings_of(judgement)[:, 0], judgement.rewards)


@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_binary_is_whether_the_scalar_rating_is_above_one_half(world: World, rollouts: Rollouts, noise: float) -> None:
    """A thumb up for a noisy rating above .5, from the scalar regime's own rating of the same seed (SIM-184)."""
    judgement = judged(BinaryOracle(world, noise=noise), rollouts)
    rating = judged(ScalarOracle(world, noise=noise), rollouts).rewards
    assert judgement.rewards.tolist() == [1.0 if one > 0.5 else 0.0 for one in rating.tolist()]
    assert set(judgement.rewards.tolist()) == {0.0, 1.0}
    assert torch.equal(ratings_of(judgement)[:, 0], judgement.rewards)


def test_ordinal_has_exactly_five_levels(world: World) -> None:
    """All five occur, and nothing between or beyond, whatever the noise."""
    judgement = judged(OrdinalOracle(world, noise=0.5), rollouts_in(world, 600))
    assert sorted(set(judgement.rewards.tolist())) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_rubric_without_noise_rates_what_aspects_contribute(world: World, rollouts: Rollouts) -> None:
    """Aspect k gets sigmoid(slope K sqrt(1 - psi) w_k sum_t a_tk / sqrt(T)); the reward is the overall rating."""
    judgement = judged(RubricOracle(world, noise=0.0), rollouts)
    sizes = world.settings
    for row in range(0, 48, 7):
        prompt, completion = int(rollouts.prompts.group_ids[row]), rollouts.completions[row].tolist()
        expected = [logistic(sizes.slope * sum(tokens_of(world, rollouts, row)) / math.sqrt(sizes.time))]
        for k in range(sizes.aspects):
            amount = sum(float(world.loadings[t, token, k]) for t, token in enumerate(completion))
            share = math.sqrt((1 - sizes.idiosyncrasy) / sizes.time) * float(world.taste[prompt, k]) * amount
            expected.append(logistic(sizes.slope * sizes.aspects * share))
        assert ratings_of(judgement)[row].tolist() == pytest.approx(expected, abs=1e-13)
    assert torch.equal(judgement.rewards, ratings_of(judgement)[:, 0])


def test_aspects_average_to_what_taste_explains() -> None:
    """Without idiosyncrasy the mean of the aspects' latent scores is the latent score."""
    world = World.draw(WorldSettings(idiosyncrasy=0.0), seed=2)
    rollouts = rollouts_in(world, 30)
    clean = ratings_of(judged(RubricOracle(world, noise=0.0), rollouts))
    torch.testing.assert_close(clean[:, 1:].logit().mean(-1), clean[:, 0].logit(), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("spans", "lengths"), [(1, [8]), (3, [3, 3, 2]), (4, [2, 2, 2, 2]), (8, [1] * 8)])
def test_critique_without_noise_rates_spans(world: World, rollouts: Rollouts, spans: int, lengths: list[int]) -> None:
    """Span s gets sigmoid(slope sqrt(T) times the mean worth of its tokens); the reward is the mean rating."""
    judgement = judged(CritiqueOracle(world, noise=0.0, spans=spans), rollouts)
    ratings = ratings_of(judgement)
    for row in range(0, 48, 7):
        tokens, expected = tokens_of(world, rollouts, row), []
        for length in lengths:
            span, tokens = tokens[:length], tokens[length:]
            expected.append(logistic(world.settings.slope * math.sqrt(world.settings.time) * sum(span) / length))
        assert ratings[row].tolist() == pytest.approx(expected, abs=1e-13)
        assert float(judgement.rewards[row]) == pytest.approx(sum(expected) / spans, abs=1e-13)


def test_spans_name_their_tokens(world: World, rollouts: Rollouts) -> None:
    """The words of a critique say where each span begins and ends."""
    said = judged(CritiqueOracle(world, spans=3), rollouts).feedback[0]
    assert said is not None
    places = [sentence.split(":")[0] for sentence in said.text.split(". ")]
    assert places == ["Tokens 1 to 3", "Tokens 4 to 6", "Tokens 7 to 8"]


@pytest.mark.parametrize("spans", [1, 3, 5])
def test_an_evenly_good_completion_has_one_score_throughout(spans: int) -> None:
    """Whole, spans and aspects are measured with one yardstick."""
    evidence = Evidence(torch.full((1, 5), 0.4), torch.full((1, 5, 2), 0.2))
    whole = float(evidence.whole())
    assert evidence.by_span(spans)[0].tolist() == pytest.approx([whole] * spans)
    assert evidence.by_aspect()[0].tolist() == pytest.approx([whole, whole])


def test_noise_has_the_stated_deviation(world: World) -> None:
    """Every rating's noise, seen where it is too small to be clipped, is centred, of sd nu and of its own."""
    rollouts = rollouts_in(world, 6000)
    middle = replace(world, quality=0.1 * world.quality, taste=0.1 * world.taste, coherence=0 * world.coherence)
    for oracle in (RubricOracle(middle, noise=0.02), CritiqueOracle(middle, noise=0.02), ScalarOracle(middle, 0.02)):
        noisy = ratings_of(judged(oracle, rollouts))
        clean = ratings_of(judged(replace(oracle, noise=0.0), rollouts))
        errors = (noisy - clean)[((clean > 0.1) & (clean < 0.9)).all(-1)]
        assert errors.shape[0] > 5000
        assert bool((errors.mean(0).abs() < 0.001).all())
        assert errors.std(0).tolist() == pytest.approx([0.02] * errors.shape[1], rel=0.04)
        independent = torch.eye(errors.shape[1], dtype=torch.float64)
        torch.testing.assert_close(torch.corrcoef(errors.T).reshape_as(independent), independent, rtol=0, atol=0.05)


def test_the_critique_reward_averages_the_noise(world: World) -> None:
    """Four spans halve the deviation of the reward's noise."""
    rollouts = rollouts_in(world, 6000)
    middle = replace(world, quality=0.1 * world.quality, coherence=0 * world.coherence)
    noisy = judged(CritiqueOracle(middle, noise=0.02), rollouts).rewards
    clean = judged(CritiqueOracle(middle, noise=0.0), rollouts).rewards
    assert float((noisy - clean).std()) == pytest.approx(0.01, rel=0.04)


@pytest.mark.parametrize("regime", [ScalarOracle, RubricOracle, CritiqueOracle])
def test_ratings_stay_on_the_scale(world: World, rollouts: Rollouts, regime: type[ScalarOracle]) -> None:
    """Noise far beyond the scale ends at 0 and 1, and both ends occur."""
    ratings = ratings_of(judged(regime(world, noise=5.0), rollouts))
    assert (float(ratings.min()), float(ratings.max())) == (0.0, 1.0)


def test_padding_is_refused(world: World, rollouts: Rollouts) -> None:
    """The world judges complete completions only."""
    padded = rollouts.completion_mask.clone()
    padded[0, -1] = False
    with pytest.raises(InvalidInputError, match="8 tokens"):
        judged(ScalarOracle(world), replace(rollouts, completion_mask=padded))


@pytest.mark.parametrize("spans", [0, 9])
def test_impossible_spans_are_refused(world: World, spans: int) -> None:
    """Before anything is judged, with the range."""
    with pytest.raises(InvalidInputError, match=rf"spans must lie in \[1, 8\].*received {spans}"):
        CritiqueOracle(world, spans=spans)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("regime", [OrdinalOracle, ScalarOracle, RubricOracle, CritiqueOracle])
def test_impossible_noise_is_refused(world: World, regime: type[ScalarOracle], noise: float) -> None:
    """Below zero, infinite, or not a number."""
    with pytest.raises(InvalidInputError, match=f"noise must be finite.*{noise}"):
        regime(world, noise=noise)
