"""The peers' losses behind our Protocols."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from sdpo_ref.adapters import sdpo_rl, trl
from sdpo_ref.adapters.trl.losses import hybrid_loss
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import FULL, Support
from tests.adapters.problems import QUARTER_DIVERGENCE, golden_batch

pytestmark = pytest.mark.peers

FACTORIES = [trl.sdpo, trl.sdft, sdpo_rl.make]
Factory = Callable[..., SimpleNamespace]
everywhere = pytest.mark.parametrize("factory", FACTORIES)


@everywhere
@pytest.mark.parametrize("support", [FULL, Support("top_k_tail", k=2)])
def test_the_golden_number(factory: Factory, support: Support) -> None:
    """If every token has the golden divergence, so has the mean; two tokens and the tail are all three."""
    loss = factory().loss(
        golden_batch(active=(True, True)), alpha=0.25, support=support, temperature=1.0, ratio_cap=None
    )
    assert loss.item() == pytest.approx(QUARTER_DIVERGENCE, abs=1e-7)


@everywhere
def test_the_gradient_reaches_counted_tokens_only(factory: Factory) -> None:
    """Rows without a teacher and tokens that do not count get a gradient of zero, others do not."""
    batch = golden_batch(active=(True, False))
    factory().loss(batch, alpha=0.25, support=FULL, temperature=1.0, ratio_cap=None).backward()
    assert batch.student_logits.grad is not None
    moved = batch.student_logits.grad.abs().sum(dim=-1) > 0
    assert moved.tolist() == [[True, True, False], [False, False, False]]


@pytest.mark.parametrize(("factory", "share"), [(trl.sdpo, 0.5), (trl.sdft, 0.5), (sdpo_rl.make, 1.0)])
def test_aggregation_is_the_peers_own(factory: Factory, share: float) -> None:
    """With one of two rows active TRL's mean over all rows is half of sdpo-rl's mean over tokens."""
    batch = golden_batch(active=(True, False))
    loss = factory().loss(batch, alpha=0.25, support=FULL, temperature=1.0, ratio_cap=None)
    assert loss.item() == pytest.approx(share * QUARTER_DIVERGENCE, abs=1e-10)


@everywhere
def test_the_importance_ratio_is_capped(factory: Factory) -> None:
    """A student e times likelier than the behaviour counts twice under a cap of two, once without a cap."""
    batch = golden_batch(active=(True,))
    behind = replace(batch, behaviour_log_probs=torch.full((1, 3), 0.5, dtype=torch.float64).log() - 1.0)
    loss = partial(factory().loss, behind, alpha=0.25, support=FULL, temperature=1.0)
    assert loss(ratio_cap=2.0).item() == pytest.approx(2 * QUARTER_DIVERGENCE, abs=1e-10)
    assert loss(ratio_cap=None).item() == pytest.approx(QUARTER_DIVERGENCE, abs=1e-10)


@pytest.mark.parametrize(("factory", "applied"), [(trl.sdpo, True), (trl.sdft, True), (sdpo_rl.make, False)])
def test_the_temperature_is_the_peers_own(factory: Factory, applied: bool) -> None:  # noqa: FBT001 - a test's parameter
    """TRL divides the logits by the temperature; sdpo-rl's loss does not know it."""
    batch = golden_batch(active=(True,))
    loss = factory().loss(batch, alpha=0.25, support=FULL, temperature=2.0, ratio_cap=None)
    assert (abs(loss.item() - QUARTER_DIVERGENCE) > 0.01) is applied


@everywhere
def test_the_sampled_token(factory: Factory) -> None:
    """The surrogate is the log-ratio times the student's log-probability of the token: log(.5/.2) log(.5)."""
    loss = factory().loss(
        golden_batch(active=(True,)),
        alpha=1.0,
        support=Support("sampled_token"),
        temperature=1.0,
        ratio_cap=None,
    )
    assert loss.item() == pytest.approx(0.9162907319 * -0.6931471806, abs=1e-9)


def test_sdft_leaves_the_first_tokens_out() -> None:
    """With one of two tokens skipped the other one decides, and with both skipped nothing is left."""
    batch = golden_batch(active=(True,))
    batch.student_logits.data[:, 0] = 0.0
    losses = [trl.sdft().sdft_loss(batch, alpha=0.25, support=FULL, skip_tokens=count).item() for count in (1, 2)]
    assert losses == [pytest.approx(QUARTER_DIVERGENCE, abs=1e-10), 0.0]


def test_hybrid_mixes_the_two_losses() -> None:
    """TRL adds the losses: half of each pure one at a weight of one half; the policy's pure loss has ratio one."""
    batch = golden_batch(active=(True, True))
    rewards, groups = torch.tensor([1.0, 0.0]), torch.tensor([7, 7])
    pure, half, policy = (
        hybrid_loss(batch, rewards, groups, reward_weight=weight, support=FULL).item() for weight in (0.0, 0.5, 1.0)
    )
    assert pure == pytest.approx(0.2502012118, abs=1e-9)
    assert policy == pytest.approx(0.0, abs=1e-7)
    assert half == pytest.approx(pure / 2, abs=1e-7)


def test_hybrid_finds_groups_by_their_ids() -> None:
    """Rows of two groups may be mixed: the gradient of the one success in each group has the same sign and size."""
    batch = golden_batch(active=(True,) * 4)
    rewards, groups = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0, 1, 0, 1])
    loss = hybrid_loss(batch, rewards, groups, reward_weight=1.0, support=FULL)
    (gradient,) = torch.autograd.grad(loss, batch.student_logits)
    up = gradient[:, 0, 0]
    assert up[:2].tolist() == pytest.approx([up[0].item()] * 2)
    assert up[0] < 0
    assert up[2:].tolist() == pytest.approx([-up[0].item()] * 2)


def test_hybrid_refuses_groups_of_different_sizes() -> None:
    """A TRL trainer has one group size, and the adapter does not pretend otherwise."""
    batch = golden_batch(active=(True,) * 3)
    with pytest.raises(UnsupportedError, match=r"groups of \[1, 2\] rollouts"):
        hybrid_loss(batch, torch.zeros(3), torch.tensor([0, 1, 1]), reward_weight=0.5, support=FULL)
