"""Nothing is fetched at run time: verification touches no address but this machine's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCH = """
import os, socket

_connect, _lookup = socket.socket.connect, socket.getaddrinfo
_OWN = ("127.", "::1", "localhost", socket.gethostname())


def _note(host):
    if not str(host).startswith(_OWN):
        with open(os.environ["CONTACTED"], "a") as log:
            print(host, file=log)


def _watched_connect(self, address):
    _note(address[0] if isinstance(address, tuple) else "localhost")
    return _connect(self, address)


def _watched_lookup(host, *arguments, **options):
    _note(host)
    return _lookup(host, *arguments, **options)


socket.socket.connect, socket.getaddrinfo = _watched_connect, _watched_lookup
"""
"""A ``sitecustomize`` that every Python process below this one loads: remembers whom it contacts."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("implementation", "last"),
    [("reference", "TRAIN-005"), pytest.param("sdpo_ref.adapters.trl:sdpo", "TRAIN-001", marks=pytest.mark.peers)],
)
def test_verify_contacts_nobody(implementation: str, last: str, tmp_path: Path) -> None:
    """Checks of every level, in an environment that does not ask for offline mode; of the reference two processes too.

    A peer is imported in each of these in the same way, for nine CPU seconds.
    """
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "contacted"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    environment |= {"PYTHONPATH": str(tmp_path), "CONTACTED": str(log), "PYTHONDONTWRITEBYTECODE": "1"}
    only = [argument for wanted in ("LOSS-001", "TEACH-001", last) for argument in ("--only", wanted)]
    command = [str(Path(sys.executable).with_name("sdpo-ref")), "verify", implementation, *only]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert not log.exists(), log.read_text()


def test_the_watch_sees(tmp_path: Path) -> None:
    """The watch itself: a look-up of another host is remembered, one of this machine is not."""
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "contacted"
    look_up = "try: socket.getaddrinfo('{}', 1)\nexcept OSError: pass"
    code = "\n".join(["import socket", *(look_up.format(host) for host in ("localhost", "elsewhere.invalid"))])
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "CONTACTED": str(log)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert log.read_text().split() == ["elsewhere.invalid"]
