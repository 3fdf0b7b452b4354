"""verl's distillation losses behind our Protocols, where verl is installed."""

import math
from importlib import metadata

import pytest
import torch

from sdpo_ref.adapters import verl
from sdpo_ref.errors import LoadError, UnsupportedError
from sdpo_ref.types import FULL, SAMPLED_TOKEN
from tests.adapters.problems import STUDENT, TEACHER, golden_batch

installed = pytest.mark.skipif(not any(metadata.distributions(name="verl")), reason="pip install verl==0.9.1")
OPTIONS = {"temperature": 1.0, "ratio_cap": None}


def test_a_missing_peer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has an environment of its own."""

    def missing(_name: str) -> str:
        raise metadata.PackageNotFoundError("verl")

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(LoadError, match=r"sdpo-ref\[verl\]"):
        verl.forward_kl()


@installed
def test_forward_kl_of_the_tokens_that_count() -> None:
    """KL(T || S) of the golden token, and no gradient where a token or its row does not count."""
    batch = golden_batch(active=(True, False))
    loss = verl.forward_kl().loss(batch, alpha=0.0, support=FULL, **OPTIONS)
    assert loss.item() == pytest.approx((TEACHER * (TEACHER / STUDENT).log()).sum().item(), abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, batch.student_logits)
    assert (gradient.abs().sum(-1) > 0).tolist() == [[True, True, False], [False, False, False]]


@installed
def test_the_log_ratio_is_the_advantage() -> None:
    """The gradient is that of log(.5 / .2) log p of the sampled token, which is the first: log 2.5 (1 - .5) there."""
    batch = golden_batch(active=(True,))
    loss = verl.policy_gradient().loss(batch, alpha=1.0, support=SAMPLED_TOKEN, **OPTIONS)
    (gradient,) = torch.autograd.grad(loss, batch.student_logits)
    assert gradient[0, 0, 0].item() == pytest.approx(math.log(2.5) * 0.5 / 2, abs=1e-7)


@installed
def test_what_it_does_not_have_is_not_offered() -> None:
    """Another alpha, another support, a temperature."""
    batch = golden_batch(active=(True,))
    with pytest.raises(UnsupportedError, match=r"alpha=0\.5"):
        verl.forward_kl().loss(batch, alpha=0.5, support=FULL, **OPTIONS)
    with pytest.raises(UnsupportedError, match="sampled_token"):
        verl.forward_kl().loss(batch, alpha=0.0, support=SAMPLED_TOKEN, **OPTIONS)
    with pytest.raises(UnsupportedError, match=r"temperature=2\.0"):
        verl.policy_gradient().loss(batch, alpha=1.0, support=SAMPLED_TOKEN, temperature=2.0, ratio_cap=None)
