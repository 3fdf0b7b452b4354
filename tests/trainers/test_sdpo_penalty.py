"""The penalty of SDPO: beside its loss, over all tokens of a step, and however the step is cut (SIM-101, SIM-109)."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import DistillationBatch, Rollouts, StepReport
from tests.trainers.problems import GivenTeacher, assert_same, change, flat, judged, rollouts_of, small_policy

GROUPS = [0, 0, 1, 1, 2, 2]
MASK = torch.arange(4)[None] < torch.tensor([4, 1, 3, 0, 2, 4])[:, None]
USABLE = torch.tensor([True, False, True, True, False, True])
ROLLOUTS: Rollouts = rollouts_of(
    small_policy(), torch.randint(3, (6, 4), generator=torch.Generator().manual_seed(0)), GROUPS, MASK
)
REWARDS = torch.zeros(6).double()


def teacher(usable: Tensor = USABLE) -> GivenTeacher:
    """What another policy says."""
    with torch.no_grad():
        return GivenTeacher(small_policy(2).logits(ROLLOUTS.prompts, ROLLOUTS.completions, MASK), usable)


def step(usable: Tensor = USABLE, **options: object) -> tuple[Tensor, StepReport]:
    """By how much one step moves the small policy, and its report."""

    def make(policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        return SdpoTrainer(policy, teacher(usable), optimizer, **options)  # type: ignore[arg-type]

    return change(small_policy(), make, ROLLOUTS, REWARDS)


def written_out(weight: float) -> tuple[Tensor, float, float]:
    """Minus the gradient of loss + weight * KL by autograd, the loss, and the KL, in sums that can be read."""
    policy, reference = small_policy(), small_policy(1)
    logits = policy.logits(ROLLOUTS.prompts, ROLLOUTS.completions, MASK)
    with torch.no_grad():
        usual = reference.logits(ROLLOUTS.prompts, ROLLOUTS.completions, MASK).log_softmax(-1)
    student = logits.log_softmax(-1)
    divergence = (student.exp() * (student - usual)).sum(-1)[MASK].mean()
    loss = sdpo_loss(DistillationBatch(logits, teacher().logits, ROLLOUTS.completions, MASK, USABLE), alpha=1.0)
    gradients = torch.autograd.grad(loss + weight * divergence, list(policy.parameters()))
    return -torch.cat([one.flatten() for one in gradients]), float(loss.detach()), float(divergence.detach())


def test_it_is_added_to_the_loss() -> None:
    """A step is down the gradient of the loss plus the weighted divergence, and the report holds both."""
    expected, loss, divergence = written_out(0.3)
    moved, report = step(reference=small_policy(1), kl_weight=0.3)
    assert_same(moved, expected)
    assert report.loss == pytest.approx(loss + 0.3 * divergence, rel=1e-12)
    assert report.metrics["kl/reference"] == pytest.approx(divergence, rel=1e-12)


@pytest.mark.parametrize("micro_batches", [2, 3, 6, 9])
def test_micro_batches_change_nothing(micro_batches: int) -> None:
    """Parts with few tokens, without usable rows or without any token: the same weights and report (SIM-109)."""
    whole, report = step(reference=small_policy(1), kl_weight=0.3)
    cut, of_cut = step(reference=small_policy(1), kl_weight=0.3, micro_batches=micro_batches)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-12)
    assert of_cut.loss == pytest.approx(report.loss, rel=1e-12)
    assert of_cut.metrics["kl/reference"] == pytest.approx(report.metrics["kl/reference"], rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=7).filter(any),
    st.integers(1, 8),
    st.sampled_from(["token_mean", "row_mean", "row_mean_all", "row_sum"]),
    st.integers(0, 127),
)
def test_any_split_of_any_lengths(lengths: list[int], micro_batches: int, aggregation: str, usable: int) -> None:
    """Whatever the lengths, the rows without context and the loss's own mean, a step does not depend on the cut."""
    count = len(lengths)
    mask = torch.arange(4)[None] < torch.tensor(lengths)[:, None]
    completions = torch.randint(3, (count, 4), generator=torch.Generator().manual_seed(count))
    rollouts = rollouts_of(small_policy(), completions, [0] * count, mask)
    given_teacher = GivenTeacher(
        torch.zeros(count, 4, 3).double(), torch.tensor([bool(usable >> row & 1) for row in range(count)])
    )
    found = []
    for parts in (1, micro_batches):
        policy = small_policy()
        SdpoTrainer(
            policy,
            given_teacher,
            torch.optim.SGD(policy.parameters(), lr=1.0),
            aggregation=aggregation,  # type: ignore[arg-type]
            micro_batches=parts,
            reference=small_policy(1),
            kl_weight=0.7,
        ).step(rollouts, judged(torch.zeros(count)))
        found.append(flat(policy))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-12)


def test_several_optimizer_steps() -> None:
    """Each has the mean over its own tokens; the report is the mean over the steps."""
    policy, reference = small_policy(), small_policy(1)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    trainer = partial(SdpoTrainer, reference=reference, kl_weight=0.3)
    both = trainer(policy, teacher(), optimizer, optimizer_steps=2, micro_batches=2).step(ROLLOUTS, judged(REWARDS))
    again = small_policy()
    optimizer = torch.optim.SGD(again.parameters(), lr=1.0)
    reports = []
    for rows in (torch.arange(3), torch.arange(3, 6)):
        given_teacher = GivenTeacher(teacher().logits[rows], USABLE[rows])
        reports.append(trainer(again, given_teacher, optimizer).step(ROLLOUTS.select(rows), judged(REWARDS[:3])))
    assert_same(flat(policy), flat(again))
    divergences = [report.metrics["kl/reference"] for report in reports]
    assert both.metrics["kl/reference"] == pytest.approx(sum(divergences) / 2, rel=1e-12)
    assert both.loss == pytest.approx(sum(one.loss for one in reports) / 2, rel=1e-12)


def test_without_weight_it_is_measured_and_changes_nothing() -> None:
    """To the last bit, and without a reference nothing is reported (SIM-101)."""
    plain, report = step(micro_batches=2)
    measured, with_reference = step(micro_batches=2, reference=small_policy(1), kl_weight=0.0)
    assert torch.equal(plain, measured)
    assert report.loss == with_reference.loss
    assert set(with_reference.metrics) - set(report.metrics) == {"kl/reference"}
    assert with_reference.metrics["kl/reference"] == pytest.approx(written_out(0.0)[2], rel=1e-12)


def test_an_infinite_divergence_is_no_matter_without_weight() -> None:
    """A reference that rules a token out is infinitely far; measuring so leaves the loss finite (SIM-101)."""
    reference = small_policy(1)
    with torch.no_grad():
        reference.current[:, 2] = -torch.inf
    plain, report = step()
    measured, with_reference = step(reference=reference, kl_weight=0.0)
    assert torch.equal(plain, measured)
    assert with_reference.loss == report.loss
    assert with_reference.metrics["kl/reference"] == float("inf")


def test_rows_without_context_feel_it() -> None:
    """With and without a teacher's context, the penalty moves the policy by the same (SIM-109)."""
    options: dict[str, object] = {"reference": small_policy(1), "kl_weight": 0.3}
    for usable in (USABLE, torch.zeros(6).bool()):
        pulled = step(usable, **options)[0] - step(usable)[0]
        assert pulled.abs().max() > 1e-2
        assert_same(pulled, written_out(0.3)[0] - written_out(0.0)[0])


def test_the_reference_stays() -> None:
    """It is evaluated and never moved."""
    policy, reference = small_policy(), small_policy(1)
    before = copy.deepcopy(flat(reference))
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    SdpoTrainer(policy, teacher(), optimizer, reference=reference, kl_weight=0.3).step(ROLLOUTS, judged(REWARDS))
    assert torch.equal(flat(reference), before)
    assert all(weight.grad is None for weight in reference.parameters())
