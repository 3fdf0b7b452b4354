"""Tensors and numbers as JSON: shape, dtype and a flat list, last axis fastest; infinities and NaN as text."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES: Mapping[torch.dtype, str] = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.int64: "int64",
    torch.bool: "bool",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
_SPECIAL: Mapping[str, float] = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode_number(number: float) -> float | str:
    """A number as JSON can hold it; a double survives digit for digit.

    Args:
        number: any.

    Example:
        >>> encode_number(0.1), encode_number(-math.inf)
        (0.1, '-inf')
    """
    if math.isfinite(number):
        return number
    return "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"


def encode_tensor(tensor: Tensor) -> dict[str, object]:
    """A tensor as JSON can hold it.

    Args:
        tensor: of floating-point numbers, int64 or bool, on any device. No gradient.

    Example:
        >>> encode_tensor(torch.tensor([[True, False]]))
        {'dtype': 'bool', 'shape': [1, 2], 'data': [True, False]}
    """
    flat: list[float] = tensor.detach().reshape(-1).tolist()
    data = list(map(encode_number, flat)) if tensor.is_floating_point() else flat
    return {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data": data}


def decode_tensor(value: object) -> Tensor:
    """The tensor that JSON stands for.

    Args:
        value: what was received.

    Raises:
        ValueError: if it is not a tensor; the message has what was received and what is allowed.

    Example:
        >>> decode_tensor({"dtype": "float64", "shape": [2], "data": [0.5, "-inf"]})
        tensor([0.5000,   -inf], dtype=torch.float64)
    """
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data"}:
        raise ValueError(f"a tensor is an object with dtype, shape and data, received {_shown(value)}")
    dtype, shape, data = _DTYPES.get(str(value["dtype"])), value["shape"], value["data"]
    if dtype is None:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, received {_shown(value['dtype'])}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"shape must be a list of sizes, received {_shown(shape)}")
    if not isinstance(data, list) or len(data) != math.prod(shape):
        held = f"{len(data)} elements" if isinstance(data, list) else _shown(data)
        raise ValueError(f"data of shape {shape} must be a flat list of {math.prod(shape)} elements, received {held}")
    return torch.tensor([_element(element, dtype) for element in data], dtype=dtype).reshape(shape)


def _element(element: object, dtype: torch.dtype) -> float | int:
    if dtype is torch.bool or dtype is torch.int64:
        wanted = bool if dtype is torch.bool else int
        if type(element) is wanted and -(2**63) <= element < 2**63:
            return element
        raise ValueError(f"an element of {_NAMES[dtype]} must be a {wanted.__name__}, received {_shown(element)}")
    if isinstance(element, str) and element in _SPECIAL:
        return _SPECIAL[element]
    if type(element) in (int, float):
        assert isinstance(element, (int, float))  # noqa: S101 - just seen; this tells mypy
        try:
            number = float(element)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise ValueError('a number is too large for a double; an infinity is written "inf" or "-inf"')
    raise ValueError(f'an element must be a number, "inf", "-inf" or "nan", received {_shown(element)}')


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
