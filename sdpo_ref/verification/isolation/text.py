"""Text of an implementation with its control characters escaped: as a string, as a name, and in a worker's events."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from sdpo_ref.verification.isolation.events import Event, Failure, Finished, Header, Opened, Refused


def printable(text: str) -> str:
    r"""The text with every character escaped that a terminal or an XML file would not show.

    Line breaks and tabs stay. Escaping twice changes nothing.

    Args:
        text: any, lone surrogates included.

    Example:
        >>> print(printable("red \x1b[31m"))
        red \x1b[31m
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1] for letter in text)


def one_line(text: str) -> str:
    """Text as a name: escaped, and every run of white space one blank."""
    return " ".join(printable(text).split())


def printable_event(event: Event) -> Event:
    r"""The event with control characters escaped in every text that an implementation may have chosen.

    Args:
        event: as a worker sent it. Ids of checks are the suite's own and stay.

    Example:
        >>> printable_event(Refused("factory raised \x1b[2J"))
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
