"""Which sampled tokens count (spec/01-policy, POLICY-006)."""

import pytest
import torch

from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.subject import Subject

CASES = {
    "ends in the middle": ([5, 6, 2, 0, 0], {2}, [1, 1, 1, 0, 0]),
    "never ends": ([5, 6, 7, 8, 9], {2}, [1, 1, 1, 1, 1]),
    "ends at once": ([2, 2, 2, 0, 0], {2}, [1, 0, 0, 0, 0]),
    "padding is the end id": ([5, 2, 2, 2, 2], {2}, [1, 1, 0, 0, 0]),
    "second of two end ids": ([5, 6, 3, 2, 0], {2, 3}, [1, 1, 1, 0, 0]),
    "third of three end ids": ([5, 6, 9, 2, 0], {2, 3, 9}, [1, 1, 1, 0, 0]),
    "sixth of six end ids": ([5, 1, 9, 2, 0], {2, 3, 4, 6, 7, 9}, [1, 1, 1, 0, 0]),
    "a negative id is another id": ([5, -100, 7, 100, -100], {100}, [1, 1, 1, 1, 0]),
    "tokens after the end": ([5, 2, 7, 8, 2], {2}, [1, 1, 0, 0, 0]),
    "ends with the last token": ([5, 6, 7, 8, 2], {2}, [1, 1, 1, 1, 1]),
    "end id is zero": ([5, 6, 0, 7, 0], {0}, [1, 1, 1, 0, 0]),
    "ids beyond 16 bits": ([86_109, 20_573, 151_645, 86_109, 151_645], {151_645}, [1, 1, 1, 0, 0]),
    "one token, which ends": ([2], {2}, [1]),
    "one token, which does not end": ([5], {2}, [1]),
    "no end id": ([5, 2, 7, 8, 2], set[int](), [1, 1, 1, 1, 1]),
}


@pytest.mark.requirement("POLICY-006")
@pytest.mark.parametrize("case", CASES)
def test_truth_table(subject: Subject, case: str) -> None:
    """Up to and including the first end, and nothing after it."""
    ids, end_ids, expected = CASES[case]
    found = subject.completion_mask(torch.tensor([ids]), end_ids=end_ids)[0].long().tolist()
    assert_that(found == expected, f"mask {expected}", f"mask {found}", {"completion": ids, "end_ids": sorted(end_ids)})


@pytest.mark.requirement("POLICY-006")
def test_rows_end_by_themselves(subject: Subject) -> None:
    """Rows that end at once, in the middle, with the last token and never, beside each other."""
    ids = torch.tensor([[2, 5, 5, 5], [5, 3, 2, 2], [5, 5, 5, 3], [5, 5, 5, 5]])
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    found = subject.completion_mask(ids, end_ids={2, 3}).long().tolist()
    assert_that(found == expected, f"masks {expected}", f"masks {found}", {"completions": ids, "end_ids": [2, 3]})


@pytest.mark.requirement("POLICY-006")
@pytest.mark.parametrize("padding", [255, 256, 600, 70_000])
def test_long_padding(subject: Subject, padding: int) -> None:
    """Ten tokens, then padding with the end id: the first of it counts."""
    ids = torch.cat([torch.full((10,), 5), torch.full((padding,), 2)])
    found = subject.completion_mask(ids[None], end_ids={2})[0]
    wrong = (found != (torch.arange(10 + padding) < 11)).nonzero().flatten().tolist()
    assert_that(
        not wrong,
        "a mask that is True for 11 tokens",
        f"one that differs at positions {wrong[:5]}",
        {"tokens": 10, "end ids behind them": padding},
    )
