"""The published gradients against torch's own differentiation, in double precision."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref import DistillationBatch, sdpo_loss
from sdpo_ref.published.gradients import (
    advantage_weighted_gradient,
    hybrid_weight,
    reinforce_gradient,
    sdpo_gradient,
)

Tensors = dict[str, torch.Tensor]


def _problem(*, n: int, time: int, vocab: int, seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        "logits": normal(1, time, vocab),
        "teacher_logits": normal(1, n, time, vocab),
        "tokens": torch.randint(vocab, (1, n, time), generator=generator),
        "rewards": normal(1, n),
        "quality": normal(1, time, vocab),
        "pull": torch.rand(1, generator=generator, dtype=torch.float64),
    }


problems = st.builds(
    _problem, n=st.integers(1, 5), time=st.integers(1, 4), vocab=st.integers(2, 6), seed=st.integers(0, 2**32)
)


def _derivative(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad(loss, logits)
    return gradient


def _sampled(log_probs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probability of every sampled token, ``[run, rollout, time]``."""
    n = tokens.shape[1]
    return log_probs[:, None].expand(-1, n, -1, -1).gather(-1, tokens[..., None])[..., 0]


@settings(max_examples=20)
@given(problems)
def test_sdpo_is_the_gradient_of_the_forward_divergence(problem: Tensors) -> None:
    """Mean over completions, sum over positions (PUB-012)."""
    logits = problem["logits"].clone().requires_grad_()
    taught = problem["teacher_logits"].softmax(-1)
    loss = (taught * (taught.log() - logits.log_softmax(-1)[:, None])).sum((0, 2, 3)).mean()
    student = problem["logits"].softmax(-1)
    found = sdpo_gradient(student, taught, student, problem["pull"])  # at the start there is no pull
    torch.testing.assert_close(found, _derivative(loss, logits))


@settings(max_examples=20)
@given(problems)
def test_sdpo_is_the_gradient_of_sdpo_loss_at_alpha_0(problem: Tensors) -> None:
    """Which is a mean over tokens, so that the sum over positions is ``time`` times as large (PUB-012)."""
    n, time = problem["tokens"].shape[1:]
    logits = problem["logits"].clone().requires_grad_()
    every = torch.ones(n, time, dtype=torch.bool)
    batch = DistillationBatch(
        logits.expand(n, -1, -1), problem["teacher_logits"][0], problem["tokens"][0], every, every[:, 0]
    )
    student = problem["logits"].softmax(-1)
    found = sdpo_gradient(student, problem["teacher_logits"].softmax(-1), student, problem["pull"])
    torch.testing.assert_close(found, time * _derivative(sdpo_loss(batch, alpha=0.0), logits))


@settings(max_examples=20)
@given(problems)
def test_the_pull_is_towards_the_reference(problem: Tensors) -> None:
    """It moves probabilities, and is nothing at the reference (PUB-013)."""
    student, taught = problem["logits"].softmax(-1), problem["teacher_logits"].softmax(-1)
    reference = problem["quality"].softmax(-1)
    found = sdpo_gradient(student, taught, reference, problem["pull"])
    alone = sdpo_gradient(student, taught, student, problem["pull"])
    torch.testing.assert_close(found - alone, problem["pull"] * (student - reference))


@settings(max_examples=20)
@given(problems)
def test_reinforce_is_the_gradient_of_its_surrogate(problem: Tensors) -> None:
    """Less the mean log-probability, weighed by the rating above the step's mean (PUB-014)."""
    logits = problem["logits"].clone().requires_grad_()
    above = problem["rewards"] - problem["rewards"].mean()
    loss = -(above[..., None] * _sampled(logits.log_softmax(-1), problem["tokens"])).sum((0, 2)).mean()
    found = reinforce_gradient(problem["logits"].softmax(-1), problem["tokens"], problem["rewards"])
    torch.testing.assert_close(found, _derivative(loss, logits))


@settings(max_examples=20)
@given(problems)
def test_advantage_weighted_is_the_gradient_of_its_surrogate(problem: Tensors) -> None:
    """With each token's share of its completion's quality above the mean (PUB-015)."""
    logits = problem["logits"].clone().requires_grad_()
    above = _sampled(problem["quality"] - problem["quality"].mean(-1, keepdim=True), problem["tokens"])
    shares = above / (above.abs().sum(-1, keepdim=True) + 1e-8)
    advantages = (problem["rewards"] - problem["rewards"].mean())[..., None] * shares
    loss = -(advantages * _sampled(logits.log_softmax(-1), problem["tokens"])).sum((0, 2)).mean()
    student = problem["logits"].softmax(-1)
    found = advantage_weighted_gradient(student, problem["tokens"], problem["rewards"], problem["quality"])
    torch.testing.assert_close(found, _derivative(loss, logits))
    shifted = problem["quality"] + torch.arange(student.shape[1])[:, None]
    again = advantage_weighted_gradient(student, problem["tokens"], problem["rewards"], shifted)
    torch.testing.assert_close(again, found)


@settings(max_examples=20)
@given(problems)
def test_no_gradient_moves_all_logits_of_a_position_together(problem: Tensors) -> None:
    """A student has no such direction; and only differences of ratings teach the baselines."""
    student, tokens, rewards = problem["logits"].softmax(-1), problem["tokens"], problem["rewards"]
    uniform = torch.full_like(student, 1 / student.shape[-1])

    def baselines(ratings: torch.Tensor) -> torch.Tensor:
        weighted = advantage_weighted_gradient(student, tokens, ratings, problem["quality"])
        return torch.stack((reinforce_gradient(student, tokens, ratings), weighted))

    found = baselines(rewards)
    torch.testing.assert_close(found.sum(-1), torch.zeros_like(found.sum(-1)))
    torch.testing.assert_close(baselines(rewards + 3), found)
    torch.testing.assert_close(baselines(torch.full_like(rewards, 0.7)), torch.zeros_like(found))
    sdpo = sdpo_gradient(student, problem["teacher_logits"].softmax(-1), uniform, problem["pull"]).sum(-1)
    torch.testing.assert_close(sdpo, torch.zeros_like(sdpo))


def test_reinforce_expects_a_share_of_the_true_gradient() -> None:
    """Of n completions the baseline contains each once: n - 1 of n of the policy gradient, over all samples of two."""
    logits = torch.tensor([[0.3, -0.4, 0.9]], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([0.2, 0.9, 0.4], dtype=torch.float64)
    student = logits.softmax(-1)
    exact = _derivative(-(student[0] @ rewards), logits)
    expected = torch.zeros_like(logits)
    for pair in product(range(3), repeat=2):
        tokens = torch.tensor([[[pair[0]], [pair[1]]]])
        chance = student.detach()[0, list(pair)].prod()
        expected += chance * reinforce_gradient(student.detach()[None], tokens, rewards[list(pair)][None])[0]
    torch.testing.assert_close(expected, exact / 2)


@settings(max_examples=20)
@given(problems)
def test_the_hybrid_is_half_sdpo_where_the_divergence_is_the_gate(problem: Tensors) -> None:
    """It grows with the divergence, and three thirds of a gate below is the least (PUB-016)."""
    student, taught = problem["logits"].softmax(-1), problem["teacher_logits"].softmax(-1)
    divergence = (
        torch.nn.functional.kl_div(student.log()[:, None].expand_as(taught), taught, reduction="none")
        .sum(-1)
        .mean((1, 2))
    )
    half, least = torch.tensor([0.5], dtype=torch.float64), torch.sigmoid(torch.tensor([-3.0], dtype=torch.float64))
    torch.testing.assert_close(hybrid_weight(student, taught, divergence), half)
    torch.testing.assert_close(hybrid_weight(student, taught, divergence / 2), torch.sigmoid(6 * half))
    same = student[:, None].expand_as(taught)
    torch.testing.assert_close(hybrid_weight(student, same, problem["pull"] + 0.1), least)


@pytest.mark.parametrize(("taught", "weight"), [([1.0, 0.0], 0.0474), ([0.0, 1.0], 1.0)])
def test_the_hybrid_beside_a_token_without_mass(taught: list[float], weight: float) -> None:
    """What neither would say adds nothing; what only the teacher would say is an infinite divergence."""
    student = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    found = hybrid_weight(student, torch.tensor([[[taught]]], dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    assert found.item() == pytest.approx(weight, abs=1e-4)
