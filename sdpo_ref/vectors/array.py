"""A tensor as plain Python: dtype, shape and row-major values, so that cases and derivation need no tensor library."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

DType = Literal["float64", "float32", "int64", "bool"]
"""Element types of the vectors; each has one little-endian byte layout."""

Scalar = float | int | bool

_STRUCT_CODE: dict[DType, str] = {"float64": "d", "float32": "f", "int64": "q", "bool": "?"}


@dataclass(frozen=True)
class Array:
    """A tensor that is only data.

    Attributes:
        dtype: element type.
        shape: length of each axis; empty for a scalar.
        values: the elements, last axis fastest; a float32 array holds values that float32 can represent.

    Example:
        >>> array([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 2)
    """

    dtype: DType
    shape: tuple[int, ...]
    values: tuple[Scalar, ...]

    @property
    def little_endian(self) -> bytes:
        """The elements as little-endian bytes, as safetensors stores them."""
        return struct.pack(f"<{len(self.values)}{_STRUCT_CODE[self.dtype]}", *self.values)

    def nested(self) -> Any:
        """The elements as nested lists, or as a bare number if there is no axis."""
        return _nested(self.values, self.shape)


def array(nested: Any, dtype: DType = "float64") -> Array:
    """Nested lists of numbers as an :class:`Array`; floats are rounded to the dtype.

    Args:
        nested: a number, or lists of equal length down to numbers.
        dtype: element type of the result.

    Returns:
        The same numbers with their shape.
    """
    values = tuple(_leaves(nested))
    if dtype == "float32":
        values = tuple(struct.unpack("<f", struct.pack("<f", value))[0] for value in values)
    return Array(dtype, _shape(nested), values)


def _shape(nested: Any) -> tuple[int, ...]:
    return (len(nested), *_shape(nested[0])) if isinstance(nested, Sequence) else ()


def _leaves(nested: Any) -> Iterable[Scalar]:
    if not isinstance(nested, Sequence):
        yield nested
        return
    for item in nested:
        yield from _leaves(item)


def _nested(values: Sequence[Scalar], shape: tuple[int, ...]) -> Any:
    if not shape:
        return values[0]
    stride = len(values) // shape[0]
    return [_nested(values[i * stride : (i + 1) * stride], shape[1:]) for i in range(shape[0])]
