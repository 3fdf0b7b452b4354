"""The peers' divergences behind our Protocols."""

import math

import pytest
import torch

from sdpo_ref.adapters.sdpo_rl.losses import divergence as sdpo_rl_divergence
from sdpo_ref.adapters.trl.losses import divergence as trl_divergence
from sdpo_ref.errors import UnsupportedError
from sdpo_ref.protocols.parts import Divergence
from sdpo_ref.types import FULL, Support
from tests.adapters.problems import QUARTER_DIVERGENCE, STUDENT, TEACHER

pytestmark = [pytest.mark.peers, pytest.mark.parametrize("divergence", [trl_divergence, sdpo_rl_divergence])]


def test_full_vocabulary(divergence: Divergence) -> None:
    """At alpha = 1/4 the golden number comes out."""
    value = divergence(STUDENT.log(), TEACHER.log(), alpha=0.25, support=FULL)
    assert value.item() == pytest.approx(QUARTER_DIVERGENCE, abs=1e-10)


def test_tail_and_renormalisation_differ(divergence: Divergence) -> None:
    """With one token, the tail bucket gives KL([.5, .5] || [.2, .8]), and rescaling leaves nothing to compare."""
    tail = divergence(STUDENT.log(), TEACHER.log(), alpha=1.0, support=Support("top_k_tail", k=1))
    assert tail.item() == pytest.approx(0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.8), abs=1e-6)
    rescaled = divergence(STUDENT.log(), TEACHER.log(), alpha=1.0, support=Support("top_k_renormalized", k=1))
    assert rescaled.item() == 0.0


def test_the_sampled_token_is_not_a_divergence(divergence: Divergence) -> None:
    """Neither peer has a divergence of the sampled token, and the adapter says so."""
    with pytest.raises(UnsupportedError, match="surrogate"):
        divergence(STUDENT.log(), TEACHER.log(), alpha=1.0, support=Support("sampled_token"))


def test_nothing_is_repaired(divergence: Divergence) -> None:
    """The peers give NaN where both sides exclude a token, and the adapter hands it through."""
    excluded = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log()
    assert divergence(excluded, excluded, alpha=0.5, support=FULL).isnan()
