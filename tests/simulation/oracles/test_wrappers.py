"""Every wrapper does what its sentence says, and nothing else."""

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles import (
    CentralTendency,
    CritiqueOracle,
    Halo,
    Heterogeneous,
    Misleading,
    Missing,
    NoiseLevel,
    Position,
    Positivity,
    Recording,
    RubricOracle,
    ScalarOracle,
    SelfPreference,
    Severity,
    StagedOracle,
    Verbosity,
)
from sdpo_ref.simulation.oracles.biases import RatingBias
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import (
    REGIMES,
    WITH_EFFECT,
    WITHOUT_EFFECT,
    Wrapper,
    judged,
    ratings_of,
    rollouts_in,
    same,
)


def clean_scores(oracle: StagedOracle, rollouts: Rollouts) -> torch.Tensor:
    """Latent scores behind the ratings of a noiseless oracle, in units of slope times z."""
    return ratings_of(judged(oracle, rollouts)).logit()


@pytest.mark.parametrize("wrapper", WITHOUT_EFFECT)
@pytest.mark.parametrize("regime", REGIMES)
def test_strength_zero_changes_nothing(world: World, rollouts: Rollouts, regime: str, wrapper: str) -> None:
    """Rewards, ratings and words agree bit for bit."""
    oracle = REGIMES[regime](world, 0.15)
    assert same(judged(WITHOUT_EFFECT[wrapper](oracle), rollouts), judged(oracle, rollouts))


@pytest.mark.parametrize("wrapper", sorted(set(WITH_EFFECT) - {"recording"}))
@pytest.mark.parametrize("regime", ["rubric", "critique"])
def test_every_strength_has_an_effect(world: World, rollouts: Rollouts, regime: str, wrapper: str) -> None:
    """The settings that other tests use are not idle."""
    oracle = REGIMES[regime](world, 0.15)
    assert not same(judged(WITH_EFFECT[wrapper](oracle), rollouts), judged(oracle, rollouts))


def test_noise_level_is_the_regime_with_that_noise(world: World, rollouts: Rollouts) -> None:
    """Bit for bit, and the outermost level decides."""
    inner = NoiseLevel(NoiseLevel(RubricOracle(world, 0.15), 0.9), 0.3)
    assert same(judged(inner, rollouts), judged(RubricOracle(world, 0.3), rollouts))


@pytest.mark.parametrize(("bias", "end"), [(Positivity, 1.0), (Severity, 0.0), (CentralTendency, 0.5)])
@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_ratings_move_towards_a_point(
    world: World, rollouts: Rollouts, strength: float, bias: type[RatingBias], end: float
) -> None:
    """Each clean rating covers the share s of its way to the upper end, the lower end or the middle."""
    for regime in (ScalarOracle, RubricOracle, CritiqueOracle):
        clean = ratings_of(judged(regime(world, 0.0), rollouts))
        biased = ratings_of(judged(bias(regime(world, 0.0), strength), rollouts))
        torch.testing.assert_close(biased, (1 - strength) * clean + strength * end, rtol=0, atol=1e-14)


def test_positivity_acts_before_noise_and_clipping(world: World, rollouts: Rollouts) -> None:
    """With noise the reward is clip(r + s (1 - r) + noise), with the noise of the unbiased oracle."""
    clean = judged(ScalarOracle(world, 0.0), rollouts).rewards
    generator = torch.Generator().manual_seed(3)
    key = int(torch.randint(2**63 - 1, (1,), generator=generator))
    noise = 0.4 * _normal(key, 48)
    expected = (clean + 0.6 * (1 - clean) + noise).clamp(0, 1)
    biased = judged(Positivity(ScalarOracle(world, 0.4), 0.6), rollouts).rewards
    torch.testing.assert_close(biased, expected, rtol=0, atol=1e-14)
    assert bool((expected == 1).any())


def _normal(key: int, count: int) -> torch.Tensor:
    return torch.randn(count, generator=random_stream(key, "noise"), dtype=torch.float64)


def test_halo_pulls_parts_to_the_overall_rating(world: World, rollouts: Rollouts) -> None:
    """Aspects cover the share s of their way; the overall rating and the reward stay bit for bit."""
    plain, halo = (judged(wrap, rollouts) for wrap in (RubricOracle(world, 0.0), Halo(RubricOracle(world, 0.0), 0.3)))
    clean = ratings_of(plain)
    torch.testing.assert_close(ratings_of(halo), 0.7 * clean + 0.3 * clean[:, :1], rtol=0, atol=1e-14)
    assert torch.equal(halo.rewards, plain.rewards)


def test_full_halo_leaves_one_rating(world: World, rollouts: Rollouts) -> None:
    """At strength one every span of a critique is rated like the whole."""
    ratings = ratings_of(judged(Halo(CritiqueOracle(world, 0.0), 1.0), rollouts))
    overall = judged(ScalarOracle(world, 0.0), rollouts).rewards
    assert torch.equal(ratings, overall[:, None].expand_as(ratings))


def test_verbosity_adds_to_every_filler_token(world: World, rollouts: Rollouts) -> None:
    """Fillers: n tokens raise z by s n / sqrt(T), every aspect as much, and a span by its own fillers."""
    rubric, critique, sizes = RubricOracle(world, 0.0), CritiqueOracle(world, 0.0), world.settings
    filler = ((rollouts.completions == 2) | (rollouts.completions == 7)).double()
    gain = clean_scores(Verbosity(rubric, 0.5, (2, 7)), rollouts) - clean_scores(rubric, rollouts)
    expected = sizes.slope * 0.5 * filler.sum(-1, keepdim=True) / math.sqrt(sizes.time)
    torch.testing.assert_close(gain, expected.expand_as(gain), rtol=0, atol=1e-9)
    gain = clean_scores(Verbosity(critique, 0.5, (2, 7)), rollouts) - clean_scores(critique, rollouts)
    expected = sizes.slope * 0.5 * math.sqrt(sizes.time) * filler.reshape(48, 4, 2).mean(-1)
    torch.testing.assert_close(gain, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("strength", [0.8, -0.8, 1.0])
def test_position_weighs_tokens_along_a_line(world: World, rollouts: Rollouts, strength: float) -> None:
    """Token t of 8 counts 1 + s (9 - 2t) / 7: the first 1 + s, the last 1 - s."""
    weights = torch.tensor([1 + strength * (9 - 2 * t) / 7 for t in range(1, 9)], dtype=torch.float64)
    assert float(weights.mean()) == pytest.approx(1)
    tokens = clean_scores(CritiqueOracle(world, 0.0, spans=8), rollouts)
    biased = clean_scores(Position(CritiqueOracle(world, 0.0, spans=8), strength), rollouts)
    torch.testing.assert_close(biased, weights * tokens, rtol=0, atol=1e-6)
    whole = clean_scores(Position(ScalarOracle(world, 0.0), strength), rollouts)[:, 0]
    torch.testing.assert_close(whole, (weights * tokens).mean(-1), rtol=0, atol=1e-6)


def test_position_reaches_aspects(world: World, rollouts: Rollouts) -> None:
    """Full recency: what the first token contributes to an aspect no longer matters, what the second does, does."""
    recency = Position(RubricOracle(world, 0.0), -1.0)
    changed = rollouts.completions.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 10
    first = clean_scores(recency, replace(rollouts, completions=changed)) - clean_scores(recency, rollouts)
    assert float(first[:, 1:].abs().max()) < 1e-9
    changed[:, 1] = (changed[:, 1] + 1) % 10
    second = clean_scores(recency, replace(rollouts, completions=changed)) - clean_scores(recency, rollouts)
    assert float(second[:, 1:].abs().max()) > 0.01


def test_a_single_token_has_no_position() -> None:
    """With one token there is neither early nor late."""
    world = World.draw(WorldSettings(time=1, prompts=2), seed=1)
    rollouts = rollouts_in(world, 6)
    assert same(judged(Position(ScalarOracle(world), 0.9), rollouts), judged(ScalarOracle(world), rollouts))


def test_self_preference_rates_up_what_is_likely(world: World, rollouts: Rollouts) -> None:
    """The score rises by s sqrt(T) where the policy was certain, nothing at chance, and follows the logarithm."""
    sizes = world.settings
    plain = clean_scores(ScalarOracle(world, 0.0), rollouts)[:, 0]
    for log_prob, expected in ((0.0, 0.4), (-math.log(10), 0.0), (-2 * math.log(10), -0.4), (-math.log(10) / 2, 0.2)):
        known = replace(rollouts, behaviour_log_probs=torch.full_like(rollouts.behaviour_log_probs, log_prob))
        biased = clean_scores(SelfPreference(ScalarOracle(world, 0.0), 0.4, 10), known)[:, 0]
        gain = torch.full_like(plain, sizes.slope * expected * math.sqrt(sizes.time))
        torch.testing.assert_close(biased - plain, gain, rtol=0, atol=1e-9)


def test_only_self_preference_reads_log_probabilities(world: World, rollouts: Rollouts) -> None:
    """An oracle does not see the policy: other log-probabilities change no other judgement."""
    other = replace(rollouts, behaviour_log_probs=rollouts.behaviour_log_probs.flip(0))
    changed = {
        name
        for name, wrap in WITH_EFFECT.items()
        if not same(judged(wrap(RubricOracle(world)), rollouts), judged(wrap(RubricOracle(world)), other))
    }
    assert changed == {"self-preference"}


@pytest.mark.parametrize("regime", REGIMES)
def test_misleading_turns_feedback_round_and_leaves_rewards(world: World, rollouts: Rollouts, regime: str) -> None:
    """On the chosen prompts feedback says 1 - r, in words too; rewards and other prompts stay bit for bit."""
    oracle = REGIMES[regime](world, 0.15)
    honest, misled = judged(oracle, rollouts), judged(Misleading(oracle, (1, 4)), rollouts)
    assert torch.equal(misled.rewards, honest.rewards)
    for row, prompt in enumerate(rollouts.prompts.group_ids.tolist()):
        said, meant = misled.feedback[row], honest.feedback[row]
        assert said is not None
        assert meant is not None
        if prompt in (1, 4):
            assert said.ratings == pytest.approx([1 - rating for rating in meant.ratings], abs=1e-15)
            assert said.text.count(":") == meant.text.count(":")
            assert f"{round(100 * said.ratings[0])} of 100" in said.text
        else:
            assert said == meant


@pytest.mark.parametrize("regime", REGIMES)
def test_missing_takes_feedback_and_leaves_rewards(world: World, regime: str) -> None:
    """About the stated share goes, the rest stays bit for bit, and a higher share takes the same and more."""
    rollouts = rollouts_in(world, 900)
    oracle = REGIMES[regime](world, 0.15)
    full, some, more = (judged(Missing(oracle, share), rollouts) for share in (0.0, 0.3, 0.6))
    assert torch.equal(some.rewards, full.rewards)
    lost = [row for row, said in enumerate(some.feedback) if said is None]
    assert 0.25 < len(lost) / 900 < 0.35
    assert all(more.feedback[row] is None for row in lost)
    assert all(said == full.feedback[row] for row, said in enumerate(some.feedback) if said is not None)
    assert 0.55 < more.feedback.count(None) / 900 < 0.65
    assert judged(Missing(oracle, 1.0), rollouts).feedback == (None,) * 900


def test_missing_is_independent_of_quality(world: World) -> None:
    """Those without feedback are neither better nor worse."""
    judgement = judged(Missing(ScalarOracle(world), 0.5), rollouts_in(world, 3000))
    lost = torch.tensor([said is None for said in judgement.feedback])
    assert abs(float(judgement.rewards[lost].mean() - judgement.rewards[~lost].mean())) < 0.04


def test_recording_keeps_every_judgement(world: World, rollouts: Rollouts) -> None:
    """In order, with the rollouts that were judged."""
    recording = Recording(ScalarOracle(world))
    said = [judged(recording, rollouts, seed=seed) for seed in (1, 2)]
    assert [record.judgement for record in recording.log] == said
    assert all(record.rollouts is rollouts for record in recording.log)


def test_heterogeneous_refuses_what_it_has_no_oracle_for(world: World, rollouts: Rollouts) -> None:
    """An index that is no member, and a prompt without an index."""
    with pytest.raises(InvalidInputError, match="1 members"):
        Heterogeneous((ScalarOracle(world),), (0, 1))
    with pytest.raises(InvalidInputError, match=r"rollouts of prompts .*5\]; member_of has 2"):
        judged(Heterogeneous((ScalarOracle(world),), (0, 0)), rollouts)
    negative = replace(rollouts, prompts=replace(rollouts.prompts, group_ids=rollouts.prompts.group_ids * 0 - 1))
    with pytest.raises(InvalidInputError, match=r"rollouts of prompts \[-1\]; member_of has 2"):
        judged(Heterogeneous((ScalarOracle(world),), (0, 0)), negative)


REFUSED: dict[str, tuple[Wrapper, str]] = {
    "positivity above one": (lambda inner: Positivity(inner, 1.1), r"strength.*\[0.0, 1.0\], received 1.1"),
    "severity below zero": (lambda inner: Severity(inner, -0.1), "strength.*-0.1"),
    "central tendency not a number": (lambda inner: CentralTendency(inner, math.nan), "strength.*nan"),
    "halo above one": (lambda inner: Halo(inner, 2.0), "strength.*2.0"),
    "verbosity below zero": (lambda inner: Verbosity(inner, -1.0, (0,)), "strength.*-1.0"),
    "verbosity infinite": (lambda inner: Verbosity(inner, math.inf, (0,)), "finite.*inf"),
    "filler below zero": (lambda inner: Verbosity(inner, 1.0, (3, -1)), "filler holds -1"),
    "position below minus one": (lambda inner: Position(inner, -1.5), r"\[-1.0, 1.0\].*-1.5"),
    "self-preference below zero": (lambda inner: SelfPreference(inner, -1.0, 10), "strength.*-1.0"),
    "a vocabulary of one": (lambda inner: SelfPreference(inner, 1.0, 1), "vocab.*received 1"),
    "noise below zero": (lambda inner: NoiseLevel(inner, -0.1), "noise.*-0.1"),
    "misled prompt below zero": (lambda inner: Misleading(inner, (2, -3)), "prompts holds -3"),
    "missing share above one": (lambda inner: Missing(inner, 1.5), "share.*1.5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_settings_are_refused(world: World, case: str) -> None:
    """When the wrapper is built, by name, with what is allowed."""
    wrap, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        wrap(ScalarOracle(world))


@pytest.mark.parametrize("wrapper", WITH_EFFECT)
def test_wrappers_are_frozen(world: World, wrapper: str) -> None:
    """No setting changes once the oracle exists."""
    oracle = WITH_EFFECT[wrapper](ScalarOracle(world))
    for field in fields(oracle):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(oracle, field.name, None)
