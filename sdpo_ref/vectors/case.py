"""What a golden vector is before it becomes a file: a question with its options, and later the derived answer."""

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from sdpo_ref.vectors.array import Array, DType

Kind = Literal[
    "divergence", "loss", "hidden_loss", "top_k_loss", "hybrid", "implicit_reward", "trust_region", "average"
]
"""Which function of the specification a vector is about; one pair of files for each."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Option = float | int | str | None
"""An option's value. ``k`` is the only integer; every other number is a float64."""


@dataclass(frozen=True)
class Hazard:
    """Why a case exists.

    Attributes:
        bug: the kind of bug that the case catches.
        effect: what that bug does in training.
    """

    bug: str
    effect: str


@dataclass(frozen=True)
class Tolerance:
    """How far a result may lie from the expected one: ``|got - expected| <= absolute + relative * |expected|``.

    Attributes:
        relative: dimensionless.
        absolute: in the unit of the expected tensor (nats, or nats per logit for a gradient).
        derivation: why this far and no further.
    """

    relative: float
    absolute: float
    derivation: str

    def allows(self, got: float, expected: float) -> bool:
        """Whether ``got`` passes for ``expected``; an infinity needs the same infinity.

        Example:
            >>> Tolerance(relative=0.0, absolute=0.1, derivation="").allows(1.05, 1.0)
            True
        """
        if math.isinf(expected):
            return got == expected
        return abs(got - expected) <= self.absolute + self.relative * abs(expected)


@dataclass(frozen=True)
class KnownWrong:
    """The number that a well-known defect gives in place of an expected tensor.

    Attributes:
        expected: name of the expected tensor that the defect misses.
        value: what the defect gives, last axis fastest.
        looks_like: the defect.
    """

    expected: str
    value: tuple[float, ...]
    looks_like: str


@dataclass(frozen=True)
class Case:
    """One question, without its answer.

    Attributes:
        id: unique among all kinds.
        kind: the function that is called.
        requirements: ids of the specification that the answer follows from.
        comment: the question, in one sentence.
        hazard: what a wrong answer means.
        options: keyword arguments of the function.
        inputs: tensors by name.
        tolerance: how exact an answer must be.
    """

    id: str
    kind: Kind
    requirements: tuple[str, ...]
    comment: str
    hazard: Hazard
    options: Mapping[str, Option]
    inputs: Mapping[str, Array]
    tolerance: Tolerance

    @property
    def dtype(self) -> DType:
        """Element type of the floating-point inputs, in which an implementation should compute."""
        return "float32" if any(tensor.dtype == "float32" for tensor in self.inputs.values()) else "float64"


@dataclass(frozen=True)
class Answer:
    """What the derivation says about a case.

    Attributes:
        expected: tensors by name.
        known_wrong: what well-known defects would give.
    """

    expected: Mapping[str, Array]
    known_wrong: tuple[KnownWrong, ...]


def content_hash(
    options: Mapping[str, Option], tolerance: Tolerance, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]
) -> str:
    """SHA-256 of everything that decides a verdict; independent of how the files are laid out.

    The hashed bytes are described for other languages in ``conformance/vectors/README.md``.

    Args:
        options: the case's options.
        tolerance: its numbers count, its derivation does not.
        tensors: inputs and expected tensors by name: dtype, shape, little-endian bytes.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for line in _option_lines(options, tolerance):
        digest.update(line.encode() + b"\n")
    for name, (dtype, shape, data) in sorted(tensors.items()):
        digest.update(f"{name} {dtype} [{','.join(map(str, shape))}]\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _option_lines(options: Mapping[str, Option], tolerance: Tolerance) -> Iterator[str]:
    numbers: dict[str, Option] = {"absolute": tolerance.absolute, "relative": tolerance.relative}
    for prefix, values in (("option", options), ("tolerance", numbers)):
        for name, value in sorted(values.items()):
            yield f"{prefix} {name}={_canonical(value)}"


def _canonical(value: Option) -> str:
    if value is None:
        return "null"
    return struct.pack(">d", value).hex() if isinstance(value, float) else str(value)
