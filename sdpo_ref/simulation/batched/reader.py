"""The Bayesian reader for many runs: ``sdpo_ref.simulation.reader`` with a run axis, in the order of that package.

What a reading concludes is the credited quality of every token; its uncertainty is computed by the reference alone.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.simulation.reader import Knowledge, QualityPrior, design_of
from sdpo_ref.simulation.reader.posterior import FURTHEST
from sdpo_ref.simulation.settings import ReaderSettings


class Readers:
    """One reader for each run, all of feedback of the same shape.

    Args:
        settings: of each reader.
        knowledge: of each.
        device: where the tensors live.
    """

    def __init__(
        self, settings: Sequence[ReaderSettings], knowledge: Sequence[Knowledge], device: torch.device
    ) -> None:
        time, self._vocab, self._aspects = knowledge[0].loadings.shape
        priors = [
            QualityPrior.from_knowledge(known, idiosyncrasy=one.idiosyncrasy)
            for known, one in zip(knowledge, settings, strict=True)
        ]
        design = design_of(settings[0].feedback, time=time, aspects=self._aspects)
        self._loadings = torch.stack([prior.taste_loadings for prior in priors]).to(device)
        self._variance = torch.stack([prior.effect_variance for prior in priors]).to(device)
        self._positions, self._components = design.positions.to(device), design.components.to(device)
        self._kappa, self._slope, rating_noise = (
            torch.tensor(numbers, dtype=torch.float64, device=device)[:, None, None, None]
            for numbers in (
                [one.kappa for one in settings],
                [one.slope for one in settings],
                [one.feedback.noise for one in settings],
            )
        )
        self._rating_variance = rating_noise**2 + design.step**2 / 12
        self._pairs = [
            (left, right)
            for left in range(len(design.positions))
            for right in range(left, len(design.positions))
            if bool((design.positions[left] * design.positions[right]).any())
            and bool((design.components[left] * design.components[right]).any())
        ]
        lefts, rights = ([pair[side] for pair in self._pairs] for side in (0, 1))
        self._pair_positions = self._positions[lefts] * self._positions[rights]
        self._pair_components = self._components[lefts] * self._components[rights]

    def tilt(
        self,
        ids: Int[Tensor, "run prompt time rollout"],
        ratings: Float[Tensor, "run prompt rollout rating"],
        has_feedback: Bool[Tensor, "run prompt rollout"],
        *,
        all_have_feedback: bool,
    ) -> Float[Tensor, "run prompt time vocab"]:
        """What the feedback adds to the logits of every token: kappa times its credited quality.

        Args:
            ids: completions.
            ratings: in the feedback; anything without feedback.
            has_feedback: True for rollouts with feedback.
            all_have_feedback: whether all of them have, which saves the masks.

        Returns:
            Nats; exactly zero for a prompt whose ratings are all equal.
        """
        runs, prompts, time, rollouts = ids.shape
        kinds = len(self._positions)
        at = ids.transpose(2, 3) + self._vocab * torch.arange(time, device=ids.device)
        at = at + self._vocab * time * torch.arange(runs, device=ids.device)[:, None, None, None]
        loadings = torch.nn.functional.embedding(
            at, self._loadings.flatten(0, 2)
        )  # [run, prompt, rollout, time, aspect]
        variance = torch.nn.functional.embedding(at, self._variance.flatten(0, 2))

        scores, noise = self._linearized(ratings, has_feedback)
        covariance = self._covariance(ids, loadings, variance)
        covariance.diagonal(dim1=-2, dim2=-1).add_(noise.expand(-1, -1, rollouts, -1).mT.flatten(2))
        differences = (scores - scores.gather(2, _first(has_feedback, kinds))[..., :1]).mT.flatten(2)
        present = None if all_have_feedback else has_feedback[:, :, None].expand(-1, -1, kinds, -1).flatten(2)
        weights = _weighed(covariance, present, differences).view(runs, prompts, kinds, rollouts)
        return self._kappa * self._explained(ids, loadings, variance, weights.mT)

    def _linearized(
        self, ratings: Float[Tensor, "run prompt rollout rating"], has_feedback: Bool[Tensor, "run prompt rollout"]
    ) -> tuple[Float[Tensor, "run prompt rollout rating"], Float[Tensor, "run prompt 1 rating"]]:
        """Ratings as noisy latent scores on the tangent of the scale, and the variance of their noise."""
        stated = torch.where(has_feedback[..., None], ratings, 0.0)
        first = stated.gather(2, _first(has_feedback, ratings.shape[-1]))
        deviations = torch.where(has_feedback[..., None], stated - first, 0.0)
        shift = deviations.sum(2, keepdim=True) / has_feedback.sum(-1).clamp_min(1)[..., None, None]
        inside = (first + shift).clamp(FURTHEST, 1 - FURTHEST)
        slopes = self._slope * inside * (1 - inside)
        scores = torch.logit(inside) / self._slope + (deviations - shift) / slopes
        return torch.where(has_feedback[..., None], scores, 0.0), self._rating_variance / slopes.square()

    def _covariance(
        self,
        ids: Int[Tensor, "run prompt time rollout"],
        loadings: Float[Tensor, "run prompt rollout time aspect"],
        variance: Float[Tensor, "run prompt rollout time component"],
    ) -> Float[Tensor, "run prompt row row"]:
        """Prior covariance of the rated scores: taste that completions share, and effects of tokens in common.

        Rows are ordered by rating, and within a rating by rollout. Two ratings that are about different positions or
        different components share no effect, which leaves most blocks to taste alone.
        """
        kinds, rollouts = len(self._positions), ids.shape[-1]
        rows = (self._positions @ loadings) * (self._components[:, :-1] / self._aspects**0.5)
        rows = rows.transpose(2, 3).flatten(2, 3)  # [run, prompt, row, aspect]
        covariance: Tensor = rows @ rows.mT
        blocks = covariance.view(*ids.shape[:2], kinds, rollouts, kinds, rollouts)
        by_rollout = ids.mT
        shared = (by_rollout[:, :, :, None] == by_rollout[:, :, None]).to(variance)  # [..., rollout, rollout, time]
        effects = shared @ (variance @ self._pair_components.T * self._pair_positions.T)
        for pair, (left, right) in enumerate(self._pairs):
            blocks[:, :, left, :, right] += effects[..., pair]
            if left != right:
                blocks[:, :, right, :, left] += effects[..., pair]
        return covariance

    def _explained(
        self,
        ids: Int[Tensor, "run prompt time rollout"],
        loadings: Float[Tensor, "run prompt rollout time aspect"],
        variance: Float[Tensor, "run prompt rollout time component"],
        weights: Float[Tensor, "run prompt rollout rating"],
    ) -> Float[Tensor, "run prompt time vocab"]:
        """Posterior mean of every token's quality."""
        runs, prompts, time, _ = ids.shape
        by_rating = (self._positions[:, :, None] * self._components[:, None]).flatten(1)  # [rating, time component]
        shares = (weights @ by_rating).view(*weights.shape[:3], time, -1)  # [run, prompt, rollout, time, component]
        taste = (loadings * shares[..., :-1]).sum((2, 3)) / self._aspects
        quality = torch.bmm(taste, self._loadings.flatten(1, 2).mT).view(runs, prompts, time, self._vocab)
        return quality.scatter_add_(-1, ids, (variance * shares).sum(-1).transpose(2, 3))


def _first(has_feedback: Bool[Tensor, "run prompt rollout"], kinds: int) -> Int[Tensor, "run prompt 1 kinds"]:
    """Where the first rollout with feedback stands, once for each rating."""
    return has_feedback.int().argmax(-1)[..., None, None].expand(-1, -1, 1, kinds)


def _weighed(
    covariance: Float[Tensor, "run prompt row row"],
    present: Bool[Tensor, "run prompt row"] | None,
    numbers: Float[Tensor, "run prompt row"],
) -> Float[Tensor, "run prompt row"]:
    """As :func:`~sdpo_ref.simulation.reader.posterior.weigh_contrasts`; ``None`` where every number is present.

    A matrix that cannot be factored, such as that of a run that is not finite any more, gives NaN here and no error,
    which would be one for the whole batch.
    """
    ones = torch.ones_like(numbers)
    if present is not None:
        both = present[..., :, None] & present[..., None, :]
        covariance = torch.where(both, covariance, torch.eye(numbers.shape[-1]).to(covariance))
        numbers, ones = torch.where(present, numbers, 0.0), present.to(numbers)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    factor = factor.masked_fill_((failed > 0)[..., None, None], torch.nan)
    weighed, to_level = torch.cholesky_solve(torch.stack([numbers, ones], dim=-1), factor).unbind(-1)
    information = to_level.sum(-1, keepdim=True)
    return weighed - to_level * (weighed.sum(-1, keepdim=True) / torch.where(information == 0, 1.0, information))
