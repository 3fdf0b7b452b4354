"""The tilt of a policy by what was read: identity of the implicit reward, groups, gaps, and what is never looked at."""

import math
from dataclasses import replace

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.simulation.reader import Reader
from sdpo_ref.simulation.settings import ReaderSettings, RegimeName, RegimeSettings
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.teachers.weights import Conditioning
from sdpo_ref.types import Feedback, Judgement
from tests.simulation.reader.problems import REGIMES, Problem, problem, reader_of, rows_of, said_of, without_feedback


def tilt(given: Problem) -> torch.Tensor:
    """What the teacher adds to the policy's logits."""
    rollouts = given.rollouts
    view = given.conditioning.view(given.policy, rollouts, given.judgement)
    logits = given.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
    return view.logits - logits


def test_is_a_conditioning() -> None:
    """Every teacher kind can hold it."""
    assert isinstance(problem("scalar").conditioning, Conditioning)


@pytest.mark.parametrize("regime", REGIMES)
def test_tilt_is_credited_quality_after_every_prefix(regime: RegimeName) -> None:
    """Rollouts of a group share one tilt, kappa times the credited quality of their prompt (SIM-066)."""
    given = problem(regime)
    credited = given.conditioning.read(given.rollouts, given.judgement).credited_quality
    torch.testing.assert_close(tilt(given), 0.7 * credited.repeat_interleave(6, 0), rtol=0, atol=1e-12)
    assert float(credited.abs().max()) > 0.05


@pytest.mark.parametrize("regime", REGIMES)
def test_implicit_reward_is_credited_quality_minus_normalizers(regime: RegimeName) -> None:
    """It is log pi(y|x,c) - log pi(y|x) = kappa sum_t q_t - sum_t log E exp(kappa q), exactly (SIM-067)."""
    given = problem(regime)
    rollouts, credited = given.rollouts, given.conditioning.read(given.rollouts, given.judgement).credited_quality
    view = given.conditioning.view(given.policy, rollouts, given.judgement)
    logits = given.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
    found = implicit_reward(view.logits, logits, rollouts.completions, rollouts.completion_mask)
    chances = log_probs(logits).exp()
    for row, completion in enumerate(rollouts.completions.tolist()):
        quality = credited[int(rollouts.prompts.group_ids[row])]
        expected = 0.0
        for t, token in enumerate(completion):
            normalizer = math.log(sum(float(chances[row, t, v] * torch.exp(0.7 * quality[t, v])) for v in range(5)))
            expected += 0.7 * float(quality[t, token]) - normalizer
        assert abs(float(found[row]) - expected) < 1e-12


def test_no_gradient() -> None:
    """What the teacher says is a constant (TEACH-029)."""
    given = problem("scalar")
    assert not given.conditioning.view(given.policy, given.rollouts, given.judgement).logits.requires_grad


def test_order_of_rollouts_changes_nothing() -> None:
    """Rollouts may come in any order, and groups need not stand together."""
    given = problem("rubric")
    order = torch.randperm(18, generator=torch.Generator().manual_seed(1))
    view = given.conditioning.view(given.policy, given.rollouts, given.judgement)
    moved = given.conditioning.view(given.policy, rows_of(given.rollouts, order), said_of(given.judgement, order))
    torch.testing.assert_close(moved.logits, view.logits[order], rtol=0, atol=1e-12)


def test_groups_are_independent_and_may_differ_in_size() -> None:
    """Each group reads as if it were alone."""
    given = problem("critique")
    rows = torch.tensor([0, 1, 2, 3, 6, 7, 12, 13, 14, 15, 16, 17])
    rollouts, judgement = rows_of(given.rollouts, rows), said_of(given.judgement, rows)
    together = given.conditioning.view(given.policy, rollouts, judgement).logits
    for group in range(3):
        own = (rollouts.prompts.group_ids == group).nonzero()[:, 0]
        alone = given.conditioning.view(given.policy, rows_of(rollouts, own), said_of(judgement, own)).logits
        torch.testing.assert_close(together[own], alone, rtol=0, atol=1e-12)


def test_a_rollout_without_feedback_is_not_heard_but_taught() -> None:
    """Its group reads as if it were not there, and its row is usable (SIM-070)."""
    given = problem("rubric")
    gap = replace(given, judgement=without_feedback(given.judgement, {2}))
    kept = torch.tensor([row for row in range(18) if row != 2])
    fewer = replace(given, rollouts=rows_of(given.rollouts, kept), judgement=said_of(given.judgement, kept))
    torch.testing.assert_close(tilt(gap)[kept], tilt(fewer), rtol=0, atol=1e-12)
    torch.testing.assert_close(tilt(gap)[2], tilt(gap)[0], rtol=0, atol=1e-12)
    gains = [one.conditioning.read(one.rollouts, one.judgement).gain() for one in (gap, fewer)]
    torch.testing.assert_close(gains[0], gains[1], rtol=0, atol=1e-12)
    assert bool(given.conditioning.view(given.policy, given.rollouts, gap.judgement).self_distillation_mask.all())


def test_a_group_without_feedback_is_not_usable() -> None:
    """Its rows teach nothing and are said to, and its tilt is exactly zero."""
    given = problem("rubric")
    gap = replace(given, judgement=without_feedback(given.judgement, set(range(6, 12))))
    view = gap.conditioning.view(gap.policy, gap.rollouts, gap.judgement)
    assert view.self_distillation_mask.tolist() == [True] * 6 + [False] * 6 + [True] * 6
    assert not bool(tilt(gap)[6:12].any())
    assert bool(tilt(gap)[:6].any())


def test_nobody_said_anything() -> None:
    """A batch without feedback is the policy itself, and no row is usable."""
    given = problem("scalar")
    silent = replace(given, judgement=without_feedback(given.judgement, set(range(18))))
    view = silent.conditioning.view(silent.policy, silent.rollouts, silent.judgement)
    assert not bool(tilt(silent).any())
    assert not bool(view.self_distillation_mask.any())


def test_truth_is_never_looked_at() -> None:
    """A reader from a world whose taste and quality are poison says the same, bit for bit (SIM-060)."""
    given = problem("rubric")
    world = given.world
    poison = replace(
        world, taste=torch.full_like(world.taste, torch.nan), quality=torch.full_like(world.quality, torch.nan)
    )
    settings = ReaderSettings(feedback=RegimeSettings(regime="rubric"))
    blind = ReadFeedback(reader_of(poison, settings), kappa=0.7)
    views = [one.view(given.policy, given.rollouts, given.judgement).logits for one in (given.conditioning, blind)]
    assert torch.equal(views[0], views[1])


def test_rewards_are_not_read() -> None:
    """Only feedback is."""
    given = problem("scalar")
    other = replace(given, judgement=replace(given.judgement, rewards=-given.judgement.rewards))
    assert torch.equal(tilt(given), tilt(other))


def test_kappa_scales_the_tilt() -> None:
    """At zero the teacher is the policy; nothing below is allowed."""
    given = problem("scalar")
    reader: Reader = given.conditioning.reader
    assert not bool(tilt(replace(given, conditioning=ReadFeedback(reader, kappa=0.0))).any())
    doubled = tilt(replace(given, conditioning=ReadFeedback(reader, kappa=1.4)))
    torch.testing.assert_close(doubled, 2 * tilt(given), rtol=0, atol=1e-12)
    for kappa in (-1.0, math.nan, math.inf):
        with pytest.raises(InvalidInputError, match="kappa must be finite and at least 0"):
            ReadFeedback(reader, kappa=kappa)


def test_strange_batches_are_refused() -> None:
    """Padding, and feedback of another regime."""
    given = problem("scalar")
    padded = replace(given.rollouts, completion_mask=torch.zeros_like(given.rollouts.completion_mask))
    with pytest.raises(InvalidInputError, match="padding"):
        given.conditioning.view(given.policy, padded, given.judgement)
    other = Judgement(given.judgement.rewards, (Feedback("", (0.1, 0.2)),) * 18)
    with pytest.raises(InvalidInputError, match="expects 1"):
        given.conditioning.view(given.policy, given.rollouts, other)
