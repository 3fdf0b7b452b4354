"""The ground truth: scales, what each score is, and that a seed is a world."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world.world import World
from tests.simulation.world.brute_force import TINY

LARGE = WorldSettings(vocab=2000, time=3, prompts=5)
"""So many tokens that a second moment over the vocabulary is known to about 3 %."""


def tensors(world: World) -> dict[str, Tensor]:
    return {field.name: getattr(world, field.name) for field in fields(world) if field.name != "settings"}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_loadings_have_unit_variance_and_aspects_are_uncorrelated(share: float) -> None:
    """At every position the second moments over the vocabulary are the identity, whatever the share (SIM-002)."""
    loadings = World.draw(LARGE.model_copy(update={"low_rank_share": share}), seed=0).loadings
    moments = torch.einsum("tvk,tvl->tkl", loadings, loadings) / LARGE.vocab
    assert float((moments - torch.eye(LARGE.aspects)).abs().max()) < 0.15


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_low_rank_share_is_what_the_embedding_explains(share: float) -> None:
    """Regressing loadings on embeddings explains the stated share of their variance."""
    world = World.draw(LARGE.model_copy(update={"low_rank_share": share}), seed=0)
    for loadings in world.loadings:
        fitted = world.embeddings @ torch.linalg.lstsq(world.embeddings, loadings).solution
        assert abs(float(fitted.square().sum() / loadings.square().sum()) - share) < 0.05


@pytest.mark.parametrize("psi", [0.0, 0.15, 1.0])
def test_quality_has_unit_variance_for_every_taste(psi: float) -> None:
    """Every prompt and position has second moment one over the vocabulary (SIM-003)."""
    quality = World.draw(LARGE.model_copy(update={"idiosyncrasy": psi}), seed=1).quality
    assert float((quality.square().mean(-1) - 1).abs().max()) < 0.15


@pytest.mark.parametrize("psi", [0.0, 0.15, 1.0])
def test_idiosyncrasy_is_what_taste_leaves_open(psi: float) -> None:
    """Taste and loadings explain 1 - psi of quality."""
    world = World.draw(LARGE.model_copy(update={"idiosyncrasy": psi}), seed=1)
    left = world.quality - (1 - psi) ** 0.5 * torch.einsum("xk,tvk->xtv", world.taste, world.loadings)
    assert abs(float(left.square().mean()) - psi) < 0.02


def test_taste_is_a_unit_vector_in_any_direction() -> None:
    """Every taste has length one, and they cancel on average."""
    taste = World.draw(TINY.model_copy(update={"prompts": 20_000}), seed=0).taste
    assert float((taste.norm(dim=-1) - 1).abs().max()) < 1e-12
    assert float(taste.mean(0).norm()) < 0.03


def test_base_policy_knows_nothing_of_quality() -> None:
    """Base logits have their stated spread and no correlation with quality (SIM-004)."""
    world = World.draw(LARGE, seed=0)
    pair = torch.stack([world.base_logits.flatten(), world.quality.flatten()])
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.03
    assert abs(float(world.base_logits.std()) - LARGE.base_spread) < 0.01


def test_spreads_of_grammar_and_coherence() -> None:
    """Bigram tables have the standard deviation that the settings say; coherence is zero by default."""
    world = World.draw(TINY.model_copy(update={"vocab": 300, "coherence": 0.7}), seed=0)
    assert abs(float(world.grammar.std()) - TINY.grammar_spread) < 0.02
    assert abs(float(world.coherence.std()) - 0.7) < 0.02
    assert not World.draw(TINY, seed=0).coherence.any()


def test_same_seed_same_world() -> None:
    """A seed is a world, whatever was drawn before; another seed is another one in every tensor."""
    first = tensors(World.draw(WorldSettings(coherence=1.0), seed=4))
    torch.rand(7)
    again = tensors(World.draw(WorldSettings(coherence=1.0), seed=4))
    other = tensors(World.draw(WorldSettings(coherence=1.0), seed=5))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"coherence": 1.0}, {"coherence"}),
        ({"grammar_spread": 0.0}, {"grammar"}),
        ({"base_spread": 1.0}, {"base_logits"}),
        ({"idiosyncrasy": 0.5}, {"quality"}),
        ({"prompts": 17}, {"taste", "quality", "base_logits"}),
        ({"annotations": 7, "slope": 2.0}, set()),
    ],
)
def test_a_setting_touches_what_it_is_about(change: dict[str, float], touched: set[str]) -> None:
    """Each tensor has its own stream: a setting changes its own tensors and no other (SIM-001)."""
    before = tensors(World.draw(WorldSettings(), seed=4))
    after = tensors(World.draw(WorldSettings.model_validate(change), seed=4))
    assert {name for name in before if not torch.equal(before[name], after[name])} == touched


def test_scores_of_a_completion_by_hand() -> None:
    """Quality, aspects, latent score and reward, added up token by token (SIM-005, SIM-006)."""
    world = World.draw(TINY.model_copy(update={"coherence": 0.7, "slope": 2.0}), seed=0)
    prompt_ids, completions = torch.tensor([1, 0]), torch.tensor([[2, 0, 1], [1, 1, 2]])
    quality, aspects = world.token_quality(prompt_ids, completions), world.aspect_scores(completions)
    for row, (prompt, completion) in enumerate(zip([1, 0], completions.tolist(), strict=True)):
        expected = [float(world.quality[prompt, t, v]) for t, v in enumerate(completion)]
        assert quality[row].tolist() == expected
        assert torch.equal(aspects[row], torch.stack([world.loadings[t, v] for t, v in enumerate(completion)]))
        fitting = sum(float(world.coherence[u, v]) for u, v in pairwise(completion))
        z = (sum(expected) + fitting) / 3**0.5
        assert float(world.latent_score(prompt_ids, completions)[row]) == pytest.approx(z, abs=1e-14)
        reward = float(world.true_reward(prompt_ids, completions)[row])
        assert reward == pytest.approx(1 / (1 + 2.718281828459045 ** (-2.0 * z)), abs=1e-14)


ASKED: dict[str, Callable[[World, Tensor, Tensor], Tensor]] = {
    "quality": World.token_quality,
    "latent score": World.latent_score,
    "reward": World.true_reward,
    "aspects": lambda world, _, completions: world.aspect_scores(completions),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    ("completion", "message"), [([0, 1, 3], "0 to 2"), ([0, -1, 2], "0 to 2"), ([0, 1], "judges 3")]
)
def test_strange_completions_are_refused(asked: str, completion: list[int], message: str) -> None:
    """A token that does not exist, or another length, is refused and not wrapped around."""
    with pytest.raises(InvalidInputError, match=message):
        ASKED[asked](World.draw(TINY, seed=0), torch.tensor([0]), torch.tensor([completion]))


@pytest.mark.parametrize("prompt", [-1, 2])
def test_strange_prompts_are_refused(prompt: int) -> None:
    """A prompt that does not exist has no evaluator."""
    with pytest.raises(InvalidInputError, match="prompt_ids"):
        World.draw(TINY, seed=0).latent_score(torch.tensor([prompt]), torch.tensor([[0, 1, 2]]))


def test_settings_that_contradict_the_tensors_are_refused() -> None:
    """A world by hand has the shapes that its settings say."""
    with pytest.raises(InvalidInputError, match=r"taste is .*allow torch.float64 of shape \(9, 2\)"):
        replace(World.draw(TINY, seed=0), settings=TINY.model_copy(update={"prompts": 9}))


def test_worlds_in_single_precision_are_refused() -> None:
    """Expectations are exact to 1e-12, which float32 is not."""
    world = World.draw(TINY, seed=0)
    with pytest.raises(InvalidInputError, match=r"quality is torch.float32"):
        replace(world, quality=world.quality.float())


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ({"prompts": 0}, "greater than or equal to 1"),
        ({"time": 0}, "greater than or equal to 1"),
        ({"vocab": 1}, "greater than or equal to 2"),
        ({"aspects": 0}, "greater than or equal to 1"),
        ({"aspects": 9}, "raise embedding to 9"),
        ({"embedding": 0}, "greater than or equal to 1"),
        ({"low_rank_share": 1.1}, "less than or equal to 1"),
        ({"low_rank_share": float("nan")}, "low_rank_share"),
        ({"idiosyncrasy": -0.1}, "greater than or equal to 0"),
        ({"slope": 0.0}, "greater than 0"),
        ({"slope": float("inf")}, "finite"),
        ({"coherence": -1.0}, "greater than or equal to 0"),
        ({"base_spread": -1.0}, "greater than or equal to 0"),
        ({"grammar_spread": float("nan")}, "finite"),
        ({"annotations": 0}, "greater than or equal to 1"),
        ({"annotation_noise": 0.0}, "greater than 0"),
        ({"vocabulary": 32}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_refused_by_name(setting: dict[str, float], allowed: str) -> None:
    """The message names the setting and what is allowed (SIM-007)."""
    with pytest.raises(ValidationError, match=allowed) as refused:
        WorldSettings.model_validate(setting)
    assert next(iter(setting)) in str(refused.value)
