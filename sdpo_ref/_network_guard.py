"""Refuses the network inside Python, with a message; what other languages do is not seen.

A process that refuses itself the network sets a variable in its environment. Every Python process that it starts and
that loads a third party's code through :mod:`sdpo_ref._loading` then refuses itself the network as well.
"""

import errno
import functools
import ipaddress
import os
import socket
import sys

MESSAGE = "there is no network while an implementation is verified"

_REFUSED = "SDPO_REF_NO_NETWORK"
_ADDRESSED = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"})
_LOOKED_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_OWN_NAMES = frozenset({"", "localhost", "ip6-localhost", "localhost.localdomain"})


def refuse_network() -> None:
    """From now on, looking up or contacting any machine but this one raises ``OSError``; it cannot be undone.

    Processes that load an implementation below this one do the same.
    """
    os.environ[_REFUSED] = "1"
    refuse_network_if_told()


def refuse_network_if_told() -> None:
    """Refuse the network if a process above this one did."""
    if os.environ.get(_REFUSED):
        _install()


@functools.cache
def _install() -> None:
    sys.addaudithook(_watch)


def is_own(host: object) -> bool:
    """Whether a host is this machine, without asking anybody.

    Args:
        host: a name or an address, as text or bytes, or ``None``.

    Example:
        >>> is_own("127.0.0.1"), is_own("::1"), is_own("192.0.2.1"), is_own("example.org")
        (True, True, False, False)
    """
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if name is None or (isinstance(name, str) and name in {*_OWN_NAMES, socket.gethostname()}):
        return True
    try:
        address = ipaddress.ip_address(str(name).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in _ADDRESSED:
        whom = arguments[1] if len(arguments) > 1 else None
        if isinstance(whom, tuple) and whom and not is_own(whom[0]):
            _refuse(whom[0])
    elif event in _LOOKED_UP and not is_own(arguments[0]):
        _refuse(arguments[0])


def _refuse(whom: object) -> None:
    raise OSError(errno.ENETUNREACH, f"{MESSAGE}; it asked for {whom!r}: let it work from files that are there")
