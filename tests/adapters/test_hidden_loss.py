"""Peers that compute from hidden states and heads, behind our Protocols."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from sdpo_ref.adapters import liger, trl
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Head, HiddenBatch
from tests.adapters.problems import QUARTER_DIVERGENCE, STUDENT, TEACHER, golden_batch

pytestmark = [pytest.mark.peers, pytest.mark.parametrize("factory", [liger.make, trl.distillation])]
Factory = Callable[..., SimpleNamespace]


def hidden(*, active: tuple[bool, ...]) -> HiddenBatch:
    """The golden batch, its logits as hidden states of an identity."""
    batch = golden_batch(active=active)
    head = Head(torch.eye(3).double())
    masks = batch.completion_mask, batch.self_distillation_mask
    return HiddenBatch(batch.student_logits, head, batch.teacher_logits, head, batch.completions, *masks)


def test_the_golden_number(factory: Factory) -> None:
    """If every token has the golden divergence, so has the mean over those that count."""
    batch = hidden(active=(True, False))
    loss = factory().hidden_loss(batch, alpha=0.25, support=FULL, temperature=1.0, ratio_cap=None)
    assert loss.item() == pytest.approx(QUARTER_DIVERGENCE, abs=1e-7)
    (gradient,) = torch.autograd.grad(loss, batch.student_hidden)
    assert (gradient.abs().sum(-1) > 1e-9).tolist() == [[True, True, False], [False, False, False]]


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_the_divergence_of_each_token(factory: Factory) -> None:
    """Rows come back in their order, also where one excludes a token on one side and others do not."""
    half = torch.tensor([0.5, 0.5, 0.0]).double()
    students, teachers = torch.stack([STUDENT, STUDENT, half]).log(), torch.stack([TEACHER, STUDENT, TEACHER]).log()
    found = factory().divergence(students, teachers, alpha=0.0, support=FULL)
    assert found[:2].tolist() == pytest.approx([0.2326302, 0.0], abs=1e-6)
    assert found[2].isinf()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_what_it_does_not_have_is_not_offered(factory: Factory) -> None:
    """The sampled token and importance weights."""
    peer, batch = factory(), hidden(active=(True,))
    for support, ratio_cap in ((SAMPLED_TOKEN, None), (FULL, 2.0)):
        with pytest.raises(UnsupportedError, match="full vocabulary"):
            peer.hidden_loss(batch, alpha=1.0, support=support, temperature=1.0, ratio_cap=ratio_cap)
    with pytest.raises(UnsupportedError, match="sampled_token"):
        peer.divergence(STUDENT.log(), TEACHER.log(), alpha=1.0, support=SAMPLED_TOKEN)
