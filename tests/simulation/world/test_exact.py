"""Every expectation against its enumeration, to 1e-12."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world.exact import (
    advantage_along,
    best_completions,
    expected_score,
    marginals,
    normalized_reward,
    previous_marginals,
    score_variance,
    true_advantage,
)
from sdpo_ref.simulation.world.world import World, random_stream
from tests.simulation.world.brute_force import TINY, enumerated, prompts_of
from tests.simulation.world.conftest import Tiny

CLOSE = 1e-12


def test_enumeration_is_complete(tiny: Tiny) -> None:
    """The yardstick itself: the enumerated probabilities of a prompt sum to one."""
    for truth in tiny.truth:
        assert abs(sum(truth.chances) - 1) < CLOSE


def test_marginals(tiny: Tiny) -> None:
    """The chance of a token at a position is that of all completions that have it there."""
    found = marginals(tiny.log_probs)
    for prompt, truth in enumerate(tiny.truth):
        for position in range(tiny.world.settings.time):
            for token in range(tiny.world.settings.vocab):
                expected = truth.mean([float(y[position] == token) for y in truth.completions])
                assert abs(float(found[prompt, position, token]) - expected) < CLOSE


def test_expected_score(tiny: Tiny) -> None:
    """E z is the mean of the latent score over all completions, coherence included."""
    found = expected_score(tiny.log_probs, tiny.world.step_scores())
    for prompt, truth in enumerate(tiny.truth):
        assert abs(float(found[prompt]) - truth.mean(truth.scores)) < CLOSE


def test_score_variance(tiny: Tiny) -> None:
    """The martingale's sum of squares is the variance of z."""
    found = score_variance(tiny.log_probs, tiny.world.step_scores())
    for prompt, truth in enumerate(tiny.truth):
        mean = truth.mean(truth.scores)
        assert abs(float(found[prompt]) - truth.mean([(z - mean) ** 2 for z in truth.scores])) < CLOSE


def test_true_advantage(tiny: Tiny) -> None:
    """After every prefix, A* is the difference of two conditional expectations."""
    found = true_advantage(tiny.log_probs, tiny.world.step_scores())
    for prompt, truth in enumerate(tiny.truth):
        prefixes = {y[:t] for y in truth.completions for t in range(tiny.world.settings.time)}
        for prefix in prefixes:
            rows = found[prompt, len(prefix)]
            row = rows[prefix[-1]] if prefix else rows[0]
            before = truth.conditional_score(prefix)
            for token in range(tiny.world.settings.vocab):
                expected = truth.conditional_score((*prefix, token)) - before
                assert abs(float(row[token]) - expected) < CLOSE


def test_advantage_has_mean_zero(tiny: Tiny) -> None:
    """After every previous token the policy's mean of A* is zero."""
    advantage = true_advantage(tiny.log_probs, tiny.world.step_scores())
    assert float((tiny.log_probs.exp() * advantage).sum(-1).abs().max()) < CLOSE


def test_advantages_along_a_completion_add_up(tiny: Tiny) -> None:
    """The advantages of a completion's tokens sum to what it scores above the mean: all credit is given, once."""
    scores = tiny.world.step_scores()
    mean = expected_score(tiny.log_probs, scores)
    for prompt, truth in enumerate(tiny.truth):
        tokens = torch.tensor(truth.completions)
        prompt_ids = torch.full((len(tokens),), prompt)
        along = advantage_along(true_advantage(tiny.log_probs, scores), prompt_ids, tokens)
        total = along.gather(-1, tokens[..., None]).sum((-2, -1))
        assert torch.allclose(total, torch.tensor(truth.scores, dtype=torch.float64) - mean[prompt], rtol=0, atol=CLOSE)


def test_step_scores_sum_to_the_latent_score(tiny: Tiny) -> None:
    """The table of step scores says of each completion what the world says."""
    steps = tiny.world.step_scores()
    for prompt, truth in enumerate(tiny.truth):
        for completion, expected in zip(truth.completions, truth.scores, strict=True):
            pairs = zip((0, *completion), completion, strict=False)
            total = sum(float(steps[prompt, t, u, v]) for t, (u, v) in enumerate(pairs))
            assert abs(total - expected) < CLOSE


def test_gradient_is_the_policy_gradient(tiny: Tiny) -> None:
    """The gradient of E z in a table entry is E[visits of p (1[v] - p) Q]: here, m(u) p(v|u) A*(u, v)."""
    scores = tiny.world.step_scores()
    expected_score(tiny.policy.transition_log_probs(), scores).sum().backward()  # type: ignore[no-untyped-call]
    reached, advantage = previous_marginals(tiny.log_probs), true_advantage(tiny.log_probs, scores)
    expected = torch.einsum("xtu,xtuv,xtuv->xtv", reached, tiny.log_probs.exp(), advantage)
    assert tiny.policy.table.grad is not None
    assert torch.allclose(tiny.policy.table.grad, expected, rtol=0, atol=CLOSE)


def test_tokens_of_probability_zero() -> None:
    """A token that the policy never takes changes no expectation, and its own advantage is still known."""
    world = World.draw(TINY, seed=5)
    table = world.base_logits.clone()
    table[:, :, 1] = -torch.inf
    policy = FirstOrderPolicy(table, world.grammar)
    log_probs = policy.transition_log_probs().detach()
    truth = enumerated(world, policy, 0)
    assert abs(float(expected_score(log_probs, world.step_scores())[0]) - truth.mean(truth.scores)) < CLOSE
    assert bool(true_advantage(log_probs, world.step_scores()).isfinite().all())


def test_normalized_reward_at_its_ends(tiny: Tiny) -> None:
    """The base policy has 0, and a policy that always writes the optimum has 1."""
    scores = tiny.world.step_scores()
    base = expected_score(tiny.log_probs, scores)
    best, completions = best_completions(scores)
    sure = torch.nn.functional.one_hot(completions, tiny.world.settings.vocab) * 1000.0
    perfect = FirstOrderPolicy(sure.double(), tiny.world.grammar).transition_log_probs().detach()
    assert normalized_reward(base, base, best).abs().max() == 0.0
    assert (normalized_reward(expected_score(perfect, scores), base, best) - 1).abs().max() < CLOSE


def test_no_room_for_improvement_is_refused() -> None:
    """A prompt at its optimum has no normalised reward."""
    with pytest.raises(InvalidInputError, match="leave prompts out"):
        normalized_reward(torch.ones(2), torch.tensor([0.0, 1.0]), torch.ones(2))


@given(seed=st.integers(0, 10**6), time=st.integers(1, 6), vocab=st.integers(2, 6), spread=st.floats(0, 30))
def test_properties(seed: int, time: int, vocab: int, spread: float) -> None:
    """Whatever the policy: marginals sum to one, E z stays below the optimum, a variance is not negative."""
    sizes = {"prompts": 2, "time": time, "vocab": vocab, "aspects": 1, "embedding": 1}
    world = World.draw(WorldSettings(**sizes, coherence=1.0, base_spread=spread, grammar_spread=spread), seed=seed)
    log_probs, scores = FirstOrderPolicy.base(world).transition_log_probs().detach(), world.step_scores()
    best, _ = best_completions(scores)
    assert torch.allclose(marginals(log_probs).sum(-1), torch.ones(2, time).double(), rtol=0, atol=CLOSE)
    assert bool((expected_score(log_probs, scores) <= best + CLOSE).all())
    assert bool((score_variance(log_probs, scores) >= 0).all())
    assert float((log_probs.exp() * true_advantage(log_probs, scores)).sum(-1).abs().max()) < CLOSE


@pytest.mark.slow
def test_monte_carlo_agrees() -> None:
    """The mean and variance of z and the marginals are those of 100,000 sampled completions of the default world."""
    world = World.draw(WorldSettings(coherence=0.5), seed=1)
    policy = FirstOrderPolicy.base(world)
    log_probs, scores = policy.transition_log_probs().detach(), world.step_scores()
    prompt, rounds, size = 3, 2, 50_000
    prompt_ids = torch.full((size,), prompt)
    found, counts = [], torch.zeros(world.settings.time, world.settings.vocab).double()
    for number in range(rounds):
        stream = random_stream(1, number, "rollouts")
        rollouts = policy.sample(prompts_of(prompt_ids), num_tokens=world.settings.time, generator=stream)
        found.append(world.latent_score(prompt_ids, rollouts.completions))
        counts += torch.nn.functional.one_hot(rollouts.completions, world.settings.vocab).sum(0)
    z, n = torch.cat(found), rounds * size
    mean, variance = expected_score(log_probs, scores)[prompt], score_variance(log_probs, scores)[prompt]
    exact = marginals(log_probs)[prompt]
    assert abs(float(z.mean() - mean)) < 4 * float(variance / n) ** 0.5
    assert abs(float(z.var() / variance - 1)) < 4 * (2 / n) ** 0.5
    assert float(((counts / n - exact).abs() / (exact * (1 - exact) / n).sqrt()).max()) < 5
