"""The network is refused inside Python with a message; this machine itself is not."""

import ipaddress
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref._network_guard import is_own

TRY = """
import socket, sys
from sdpo_ref._network_guard import refuse_network
refuse_network()
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
socket.getaddrinfo("localhost", 1)
one, other = socket.socketpair(socket.AF_UNIX)
one.send(b"x")
def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        print(error)
    else:
        print("NOT REFUSED", call, arguments)
refused(socket.create_connection, ("192.0.2.1", 80), 5)
refused(socket.socket(type=socket.SOCK_DGRAM).sendto, b"x", ("192.0.2.1", 53))
refused(socket.getaddrinfo, "somewhere.invalid", 80)
refused(socket.gethostbyname, "somewhere.invalid")
refused(socket.socket().bind, ("192.0.2.1", 0))
"""

LOAD = """
from sdpo_ref._loading import resolve
try:
    resolve("socket:create_connection")(("192.0.2.1", 80), 5)
except OSError as error:
    print(error)
"""


@given(st.ip_addresses())
def test_only_this_machine_is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Of all addresses, only those of loopback and "every interface" are this machine's own."""
    assert is_own(str(address)) is (address.is_loopback or address.is_unspecified)


def python(program: str, **environment: str) -> list[str]:
    """Lines that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_others_are_refused_by_name() -> None:
    """Loopback and sockets of the file system work; each way to another machine is refused with whom and why."""
    lines = python(TRY)
    assert len(lines) == 5
    for line, whom in zip(
        lines, ["192.0.2.1", "192.0.2.1", "somewhere.invalid", "somewhere.invalid", "192.0.2.1"], strict=True
    ):
        assert "there is no network while an implementation is verified" in line
        assert f"it asked for {whom!r}" in line


def test_a_python_below_is_told_by_the_environment() -> None:
    """A process that was started by one without a network has none either when it loads an implementation."""
    (line,) = python(LOAD, SDPO_REF_NO_NETWORK="1")
    assert "it asked for '192.0.2.1'" in line
