"""Which sampled tokens count (spec/01-policy, POLICY-006)."""

import pytest
import torch

from sdpo_ref.verify.comparison import assert_that
from sdpo_ref.verify.subject import Subject

CASES = {
    "ends in the middle": ([5, 6, 2, 0, 0], {2}, [1, 1, 1, 0, 0]),
    "never ends": ([5, 6, 7, 8, 9], {2}, [1, 1, 1, 1, 1]),
    "ends at once": ([2, 2, 2, 0, 0], {2}, [1, 0, 0, 0, 0]),
    "padding is the end id": ([5, 2, 2, 2, 2], {2}, [1, 1, 0, 0, 0]),
    "second of two end ids": ([5, 6, 3, 2, 0], {2, 3}, [1, 1, 1, 0, 0]),
    "tokens after the end": ([5, 2, 7, 8, 2], {2}, [1, 1, 0, 0, 0]),
    "ends with the last token": ([5, 6, 7, 8, 2], {2}, [1, 1, 1, 1, 1]),
    "no end id": ([5, 2, 7, 8, 2], set[int](), [1, 1, 1, 1, 1]),
}


@pytest.mark.requirement("POLICY-006")
@pytest.mark.parametrize("case", CASES)
def test_truth_table(subject: Subject, case: str) -> None:
    """Up to and including the first end, and nothing after it."""
    ids, end_ids, expected = CASES[case]
    found = subject.completion_mask(torch.tensor([ids]), end_ids=end_ids)[0].long().tolist()
    assert_that(found == expected, f"mask {expected}", f"mask {found}", {"completion": ids, "end_ids": sorted(end_ids)})
