"""A mutant must differ from the reference on a call of our own; the reference does not differ from itself."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.mutants import make, make_benign, mutants
from sdpo_ref.mutants.selftest.difference_from_reference import difference, first_difference


def test_reference_does_not_differ_from_itself() -> None:
    """No probe is noisy."""
    assert first_difference(make_benign("profile-paper"), frozenset()) is None


@pytest.mark.parametrize("name", ["coefficients_swapped", "threshold_exclusive", "rank_returns_early", "sft_made_up"])
def test_mutant_differs(name: str) -> None:
    """A defect shows, as a number or in behaviour."""
    mutant = next(it for it in mutants() if it.name == name)
    found = first_difference(make(name), mutant.parts)
    assert found is not None
    assert found[1]


@pytest.mark.parametrize("name", ["skips_one_fewer", "quantile_strict", "mix_swapped", "ratio_inverted"])
def test_other_parts_agree(name: str) -> None:
    """Where a mutant claims to be the reference, it is: checks of other parts need not be run."""
    mutant = next(it for it in mutants() if it.name == name)
    others = frozenset({"defaults", "demonstration_context", "implicit_reward"})
    assert first_difference(make(name), others - mutant.parts) is None


@given(st.floats(-1e3, 1e3), st.floats(1e-15, 1e3))
def test_distance_decides(value: float, off: float) -> None:
    """Numbers differ from ten tolerances of 1e-12 on, relative to one plus their size; closer ones do not."""
    allowed = 1e-11 * (1 + abs(value))
    found = difference([torch.tensor(value + off).double()], [torch.tensor(value).double()])
    if off > 1e-6 * (1 + abs(value)):
        assert found
    if off < 0.1 * allowed and value == 0.0:
        assert not found


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (["ValueError"], ["ValueError"], ""),
        (["a"], ["b"], "another text"),
        ([torch.ones(2)], [torch.ones(3)], "shape (2,) instead of (3,)"),
        ([torch.tensor(math.nan)], [torch.tensor(0.0)], "not finite instead of finite"),
        ([torch.tensor(math.nan)], [torch.tensor(math.nan)], ""),
        ([torch.tensor(math.inf)], [torch.tensor(math.inf)], ""),
        ([torch.ones(1)], [torch.ones(1), torch.ones(1)], "1 answers instead of 2"),
    ],
)
def test_difference_in_words(found: list[object], expected: list[object], words: str) -> None:
    """Each way of being another answer has its words."""
    assert difference(found, expected) == words  # type: ignore[arg-type]
