"""The posterior against dense Gaussian conditioning written out independently, its limits and its order."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.reader import Knowledge, Reader, Reading
from sdpo_ref.simulation.reader.posterior import Linearized
from sdpo_ref.simulation.settings import ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.simulation.world import random_stream
from tests.simulation.reader.problems import REGIMES, problem

Array = NDArray[np.float64]
T, V, K, G = 3, 3, 2, 5
PSI = 0.2
STREAM_SEED = 4


def random_reader(regime: RegimeName, *, confident: bool = False) -> Reader:
    """A reader of a tiny world with made-up beliefs; a confident one has no doubt about loadings."""
    stream = random_stream(STREAM_SEED, "knowledge")
    loadings = torch.randn(T, V, K, generator=stream, dtype=torch.float64)
    variance = torch.rand(T, V, K, generator=stream, dtype=torch.float64) * (0 if confident else 1)
    feedback = RegimeSettings(regime=regime, spans=2)
    settings = ReaderSettings(feedback=feedback, idiosyncrasy=0.0 if confident else PSI)
    return Reader.from_settings(Knowledge(loadings, variance), settings)


def random_case(kinds: int) -> tuple[Tensor, Linearized, Tensor]:
    """Two groups: in the second, one rollout goes without feedback, and another is a copy."""
    stream = random_stream(STREAM_SEED, "case")
    completions = torch.randint(V, (2, G, T), generator=stream)
    completions[1, 1] = completions[1, 0]
    told = torch.ones(2, G, dtype=torch.bool)
    told[1, 3] = False
    scores = torch.randn(2, G, kinds, generator=stream, dtype=torch.float64) * told[..., None]
    return completions, Linearized(scores, 0.1 + torch.rand(2, kinds, generator=stream, dtype=torch.float64)), told


def latent_row(reader: Reader, regime: RegimeName, completion: list[int], kind: int) -> Array:
    """How one rated score depends on taste and on every effect, by the equations of spec/06-simulation, section C."""
    taste, effects = np.zeros(K), np.zeros((T, V, K + 1))
    spans = ((0, 1), (2,))
    for t, token in enumerate(completion):
        for component in range(K + 1):
            weight = 1 / np.sqrt(T)
            if regime == "critique":
                weight = np.sqrt(T) / len(spans[kind]) if t in spans[kind] else 0.0
            elif regime == "rubric" and kind > 0:
                weight = K / np.sqrt(T) if component == kind - 1 else 0.0
            effects[t, token, component] += weight
            if component < K:
                taste[component] += weight * float(reader.prior.taste_loadings[t, token, component])
    return np.concatenate([taste, effects.ravel()])


def dense(
    reader: Reader, regime: RegimeName, case: tuple[Tensor, Linearized, Tensor], group: int
) -> tuple[Array, Array, Array]:
    """Credited quality, taste and score covariance: condition every latent on all contrasts of the numbers told."""
    completions, linearized, told = case
    prior = np.concatenate([np.full(K, 1 / K), reader.prior.effect_variance.numpy().ravel()])
    kinds = linearized.scores.shape[-1]
    rows, numbers, noise = [], [], []
    for i, kind in product(range(G), range(kinds)):
        if told[group, i]:
            rows.append(latent_row(reader, regime, completions[group, i].tolist(), kind))
            numbers.append(float(linearized.scores[group, i, kind]))
            noise.append(float(linearized.noise[group, kind]))
    contrasts = np.eye(len(rows))[1:] - np.eye(len(rows))[:-1]  # neighbours' differences: free of the level
    design = contrasts @ np.array(rows)
    covariance = design @ np.diag(prior) @ design.T + contrasts @ np.diag(noise) @ contrasts.T
    gain = np.diag(prior) @ design.T @ np.linalg.inv(covariance)
    mean = gain @ contrasts @ np.array(numbers)
    after = np.diag(prior) - gain @ design @ np.diag(prior)
    quality = np.zeros((T, V))
    for t, v in product(range(T), range(V)):
        quality[t, v] = float(reader.prior.taste_loadings[t, v].numpy() @ mean[:K])
        quality[t, v] += mean[K:].reshape(T, V, K + 1)[t, v].sum()
    overall = np.array([latent_row(reader, "scalar", completion, 0) for completion in completions[group].tolist()])
    return quality, mean[:K], overall @ after @ overall.T


@pytest.mark.parametrize("regime", REGIMES)
def test_posterior_is_dense_conditioning(regime: RegimeName) -> None:
    """Means of quality and taste and the covariance of scores agree with the joint normal distribution (SIM-064)."""
    reader = random_reader(regime)
    case = random_case(reader.design.positions.shape[0])
    reading = reader.infer(*case)
    for group in range(2):
        quality, taste, covariance = dense(reader, regime, case, group)
        np.testing.assert_allclose(reading.credited_quality[group].numpy(), quality, rtol=0, atol=1e-10)
        np.testing.assert_allclose(reading.taste[group].numpy(), taste, rtol=0, atol=1e-10)
        np.testing.assert_allclose(reading.score_covariance[group].numpy(), covariance, rtol=0, atol=1e-10)


def test_unsampled_tokens_get_what_taste_says() -> None:
    """Only tokens that were sampled are credited with more than the posterior mean of taste (SIM-065)."""
    reader = random_reader("scalar")
    completions, linearized, told = random_case(1)
    reading = reader.infer(completions, linearized, told)
    residual = reading.credited_quality - torch.einsum("tvk,xk->xtv", reader.prior.taste_loadings, reading.taste)
    sampled = torch.zeros(2, T, V, dtype=torch.bool).scatter(2, completions.transpose(1, 2), value=True)
    assert float(residual[~sampled].abs().max()) < 1e-14
    assert float(residual[sampled].abs().max()) > 0.01


@pytest.mark.parametrize("regime", REGIMES)
def test_without_noise_taste_is_recovered(regime: RegimeName) -> None:
    """A reader with the true loadings, in a world that taste explains, finds taste, whatever the leniency."""
    reader = random_reader(regime, confident=True)
    completions, _, told = random_case(1)
    taste = torch.tensor([[0.6, -0.8], [-1.0, 0.1]], dtype=torch.float64)
    scores = torch.einsum("xijk,xk->xij", reader.prior.taste_rows(reader.design, completions), taste)
    scores = scores + torch.tensor([3.0, -7.0])[:, None, None]
    noise = torch.full((2, scores.shape[-1]), 1e-9, dtype=torch.float64)
    reading = reader.infer(completions, Linearized(scores, noise), told)
    torch.testing.assert_close(reading.taste, taste, rtol=0, atol=1e-5)
    assert float(reading.gain().min()) > 1 - 1e-6


def test_endless_noise_teaches_nothing() -> None:
    """The posterior is the prior."""
    reader = random_reader("rubric")
    completions, linearized, told = random_case(3)
    reading = reader.infer(completions, Linearized(linearized.scores, linearized.noise + 1e12), told)
    assert float(reading.credited_quality.abs().max()) < 1e-10
    torch.testing.assert_close(reading.score_covariance, reading.prior_score_covariance, rtol=0, atol=1e-10)


@pytest.mark.parametrize("regime", REGIMES)
def test_zero_mean_noise_turns_nothing(regime: RegimeName) -> None:
    """What is credited is linear in the linearised ratings: its mean over two-sided noise is what the mean gives."""
    reader = random_reader(regime)
    completions, linearized, told = random_case(reader.design.positions.shape[0])
    noise = torch.randn(linearized.scores.shape, generator=random_stream(9), dtype=torch.float64)

    def credited(weight: float, share: float) -> Tensor:
        scores = weight * linearized.scores + share * noise
        return reader.infer(completions, Linearized(scores, linearized.noise), told).credited_quality

    mean = 0.25 * credited(1, 3) + 0.75 * credited(1, -1)  # noise with mean 0 that is not symmetric
    torch.testing.assert_close(mean, credited(1, 0), rtol=0, atol=1e-12)
    torch.testing.assert_close(credited(2, 0), 2 * credited(1, 0), rtol=0, atol=1e-12)
    assert float((credited(1, 1) - credited(1, 0)).abs().max()) > 0.01


def test_levels_say_nothing() -> None:
    """A constant added to all of a group's scores changes nothing (SIM-064)."""
    reader = random_reader("critique")
    completions, linearized, told = random_case(2)
    shifted = Linearized(linearized.scores + 5.0, linearized.noise)
    both = [reader.infer(completions, one, told).credited_quality for one in (linearized, shifted)]
    torch.testing.assert_close(both[0], both[1], rtol=0, atol=1e-12)


def test_a_single_voice_teaches_nothing_alone() -> None:
    """One scalar rating in a group has nothing to be compared with; the gain is zero and so is the credit."""
    reader = random_reader("scalar")
    completions, linearized, told = random_case(1)
    told = torch.zeros_like(told)
    told[0, 2] = True
    reading = reader.infer(completions, linearized, told)
    assert not bool(reading.credited_quality.any())
    assert reading.gain().tolist() == [0.0, 0.0]


def at_the_middle(regime: RegimeName) -> Reading:
    """What a reader of one regime has left to doubt when all ratings lie at the middle of the scale."""
    given = problem(regime, WorldSettings(prompts=1), group=8)
    reader = given.conditioning.reader
    ratings = torch.full((1, 8, reader.design.positions.shape[0]), 0.5, dtype=torch.float64)
    return reader.read(given.rollouts.completions[None], ratings, torch.ones(1, 8, dtype=torch.bool))


@pytest.mark.parametrize(
    ("poor", "rich"), [("binary", "ordinal"), ("ordinal", "scalar"), ("scalar", "rubric"), ("scalar", "critique")]
)
def test_richer_feedback_leaves_less_doubt(poor: RegimeName, rich: RegimeName) -> None:
    """The posterior variance of no difference between completions is larger under the richer regime."""
    contrasts = torch.eye(8, dtype=torch.float64)[1:] - torch.eye(8, dtype=torch.float64)[:-1]
    readings = at_the_middle(poor), at_the_middle(rich)
    less = contrasts @ (readings[0].score_covariance - readings[1].score_covariance)[0] @ contrasts.T
    assert float(torch.linalg.eigvalsh(less).min()) > -1e-10
    assert float(readings[1].gain()) > float(readings[0].gain()) + 0.01


def mean_correlation(regime: RegimeName) -> float:
    """Of credited with true quality, over prompts, positions and tokens, and over seeds."""
    found = []
    for seed in range(6):
        given = problem(regime, WorldSettings(), seed=seed, group=8)
        credited = given.conditioning.read(given.rollouts, given.judgement).credited_quality
        found.append(float(torch.corrcoef(torch.stack([credited.flatten(), given.world.quality.flatten()]))[0, 1]))
    return sum(found) / len(found)


def test_credit_is_true_and_truer_the_richer_the_feedback() -> None:
    """Credited quality correlates with the quality that no reader has seen."""
    found = {regime: mean_correlation(regime) for regime in REGIMES}
    assert found["binary"] > 0.3
    assert found["ordinal"] > max(0.4, found["binary"])
    assert found["scalar"] > found["ordinal"] + 0.005
    assert min(found["rubric"], found["critique"]) > found["scalar"] + 0.08


def test_other_feedback_than_expected_is_refused() -> None:
    """The message says how many ratings the reader expects, and for how many tokens it was made."""
    reader = random_reader("rubric")
    completions, linearized, told = random_case(2)
    with pytest.raises(InvalidInputError, match="expects 3 for each rollout"):
        reader.read(completions, linearized.scores, told)
    ratings = torch.full((2, G, 3), 0.5, dtype=torch.float64)
    with pytest.raises(InvalidInputError, match="completions of 3 tokens with ids from 0 to 2"):
        reader.read(completions + 1, ratings, told)
    with pytest.raises(InvalidInputError, match="completions of 3 tokens"):
        reader.read(completions[..., :2], ratings, told)
