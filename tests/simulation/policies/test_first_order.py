"""The student: autoregressive, exact about itself, and fair with random numbers."""

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.settings import WorldSettings
from sdpo_ref.simulation.world.world import World, random_stream
from sdpo_ref.types import Prompts

SIZES = WorldSettings(prompts=3, time=4, vocab=5)


def base(seed: int = 0) -> FirstOrderPolicy:
    return FirstOrderPolicy.base(World.draw(SIZES, seed=seed))


def asked(*prompt_ids: int) -> Prompts:
    """Rollouts of the given prompts."""
    count = len(prompt_ids)
    return Prompts(torch.zeros(count, 1).long(), torch.ones(count, 1).bool(), torch.tensor(prompt_ids))


def test_it_is_a_policy() -> None:
    """It has the parts of the protocol."""
    assert isinstance(base(), Policy)


def test_logits_by_hand() -> None:
    """Table entry plus grammar row of the previous token; the first position has no previous token (SIM-010)."""
    policy = base()
    completions = torch.tensor([[1, 4, 0, 2], [3, 3, 2, 1]])
    found = policy.logits(asked(2, 0), completions, torch.ones_like(completions).bool())
    for row, prompt in enumerate((2, 0)):
        assert torch.equal(found[row, 0], policy.table[prompt, 0])
        for t in range(1, 4):
            previous = int(completions[row, t - 1])
            assert torch.equal(found[row, t], policy.table[prompt, t] + policy.grammar[previous])


def test_logits_do_not_see_the_future() -> None:
    """Changing a token changes the scores of the next one and of nothing else (POLICY-001)."""
    policy = base()
    completions = torch.tensor([[1, 4, 0, 2]])
    changed = torch.tensor([[1, 2, 0, 2]])
    mask = torch.ones_like(completions).bool()
    differs = policy.logits(asked(1), completions, mask) != policy.logits(asked(1), changed, mask)
    assert differs.any(-1).tolist() == [[False, False, True, False]]


def test_transition_table_agrees_with_logits() -> None:
    """The table holds what the logits say after each previous token."""
    policy = base()
    table = policy.transition_log_probs()
    completions = torch.tensor([[1, 4, 0, 2]])
    scored = log_probs(policy.logits(asked(1), completions, torch.ones_like(completions).bool()))[0]
    for t, previous in enumerate((0, 1, 4, 0)):
        assert torch.allclose(table[1, t, previous], scored[t], rtol=0, atol=1e-14)
    assert torch.equal(table[:, 0], table[:, 0, :1].expand(-1, SIZES.vocab, -1))


def test_only_the_table_learns() -> None:
    """The table is a parameter in float64, the grammar a buffer; weights are live."""
    policy = base()
    assert [name for name, _ in policy.named_parameters()] == ["table"]
    assert set(policy.weights()) == {"table", "grammar"}
    assert policy.weights()["table"] is policy.table
    assert policy.table.dtype == policy.grammar.dtype == torch.float64


def test_the_world_is_not_trained() -> None:
    """A policy owns copies: an update of it leaves the world alone."""
    world = World.draw(SIZES, seed=0)
    policy, before = FirstOrderPolicy.base(world), world.base_logits.clone()
    with torch.no_grad():
        policy.table.add_(1.0)
        policy.grammar.add_(1.0)
    assert torch.equal(world.base_logits, before)
    assert torch.equal(World.draw(SIZES, seed=0).grammar, world.grammar)


def test_sampled_log_probs_are_exact() -> None:
    """What is returned with a token is its log-probability given its prefix, without gradient."""
    policy = base()
    rollouts = policy.sample(asked(0, 1, 2), num_tokens=4, generator=random_stream(0, "rollouts"))
    table = policy.transition_log_probs().detach()
    for row, completion in enumerate(rollouts.completions.tolist()):
        for t, (previous, token) in enumerate(zip([0, *completion], completion, strict=False)):
            expected = float(table[row, t, previous, token])
            assert float(rollouts.behaviour_log_probs[row, t]) == pytest.approx(expected, abs=1e-14)
    assert not rollouts.behaviour_log_probs.requires_grad
    assert bool(rollouts.completion_mask.all())


def test_sampling_follows_the_policy() -> None:
    """Frequencies of bigrams in many samples are those of the table, within five standard errors."""
    policy, count = base(), 40_000
    rollouts = policy.sample(asked(*[1] * count), num_tokens=2, generator=random_stream(0, "rollouts"))
    table = policy.transition_log_probs().detach()[1].exp()
    exact = (table[0, 0][:, None] * table[1]).flatten()
    pairs = rollouts.completions[:, 0] * SIZES.vocab + rollouts.completions[:, 1]
    found = torch.bincount(pairs, minlength=SIZES.vocab**2) / count
    assert float(((found - exact).abs() / (exact * (1 - exact) / count).sqrt()).max()) < 5


def test_sampling_is_reproducible_by_stream() -> None:
    """The same stream gives the same completions, whatever else is drawn; another step gives others."""
    policy, prompts = base(), asked(*range(3), *range(3))
    first = policy.sample(prompts, num_tokens=4, generator=random_stream(0, 1, "rollouts"))
    torch.rand(5)
    again = policy.sample(prompts, num_tokens=4, generator=random_stream(0, 1, "rollouts"))
    later = policy.sample(prompts, num_tokens=4, generator=random_stream(0, 2, "rollouts"))
    assert torch.equal(first.completions, again.completions)
    assert not torch.equal(first.completions, later.completions)


def test_policies_share_random_numbers() -> None:
    """Whatever the policy, a stream is consumed alike, and where policies agree they sample the same (SIM-011)."""
    policy, changed = base(), base()
    with torch.no_grad():
        changed.table[2] = 3 * changed.table[2].flip(-1)
    streams = [random_stream(0, 1, "rollouts") for _ in range(2)]
    one, two = (
        p.sample(asked(0, 2, 1), num_tokens=4, generator=s) for p, s in zip((policy, changed), streams, strict=True)
    )
    assert torch.equal(one.completions[[0, 2]], two.completions[[0, 2]])
    assert not torch.equal(one.completions[1], two.completions[1])
    assert torch.equal(streams[0].get_state(), streams[1].get_state())


@pytest.mark.parametrize("token", range(3))
def test_impossible_tokens_are_never_sampled(token: int) -> None:
    """A token of probability zero, wherever it stands in the vocabulary, never comes up."""
    table = torch.zeros(1, 8, 3).double()
    table[..., token] = -torch.inf
    policy = FirstOrderPolicy(table, torch.zeros(3, 3).double())
    rollouts = policy.sample(asked(*[0] * 2000), num_tokens=8, generator=random_stream(0))
    assert not bool((rollouts.completions == token).any())


def test_random_numbers_at_the_very_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 0 and just below 1 the first and the last possible token are taken, not an impossible neighbour."""
    logits = torch.tensor([-torch.inf, 0.1, 0.2, 0.3, -torch.inf]).double()
    policy = FirstOrderPolicy(logits.expand(2, 1, 5), torch.zeros(5, 5).double())
    ends = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64).view(2, 1, 1)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: ends)
    rollouts = policy.sample(asked(0, 1), num_tokens=1, generator=random_stream(0))
    assert rollouts.completions.flatten().tolist() == [1, 3]


@pytest.mark.parametrize(
    ("prompt_ids", "completion", "message"),
    [
        ([3], [0, 0], "group_ids"),
        ([-1], [0, 0], "group_ids"),
        ([0], [0, 5], "completions"),
        ([0], [-1, 0], "completions"),
        ([0], [0] * 5, "1 to 4"),
    ],
)
def test_strangers_are_refused(prompt_ids: list[int], completion: list[int], message: str) -> None:
    """Ids of another world are refused and not wrapped around; so are completions that are too long."""
    tokens = torch.tensor([completion])
    with pytest.raises(InvalidInputError, match=message):
        base().logits(asked(*prompt_ids), tokens, torch.ones_like(tokens).bool())


@pytest.mark.parametrize("num_tokens", [0, 5])
def test_samples_of_impossible_length_are_refused(num_tokens: int) -> None:
    """The table says how long a completion can be."""
    with pytest.raises(InvalidInputError, match="1 to 4"):
        base().sample(asked(0), num_tokens=num_tokens, generator=random_stream(0))


def test_grammar_of_another_vocabulary_is_refused() -> None:
    """Table and grammar come from one world."""
    with pytest.raises(InvalidInputError, match=r"\[vocab, vocab\]"):
        FirstOrderPolicy(torch.zeros(1, 2, 3), torch.zeros(4, 3))
