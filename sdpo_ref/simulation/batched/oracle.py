"""The simulated oracles for many runs: the stages of ``sdpo_ref.simulation.oracles``, each over all runs at once.

    perceive -> rate -> noise -> clip -> (rewards) -> report -> (feedback)

A bias that no run of the batch has is left out; one that a run does not have has strength zero there, which changes no
bit of its numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.simulation.batched.first_order import Tokens
from sdpo_ref.simulation.batched.runs import Run, StepDraws
from sdpo_ref.simulation.oracles.build import dealt, misled
from sdpo_ref.simulation.oracles.regimes import LEVELS
from sdpo_ref.simulation.settings import RegimeSettings

Strengths = Float[Tensor, "run 1 1 1"]
"""One number for each run."""


@dataclass(frozen=True)
class Judgements:
    """What the oracles return.

    Attributes:
        rewards: of each rollout.
        ratings: in the feedback, one tensor for each regime; those of prompts with another regime mean nothing.
        has_feedback: False for rollouts without feedback.
        all_have_feedback: whether no oracle leaves a rollout without.
    """

    rewards: Float[Tensor, "run prompt rollout"]
    ratings: tuple[Float[Tensor, "run prompt rollout _"], ...]
    has_feedback: Bool[Tensor, "run prompt rollout"]
    all_have_feedback: bool


@dataclass(frozen=True)
class _Evidence:
    """Worth of each token in the evaluators' eyes; that of aspects only where a rubric rates them."""

    quality: Float[Tensor, "run prompt time rollout"]
    aspects: Float[Tensor, "aspect run prompt time rollout"] | None


class Oracles:
    """One oracle for each run.

    Args:
        runs: with regimes of the same shape.
        device: where the tensors live.

    Attributes:
        member_of: for each run and prompt the index of its regime.
    """

    member_of: Int[Tensor, "run prompt"]

    def __init__(self, runs: Sequence[Run], device: torch.device) -> None:
        worlds, regimes = [run.world for run in runs], [run.settings.oracle.regimes for run in runs]
        self._regimes: tuple[RegimeSettings, ...] = regimes[0]
        self._device = device
        self._quality = torch.stack([world.quality for world in worlds]).to(device)
        self._slope = self._each([world.settings.slope for world in worlds])
        self._noise = [self._each([of_run[member].noise for of_run in regimes]) for member in range(len(regimes[0]))]
        self._coherence = None
        if any(world.settings.coherence for world in worlds):
            self._coherence = torch.stack([world.coherence for world in worlds]).flatten(1).to(device)
        if any(one.regime == "rubric" for one in self._regimes):
            self._loadings = torch.stack([world.loadings.permute(2, 0, 1) for world in worlds], dim=1).to(device)
            tastes = [math.sqrt(1 - world.settings.idiosyncrasy) * world.taste.T for world in worlds]
            self._taste = torch.stack(tastes, dim=1)[..., None, None].to(device)  # [aspect, run, prompt, 1, 1]
        self._filler = self._each(
            [float(round(run.settings.oracle.filler_share * run.world.settings.vocab)) for run in runs]
        )
        names = ("verbosity", "position", "self_preference", "halo", "central_tendency", "severity", "positivity")
        self._strengths = {
            name: self._each([getattr(run.settings.oracle, name) for run in runs])
            for name in (*names, "missing_share")
            if any(getattr(run.settings.oracle, name) for run in runs)
        }
        members = [dealt(run.world, len(self._regimes), seed=run.seed) for run in runs]
        self.member_of = torch.tensor(members, device=device)
        turned = torch.zeros(len(runs), worlds[0].settings.prompts, 1, 1, dtype=torch.bool)
        for row, run in zip(turned, runs, strict=True):
            row[list(misled(run.world, run.settings.oracle, seed=run.seed))] = True
        self._misled = turned.to(device) if bool(turned.any()) else None

    def judge(
        self, tokens: Tokens, log_probs: Float[Tensor, "run prompt time rollout"], draws: StepDraws
    ) -> Judgements:
        """Rewards and feedback of every rollout.

        Args:
            tokens: what was sampled.
            log_probs: of each token under the policy that sampled it.
            draws: the step's randomness.

        Returns:
            The judgements.
        """
        evidence = self._perceived(tokens, log_probs)
        of_members = [self._rated(evidence, member, draws) for member in range(len(self._regimes))]
        rewards = of_members[0][0]
        for member, (reward, _) in enumerate(of_members[1:], start=1):
            rewards = torch.where((self.member_of == member)[..., None], reward, rewards)
        has_feedback = torch.ones_like(rewards, dtype=torch.bool)
        all_have_feedback = "missing_share" not in self._strengths
        if not all_have_feedback:
            has_feedback = draws.missing >= self._strengths["missing_share"][..., 0]
        return Judgements(rewards, tuple(ratings for _, ratings in of_members), has_feedback, all_have_feedback)

    def _perceived(self, tokens: Tokens, log_probs: Float[Tensor, "run prompt time rollout"]) -> _Evidence:
        vocab, time = self._quality.shape[-1], self._quality.shape[-2]
        quality = self._quality.gather(-1, tokens.ids)
        if self._coherence is not None:
            pairs = (tokens.previous[:, :, 1:] * vocab + tokens.ids[:, :, 1:]).flatten(1)
            quality[:, :, 1:] += self._coherence.gather(-1, pairs).view_as(quality[:, :, 1:])
        aspects = None
        if any(one.regime == "rubric" for one in self._regimes):
            at = tokens.ids.expand(self._loadings.shape[0], -1, -1, -1, -1)
            everywhere = self._loadings[:, :, None].expand(-1, -1, tokens.ids.shape[1], -1, -1)
            aspects = self._taste * everywhere.gather(-1, at)
        bonus = None
        if "verbosity" in self._strengths:
            bonus = self._strengths["verbosity"] * (tokens.ids < self._filler).to(quality)
            quality, aspects = quality + bonus, _plus(aspects, bonus)
        if "position" in self._strengths:
            ramp = torch.arange(time - 1, -time, -2, device=self._device).to(quality) / max(time - 1, 1)
            weights = 1 + self._strengths["position"] * ramp[:, None]
            quality, aspects = quality * weights, None if aspects is None else aspects * weights
        if "self_preference" in self._strengths:
            bonus = self._strengths["self_preference"] * (1 + log_probs / math.log(vocab))
            quality, aspects = quality + bonus, _plus(aspects, bonus)
        return _Evidence(quality, aspects)

    def _rated(
        self, evidence: _Evidence, member: int, draws: StepDraws
    ) -> tuple[Float[Tensor, "run prompt rollout"], Float[Tensor, "run prompt rollout _"]]:
        """Rewards, and the ratings in the feedback, if every prompt had this regime."""
        regime = self._regimes[member]
        ratings = torch.sigmoid(self._slope * _latent_scores(evidence, regime))
        for name in ("halo", "central_tendency", "severity", "positivity"):
            if name in self._strengths:
                ratings = _biased(ratings, name, self._strengths[name])
        ratings = (ratings + self._noise[member] * draws.noise[..., : ratings.shape[-1]]).clamp(0, 1)
        if regime.regime in LEVELS:
            steps = LEVELS[regime.regime] - 1
            ratings = torch.round(ratings * steps) / steps
        meant = ratings if self._misled is None else torch.where(self._misled, 1 - ratings, ratings)
        if regime.regime == "critique":
            return ratings[..., 1:].mean(-1), meant[..., 1:]
        return ratings[..., 0], meant

    def _each(self, numbers: Sequence[float]) -> Strengths:
        return torch.tensor(numbers, dtype=torch.float64, device=self._device)[:, None, None, None]


def _plus(aspects: Tensor | None, bonus: Float[Tensor, "run prompt time rollout"]) -> Tensor | None:
    """A bonus to which every aspect contributes alike."""
    return None if aspects is None else aspects + bonus / aspects.shape[0]


def _latent_scores(evidence: _Evidence, regime: RegimeSettings) -> Float[Tensor, "run prompt rollout rating"]:
    """Of the whole, then of each part."""
    root = math.sqrt(evidence.quality.shape[2])
    scores = [evidence.quality.mean(2) * root]
    if regime.regime == "rubric" and evidence.aspects is not None:
        scores += [aspect.mean(2) * root * len(evidence.aspects) for aspect in evidence.aspects]
    if regime.regime == "critique":
        scores += [span.mean(2) * root for span in evidence.quality.tensor_split(regime.spans, dim=2)]
    return torch.stack(scores, dim=-1)


def _biased(ratings: Float[Tensor, "run prompt rollout rating"], name: str, strength: Strengths) -> Tensor:
    """Clean ratings moved towards the overall one, the middle, or an end."""
    match name:
        case "halo":
            return torch.lerp(ratings, ratings[..., :1].expand_as(ratings), strength.expand_as(ratings))
        case "central_tendency":
            return ratings + strength * (0.5 - ratings)
        case "severity":
            return ratings - strength * ratings
        case _:
            return ratings + strength * (1 - ratings)
