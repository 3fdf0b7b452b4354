"""From the true reward to what the teacher is given, for ratings far outside [0, 1] as well."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.published.feedback import feedback_of, rating
from sdpo_ref.published.settings import BiasName, FeedbackName

ratings = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


def _row(values: list[float]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


@settings(max_examples=50)
@given(ratings)
def test_binary_and_ordinal_feedback_stay_on_their_grids(values: list[float]) -> None:
    """However far noise carries a rating (PUB-004, PUB-005)."""
    rated = _row(values)
    assert set(feedback_of(rated, "binary").flatten().tolist()) <= {0.0, 1.0}
    assert set(feedback_of(rated, "ordinal").flatten().tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}


@pytest.mark.parametrize("kind", ["binary", "ordinal", "continuous", "critique"])
@settings(max_examples=50)
@given(values=ratings)
def test_feedback_does_not_fall_as_the_rating_rises(kind: FeedbackName, values: list[float]) -> None:
    """No kind turns the order of two completions round."""
    rated = _row(sorted(values))
    assert (feedback_of(rated, kind).diff() >= 0).all()


@settings(max_examples=50)
@given(ratings)
def test_continuous_feedback_is_the_rating(values: list[float]) -> None:
    """Unclipped, and a critique's number is the same (PUB-006)."""
    rated = _row(values)
    assert torch.equal(feedback_of(rated, "continuous"), rated)
    assert torch.equal(feedback_of(rated, "critique"), rated)


def test_where_feedback_jumps() -> None:
    """Half is not larger than half; a fifth belongs to the step above it."""
    rated = _row([-3.0, 0.0, 0.19, 0.25, 0.5, 0.51, 0.625, 0.81, 1.0, 7.0])
    assert feedback_of(rated, "binary").tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]]
    assert feedback_of(rated, "ordinal").tolist() == [[0, 0, 0, 0.25, 0.5, 0.5, 0.75, 1, 1, 1]]


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ("none", [0.5, -1.5]),
        ("length", [0.5 + 0.15 * 0.25, -1.5 - 0.15 * 0.5]),
        ("positivity", [0.3 + 0.7 * 0.5, 0.3 - 0.7 * 1.5]),
        ("anchoring", [0.6 * 0.5 + 0.4 * 2.0, -0.6 * 1.5 - 0.4 * 3.0]),
    ],
)
def test_a_bias_changes_the_noisy_reward(bias: BiasName, expected: list[float]) -> None:
    """Noise comes first and is not clipped (PUB-003, PUB-007 to PUB-009)."""
    reward, noise = _row([0.25, 0.5]), _row([0.25, -2.0])
    found = rating(reward, noise, bias, length=_row([0.75, 0.0]), first=_row([2.0, -3.0]))
    assert found[0].tolist() == pytest.approx(expected)
