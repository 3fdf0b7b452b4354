"""What the corpus teaches, and how wrong the reader thinks it is."""

from dataclasses import replace

import pytest
import torch

from sdpo_ref.simulation.reader import Knowledge, QualityPrior
from sdpo_ref.simulation.settings import Basis, ReaderSettings, WorldSettings
from sdpo_ref.simulation.world import World
from sdpo_ref.simulation.world.corpus import Annotations, annotate, loading_correlation

SEEDS = range(4)


def learned(settings: WorldSettings, basis: Basis, seed: int) -> tuple[Knowledge, World]:
    world = World.draw(settings, seed=seed)
    corpus = annotate(world, seed=seed)
    return Knowledge.learn(corpus, world.embeddings, basis=basis, noise=settings.annotation_noise), world


@pytest.mark.parametrize("basis", ["token", "embedding"])
@pytest.mark.parametrize("annotations", [16, 64, 256])
def test_the_expected_error_is_the_error(basis: Basis, annotations: int) -> None:
    """Over several worlds, the mean variance that the fit states is the mean squared error that it makes (SIM-061)."""
    stated = actual = 0.0
    for seed in SEEDS:
        known, world = learned(WorldSettings(annotations=annotations), basis, seed)
        stated += float(known.variance.mean())
        actual += float((known.loadings - world.loadings).square().mean())
    assert 0.8 < stated / actual < 1.25


def test_what_a_subspace_cannot_express_is_found() -> None:
    """With endless annotations, what is left is the share of a loading that is not linear in the embedding."""
    known, _ = learned(WorldSettings(vocab=512, annotations=4000, time=2, low_rank_share=0.6), "embedding", 0)
    assert abs(float(known.variance.mean()) - 0.4) < 0.06


def test_misfit_by_leaving_out() -> None:
    """The excess error is that of fits that leave one mark out, done one by one."""
    settings = WorldSettings(time=1, vocab=6, aspects=1, embedding=2, annotations=7, annotation_noise=0.1)
    world = World.draw(settings.model_copy(update={"low_rank_share": 0.2}), seed=1)
    corpus = annotate(world, seed=1)
    known = Knowledge.learn(corpus, world.embeddings, basis="embedding", noise=0.1)
    excess = []
    for left_out in range(7):
        kept = [d for d in range(7) if d != left_out]
        less = Annotations(corpus.tokens[kept], corpus.marks[kept])
        rows = world.embeddings[less.tokens[:, 0, 0]]
        covariance = torch.linalg.inv(rows.T @ rows / 0.01 + 2 * torch.eye(2))
        at = world.embeddings[corpus.tokens[left_out, 0, 0]]
        predicted = at @ covariance @ rows.T @ less.marks[:, 0, 0] / 0.01
        excess.append(float((corpus.marks[left_out, 0, 0] - predicted) ** 2 - at @ covariance @ at - 0.01))
    rows = world.embeddings[corpus.tokens[:, 0, 0]]
    covariance = torch.linalg.inv(rows.T @ rows / 0.01 + 2 * torch.eye(2))
    fitted = torch.einsum("vf,fg,vg->v", world.embeddings, covariance, world.embeddings)
    assert sum(excess) > 0
    torch.testing.assert_close(known.variance[0, :, 0], fitted + sum(excess) / 7, rtol=0, atol=1e-10)


def test_an_endless_corpus_teaches_the_loadings() -> None:
    """In the token basis rho tends to one, and the stated error to zero."""
    known, world = learned(WorldSettings(vocab=4, time=2, annotations=4000), "token", 0)
    assert loading_correlation(known.loadings, world.loadings) > 0.998
    assert float(known.variance.mean()) < 0.05


def test_the_reader_knows_the_corpus_and_nothing_else() -> None:
    """In a world whose taste and quality are poison, the reader is the same, bit for bit (SIM-060)."""
    world = World.draw(WorldSettings(), seed=0)
    poison = replace(
        world, taste=torch.full_like(world.taste, torch.nan), quality=torch.full_like(world.quality, torch.nan)
    )
    readings = [
        Knowledge.learn(annotate(one, seed=0), one.embeddings, basis="embedding", noise=1.0) for one in (world, poison)
    ]
    assert torch.equal(readings[0].loadings, readings[1].loadings)
    assert torch.equal(readings[0].variance, readings[1].variance)


def test_prior_shares_quality_between_taste_and_effects() -> None:
    """By the equations of section C: 0.64 of variance is taste's, of which each of two aspects has half."""
    known = Knowledge(torch.full((1, 1, 2), 2.0, dtype=torch.float64), torch.full((1, 1, 2), 0.5, dtype=torch.float64))
    prior = QualityPrior.from_knowledge(known, idiosyncrasy=0.36)
    torch.testing.assert_close(prior.taste_loadings.flatten(), torch.tensor([1.6, 1.6]).double())
    torch.testing.assert_close(prior.effect_variance.flatten(), torch.tensor([0.16, 0.16, 0.36]).double())


def test_prior_variance_adds_up() -> None:
    """With loadings whose error is theirs, a token's quality has unit variance before feedback on average."""
    known, _ = learned(WorldSettings(annotations=64), "token", 0)
    prior = QualityPrior.from_knowledge(known, idiosyncrasy=ReaderSettings().idiosyncrasy)
    variance = prior.taste_loadings.square().sum(-1) / 4 + prior.effect_variance.sum(-1)
    assert abs(float(variance.mean()) - 1) < 0.1


def test_an_overconfident_reader_has_the_same_estimates_and_no_doubt() -> None:
    """Only the expected error differs, and it did not happen to be zero before (SIM-081)."""
    world = World.draw(WorldSettings(), seed=0)
    known = Knowledge.learn(annotate(world, seed=0), world.embeddings, basis="embedding", noise=1.0)
    certain = known.without_doubt()
    assert torch.equal(certain.loadings, known.loadings)
    assert int(certain.variance.count_nonzero()) == 0
    assert bool((known.variance > 0).all())
