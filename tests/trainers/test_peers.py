"""GRPO, RLOO and DPO against the losses of TRL, called on the same tensors: values and gradients."""

import copy
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sdpo_ref.functional.policy_gradient import completion_log_probs
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.trainers.dpo import DpoTrainer
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.types import Rollouts
from tests.trainers.problems import assert_same, change, prompts_of, rollouts_of, small_policy

pytestmark = pytest.mark.peers

GROUPS = [0, 0, 0, 1, 1, 1]
REWARDS = torch.tensor([0.3, 0.9, 0.1, 0.7, 0.2, 0.4], dtype=torch.float64)
MASK = torch.arange(5)[None] < torch.tensor([5, 2, 3, 1, 4, 5])[:, None]
COMPLETIONS = torch.randint(3, (6, 5), generator=torch.Generator().manual_seed(0))
LENGTH = 7
"""Longest completion that TRL is set to expect; Dr. GRPO divides by it."""


def old_rollouts() -> Rollouts:
    """Rollouts of an older policy, so that ratios lie on both sides of the clip."""
    return rollouts_of(small_policy(4), COMPLETIONS, GROUPS, MASK)


def trl_loss(kind: str, policy: PrefixSumPolicy, inputs: dict[str, Tensor], **attributes: Any) -> Tensor:
    """The loss of a TRL trainer that was never constructed, on log-probabilities of our policy."""
    from trl import GRPOTrainer, RLOOTrainer

    cls = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}[kind]
    prompts = prompts_of(GROUPS)
    chances = completion_log_probs(policy.logits(prompts, COMPLETIONS, MASK), COMPLETIONS, MASK)
    peer = object.__new__(cls)
    same = lambda value, **_: value
    settings: dict[str, Any] = {
        "_get_per_token_logps_and_entropies": lambda *_, **__: (chances, torch.zeros_like(chances), None),
        "accelerator": SimpleNamespace(gather=same, reduce=same, num_processes=1),
        "model": SimpleNamespace(training=True),
        "args": SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        "_metrics": {"train": defaultdict(list)},
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "beta": 0.0,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "use_vllm": False,
        "aux_loss_enabled": False,
        "_entropy_bonus_enabled": False,
        "max_completion_length": LENGTH,
        "current_gradient_accumulation_steps": 1,
    }
    for name, value in {**settings, **attributes}.items():
        setattr(peer, name, value)
    given = {
        "prompt_ids": prompts.token_ids,
        "prompt_mask": prompts.mask.long(),
        "completion_ids": COMPLETIONS,
        "completion_mask": MASK.long(),
        "num_items_in_batch": MASK.sum(),
        **inputs,
    }
    loss: Tensor = peer._compute_loss(None, given)
    return loss


def descent(policy: PrefixSumPolicy, loss_of: Callable[[PrefixSumPolicy], Tensor]) -> tuple[Tensor, float]:
    """Minus the gradient of a loss, and its value."""
    copied = copy.deepcopy(policy)
    loss = loss_of(copied)
    gradients = torch.autograd.grad(loss, list(copied.parameters()))
    return -torch.cat([gradient.flatten() for gradient in gradients]), float(loss.detach())


def trl_advantages(*, divide: bool) -> Tensor:
    """Rewards minus the mean of three, over the deviation plus 1e-4, as TRL computes them while sampling."""
    groups = REWARDS.view(2, 3)
    centered = groups - groups.mean(1, keepdim=True)
    return (centered / (groups.std(1, keepdim=True) + 1e-4) if divide else centered).flatten()


@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize(
    ("loss_type", "aggregation", "factor"),
    [
        ("grpo", "row_mean_all", 1.0),
        ("bnpo", "token_mean", 1.0),
        ("dapo", "token_mean", 1.0),
        ("dr_grpo", "time_normalized_sum", 6 * LENGTH / 5),
    ],
)
def test_grpo(
    loss_type: str,
    aggregation: Literal["row_mean_all", "token_mean", "time_normalized_sum"],
    factor: float,
    divide: bool,  # noqa: FBT001
) -> None:
    """Value and gradient of each of TRL's ways to average, with ratios clipped on both sides (SIM-094, SIM-172)."""
    policy, rollouts = small_policy(), old_rollouts()
    inputs = {"advantages": trl_advantages(divide=divide), "old_per_token_logps": rollouts.behaviour_log_probs}
    expected, value = descent(policy, lambda p: trl_loss("grpo", p, inputs, loss_type=loss_type))
    make = partial(GrpoTrainer, aggregation=aggregation, standardize=divide)
    moved, report = change(policy, make, rollouts, REWARDS)
    assert 0.1 < report.metrics["policy/clipped_share"] < 0.9
    assert_same(moved, expected * factor)
    assert report.loss == pytest.approx(value * factor, rel=1e-9)


def test_grpo_over_two_epochs() -> None:
    """Two epochs are two descents of TRL's loss with the same old log-probabilities."""
    rollouts, rate = rollouts_of(small_policy(), COMPLETIONS, GROUPS, MASK), 0.5
    inputs = {"advantages": trl_advantages(divide=True), "old_per_token_logps": rollouts.behaviour_log_probs}
    moved, _ = change(small_policy(), partial(GrpoTrainer, epochs=2), rollouts, REWARDS, rate=rate)
    trained, total = small_policy(), torch.zeros_like(moved)
    for _ in range(2):
        step, _ = descent(trained, lambda p: trl_loss("grpo", p, inputs, loss_type="grpo"))
        total += step
        weights = torch.nn.utils.parameters_to_vector(trained.parameters()).detach() + rate * step
        torch.nn.utils.vector_to_parameters(weights, trained.parameters())
    assert_same(moved, total)


def test_rloo() -> None:
    """The gradient of TRL's clipped ratio of completions, where the policy has not moved (SIM-092)."""
    policy = small_policy()
    rollouts = rollouts_of(policy, COMPLETIONS, GROUPS, MASK)
    groups = REWARDS.view(2, 3)
    advantages = (groups - (groups.sum(1, keepdim=True) - groups) / 2).flatten()
    inputs = {"advantages": advantages, "old_logps": rollouts.behaviour_log_probs.sum(-1)}
    expected, _ = descent(policy, lambda p: trl_loss("rloo", p, inputs))
    moved, _ = change(policy, RlooTrainer, rollouts, REWARDS)
    assert_same(moved, expected)


def test_dpo() -> None:
    """Value and gradient of TRL's sigmoid loss on the best and the worst of each group (SIM-099)."""
    from trl import DPOTrainer

    policy, reference = small_policy(), small_policy(1)
    rollouts = rollouts_of(policy, COMPLETIONS, GROUPS, MASK)
    pair_rows = [1, 3, 2, 4]  # best of both groups, then worst
    prompts = prompts_of([GROUPS[row] for row in pair_rows])
    completions, mask = COMPLETIONS[pair_rows], MASK[pair_rows]
    beside = torch.zeros(4, 1).bool()

    def loss_of(trained: PrefixSumPolicy) -> Tensor:
        def model(**_: object) -> SimpleNamespace:
            chances = completion_log_probs(trained.logits(prompts, completions, mask), completions, mask)
            nothing = torch.zeros_like(chances)
            return SimpleNamespace(log_probs=chances, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())

        peer = object.__new__(DPOTrainer)
        same = lambda value, **_: value
        settings: dict[str, Any] = {
            "model": SimpleNamespace(training=True),
            "accelerator": SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
            "aux_loss_enabled": False,
            "ld_alpha": None,
            "precompute_ref_logps": True,
            "f_divergence_type": "reverse_kl",
            "loss_types": ["sigmoid"],
            "loss_weights": [1.0],
            "beta": 0.3,
            "use_weighting": False,
            "_metrics": {"train": defaultdict(list)},
            "_total_train_tokens": 0,
            "_tp_size": 1,
        }
        for name, value in settings.items():
            setattr(peer, name, value)
        usual = rollouts_of(reference, completions, prompts.group_ids.tolist(), mask).behaviour_log_probs.sum(-1)
        inputs = {
            "input_ids": torch.cat([prompts.token_ids, completions], 1),
            "attention_mask": torch.cat([prompts.mask, mask], 1).long(),
            "completion_mask": torch.cat([beside, mask], 1).long(),
            "ref_chosen_logps": usual[:2],
            "ref_rejected_logps": usual[2:],
        }
        loss: Tensor = peer._compute_loss(model, inputs, return_outputs=False)
        return loss

    expected, value = descent(policy, loss_of)
    moved, report = change(policy, partial(DpoTrainer, reference=reference, beta=0.3), rollouts, REWARDS)
    assert_same(moved, expected)
    assert report.loss == pytest.approx(value, rel=1e-9)
