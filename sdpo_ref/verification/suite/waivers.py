"""Known failures of a user's implementation, each with a reason, a link and a date on which the waiver ends.

A waiver keeps a user's build green until a known failure is fixed. It changes no result
(spec/decisions/0026): a waived MUST is listed, and nothing that waives one is conformant.
"""

import datetime as dt
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sdpo_ref.errors import UsageError
from sdpo_ref.verification.isolation.text import one_line
from sdpo_ref.verification.suite.catalogue import Catalogue

LONGEST = dt.timedelta(days=366)
"""How far ahead a waiver may expire: after a year it must be reviewed."""

_EXAMPLE = 'id = "LOSS-003", reason = "...", link = "https://...", expires = 2027-01-31'
_ALLOWED = {
    "id": "the id of a requirement, such as LOSS-003",
    "reason": "one sentence: why it fails",
    "link": "the http or https address of the issue where it is being fixed",
    "expires": "a date without quotes, such as 2027-01-31",
}


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(one_line)]


class Waiver(BaseModel):
    """Why one requirement may fail, and until when."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, to_upper=True), AfterValidator(one_line)]
    """The requirement."""
    reason: _Text
    """In one sentence."""
    link: Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$"), AfterValidator(one_line)]
    """Where it is being fixed."""
    expires: dt.date
    """The last day on which the waiver holds."""

    @property
    def until(self) -> str:
        """For a person.

        Example:
            >>> Waiver(id="LOSS-003", reason="r", link="https://a.b", expires=dt.date(2027, 1, 31)).until
            'waived until 2027-01-31'
        """
        return f"waived until {self.expires}"


def today() -> dt.date:
    """The day that decides whether a waiver has expired, the same all over the world."""
    return dt.datetime.now(tz=dt.UTC).date()


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """The entries of a file; what they name is checked by :func:`refuse_wrong`.

    Args:
        path: a TOML file of ``[[waiver]]`` entries, or an empty one.

    Returns:
        The waivers, in the file's order.

    Raises:
        UsageError: if it cannot be read, holds anything else, or an entry is incomplete or there twice.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}; it holds [[waiver]] entries: {_EXAMPLE}") from error
    entries = document.pop("waiver", [])
    if document or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        received = ", ".join(map(repr, document)) or "[waiver]"
        raise UsageError(f"{path} holds {received}; allowed are [[waiver]] entries only: {_EXAMPLE}")
    waivers = tuple(_parse(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, 1))
    twice = [name for name, count in Counter(waiver.id for waiver in waivers).items() if count > 1]
    if twice:
        raise UsageError(f"{path} waives {', '.join(twice)} more than once; keep one entry for each requirement")
    return waivers


def _parse(entry: dict[str, Any], where: str) -> Waiver:
    try:
        return Waiver.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{where}: unknown key {name!r}; allowed are {', '.join(_ALLOWED)}") from error
        received = "missing" if first["type"] == "missing" else repr(entry[name])
        raise UsageError(f"{where}: {name} is {received}; it must be {_ALLOWED[name]}") from error


def refuse_wrong(waivers: Iterable[Waiver], catalogue: Catalogue, on: dt.date) -> None:
    """Refuse waivers without a requirement, expired ones, and those that last too long, before anything is started.

    Args:
        waivers: to check.
        catalogue: the specification.
        on: today.

    Raises:
        UsageError: for an id that no requirement has, a day that has passed, or one more than a year ahead.
    """
    for waiver in waivers:
        try:
            catalogue[waiver.id]
        except UsageError as error:
            raise UsageError(f"a waiver names no requirement: {error}; correct its id or remove it") from error
        if waiver.expires < on:
            raise UsageError(
                f"the waiver of {waiver.id} expired on {waiver.expires} and today is {on}; fix what fails and remove "
                f"the entry, or look at {waiver.link} again and give it a new date"
            )
        if waiver.expires > on + LONGEST:
            raise UsageError(
                f"the waiver of {waiver.id} expires on {waiver.expires}; allowed is up to {on + LONGEST}, a year from "
                "today, so that it is reviewed"
            )
