"""Every function of functional/ refuses what it cannot mean, and says what is allowed."""

from collections.abc import Callable

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.advantages import convex_combination, group_advantages
from sdpo_ref.functional.averaging import exponential_moving_average_, trust_region_log_probs
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.log_probs import log_probs
from sdpo_ref.functional.sampled_token import sampled_token_surrogate

ROW = torch.zeros(3)
NAN = float("nan")

CASES: dict[str, tuple[Callable[[], object], str]] = {
    "alpha above one": (lambda: generalized_jsd(ROW, ROW, alpha=1.5), r"\[0, 1\].*1\.5"),
    "alpha not a number": (lambda: generalized_jsd(ROW, ROW, alpha=NAN), "nan"),
    "temperature zero": (lambda: log_probs(ROW, temperature=0.0), "positive"),
    "temperature infinite": (lambda: log_probs(ROW, temperature=float("inf")), "finite"),
    "ratio cap zero": (lambda: importance_ratio(ROW, ROW, ratio_cap=0.0), "None turns"),
    "ratio cap not a number": (lambda: importance_ratio(ROW, ROW, ratio_cap=NAN), "positive"),
    "sampled token with alpha": (lambda: sampled_token_surrogate(ROW, ROW, alpha=0.5), "reverse KL"),
    "reward weight negative": (lambda: convex_combination(ROW, ROW, weight=-0.1), r"\[0, 1\]"),
    "mix above one": (lambda: trust_region_log_probs(ROW, ROW, mix=2.0), r"\[0, 1\]"),
    "update rate above one": (
        lambda: exponential_moving_average_({"w": ROW}, {"w": ROW}, update_rate=1.1),
        r"\[0, 1\]",
    ),
    "weights of other names": (
        lambda: exponential_moving_average_({"w": ROW}, {"v": ROW}, update_rate=0.5),
        "name or shape",
    ),
    "an average in bfloat16": (
        lambda: exponential_moving_average_({"w": ROW.bfloat16()}, {"w": ROW}, update_rate=0.05),
        "stops moving",
    ),
    "weights of other shapes": (
        lambda: exponential_moving_average_({"w": ROW}, {"w": torch.zeros(0)}, update_rate=0.5),
        "sharded",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str) -> None:
    """An InvalidInputError, which is a ValueError, with the range in its message."""
    call, message = CASES[case]
    with pytest.raises(InvalidInputError, match=message) as refused:
        call()
    assert isinstance(refused.value, ValueError)


def test_counters_are_copied() -> None:
    """Buffers that are not floating point follow the student whole."""
    teacher = {"seen": torch.tensor(3)}
    exponential_moving_average_(teacher, {"seen": torch.tensor(9)}, update_rate=0.05)
    assert int(teacher["seen"]) == 9


def test_group_of_one_has_no_advantage() -> None:
    """Nothing to compare with, in both kinds."""
    for kind in ("centered", "standardized"):
        assert float(group_advantages(torch.tensor([2.0]), torch.tensor([7]), kind=kind)) == 0.0
