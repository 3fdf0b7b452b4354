"""Tensors and numbers survive JSON digit for digit, and what is no tensor is refused with what was received."""

import json
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sdpo_ref.verification.entry.json_lines.tensors import decode_tensor, encode_number, encode_tensor

ELEMENTS: dict[torch.dtype, st.SearchStrategy[float]] = {
    torch.float64: st.floats(),
    torch.float32: st.floats(width=32),
    torch.float16: st.floats(width=16),
    torch.bfloat16: st.floats(width=16),
    torch.int64: st.integers(-(2**63), 2**63 - 1),
    torch.bool: st.booleans(),
}


@given(dtype=st.sampled_from(list(ELEMENTS)), shape=st.lists(st.integers(0, 3), max_size=3), data=st.data())
def test_a_tensor_survives(dtype: torch.dtype, shape: list[int], data: st.DataObject) -> None:
    """Dtype, shape and every element, infinities, NaN and the sign of zero included."""
    size = math.prod(shape)
    flat = data.draw(st.lists(ELEMENTS[dtype], min_size=size, max_size=size))
    tensor = torch.tensor(flat, dtype=dtype).reshape(shape)
    found = decode_tensor(json.loads(json.dumps(encode_tensor(tensor), allow_nan=False)))
    assert found.dtype is dtype
    torch.testing.assert_close(found, tensor, rtol=0.0, atol=0.0, equal_nan=True)
    counted = ~tensor.isnan()
    assert torch.equal(found.signbit()[counted], tensor.signbit()[counted])


@example(math.inf)
@example(-math.inf)
@example(math.nan)
@given(st.floats())
def test_a_number_survives(number: float) -> None:
    """A double is read back as the same double; what JSON cannot hold is text."""
    encoded = json.loads(json.dumps(encode_number(number), allow_nan=False))
    found = float(encoded)
    assert found == number or (math.isnan(found) and math.isnan(number))
    assert isinstance(encoded, str) is not math.isfinite(number)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, r"an object with dtype, shape and data, received 0\.5"),
        ([[0.5]], r"an object with dtype, shape and data, received \[\[0\.5\]\]"),
        ({"dtype": "float64", "shape": [1]}, r"an object with dtype, shape and data"),
        ({"dtype": "float128", "shape": [1], "data": [1]}, r"dtype must be one of float64, .* received 'float128'"),
        ({"dtype": "float64", "shape": [-1], "data": []}, r"shape must be a list of sizes, received \[-1\]"),
        ({"dtype": "float64", "shape": 1, "data": [1]}, r"shape must be a list of sizes, received 1"),
        ({"dtype": "float64", "shape": [2], "data": [1]}, r"a flat list of 2 elements, received 1 elements"),
        ({"dtype": "float64", "shape": [2], "data": [[1], [2]]}, r"must be a number, .* received \[1\]"),
        ({"dtype": "float64", "shape": [], "data": 1}, r"a flat list of 1 elements, received 1"),
        (
            {"dtype": "float64", "shape": [1], "data": [None]},
            r'must be a number, "inf", "-inf" or "nan", received None',
        ),
        ({"dtype": "float64", "shape": [1], "data": ["Infinity"]}, r"received 'Infinity'"),
        ({"dtype": "float64", "shape": [1], "data": [True]}, r"must be a number, .* received True"),
        ({"dtype": "float64", "shape": [1], "data": [10**400]}, r"too large for a double"),
        ({"dtype": "int64", "shape": [1], "data": [1.5]}, r"an element of int64 must be a int, received 1\.5"),
        ({"dtype": "int64", "shape": [1], "data": [2**63]}, r"an element of int64 must be a int"),
        ({"dtype": "bool", "shape": [1], "data": [1]}, r"an element of bool must be a bool, received 1"),
    ],
)
def test_what_is_no_tensor_is_refused(value: object, message: str) -> None:
    """The message says what was received and what is allowed."""
    with pytest.raises(ValueError, match=message):
        decode_tensor(value)
