"""How a check compares: within a stated tolerance, NaN never equal to anything, and a message with what to fix."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor

from sdpo_ref.vectors.case import KnownWrong
from sdpo_ref.verification.checks.mismatch import TOO_LARGE, Mismatch

TOLERANCES: Mapping[torch.dtype, tuple[float, float]] = {
    torch.float32: (1e-4, 1e-5),
    torch.float16: (2.0**-8, 2.0**-11),
    torch.bfloat16: (2.0**-5, 2.0**-8),
}
"""Relative and absolute tolerance of an answer that is coarser than float64. Float32: rounding of 6e-8 in logarithms of
size 30, summed over a small vocabulary. Half precision: the result is rounded once, by 2^-12 or 2^-9, and compared with
another one, eightfold; what is *computed* in half precision is further off than that (LOSS-091)."""

HALF = frozenset({torch.float16, torch.bfloat16})
"""Half precision."""

HALF_SLACK = 2.0**-6
"""Rounding of an answer in half precision, in the unit of a quantity of size one: eight times 2^-9."""

Margin = Callable[[float, float, float], None]
"""Called with the relative and absolute tolerance of a comparison, and its largest error in units of the tolerance."""

_listeners: list[Margin] = []

_allowances: list[float] = []

_SHOWN = 24
"""Tensors of up to this many elements are shown whole; of larger ones, the worst element."""


@contextmanager
def margins_to(listener: Margin) -> Iterator[None]:
    """Report how far each comparison is from its tolerance: ``sdpo-ref selftest`` derives tolerances from that.

    Args:
        listener: called for every comparison made meanwhile.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def allowances() -> Iterator[None]:
    """What is allowed inside is allowed for comparisons inside only; the checks run each in one of these."""
    _allowances.append(0.0)
    try:
        yield
    finally:
        _allowances.pop()


def allow(relative: float) -> None:
    """Compare from here on with at least this relative tolerance, until the innermost ``allowances`` end.

    Args:
        relative: dimensionless; what is demanded bit for bit stays so.
    """
    if _allowances:
        _allowances[-1] = max(_allowances[-1], relative)


def allowed() -> float:
    """The relative tolerance that has been allowed, or zero."""
    return _allowances[-1] if _allowances else 0.0


def allowed_after(updates: Sequence[Mapping[str, Tensor]]) -> float:
    """What has been allowed of weights that moved, in their unit: a share of each update, and updates add up.

    A weight may end near zero, so that a share of the weight itself says nothing of how far it was moved.

    Args:
        updates: the weights at the start and after each update.

    Example:
        >>> with allowances():
        ...     allow(0.5)
        ...     allowed_after([{"a": torch.zeros(2)}, {"a": torch.tensor([3.0, 1.0])}, {"a": torch.zeros(2)}])
        3.0
    """
    moved = [
        max(float((after[name] - weight).abs().max()) for name, weight in before.items())
        for before, after in pairwise(updates)
    ]
    return allowed() * sum(moved)


def assert_close(
    got: Tensor,
    expected: Tensor,
    *,
    what: str,
    relative: float = 1e-12,
    absolute: float = 1e-14,
    given: Mapping[str, object] | None = None,
    known_wrong: Sequence[KnownWrong] = (),
    looks_like: str = "",
) -> None:
    """Raise unless ``|got - expected| <= absolute + relative * |expected|`` everywhere; equal infinities pass.

    A result in float32 or in half precision is held to what that can do, whatever the check asks for (CONF-003); two
    tolerances of zero stay zero.

    Args:
        got: what the implementation returned.
        expected: what the specification demands.
        what: the quantity with its unit, for instance "divergence in nats".
        relative: relative tolerance.
        absolute: absolute tolerance, in the unit of the quantity.
        given: the input, by name.
        known_wrong: what known defects would have returned.
        looks_like: the known defect that this is the sign of, if none of ``known_wrong`` is.

    Raises:
        Mismatch: with the element that is furthest off.
    """
    bit_for_bit = relative == absolute == 0.0
    coarse = (0.0, 0.0) if bit_for_bit else TOLERANCES.get(got.dtype, (0.0, 0.0))
    relative, absolute = max(relative, coarse[0]), max(absolute, coarse[1])
    relative = relative if bit_for_bit else max(relative, allowed())
    because = f", because the answer is in {_name(got.dtype)}" if any(coarse) else ""
    got, expected = got.double(), expected.double()
    off = (got - expected).abs()
    for listener in _listeners:
        listener(relative, absolute, _in_tolerances(off, got == expected, absolute + relative * expected.abs()))
    close = (got == expected) | (torch.isfinite(expected) & (off <= absolute + relative * expected.abs()))
    if bool(close.all()):
        return
    scaled = torch.where(close, -1.0, torch.nan_to_num(off / (expected.abs() + absolute), nan=torch.inf))
    worst = int(scaled.flatten().argmax())
    raise Mismatch(
        expected=f"{what} {_shown(expected, worst)}",
        got=f"{_shown(got, worst)}{_where(got, worst)}",
        tolerance=f"relative {relative:g}, absolute {absolute:g}{because}",
        given=describe(given or {}),
        looks_like=recognised(got, known_wrong) or looks_like,
    )


def assert_that(
    condition: bool,  # noqa: FBT001 - reads as a sentence at every call
    expected: str,
    got: str,
    given: Mapping[str, object] | None = None,
    *,
    tolerance: str = "",
    looks_like: str = "",
) -> None:
    """Raise unless the condition holds.

    Args:
        condition: what must hold.
        expected: the same in words.
        got: what was found instead.
        given: the input, by name.
        tolerance: slack that the condition already includes, and why.
        looks_like: the known defect that this is the sign of.

    Raises:
        Mismatch: if it does not.
    """
    if not condition:
        raise Mismatch(expected, got, tolerance=tolerance, given=describe(given or {}), looks_like=looks_like)


def assert_finite(got: Tensor, *, what: str, given: Mapping[str, object] | None = None) -> None:
    """Raise if there is a NaN or an infinity.

    Raises:
        Mismatch: with the first offending element.
    """
    bad = ~torch.isfinite(got)
    if bool(bad.any()):
        first = int(bad.flatten().long().argmax())
        raise Mismatch(
            f"{what}, finite everywhere", f"{_shown(got, first)}{_where(got, first)}", given=describe(given or {})
        )


def as_coarse_as(value: Tensor, other: Tensor) -> Tensor:
    """A value in the coarser of two precisions, where one part is compared with another.

    Args:
        value: of one part.
        other: of the other part.

    Example:
        >>> as_coarse_as(torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0)).dtype
        torch.float32
    """
    return value.to(max(value.dtype, other.dtype, key=lambda dtype: torch.finfo(dtype).eps))


def describe(given: Mapping[str, object]) -> str:
    """An input as text: small tensors in full, large ones by shape.

    Example:
        >>> describe({"alpha": 0.5, "logits": torch.zeros(2)})
        'alpha = 0.5; logits = [0, 0]'
    """
    return "; ".join(f"{name} = {_text(value)}" for name, value in given.items())


def _in_tolerances(off: Tensor, equal: Tensor, allowed: Tensor) -> float:
    """The largest error in units of what is allowed; infinite where nothing is, or where something is not finite."""
    if bool(equal.all()):
        return 0.0
    units = torch.where(equal, 0.0, torch.nan_to_num(off / allowed, nan=torch.inf))
    return float(units.max())


def _text(value: object) -> str:
    if not isinstance(value, Tensor):
        return repr(value) if isinstance(value, str) else str(value)
    if value.numel() > _SHOWN:
        return f"{TOO_LARGE} {tuple(value.shape)}"
    return _nested(value.tolist())


def _nested(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _shown(tensor: Tensor, worst: int) -> str:
    if tensor.numel() <= _SHOWN:
        return _nested(tensor.tolist())
    return f"{tensor.flatten()[worst].item():.12g}"


def _where(tensor: Tensor, worst: int) -> str:
    if tensor.ndim == 0 or tensor.numel() <= _SHOWN:
        return ""
    index = [int(at) for at in torch.unravel_index(torch.tensor(worst), tensor.shape)]
    return f" (at {index}, the furthest off)"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def recognised(got: Tensor, known_wrong: Sequence[KnownWrong]) -> str:
    """The known defect that would have returned this; empty if there is none.

    Args:
        got: what the implementation returned.
        known_wrong: what known defects would have returned.
    """
    for wrong in known_wrong:
        value = torch.tensor(wrong.value, dtype=torch.float64)
        if value.numel() == got.numel() and torch.allclose(got.flatten().double(), value, rtol=1e-6, atol=1e-9):
            return wrong.looks_like
    return ""
