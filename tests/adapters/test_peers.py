"""Loading a peer: the message when it is absent or another release."""

import sys
from collections.abc import Callable
from importlib import metadata
from types import SimpleNamespace

import pytest

from sdpo_ref.adapters import sdpo_rl, trl
from sdpo_ref.adapters.peers import assembled
from sdpo_ref.errors import LoadError, UsageError

Factory = Callable[..., SimpleNamespace]


@pytest.mark.parametrize("factory", [trl.sdpo, trl.sdft, trl.distillation, sdpo_rl.make])
def test_a_missing_peer_says_what_to_install(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TRL every factory raises a LoadError that names the extra."""
    monkeypatch.setattr(metadata, "version", lambda _name: "1.16.0")
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.setitem(sys.modules, "trl.experimental.sdpo", None)
    with pytest.raises(LoadError, match=r"pip install 'sdpo-ref\[peers\]'"):
        factory()


@pytest.mark.peers
@pytest.mark.parametrize("release", ["1.17.0", "1.160", "1.1.16"])
def test_another_release_is_refused(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose private parts may differ is refused by its number, before any part is called."""
    monkeypatch.setattr(metadata, "version", lambda _name: release)
    with pytest.raises(LoadError, match=rf"trl 1\.16, received {release}"):
        trl.sdpo()


@pytest.mark.peers
def test_an_attribute_may_be_replaced() -> None:
    """A profile given to the factory is what the implementation declares."""
    assert trl.sdpo(profile="paper").profile == "paper"


def test_an_unknown_attribute_is_refused() -> None:
    """An override that would change nothing is an error that lists what may be replaced."""
    with pytest.raises(UsageError, match=r"no \['profil'\]; what may be replaced is name, profile"):
        assembled({"name": "peer", "profile": "paper"}, {"profil": "paper"})
