"""A check asks on what is offered: every support that is declared and answers, and alphas that exist."""

from types import SimpleNamespace

import pytest
from torch import Tensor

from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Support
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject


def _offering(*capabilities: str, **declared: object) -> Subject:
    return Subject(SimpleNamespace(loss=sdpo_loss, capabilities=capabilities, **declared))


def test_every_support_that_is_declared() -> None:
    """Each at the alpha that is asked for; the sampled token at alpha 1 only."""
    offered = _offering("loss", "loss.top_k_tail", "loss.top_k_renormalized", "loss.sampled_token").offered
    wide = [FULL, Support("top_k_tail", 2), Support("top_k_renormalized", 2)]
    assert offered.each("loss", at=0.0) == tuple(Setting(0.0, support) for support in wide)
    assert offered.each("loss", at=1.0) == tuple(Setting(1.0, support) for support in [*wide, SAMPLED_TOKEN])
    assert [setting.alpha for setting in offered.each("loss")] == [0.25, 0.25, 0.25, 1.0]


@pytest.mark.parametrize(
    ("capability", "support"),
    [
        ("loss", FULL),
        ("loss.top_k_tail", Support("top_k_tail", 4)),
        ("loss.top_k_renormalized", Support("top_k_renormalized", 5)),
        ("loss.sampled_token", SAMPLED_TOKEN),
    ],
)
def test_the_whole_vocabulary_on_what_there_is(capability: str, support: Support) -> None:
    """A top-k that leaves nothing out stands for the full vocabulary."""
    assert _offering(capability).offered.one("loss", at=1.0, vocab=5) == Setting(1.0, support)


@pytest.mark.parametrize(
    ("alphas", "at", "stands_for_it"),
    [("all", 0.25, 0.25), ([0.0, 1.0], 1.0, 1.0), ({0.5}, 0.25, 0.5), ([0.5, 0.1, 1.0], 0.25, 0.1), (0.0, 0.0, 0.0)],
)
def test_alphas_that_exist(alphas: object, at: float, stands_for_it: float) -> None:
    """One between the ends stands for another; an end is itself."""
    assert _offering("loss", profile={"alphas": alphas}).offered.one("loss", at=at, vocab=3).alpha == stands_for_it


def test_alphas_that_do_not_exist() -> None:
    """A check that asks at one does not apply, and the reason says so."""
    offered = _offering("loss", profile={"alphas": [0.0]}).offered
    with pytest.raises(NotAskedError, match="the profile declares alpha 0, so not any between 0 and 1"):
        offered.each("loss", at=0.25)
    with pytest.raises(NotAskedError, match=r"alpha 0, so not 1\.0"):
        offered.one("loss", at=1.0, vocab=3)
    assert offered.one("loss", near=0.25, vocab=3).alpha == 0.0
    with pytest.raises(NotAskedError, match="the sampled token has alpha 1 only"):
        _offering("loss.sampled_token").offered.each("loss", at=0.0)


def test_what_does_not_answer_is_not_asked() -> None:
    """CONF-001 says that it is declared and missing; everything else is asked where there are answers."""

    def loss(batch: object, *, alpha: float, support: Support, **_: object) -> Tensor:
        if alpha not in (0.0, 1.0) or support.kind == "top_k_tail":
            raise NotImplementedError
        return sdpo_loss(batch, alpha=alpha, support=support)  # type: ignore[arg-type]

    offered = Subject(SimpleNamespace(loss=loss, capabilities=["loss", "loss.top_k_tail"])).offered
    assert offered.each("loss", at=0.0) == (Setting(0.0, FULL),)
    assert offered.each("loss", near=0.25) == (Setting(0.0, FULL),)
    with pytest.raises(NotAskedError, match=r"does not answer at alpha 0\.25"):
        offered.each("loss", at=0.25)
    assert offered.alphas("loss") == {0.0: True, 0.25: False, 1.0: True}
    assert offered.on("loss", FULL, near=0.5) == Setting(0.0, FULL)


def test_a_part_that_never_answers_is_asked() -> None:
    """The check that calls it shows the error, and comes after CONF-001."""

    def loss(*_: object, **__: object) -> Tensor:
        raise ValueError

    offered = Subject(SimpleNamespace(loss=loss, capabilities=["loss"])).offered
    assert offered.one("loss", at=0.25, vocab=3) == Setting(0.25, FULL)
