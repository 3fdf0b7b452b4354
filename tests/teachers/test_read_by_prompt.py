"""Readers by prompt: each prompt as its own reader reads it, in order, and a prompt without a reader is refused."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy
from sdpo_ref.simulation.oracles import Heterogeneous, build_oracle, dealt
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.simulation.teachers.read_by_prompt import ReadByPrompt
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.world import World, random_stream
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Judgement, Prompts, Rollouts, TeacherView
from tests.simulation.reader.problems import REGIMES, problem, reader_of, without_feedback

SIZES = WorldSettings(prompts=6, time=4, vocab=5, aspects=2, embedding=3)


@dataclass(frozen=True)
class Signed:
    """A conditioning that signs every row, so that it can be seen who read it: logits are number, prompt and token."""

    number: int

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Usable where there is feedback."""
        del policy
        count, time = rollouts.completions.shape
        logits = torch.empty(count, time, 3, dtype=torch.float64)
        logits[..., 0] = self.number
        logits[..., 1] = rollouts.prompts.group_ids[:, None]
        logits[..., 2] = rollouts.completions
        return TeacherView(logits, torch.tensor([feedback is not None for feedback in judgement.feedback]))


@pytest.mark.parametrize("regime", REGIMES)
def test_one_member_is_that_member(regime: RegimeName) -> None:
    """The same logits and the same usable rows, to the last bit (SIM-074)."""
    batch = problem(regime)
    judgement = without_feedback(batch.judgement, {2, *range(6, 12)})
    alone = batch.conditioning.view(batch.policy, batch.rollouts, judgement)
    by_prompt = ReadByPrompt((batch.conditioning,), (0, 0, 0))
    assert isinstance(by_prompt, Conditioning)
    found = by_prompt.view(batch.policy, batch.rollouts, judgement)
    assert torch.equal(found.logits, alone.logits)
    assert torch.equal(found.self_distillation_mask, alone.self_distillation_mask)


def test_every_prompt_is_read_in_its_own_regime() -> None:
    """What is read of a mixed judgement is what each regime's reader reads of its own prompts alone (SIM-074)."""
    world = World.draw(SIZES, seed=0)
    regimes = tuple(RegimeSettings(regime=regime, spans=2) for regime in ("rubric", "critique", "ordinal"))
    batch = problem("scalar", SIZES, group=4)
    mixed = build_oracle(world, OracleSettings(regimes=regimes), seed=5)
    readers = tuple(ReadFeedback(reader_of(world, ReaderSettings(feedback=feedback))) for feedback in regimes)
    member_of = dealt(world, 3, seed=5)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    rollouts = batch.rollouts.select(order)
    judgement = mixed.judge(rollouts, generator=random_stream(0, "judgement"))
    view = ReadByPrompt(readers, member_of).view(batch.policy, rollouts, judgement)
    logits = batch.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
    for prompt, member in enumerate(member_of):
        own = (rollouts.prompts.group_ids == prompt).nonzero()[:, 0]
        alone = readers[member].view(batch.policy, rollouts.select(own), judgement.select(own))
        torch.testing.assert_close(view.logits[own], alone.logits, rtol=0, atol=1e-12)
        assert (view.logits - logits)[own].abs().max() > 0.01
    assert bool(view.self_distillation_mask.all())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12),
)
def test_rows_come_back_in_order(member_of: list[int], rows: list[tuple[int, bool]]) -> None:
    """Any prompts in any order, members without rollouts among them: each row from its member, in its place."""
    batch = problem("scalar")
    groups = torch.tensor([prompt % len(member_of) for prompt, _ in rows])
    some = batch.rollouts.select(torch.arange(len(rows)))
    rollouts = Rollouts(
        Prompts(some.prompts.token_ids, some.prompts.mask, groups),
        some.completions,
        some.completion_mask,
        some.behaviour_log_probs,
    )
    judgement = without_feedback(
        batch.judgement.select(torch.arange(len(rows))),
        {row for row, (_, has_feedback) in enumerate(rows) if not has_feedback},
    )
    view = ReadByPrompt((Signed(0), Signed(1), Signed(2)), tuple(member_of)).view(batch.policy, rollouts, judgement)
    for row, (_, has_feedback) in enumerate(rows):
        prompt = int(groups[row])
        assert view.logits[row, :, 0].tolist() == [member_of[prompt]] * 4
        assert view.logits[row, :, 1].tolist() == [prompt] * 4
        assert view.logits[row, :, 2].tolist() == rollouts.completions[row].tolist()
        assert bool(view.self_distillation_mask[row]) is has_feedback


def test_what_was_dealt_is_what_the_oracle_deals() -> None:
    """A study can tell the reader which prompt has which regime, without looking into the oracle (SIM-074)."""
    world = World.draw(SIZES, seed=0)
    regimes = tuple(RegimeSettings(regime="scalar", noise=noise) for noise in (0.1, 0.2, 0.3, 0.4))
    for seed in range(5):
        oracle = build_oracle(world, OracleSettings(regimes=regimes), seed=seed)
        assert isinstance(oracle, Heterogeneous)
        assert oracle.member_of == dealt(world, 4, seed=seed)
    assert dealt(world, 1, seed=0) == (0,) * 6
    with pytest.raises(InvalidInputError, match="members must be at least 1, received 0"):
        dealt(world, 0, seed=0)


def test_strangers_are_refused() -> None:
    """An index that is no member, a prompt without a member, and a batch without rollouts."""
    batch = problem("scalar")
    with pytest.raises(InvalidInputError, match="there are 1 members"):
        ReadByPrompt((batch.conditioning,), (0, 1, 0))
    with pytest.raises(InvalidInputError, match="there are 1 members"):
        ReadByPrompt((batch.conditioning,), (0, -1, 0))
    with pytest.raises(InvalidInputError, match="member_of has 2 prompts"):
        ReadByPrompt((batch.conditioning,), (0, 0)).view(batch.policy, batch.rollouts, batch.judgement)
    nothing = torch.tensor([], dtype=torch.long)
    with pytest.raises(InvalidInputError, match="no rollouts"):
        ReadByPrompt((batch.conditioning,), (0, 0, 0)).view(
            batch.policy, batch.rollouts.select(nothing), batch.judgement.select(nothing)
        )
