"""The reader: a group's ratings in, credited quality of every token out (spec/06-simulation, section C)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.reader.design import Design, design_of, whole
from sdpo_ref.simulation.reader.knowledge import Knowledge
from sdpo_ref.simulation.reader.posterior import Linearized, linearize, weigh_contrasts
from sdpo_ref.simulation.reader.prior import QualityPrior
from sdpo_ref.simulation.settings import ReaderSettings


@dataclass(frozen=True)
class Reading:
    """What a reader concludes about each group's prompt; its uncertainty is computed on demand.

    Attributes:
        credited_quality: posterior mean of every token's quality.
        taste: posterior mean of the evaluator's taste.
        has_feedback: True for rollouts whose feedback was read.
        completions: what was rated.
        rating_covariance: of the linearised ratings before the feedback, noise included.
        reader: who read them.
    """

    credited_quality: Float[Tensor, "group time vocab"]
    taste: Float[Tensor, "group aspect"]
    has_feedback: Bool[Tensor, "group rollout"]
    completions: Int[Tensor, "group rollout time"]
    rating_covariance: Float[Tensor, "group row row"]
    reader: "Reader"

    @property
    def prior_score_covariance(self) -> Float[Tensor, "group rollout rollout"]:
        """Covariance of the completions' latent scores before the feedback."""
        overall = self._overall
        return self.reader.prior.covariance(overall, overall, self.completions)[:, :, 0, :, 0]

    @property
    def score_covariance(self) -> Float[Tensor, "group rollout rollout"]:
        """Posterior covariance of the completions' latent scores."""
        design = self.reader.design
        with_ratings = self.reader.prior.covariance(self._overall, design, self.completions)[:, :, 0].flatten(2)
        present = self.has_feedback.repeat_interleave(len(design.positions), dim=1)
        learned = with_ratings @ weigh_contrasts(self.rating_covariance, present, with_ratings.mT)
        return self.prior_score_covariance - learned

    @property
    def _overall(self) -> Design:
        return whole(time=self.completions.shape[-1], aspects=self.taste.shape[-1])

    def gain(self) -> Float[Tensor, " group"]:
        """Posterior gain: how much of the doubt about the differences between completions the feedback removed.

        Returns:
            Between 0, where nothing was learned, and 1; also 0 where the completions cannot differ.
        """
        before = _spread(self.prior_score_covariance, self.has_feedback)
        after = _spread(self.score_covariance, self.has_feedback)
        return torch.where(before > 0, 1 - after / before.where(before > 0, torch.ones_like(before)), 0.0)


@dataclass(frozen=True)
class Reader:
    r"""Exact Bayesian inference about quality from a group's ratings.

    .. math::
        y_{ij} = h_{ij} + \alpha + \text{noise}, \qquad
        \mathrm{E}[q \mid y] = \mathrm{Cov}(q, y)\, M y

    with y the linearised ratings and a flat prior on :math:`\alpha`, the evaluator's leniency towards this prompt,
    which no feedback states: only differences are informative, between completions and between parts, and ratings that
    are all equal teach nothing. One leniency for all ratings of a group: were there one for each aspect, an aspect that
    all completions have at its best would look like one without any weight. Taste and the effects of single tokens are
    inferred together; no residual is computed first and shared out later. The inference happens in the space of the
    ratings, where it costs the cube of their number and no more.
    Implements: SIM-062, SIM-063, SIM-064, SIM-065.

    Attributes:
        prior: what is expected of quality before feedback.
        design: what each rating is about.
        slope: of the true reward in the latent score, beta.
        rating_noise: standard deviation of a rating's noise, nu; the scale's division is added to it.
    """

    prior: QualityPrior
    design: Design
    slope: float
    rating_noise: float

    @classmethod
    def from_settings(cls, knowledge: Knowledge, settings: ReaderSettings) -> "Reader":
        """The reader that the settings describe.

        Args:
            knowledge: learned from a corpus in the settings' basis.
            settings: what the reader assumes.

        Returns:
            The reader.

        Raises:
            InvalidInputError: if a critique has more spans than completions have tokens.
        """
        time, _, aspects = knowledge.loadings.shape
        return cls(
            prior=QualityPrior.from_knowledge(knowledge, idiosyncrasy=settings.idiosyncrasy),
            design=design_of(settings.feedback, time=time, aspects=aspects),
            slope=settings.slope,
            rating_noise=settings.feedback.noise,
        )

    def read(
        self,
        completions: Int[Tensor, "group rollout time"],
        ratings: Float[Tensor, "group rollout rating"],
        has_feedback: Bool[Tensor, "group rollout"],
    ) -> Reading:
        """Read the feedback of every group; groups do not learn from each other.

        Args:
            completions: token ids.
            ratings: as the feedback states them, in the order of the design; anything without feedback.
            has_feedback: True for rollouts with feedback.

        Returns:
            The conclusions, in float64.

        Raises:
            InvalidInputError: if the ratings are not as many as the design's, or the completions not as long.
        """
        self._refuse_misfits(completions, ratings)
        variance = self.rating_noise**2 + self.design.step**2 / 12
        return self.infer(
            completions, linearize(ratings, has_feedback, slope=self.slope, variance=variance), has_feedback
        )

    def infer(
        self,
        completions: Int[Tensor, "group rollout time"],
        linearized: Linearized,
        has_feedback: Bool[Tensor, "group rollout"],
    ) -> Reading:
        """The exact posterior of the linear model; its means are linear in the linearised ratings.

        Implements: SIM-064, SIM-065, SIM-068.

        Args:
            completions: token ids.
            linearized: ratings as noisy latent scores; noise above 0.
            has_feedback: True for rollouts with feedback.

        Returns:
            The conclusions, in float64.

        Raises:
            InvalidInputError: if the ratings are not as many as the design's, or the completions not as long.
        """
        self._refuse_misfits(completions, linearized.scores)
        groups, rollouts, kinds = linearized.scores.shape
        rows = rollouts * kinds
        covariance = self.prior.covariance(self.design, self.design, completions).reshape(groups, rows, rows)
        covariance.diagonal(dim1=1, dim2=2).add_(linearized.noise[:, None].expand(-1, rollouts, -1).flatten(1))

        # The level does not count; taking one of the scores for it makes equal scores exactly zero.
        level = linearized.scores[torch.arange(groups), has_feedback.int().argmax(-1), 0]
        differences = (linearized.scores - level[:, None, None]).reshape(groups, rows, 1)
        weights = weigh_contrasts(covariance, has_feedback.repeat_interleave(kinds, dim=1), differences)

        taste, quality = self.prior.explain(self.design, completions, weights.reshape(groups, rollouts, kinds))
        return Reading(quality, taste, has_feedback, completions, covariance, self)

    def _refuse_misfits(self, completions: Tensor, ratings: Tensor) -> None:
        expected = (*completions.shape[:2], self.design.positions.shape[0])
        if tuple(ratings.shape) != expected:
            raise InvalidInputError(
                f"received ratings of shape {tuple(ratings.shape)}, allowed is {expected}: this reader expects "
                f"{expected[-1]} for each rollout; set the reader's feedback to the oracle's regime"
            )
        time, vocab, _ = self.prior.taste_loadings.shape
        inside = completions.numel() == 0 or 0 <= int(completions.min()) <= int(completions.max()) < vocab
        if completions.shape[-1] != time or not inside:
            raise InvalidInputError(
                f"received completions of shape {tuple(completions.shape)}; this reader is for completions of {time} "
                f"tokens with ids from 0 to {vocab - 1}"
            )


def _spread(
    covariance: Float[Tensor, "group rollout rollout"], has_feedback: Bool[Tensor, "group rollout"]
) -> Float[Tensor, " group"]:
    """Expected sample variance, inside a group, of numbers with this covariance; 0 for fewer than two."""
    kept = covariance * (has_feedback[..., :, None] & has_feedback[..., None, :])
    count = has_feedback.sum(-1)
    own, together = kept.diagonal(dim1=-2, dim2=-1).sum(-1), kept.sum((-2, -1))
    return ((own - together / count.clamp_min(1)) / (count - 1).clamp_min(1)).clamp_min(0.0)
