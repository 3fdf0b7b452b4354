"""The annotated corpus: what a model learns about aspects before it is trained ("pre-training", spec/06-simulation).

Annotators have marked tokens for how much they express each aspect, with errors. A reader sees the marks and not the
loadings; how good its estimate is, rho, follows from the corpus and the basis in which it learns. It is a result.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.world.world import World, random_stream

Basis = Literal["token", "embedding"]
"""In which terms a reader learns loadings: one unknown for each token (V), or for each number of the embedding (r)."""


@dataclass(frozen=True)
class Annotations:
    """D noisy marks for each position and aspect.

    Attributes:
        tokens: which token was marked.
        marks: its true loading plus a normal error.
    """

    tokens: Int[Tensor, "annotation time aspect"]
    marks: Float[Tensor, "annotation time aspect"]


def annotate(world: World, *, seed: int) -> Annotations:
    """The corpus of a world: tokens taken at random, marked with an error.

    Each annotation has its own stream of random numbers, so a smaller corpus is the beginning of a larger one, and the
    errors of a noisier corpus are those of a cleaner one, enlarged.
    Implements: SIM-001, SIM-022.

    Args:
        world: gives the true loadings, and in its settings the number of annotations and their noise.
        seed: which corpus.

    Returns:
        As many annotations as ``world.settings.annotations`` for each position and aspect.

    Example:
        >>> from sdpo_ref.simulation.settings import WorldSettings
        >>> large, small = (annotate(World.draw(WorldSettings(annotations=d), seed=0), seed=0) for d in (64, 8))
        >>> torch.equal(large.marks[:8], small.marks)
        True
    """
    sizes = world.settings
    shape = (sizes.time, sizes.aspects)
    tokens, errors = [], []
    for number in range(sizes.annotations):
        generator = random_stream(seed, "corpus", number)
        tokens.append(torch.randint(sizes.vocab, shape, generator=generator))
        errors.append(torch.randn(shape, generator=generator, dtype=torch.float64))
    chosen = torch.stack(tokens)
    true = world.loadings[torch.arange(sizes.time)[:, None], chosen, torch.arange(sizes.aspects)]
    return Annotations(chosen, true + sizes.annotation_noise * torch.stack(errors))


def basis_features(
    embeddings: Float[Tensor, "vocab embedding"], *, basis: Basis
) -> tuple[Float[Tensor, "vocab feature"], float]:
    """The terms in which a reader learns loadings, and how large it takes a coefficient to be.

    Args:
        embeddings: what describes each token to the reader.
        basis: one feature for each token, or the numbers of its embedding.

    Returns:
        Features of each token, and the prior variance of a coefficient, for which a loading has unit variance.

    Raises:
        InvalidInputError: if the basis is unknown.

    Example:
        >>> features, variance = basis_features(torch.ones(3, 2), basis="embedding")
        >>> tuple(features.shape), variance
        ((3, 2), 0.5)
    """
    if basis == "token":
        return torch.eye(embeddings.shape[0], dtype=torch.float64), 1.0
    if basis == "embedding":
        return embeddings.double(), 1 / embeddings.shape[1]
    raise InvalidInputError(f"no basis is called {basis!r}; allowed are 'token' and 'embedding'")


def estimate_loadings(
    annotations: Annotations, embeddings: Float[Tensor, "vocab embedding"], *, basis: Basis, noise: float
) -> Float[Tensor, "time vocab aspect"]:
    r"""Loadings as a reader of the corpus estimates them: ridge regression, for each position and aspect.

    .. math::
        \hat a = \Phi \hat\beta, \qquad
        \hat\beta = (\Phi_d^\top \Phi_d + \lambda I)^{-1} \Phi_d^\top m, \qquad \lambda = \sigma^2 / \tau^2

    The features are the identity (``token``) or the embeddings (``embedding``). The penalty is no knob: the noise
    variance of a mark over the prior variance of a coefficient, which is 1 or 1/r so that a loading has unit variance.
    That is the posterior mean of a reader who takes loadings to be linear in the features.
    Implements: SIM-023.

    Args:
        annotations: the corpus.
        embeddings: what describes each token to the reader.
        basis: in which terms the loadings are learned.
        noise: standard deviation of a mark's error, sigma; above 0.

    Returns:
        Estimated loadings; zero, the prior mean, without annotations.

    Raises:
        InvalidInputError: if the basis is unknown or the noise not above 0.

    Example:
        >>> corpus = Annotations(torch.zeros(3, 1, 1, dtype=torch.long), torch.full((3, 1, 1), 4.0))  # token 0 is a 4
        >>> estimate_loadings(corpus, torch.ones(2, 1), basis="token", noise=1.0).tolist()  # (4 + 4 + 4) / (3 + 1)
        [[[3.0], [0.0]]]
    """
    if not noise > 0:
        raise InvalidInputError(f"noise must be above 0, received {noise}; without it an unseen token has no estimate")
    features, prior_variance = basis_features(embeddings, basis=basis)
    penalty = noise**2 / prior_variance * torch.eye(features.shape[1], dtype=torch.float64)
    estimated = []
    for position in range(annotations.tokens.shape[1]):
        seen = features[annotations.tokens[:, position]]  # [annotation, aspect, feature]
        gram = torch.einsum("dkf,dkg->kfg", seen, seen)
        answer = torch.einsum("dkf,dk->kf", seen, annotations.marks[:, position].double())
        coefficients = torch.linalg.solve(gram + penalty, answer)
        estimated.append(torch.einsum("vf,kf->vk", features, coefficients))
    return torch.stack(estimated)


def loading_correlation(
    estimated: Float[Tensor, "time vocab aspect"], true: Float[Tensor, "time vocab aspect"]
) -> float:
    """How good a reader's estimate of the loadings is, rho: their correlation with the truth, over all entries.

    Implements: SIM-024.

    Args:
        estimated: by the reader.
        true: the world's loadings.

    Returns:
        Between -1 and 1; 0 for an estimate that is the same for every token.

    Example:
        >>> true = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)
        >>> loading_correlation(5 - 2 * true, true), loading_correlation(torch.ones(1, 3, 1), true)
        (-1.0, 0.0)
    """
    believed, actual = (loadings.double() - loadings.double().mean() for loadings in (estimated, true))
    scale = float(believed.square().sum() * actual.square().sum()) ** 0.5
    return float((believed * actual).sum()) / scale if scale > 0 else 0.0
