"""A reader's estimate of aspects before any feedback: estimated loadings, and how far they may be off."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sdpo_ref.simulation.settings import Basis
from sdpo_ref.simulation.world.corpus import Annotations, basis_features, estimate_loadings


@dataclass(frozen=True)
class Knowledge:
    """A reader's belief about loadings, from its corpus alone.

    Attributes:
        loadings: posterior mean of each loading; zero without annotations.
        variance: expected squared error of each, in the same corpus's judgement.
    """

    loadings: Float[Tensor, "time vocab aspect"]
    variance: Float[Tensor, "time vocab aspect"]

    @classmethod
    def learn(
        cls, annotations: Annotations, embeddings: Float[Tensor, "vocab embedding"], *, basis: Basis, noise: float
    ) -> "Knowledge":
        r"""Fit the corpus, and ask the fit how wrong it is.

        .. math::
            u_{tvk} = \phi_v^\top \Sigma_{tk} \phi_v + m, \qquad
            m = \Big[ \mathrm{mean}_d \Big( \frac{e_d^2}{(1 - h_d)^2} - \frac{\sigma^2}{1 - h_d} \Big) \Big]_+

        The first term is the posterior variance of the features' coefficients. The second is what the features cannot
        express, such as the share of a loading that is not linear in the embedding: the excess of the squared
        leave-one-out errors of marks, e/(1 - h) with leverage h, over what the fit expects of them.
        Implements: SIM-060, SIM-061.

        Args:
            annotations: the corpus.
            embeddings: what describes each token to the reader.
            basis: in which terms the loadings are learned.
            noise: standard deviation of a mark's error, sigma; above 0.

        Returns:
            The belief.

        Raises:
            InvalidInputError: if the basis is unknown or the noise not above 0.

        Example:
            >>> corpus = Annotations(torch.zeros(3, 1, 1, dtype=torch.long), torch.tensor([3.0, 4, 5]).view(3, 1, 1))
            >>> known = Knowledge.learn(corpus, torch.zeros(2, 1), basis="token", noise=1.0)
            >>> (known.variance[0, 0] - known.variance[0, 1]).item()  # after three marks, and after none: 1/(1 + 3) - 1
            -0.75
        """
        loadings = estimate_loadings(annotations, embeddings, basis=basis, noise=noise)
        features, coefficient_variance = basis_features(embeddings, basis=basis)
        seen = features[annotations.tokens]  # [annotation, time, aspect, feature]
        precision = torch.einsum("dtkf,dtkg->tkfg", seen, seen) / noise**2
        precision = precision + torch.eye(features.shape[1], dtype=torch.float64) / coefficient_variance
        covariance = torch.linalg.inv(precision)
        fitted_variance = torch.einsum("vf,tkfg,vg->tvk", features, covariance, features)
        at = (torch.arange(loadings.shape[0])[:, None], annotations.tokens, torch.arange(loadings.shape[2]))
        left_over = 1 - fitted_variance[at] / noise**2
        surprise = ((annotations.marks - loadings[at]) / left_over).square() - noise**2 / left_over
        return cls(loadings, fitted_variance + surprise.mean().clamp_min(0.0))

    def without_doubt(self) -> "Knowledge":
        """The belief of a reader who takes its estimates for the truth: a control, and a way to be wrong.

        Implements: SIM-081.

        Returns:
            The same loadings, with no expected error.
        """
        return Knowledge(self.loadings, torch.zeros_like(self.variance))
