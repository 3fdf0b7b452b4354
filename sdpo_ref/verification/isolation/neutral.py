"""Events without power: whatever a worker says is text, in which nothing moves a cursor and no name breaks a line."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from sdpo_ref.verification.isolation.events import Event, Failure, Finished, Header, Opened, Refused
from sdpo_ref.verification.isolation.printable import printable


def neutral(event: Event) -> Event:
    r"""The event with every text that an implementation may have chosen spelled out.

    Args:
        event: as a worker sent it. Ids of checks are the suite's own and stay.

    Example:
        >>> neutral(Refused("factory raised \x1b[2J"))
        Refused(message='factory raised \\x1b[2J')
    """
    match event:
        case Refused(message):
            return Refused(printable(message))
        case Opened(header):
            return Opened(_header(header))
        case Finished():
            failure = event.failure and Failure(**_values(asdict(event.failure)))
            return replace(event, reason=printable(event.reason), failure=failure)
        case _:
            return event


def one_line(text: str) -> str:
    """Text as a name: spelled out, and every run of white space one blank."""
    return " ".join(printable(text).split())


def _header(header: Header) -> Header:
    return replace(
        header,
        name=one_line(header.name),
        profile=_values(header.profile),
        departures={name: (one_line(one), one_line(paper)) for name, (one, paper) in header.departures.items()},
        capabilities=tuple(map(one_line, header.capabilities)),
        versions=_values(header.versions),
        isolation=_values(header.isolation),
    )


def _values(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: printable(text) for name, text in texts.items()}
