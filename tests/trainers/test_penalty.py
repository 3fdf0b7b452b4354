"""The KL penalty that every trainer of the study carries: its value, its gradient, and that it holds a policy back."""

import copy
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.penalty import kl_penalty
from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.dpo import DpoTrainer
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.ppo import PpoTrainer, ValueTable
from sdpo_ref.trainers.reinforce import ReinforceTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.trainers.span_rloo import SpanRlooTrainer
from sdpo_ref.types import Rollouts
from tests.trainers.problems import EVERY_COMPLETION, GivenTeacher, change, judged, rollouts_of, small_policy

CHOSEN = EVERY_COMPLETION[[0, 4, 7, 2]]
GROUPS = [0, 0, 1, 1]
MASK = torch.tensor([[True, True], [True, False], [True, True], [False, False]])
Penalised = Callable[[PrefixSumPolicy, torch.optim.Optimizer, PrefixSumPolicy, float], Trainer]


def unheard(policy: PrefixSumPolicy) -> GivenTeacher:
    """A teacher without context for any row."""
    return GivenTeacher(torch.zeros(4, 2, 3).double(), torch.zeros(4).bool())


def _ppo(
    policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer, reference: PrefixSumPolicy, weight: float
) -> Trainer:
    value = ValueTable(2, 2)
    value_optimizer = torch.optim.SGD(value.parameters(), lr=0.0)
    return PpoTrainer(
        policy, optimizer, value=value, value_optimizer=value_optimizer, epochs=1, reference=reference, kl_weight=weight
    )


TRAINERS: dict[str, Penalised] = {
    "reinforce": lambda p, o, r, w: ReinforceTrainer(p, o, reference=r, kl_weight=w),
    "rloo": lambda p, o, r, w: RlooTrainer(p, o, reference=r, kl_weight=w),
    "span rloo": lambda p, o, r, w: SpanRlooTrainer(p, o, spans=2, reference=r, kl_weight=w),
    "grpo": lambda p, o, r, w: GrpoTrainer(p, o, reference=r, kl_weight=w),
    "ppo": _ppo,
    "dpo": lambda p, o, r, w: DpoTrainer(p, o, reference=r, kl_weight=w),
    "sdft": lambda p, o, r, w: SdftTrainer(p, unheard(p), o, reference=r, kl_weight=w),
    "sdpo": lambda p, o, r, w: SdpoTrainer(p, unheard(p), o, reference=r, kl_weight=w),
    "hybrid": lambda p, o, r, w: HybridTrainer(p, unheard(p), o, reference=r, kl_weight=w),
}


def divergence(policy: PrefixSumPolicy, reference: PrefixSumPolicy, rollouts: Rollouts) -> float:
    """The mean KL divergence of the tokens by the textbook sum, token by token in Python."""
    arguments = rollouts.prompts, rollouts.completions, rollouts.completion_mask
    with torch.no_grad():
        student, other = (p.logits(*arguments).softmax(-1).tolist() for p in (policy, reference))
    tokens = [
        sum(s * math.log(s / r) for s, r in zip(student[row][t], other[row][t], strict=True))
        for row, t in rollouts.completion_mask.nonzero().tolist()
    ]
    return float(sum(tokens)) / len(tokens)


def slope(policy: PrefixSumPolicy, reference: PrefixSumPolicy, rollouts: Rollouts) -> Tensor:
    """Gradient of the divergence by central differences, weight by weight."""
    found = []
    for name, weight in policy.named_parameters():
        for index in range(weight.numel()):
            values = []
            for step in (1e-5, -1e-5):
                moved = copy.deepcopy(policy)
                with torch.no_grad():
                    dict(moved.named_parameters())[name].view(-1)[index] += step
                values.append(divergence(moved, reference, rollouts))
            found.append((values[0] - values[1]) / 2e-5)
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("name", TRAINERS)
def test_its_gradient_by_finite_differences(name: str) -> None:
    """Equal rewards, so that nothing else pulls: a step is minus the weight times the slope (SIM-100, SIM-101)."""
    policy, reference = small_policy(), small_policy(1)
    rollouts = rollouts_of(policy, CHOSEN, GROUPS, MASK)
    make = partial(_penalised, TRAINERS[name], reference, 0.3)
    moved, report = change(policy, make, rollouts, torch.zeros(4).double())
    torch.testing.assert_close(moved, -0.3 * slope(policy, reference, rollouts), rtol=1e-6, atol=1e-9)
    assert report.metrics["kl/reference"] == pytest.approx(divergence(policy, reference, rollouts))
    assert report.loss == pytest.approx(0.3 * divergence(policy, reference, rollouts))


@pytest.mark.parametrize("name", TRAINERS)
def test_without_weight_it_is_measured_and_changes_nothing(name: str) -> None:
    """A weight of zero gives the step of no penalty, and still reports the divergence (SIM-101)."""
    policy, reference = small_policy(), small_policy(1)
    rollouts = rollouts_of(policy, CHOSEN, GROUPS, MASK)
    rewards = torch.tensor([0.3, 0.9, 0.8, 0.1]).double()
    measured, report = change(policy, partial(_penalised, TRAINERS[name], reference, 0.0), rollouts, rewards)
    assert report.metrics["kl/reference"] == pytest.approx(divergence(policy, reference, rollouts))
    weighed, _ = change(policy, partial(_penalised, TRAINERS[name], reference, 0.3), rollouts, rewards)
    expected = measured - 0.3 * slope(policy, reference, rollouts)
    torch.testing.assert_close(weighed, expected, rtol=1e-6, atol=1e-9)


def test_a_step_that_updates_nothing_still_measures_it() -> None:
    """Online DPO without a pair, as SDFT without a demonstration above."""
    policy, reference = small_policy(), small_policy(1)
    rollouts = rollouts_of(policy, CHOSEN, GROUPS, MASK)
    make = partial(_penalised, TRAINERS["dpo"], reference, 0.0)
    moved, report = change(policy, make, rollouts, torch.full((4,), 0.5).double())
    assert int(moved.count_nonzero()) == 0
    assert report.optimizer_steps == 0
    assert report.metrics["kl/reference"] == pytest.approx(divergence(policy, reference, rollouts))


@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo", "ppo", "dpo"])
def test_it_holds_the_policy_back(name: str) -> None:
    """Trained on the same rewards, the policy ends nearer to where it began, the larger the weight."""
    start = small_policy()
    generator = torch.Generator().manual_seed(0)
    ends = []
    for weight in (0.0, 0.1, 1.0):
        policy, reference = copy.deepcopy(start), copy.deepcopy(start)
        trainer = TRAINERS[name](policy, torch.optim.SGD(policy.parameters(), lr=0.3), reference, weight)
        generator.manual_seed(0)
        for _ in range(40):
            rollouts = policy.sample(rollouts_of(policy, CHOSEN, GROUPS).prompts, num_tokens=2, generator=generator)
            trainer.step(rollouts, judged((rollouts.completions == 1).double().mean(-1)))
        ends.append(divergence(policy, start, rollouts_of(policy, EVERY_COMPLETION, [0] * 9)))
    assert ends[0] > ends[1] > ends[2]


def test_masked_logits_hold_anything() -> None:
    """NaN at a masked position is in neither the value nor the gradient."""
    student = torch.tensor([[[0.0, 1.0], [math.nan, 0.0]]]).requires_grad_()
    value = kl_penalty(student, torch.zeros(1, 2, 2), torch.tensor([[True, False]]))
    (gradient,) = torch.autograd.grad(value, student)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert not gradient[0, 1].any()


def test_nothing_counts() -> None:
    """Without a single token the penalty is zero."""
    assert kl_penalty(torch.zeros(1, 2, 2), torch.ones(1, 2, 2), torch.zeros(1, 2).bool()) == 0


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_weights_out_of_range(bad: float) -> None:
    """A weight that would reward leaving, or poison the loss, is refused."""
    policy = small_policy()
    for make in TRAINERS.values():
        with pytest.raises(InvalidInputError, match="kl_weight"):
            make(policy, torch.optim.SGD(policy.parameters(), lr=0.1), small_policy(1), bad)


def test_the_policy_is_no_reference_of_itself() -> None:
    """A reference that moves along would cost nothing, ever."""
    policy = small_policy()
    for make in TRAINERS.values():
        with pytest.raises(InvalidInputError, match="policy itself"):
            make(policy, torch.optim.SGD(policy.parameters(), lr=0.1), policy, 0.1)


def _penalised(
    make: Penalised,
    reference: PrefixSumPolicy,
    weight: float,
    policy: PrefixSumPolicy,
    optimizer: torch.optim.Optimizer,
) -> Trainer:
    return make(policy, optimizer, reference, weight)
