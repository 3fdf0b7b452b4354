"""Says of a check that ran into a ceiling which ceiling it was."""

from dataclasses import replace

from sdpo_ref.verification.isolation.ceilings import FILE_MIB
from sdpo_ref.verification.isolation.events import Finished
from sdpo_ref.verification.isolation.limits import Limits
from sdpo_ref.verification.status import Status

_NO_MEMORY = ("MemoryError", "allocate memory", "bad_alloc")
_NO_FILE = ("File too large",)


def named_ceiling(event: Finished, limits: Limits) -> Finished:
    """The event, with the ceiling's name and what to do if its message speaks of one.

    What breaks a check by using up the memory is the implementation and not the check, so it is an ERROR.

    Args:
        event: how a check ended.
        limits: in force.
    """
    failure = event.failure
    if failure is None:
        return event
    said = f"{failure.message}\n{failure.traceback}"
    if any(words in said for words in _NO_MEMORY):
        note = f"each process may use {limits.memory:g} GiB; if it needs more, raise --memory-limit"
    elif any(words in said for words in _NO_FILE):
        note = f"a file, what is printed included, may grow to {FILE_MIB} MiB"
    else:
        return event
    status = Status.ERROR if event.status is Status.INVALID else event.status
    return replace(event, status=status, failure=replace(failure, message=f"{failure.message}; {note}"))
