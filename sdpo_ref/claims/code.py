"""Which code gave a result: the one that was run for it, and those of which it was shown that they give the same.

A change of an executed module changes the fingerprint, and need not change a number. ``sdpo-ref claims carry`` shows by
recomputation that none has changed; each such step is kept here with how much was compared (spec/decisions/0049).
"""

from pydantic import BaseModel, ConfigDict


class Carry(BaseModel):
    """A change of the code that altered no number that was compared.

    Attributes:
        before: fingerprint of the code that gave the numbers.
        after: of the changed code, under which those that were compared are the same.
        compared: how many stored runs were run again.
        of: how many stored runs the result rests on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str
    after: str
    compared: int
    of: int


class Code(BaseModel):
    """The code of one result.

    Attributes:
        decided: fingerprint of the code that was run for it.
        carried: changes since, the oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decided: str
    carried: tuple[Carry, ...] = ()

    @property
    def now(self) -> str:
        """Fingerprint of the latest code that gives the result.

        Example:
            >>> Code(decided="a", carried=(Carry(before="a", after="b", compared=4, of=256),)).now
            'b'
        """
        return self.carried[-1].after if self.carried else self.decided

    def gave(self, code: str) -> bool:
        """Whether a code is among those that give the result.

        Args:
            code: its fingerprint.
        """
        return code in (self.decided, *(one.after for one in self.carried))

    def carry(self, after: str, *, compared: int, of: int) -> "Code":
        """With one more step.

        Args:
            after: fingerprint of the changed code.
            compared: how many stored runs were run again.
            of: how many stored runs the result rests on.
        """
        step = Carry(before=self.now, after=after, compared=compared, of=of)
        return Code(decided=self.decided, carried=(*self.carried, step))
