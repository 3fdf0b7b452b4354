"""What a reader can know: nested corpora, the ridge estimate by hand, and rho as it rises and falls."""

import inspect
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.settings import Basis, WorldSettings
from sdpo_ref.simulation.world.corpus import annotate, basis_features, estimate_loadings, loading_correlation
from sdpo_ref.simulation.world.world import World

SEEDS = range(4)


def mean_rho(basis: Basis, settings: WorldSettings) -> float:
    """How well the loadings of several worlds are known on average."""
    found = []
    for seed in SEEDS:
        world = World.draw(settings, seed=seed)
        estimated = estimate_loadings(
            annotate(world, seed=seed), world.embeddings, basis=basis, noise=settings.annotation_noise
        )
        found.append(loading_correlation(estimated, world.loadings))
    return sum(found) / len(found)


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one() -> None:
    """The first D annotations are the same however many follow."""
    small, large = (annotate(World.draw(WorldSettings(annotations=count), seed=2), seed=3) for count in (5, 40))
    assert torch.equal(small.tokens, large.tokens[:5])
    assert torch.equal(small.marks, large.marks[:5])


def test_annotations_are_independent() -> None:
    """Another seed, another annotation, another position and another aspect have other errors and other tokens."""
    world = World.draw(WorldSettings(vocab=1000, annotations=2), seed=0)
    first, other = annotate(world, seed=0), annotate(world, seed=1)
    assert len(set(first.tokens.flatten().tolist())) > 55
    assert not bool((first.tokens == other.tokens).all())
    assert len(set(first.marks.flatten().tolist())) == first.marks.numel()


def test_marks_are_true_loadings_with_the_stated_error() -> None:
    """The errors have mean zero and the stated deviation, and enlarge with it."""
    settings = WorldSettings(annotations=400, annotation_noise=0.5)
    world = World.draw(settings, seed=0)
    corpus = annotate(world, seed=0)
    true = torch.stack(
        [
            torch.stack([world.loadings[t, corpus.tokens[:, t, k], k] for k in range(settings.aspects)], dim=-1)
            for t in range(settings.time)
        ],
        dim=1,
    )
    errors = corpus.marks - true
    assert abs(float(errors.mean())) < 4 * 0.5 / errors.numel() ** 0.5
    assert abs(float(errors.std()) - 0.5) < 0.02
    noisier = annotate(World.draw(WorldSettings(annotations=400, annotation_noise=2.0), seed=0), seed=0)
    assert torch.allclose(noisier.marks - true, 4 * errors, rtol=0, atol=1e-12)


@pytest.mark.parametrize("basis", ["token", "embedding"])
def test_estimate_is_the_posterior_mean(basis: Basis) -> None:
    """Conditioning the joint normal distribution of loadings and marks, without a coefficient, gives the same."""
    settings = WorldSettings(time=2, vocab=6, aspects=2, embedding=3, annotations=5, annotation_noise=0.7)
    world = World.draw(settings, seed=0)
    corpus = annotate(world, seed=0)
    estimated = estimate_loadings(corpus, world.embeddings, basis=basis, noise=0.7)
    prior: Tensor = torch.eye(6).double() if basis == "token" else world.embeddings @ world.embeddings.T / 3
    for t in range(2):
        for k in range(2):
            seen = corpus.tokens[:, t, k]
            gain = prior[:, seen] @ torch.linalg.inv(prior[seen][:, seen] + 0.49 * torch.eye(5).double())
            assert torch.allclose(estimated[t, :, k], gain @ corpus.marks[:, t, k], rtol=0, atol=1e-12)


def test_rho_rises_with_annotations_in_both_bases() -> None:
    """More annotations are never forgotten (SIM-024)."""
    for basis in ("token", "embedding"):
        found = [mean_rho(basis, WorldSettings(annotations=count)) for count in (4, 16, 64, 256)]
        assert all(later > earlier + 0.02 for earlier, later in pairwise(found))


def test_rho_falls_with_the_vocabulary_only_in_the_token_basis() -> None:
    """The same budget for more unknowns: each doubling costs; in the subspace the number of unknowns stays."""
    sizes = [WorldSettings(vocab=vocab) for vocab in (16, 32, 64, 128)]
    full = [mean_rho("token", settings) for settings in sizes]
    subspace = [mean_rho("embedding", settings) for settings in sizes]
    assert all(larger < smaller - 0.05 for smaller, larger in pairwise(full))
    assert max(subspace) - min(subspace) < 0.04


def test_a_subspace_never_knows_more_than_its_share() -> None:
    """With any number of annotations, rho in the subspace stays near the root of what is linear in the embedding."""
    settings = WorldSettings(vocab=512, time=2, low_rank_share=0.5, annotations=4000)
    assert abs(mean_rho("embedding", settings) - 0.5**0.5) < 0.02


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan")])
def test_noise_must_be_positive(noise: float) -> None:
    """Without noise there is no ridge, and without a ridge no estimate for unseen tokens."""
    world = World.draw(WorldSettings(), seed=0)
    with pytest.raises(InvalidInputError, match="above 0"):
        estimate_loadings(annotate(world, seed=0), world.embeddings, basis="token", noise=noise)


def test_unknown_basis_is_refused() -> None:
    """The message lists the bases there are."""
    unchecked = inspect.unwrap(basis_features)  # the type checker of this test run would refuse it first
    with pytest.raises(InvalidInputError, match="'token' and 'embedding'"):
        unchecked(torch.ones(2, 1), basis="full")
