"""Bits of feedback against a second derivation: determinants of the whole joint covariance, and a simulation."""

import math

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles import feedback_information
from sdpo_ref.simulation.settings import RegimeName, RegimeSettings, WorldSettings

WORLD = WorldSettings(time=6, aspects=3, idiosyncrasy=0.2, slope=1.5)


def joint_covariance(regime: RegimeName, noise: float, spans: int) -> tuple[Tensor, int]:
    """Covariance of (score, token qualities, ratings) from independent contributions of aspects and idiosyncrasy."""
    time, aspects, psi = WORLD.time, WORLD.aspects, WORLD.idiosyncrasy
    sources = torch.eye(time * (aspects + 1), dtype=torch.float64).reshape(time, aspects + 1, -1)
    shares = sources[:, :aspects] * math.sqrt((1 - psi) / aspects)
    tokens = shares.sum(1) + math.sqrt(psi) * sources[:, aspects]
    score = tokens.sum(0, keepdim=True) / math.sqrt(time)
    if regime == "critique":
        lengths = [len(span) for span in torch.arange(time).tensor_split(spans)]
        latent = torch.stack([span.mean(0) * math.sqrt(time) for span in tokens.split_with_sizes(lengths)])
    elif regime == "rubric":
        latent = torch.cat([score, aspects * shares.sum(0) / math.sqrt(time)])
    else:
        latent = score
    loads = torch.cat([score, tokens, WORLD.slope / 4 * latent])
    covariance = loads @ loads.T
    covariance.diagonal()[1 + time :] += noise**2
    return covariance, latent.shape[0]


def mutual_bits(covariance: Tensor, one: list[int], other: list[int]) -> float:
    """Mutual information of two sets of jointly normal variables."""
    logs = [torch.logdet(covariance[part][:, part]) for part in (one, other, [*one, *other])]
    return float(logs[0] + logs[1] - logs[2]) / (2 * math.log(2))


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.5])
@pytest.mark.parametrize(
    ("regime", "spans"), [("scalar", 1), ("rubric", 1), ("critique", 1), ("critique", 3), ("critique", 4)]
)
def test_closed_forms_are_the_determinants(regime: RegimeName, spans: int, noise: float) -> None:
    """Both informations of each regime, uneven spans included, are those of the joint distribution."""
    covariance, ratings = joint_covariance(regime, noise, spans)
    said = list(range(1 + WORLD.time, 1 + WORLD.time + ratings))
    found = feedback_information(WORLD, RegimeSettings(regime=regime, noise=noise, spans=spans))
    assert found.score_bits == pytest.approx(mutual_bits(covariance, [0], said), rel=1e-9)
    tokens = list(range(1, 1 + WORLD.time))
    assert found.token_bits == pytest.approx(mutual_bits(covariance, tokens, said), rel=1e-9)


@pytest.mark.parametrize(("regime", "levels"), [("binary", 2), ("ordinal", 5)])
@pytest.mark.parametrize("noise", [0.0, 0.15, 0.5])
def test_bits_of_levels_agree_with_a_simulation(noise: float, regime: RegimeName, levels: int) -> None:
    """A histogram of a million pairs of score and level has the information that the integral gives."""
    stream = torch.Generator().manual_seed(0)
    score, error = torch.randn(2, 1_000_000, generator=stream, dtype=torch.float64)
    level = ((levels - 1) * (0.5 + WORLD.slope / 4 * score + noise * error).clamp(0, 1)).round().long()
    place = (200 * torch.special.ndtr(score)).long()
    joint = torch.bincount(levels * place + level, minlength=200 * levels).reshape(200, levels).double() / 1_000_000
    independent = joint.sum(0, keepdim=True) * joint.sum(1, keepdim=True)
    bits = float((torch.xlogy(joint, joint) - torch.xlogy(joint, independent)).sum()) / math.log(2)
    found = feedback_information(WORLD, RegimeSettings(regime=regime, noise=noise))
    assert found.score_bits == pytest.approx(bits, abs=0.02 if noise == 0 else 0.005)
    assert found.token_bits == found.score_bits


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.3, 0.5])
def test_regimes_are_ordered(noise: float) -> None:
    """In the default world: binary < ordinal < scalar < rubric < critique, about the score and about the tokens."""
    regimes: tuple[RegimeName, ...] = ("binary", "ordinal", "scalar", "rubric", "critique")
    found = [feedback_information(WorldSettings(), RegimeSettings(regime=name, noise=noise)) for name in regimes]
    for bits in ([one.score_bits for one in found], [one.token_bits for one in found]):
        assert bits == sorted(set(bits))
        assert bits[0] > 0
    assert found[-1].token_bits > 3 * found[-2].token_bits


@pytest.mark.parametrize("regime", ["binary", "ordinal", "scalar", "rubric", "critique"])
def test_noise_costs_information(regime: RegimeName) -> None:
    """More noise, fewer bits; without noise infinitely many, except for a level, which has its entropy."""
    bits = [
        feedback_information(WORLD, RegimeSettings(regime=regime, noise=noise)).score_bits
        for noise in (0.0, 1e-3, 0.05, 0.15, 0.5)
    ]
    assert bits == sorted(set(bits), reverse=True)
    entropy = {"binary": 1.0, "ordinal": math.log2(5)}.get(regime)
    assert (bits[0] == math.inf) == (entropy is None)
    assert entropy is None or bits[1] < bits[0] <= entropy


def test_special_cases() -> None:
    """One span says what a scalar says, and a rubric of one aspect without idiosyncrasy rates one thing twice."""
    single = WorldSettings(aspects=1, idiosyncrasy=0.0)
    scalar = feedback_information(single, RegimeSettings(noise=0.25))
    assert feedback_information(single, RegimeSettings(regime="critique", noise=0.25, spans=1)) == scalar
    twice = feedback_information(single, RegimeSettings(regime="rubric", noise=0.25)).score_bits
    assert twice == pytest.approx(0.5 * math.log2(3))
    assert feedback_information(single, RegimeSettings(regime="rubric", noise=0.0)).score_bits == math.inf


def test_too_many_spans_are_refused() -> None:
    """As the oracle would."""
    with pytest.raises(InvalidInputError, match=r"\[1, 6\].*received 7"):
        feedback_information(WORLD, RegimeSettings(regime="critique", spans=7))
