"""What a worker writes, the runner reads back unchanged; what is no event is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.verification.isolation.events import (
    Answered,
    Check,
    Closed,
    Collected,
    Event,
    Failure,
    Finished,
    Forged,
    Header,
    Opened,
    Order,
    Refused,
    Started,
    decode,
    encode,
)
from sdpo_ref.verification.isolation.text import printable, printable_event
from sdpo_ref.verification.status import Status

HEADER = Header("m:f", "mine", {"aggregation": "row_mean"}, {"aggregation": ("row_mean", "token_mean")}, ("loss",), {})
EVENTS: tuple[Event, ...] = (
    Refused("no\nmodule"),
    Opened(HEADER),
    Collected((Check("a.py::t[x]", ("LOSS-001",), ("loss",), selected=True),), ("b.py: broken",)),
    Started("a.py::t[x]"),
    Finished("a.py::t[x]", Status.PASS, "", 0.25),
    Finished("a.py::t[x]", Status.FAIL, "", 0.25, Failure(got="2 nats")),
    Closed(),
    Answered({"a call": ("", (0.5, 1e-300)), "another": ("raised", ())}, "float32"),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_survives_the_pipe(event: Event) -> None:
    """One line of JSON gives back an equal event."""
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event


@pytest.mark.parametrize("line", ["", "garbage", "3", "{}", '{"event": "Nothing"}', '{"event": "Started"}'])
def test_what_is_no_event_is_refused(line: str) -> None:
    """Noise on the pipe is an error, never an event."""
    with pytest.raises(ValueError, match="event"):
        decode(line)


@pytest.mark.parametrize(
    ("check", "function", "short"),
    [
        ("loss/test_a.py::test_b", "loss/test_a.py::test_b", "test_b"),
        ("loss/test_a.py::test_b[c::d]", "loss/test_a.py::test_b", "test_b[c::d]"),
    ],
)
def test_a_check_is_locked_without_and_shown_with_parameters(check: str, function: str, short: str) -> None:
    """Parameters belong to what a person reads, and not to what the manifest locks."""
    found = Check(check, (), (), selected=True)
    assert (found.function, found.short) == (function, short)


def test_control_characters_are_spelled_out() -> None:
    """No output can move a cursor or break an XML file; line breaks and letters of any script stay."""
    assert printable("a\x1b[31m\x00\ud800\ufffe ‖ß\n\t") == "a\\x1b[31m\\x00\\ud800\\ufffe ‖ß\n\t"


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_what_is_spelled_out_is_shown_and_stays(text: str) -> None:
    """Of any text, only characters are left that are shown; a second time changes nothing."""
    shown = printable(text)
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)
    assert printable(shown) == shown


def test_names_are_one_line() -> None:
    """No name in the header begins a row of its own, and no field of a failure keeps an escape sequence."""
    opened = printable_event(Opened(replace(HEADER, name="a\nverified  b\x1b[2J")))
    assert isinstance(opened, Opened)
    assert opened.header.name == "a verified b\\x1b[2J"
    finished = printable_event(Finished("a.py::t", Status.FAIL, "\r", failure=Failure(got="\x07", traceback="\x9b1A")))
    assert finished == Finished("a.py::t", Status.FAIL, "\\r", failure=Failure(got="\\x07", traceback="\\x9b1A"))


def a_run(*events: Event) -> list[bool]:
    """Which events are taken for those of a worker."""
    order = Order()
    return [order.allows(event) for event in events]


def test_events_come_in_the_order_of_a_worker() -> None:
    """Whatever comes elsewhere is not the worker's: a check that never began, a second header, anything at the end."""
    opened, collected, closed = Opened(HEADER), Collected(()), Closed()
    begun, ended = Started("a"), Finished("a", Status.PASS)
    assert all(a_run(opened, collected, begun, ended, Started("b"), Finished("b", Status.PASS), closed))
    assert all(a_run(collected, closed))
    for wrong in (
        (opened, begun),
        (opened, opened),
        (opened, collected, opened),
        (opened, collected, ended),
        (opened, collected, begun, Finished("b", Status.PASS)),
        (opened, collected, begun, closed),
        (opened, collected, begun, ended, ended),
        (opened, collected, begun, begun),
        (opened, collected, closed, begun),
        (opened, collected, Refused("no")),
        (opened, Forged("x")),
        (closed,),
    ):
        assert not a_run(*wrong)[-1]


def test_answers_come_after_everything_else_and_once() -> None:
    """What comes elsewhere is forged."""
    order = Order()
    answered = Answered({}, "float64")
    events: tuple[Event, ...] = (answered, Collected(()), answered, Closed(), Closed())
    assert [order.allows(event) for event in events] == [False, True, False, True, False]
    order = Order()
    events = (Collected(()), Closed(), answered, answered)
    assert [order.allows(event) for event in events] == [True, True, True, False]
