"""ms-swift's GKD loss behind our Protocols, where ms-swift is installed."""

from importlib import metadata

import pytest
import torch

from sdpo_ref.adapters import ms_swift
from sdpo_ref.errors import LoadError, UnsupportedError
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Support
from tests.adapters.problems import QUARTER_DIVERGENCE, STUDENT, TEACHER, golden_batch

installed = pytest.mark.skipif(
    not any(metadata.distributions(name="ms-swift")), reason="pip install --no-deps ms-swift==4.6.0"
)
OPTIONS = {"alpha": 0.25, "temperature": 1.0, "ratio_cap": None}


def test_a_missing_peer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one module that is used needs none of the package's dependencies."""

    def missing(_name: str) -> str:
        raise metadata.PackageNotFoundError("ms-swift")

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(LoadError, match=r"pip install --no-deps ms-swift==4\.6\.0"):
        ms_swift.make()


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its private parts may differ."""
    monkeypatch.setattr(metadata, "version", lambda _name: "4.7.0")
    with pytest.raises(LoadError, match=r"ms-swift 4\.6\.0, received 4\.7\.0"):
        ms_swift.make()


@installed
def test_the_golden_number() -> None:
    """If every token has the golden divergence, so has the mean over those that count."""
    peer = ms_swift.make()
    assert peer.divergence(STUDENT.log(), TEACHER.log(), alpha=0.25, support=FULL).item() == pytest.approx(
        QUARTER_DIVERGENCE, abs=1e-10
    )
    loss = peer.loss(golden_batch(active=(True, False)), support=FULL, **OPTIONS)
    assert loss.item() == pytest.approx(QUARTER_DIVERGENCE, abs=1e-10)


@installed
def test_the_teachers_top_k_is_rescaled() -> None:
    """The teacher's two likeliest tokens are the first two: [5/8, 3/8] against [1/4, 3/4]."""
    student, teacher = torch.tensor([0.625, 0.375]).double(), torch.tensor([0.25, 0.75]).double()
    expected = (student * (student / teacher).log()).sum().item()
    found = ms_swift.make().divergence(
        STUDENT.log(),
        (TEACHER + torch.tensor([1e-9, 0, 0])).log(),
        alpha=1.0,
        support=Support("top_k_renormalized", k=2),
    )
    assert found.item() == pytest.approx(expected, abs=1e-7)


@installed
def test_what_it_does_not_have_is_not_offered() -> None:
    """A tail, the sampled token and importance weights."""
    peer, batch = ms_swift.make(), golden_batch(active=(True,))
    for support in (SAMPLED_TOKEN, Support("top_k_tail", k=2)):
        with pytest.raises(UnsupportedError, match=support.kind):
            peer.loss(batch, support=support, **OPTIONS)
    with pytest.raises(UnsupportedError, match="ratio_cap"):
        peer.loss(batch, support=FULL, alpha=0.25, temperature=1.0, ratio_cap=2.0)
