"""The parts of the batched simulator against what they stand for: a softmax, ``torch.optim.Adam``, named streams."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.functional.advantages import centered_in_groups, group_advantages, sum_of_group
from sdpo_ref.functional.policy_gradient import leave_one_out_advantages
from sdpo_ref.simulation.batched.first_order import FirstOrder, Grammars, Tokens, at_tokens
from sdpo_ref.simulation.batched.measure import credit_correlations, credit_precisions
from sdpo_ref.simulation.batched.reader import _weighed
from sdpo_ref.simulation.batched.runs import Sizes, step_draws
from sdpo_ref.simulation.batched.student import Adam
from sdpo_ref.simulation.measure import credit_correlation, credit_precision
from sdpo_ref.simulation.oracles import Draws
from sdpo_ref.simulation.world import random_stream

RUNS, PROMPTS, TIME, VOCAB, ROLLOUTS = 2, 3, 4, 5, 6


@pytest.fixture
def generator() -> torch.Generator:
    return random_stream(0, "parts")


@pytest.fixture
def policy(generator: torch.Generator) -> FirstOrder:
    """With logits that are far from zero, as after a long training."""
    shape = RUNS, PROMPTS, TIME, VOCAB
    scores = 30 * torch.randn(shape, generator=generator, dtype=torch.float64) + 500
    grammar = 3 * torch.randn(RUNS, VOCAB, VOCAB, generator=generator, dtype=torch.float64)
    return FirstOrder.from_scores(scores, Grammars.from_logits(grammar))


@pytest.fixture
def tokens(generator: torch.Generator) -> Tokens:
    """Any completions."""
    ids = torch.randint(VOCAB, (RUNS, PROMPTS, TIME, ROLLOUTS), generator=generator)
    return Tokens(ids, torch.nn.functional.pad(ids[:, :, :-1], (0, 0, 1, 0), value=VOCAB))


def chances(policy: FirstOrder, tokens: Tokens) -> torch.Tensor:
    """Probability of every token after every prefix, by a softmax: [run, prompt, time, rollout, vocab]."""
    pairs = zip(policy.grammars.log_weights, tokens.previous, strict=True)
    grammar = torch.stack([each[previous] for each, previous in pairs])
    return torch.softmax(policy.scores[:, :, :, None] + grammar, dim=-1)


def test_a_factored_policy_is_a_softmax(policy: FirstOrder, tokens: Tokens, generator: torch.Generator) -> None:
    """Log-probabilities, expectations and sums over rollouts, with the grammar absent at the first position."""
    full = chances(policy, tokens)
    expected = full.gather(-1, tokens.ids[..., None]).squeeze(-1).log()
    assert torch.allclose(policy.log_probs(tokens), expected, rtol=1e-12, atol=1e-12)
    values = torch.randn(RUNS, PROMPTS, TIME, VOCAB, generator=generator, dtype=torch.float64)
    means = (full * values[:, :, :, None]).sum(-1)
    assert torch.allclose(policy.expected(values, tokens), means, rtol=1e-12, atol=1e-12)
    amounts = torch.randn(tokens.ids.shape, generator=generator, dtype=torch.float64)
    spread = (full * amounts[..., None]).sum(-2)
    assert torch.allclose(policy.spread(amounts, tokens), spread, rtol=1e-12, atol=1e-12)
    sampled = (torch.nn.functional.one_hot(tokens.ids, VOCAB) * amounts[..., None]).sum(-2)
    assert torch.allclose(at_tokens(amounts, tokens, VOCAB), sampled)


def test_sampling_inverts_the_cumulative_distribution(policy: FirstOrder) -> None:
    """Zero takes the first token that has a chance, almost one the last, and the whole mass no token more."""
    shape = RUNS, PROMPTS, TIME, ROLLOUTS
    flat = FirstOrder.from_scores(
        torch.zeros_like(policy.scores), Grammars.from_logits(torch.zeros(RUNS, VOCAB, VOCAB).double())
    )
    for number, expected in ((0.0, 0), (0.3, 1), (0.99, VOCAB - 1), (1.0, VOCAB - 1)):
        uniform = torch.full(shape, number, dtype=torch.float64)
        found = flat.sample(uniform)
        assert bool((found.ids == expected).all())
        assert bool((found.previous[:, :, 0] == VOCAB).all())
        assert torch.equal(found.previous[:, :, 1:], found.ids[:, :, :-1])


@settings(max_examples=20, deadline=None)
@given(
    rates=st.tuples(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0)),
    skipped=st.lists(st.booleans(), min_size=6, max_size=6),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e4]),
)
def test_adam_is_that_of_torch(rates: tuple[float, float], skipped: list[bool], scale: float) -> None:
    """Run by run, with a rate each; a run that skips a step is as if the step had not been."""
    generator = random_stream(1, "adam")
    start = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    gradients = scale * torch.randn(6, 2, 3, 4, generator=generator, dtype=torch.float64)
    ours = start.clone()
    adam = Adam([ours], torch.tensor(rates, dtype=torch.float64))
    theirs = [torch.nn.Parameter(each.clone()) for each in start]
    optimizers = [torch.optim.Adam([each], lr=rate) for each, rate in zip(theirs, rates, strict=True)]
    for gradient, skips in zip(gradients, skipped, strict=True):
        adam.step([gradient], torch.tensor([True, not skips]))
        for row, (parameter, optimizer) in enumerate(zip(theirs, optimizers, strict=True)):
            if row == 0 or not skips:
                parameter.grad = gradient[row].clone()
                optimizer.step()
    assert torch.allclose(ours, torch.stack([each.detach() for each in theirs]), rtol=1e-13, atol=1e-13)


def test_draws_are_those_of_the_clear_simulator() -> None:
    """Named by seed and step; equal seeds get the same, and the number of ratings changes none of them."""
    sizes = Sizes(PROMPTS, ROLLOUTS, TIME, 3)
    drawn = step_draws([4, 9, 4], 7, sizes, device=torch.device("cpu"))
    uniform = torch.rand(PROMPTS * ROLLOUTS, TIME, generator=random_stream(4, 7, "rollouts"), dtype=torch.float64)
    assert torch.equal(drawn.uniform[0], uniform.view(PROMPTS, ROLLOUTS, TIME).mT)
    judged = Draws.from_generator(random_stream(9, 7, "judgement"), PROMPTS * ROLLOUTS)
    assert torch.equal(drawn.noise[1].flatten(0, 1), judged.normal("noise", 3))
    assert torch.equal(drawn.missing[1].flatten(), judged.uniform("missing"))
    assert torch.equal(drawn.uniform[0], drawn.uniform[2])
    assert not torch.equal(drawn.uniform[0], drawn.uniform[1])
    fewer = step_draws([9], 7, Sizes(PROMPTS, ROLLOUTS, TIME, 1), device=torch.device("cpu"))
    assert torch.equal(fewer.noise[0], drawn.noise[1, ..., :1])


def test_credit_is_scored_as_by_the_clear_simulator(generator: torch.Generator) -> None:
    """Run by run, also for signals with many ties and for one that is the same everywhere."""
    shape = 3, PROMPTS, TIME, ROLLOUTS
    truth = torch.randn(shape, generator=generator, dtype=torch.float64)
    signal = truth + torch.randn(shape, generator=generator, dtype=torch.float64)
    signal[1], signal[2] = signal[1].round(), 0.5
    mask = torch.ones(PROMPTS * ROLLOUTS, TIME, dtype=torch.bool)
    given_by, worth_by = ([table.mT.flatten(0, 1) for table in kind] for kind in (signal, truth))
    pairs = list(zip(given_by, worth_by, strict=True))
    correlations = [credit_correlation(one, worth, mask) for one, worth in pairs]
    assert credit_correlations(signal, truth) == pytest.approx(correlations)
    expected = [credit_precision(one, worth, mask, share=0.25) for one, worth in pairs]
    assert credit_precisions(signal, truth, share=0.25) == pytest.approx(expected)
    assert expected[2] == pytest.approx(0.25)


def test_sums_of_groups_are_added_in_order() -> None:
    """A large number first swallows small ones; in another order it would not."""
    numbers, groups = torch.tensor([1e16, 1.0, 1.0, 5.0], dtype=torch.float64), torch.tensor([3, 3, 3, 0])
    assert sum_of_group(numbers, groups).tolist() == [1e16, 1e16, 1e16, 5.0]
    assert sum_of_group(numbers.flip(0), groups.flip(0)).tolist() == [5.0, 1e16 + 2, 1e16 + 2, 1e16 + 2]
    centered, sizes = centered_in_groups(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([7, 7, 2]))
    assert (centered.tolist(), sizes.tolist()) == ([-1.0, 1.0, 0.0], [2.0, 2.0, 1.0])
    assert group_advantages(torch.zeros(0), torch.zeros(0).long()).shape == (0,)
    assert leave_one_out_advantages(torch.tensor([2.0]), torch.tensor([1])).tolist() == [0.0]


def test_what_cannot_be_factored_is_nan() -> None:
    """And never a number; its neighbours are what the clear reader makes of them."""
    good, bad = torch.eye(2).double(), torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    numbers = torch.tensor([1.0, 3.0], dtype=torch.float64).expand(1, 2, 2)
    for present in (None, torch.ones(1, 2, 2, dtype=torch.bool)):
        found = _weighed(torch.stack([good, bad])[None], present, numbers)
        assert found[0, 0].tolist() == [-1.0, 1.0]
        assert bool(found[0, 1].isnan().all())
