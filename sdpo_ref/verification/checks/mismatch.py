"""The failure that a check raises: structured, so that a report can name the fix, whatever the check."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

TOO_LARGE = "tensor of shape"
"""How an input that is too large to show begins."""


@dataclass(eq=False)
class Mismatch(AssertionError):  # noqa: N818 - a finding, as AssertionError's other children are
    """An implementation returned something other than what the requirement demands.

    Attributes:
        expected: what the specification demands, as text with its unit.
        got: what the implementation returned, as text with its unit.
        tolerance: how far the two may lie apart, and why that far.
        given: the smallest input found that shows it, one line for each name.
        looks_like: a known defect with this signature, if there is one.
    """

    expected: str
    got: str
    tolerance: str = ""
    given: str = ""
    looks_like: str = ""

    def __str__(self) -> str:
        """All fields that are set, one after the other."""
        lines = [f"expected {self.expected}", f"got      {self.got}"]
        lines += [f"within   {self.tolerance}"] if self.tolerance else []
        lines += [f"given    {self.given}"] if self.given else []
        lines += [f"looks like {self.looks_like}"] if self.looks_like else []
        return "\n".join(lines)


class ImplementationRaisedError(Exception):
    """The implementation raised where the specification asks for a result; holds its own traceback as text."""

    def __init__(self, part: str, summary: str, text: str) -> None:
        super().__init__(f"{part} raised {summary}")
        self.part = part
        self.summary = summary
        self.traceback = text


class NoAnswerError(ImplementationRaisedError):
    """The implementation is a program that ended, hung or wrote an invalid answer: neither a result nor a refusal."""

    def __str__(self) -> str:
        """The part, and what happened instead of an answer."""
        return f"{self.part}: {self.summary}"


class ChangedProcessError(ImplementationRaisedError):
    """The implementation changed something about its process while it was called, and the check broke."""

    def __init__(self, changed: Sequence[str], error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        super().__init__("process", f"{type(error).__name__}: {error}", text)
        self._changed = changed

    def __str__(self) -> str:
        """What was changed, what became of that, and what to do."""
        return (
            f"while it was called, the implementation changed {', '.join(self._changed)}, and the check broke "
            f"({self.summary}); restore that before returning"
        )


class NotOfferedError(Exception):
    """The implementation does not offer a part or an option (it raised ``NotImplementedError``)."""

    def __init__(self, part: str, summary: str) -> None:
        super().__init__(f"{part} does not offer this: {summary}")
        self.part = part
        self.summary = summary


class NotAskedError(Exception):
    """A check asks for what is not on offer, such as another alpha or another support: it does not apply."""
