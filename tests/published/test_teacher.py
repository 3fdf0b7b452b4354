"""The published self-teacher: what it sees of a hint, and what feedback does to it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.published.teacher import teachers, tilt

Tensors = dict[str, torch.Tensor]


@st.composite
def problems(draw: st.DrawFn) -> Tensors:
    """One run's student, quality, feedback, strength and hints, of any size from a single position of two tokens."""
    n, time, vocab = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))

    def normal(*shape: int) -> torch.Tensor:
        return 2 * torch.randn(shape, generator=generator, dtype=torch.float64)

    return {
        "logits": normal(1, time, vocab),
        "quality": normal(1, time, vocab),
        "feedback": normal(1, n),
        "strength": 3 * torch.rand(1, generator=generator, dtype=torch.float64),
        "hints": normal(1, n, time),
        "tokens": torch.randint(vocab, (1, n, time), generator=generator),
    }


def _taught(problem: Tensors, **hints: torch.Tensor) -> torch.Tensor:
    tilts = tilt(problem["quality"], problem["feedback"], problem["strength"], **hints)
    return teachers(problem["logits"], tilts)


@settings(max_examples=25)
@given(problems())
def test_a_hint_at_a_whole_position_changes_nothing(problem: Tensors) -> None:
    """As published: a softmax does not see it (PUB-011)."""
    torch.testing.assert_close(_taught(problem, hints=problem["hints"]), _taught(problem))


@settings(max_examples=25)
@given(problems())
def test_a_shift_of_quality_at_a_position_changes_nothing(problem: Tensors) -> None:
    """What is added to all tokens of a position is not seen either."""
    shifted = problem | {"quality": problem["quality"] + problem["hints"][:, 0, :, None]}
    torch.testing.assert_close(_taught(shifted), _taught(problem))


@settings(max_examples=25)
@given(problems())
def test_a_hint_at_the_sampled_token_changes_its_odds_alone(problem: Tensors) -> None:
    """Against any other token by exp(-strength * feedback * hint), and no other odds (PUB-043)."""
    vocab = problem["quality"].shape[-1]
    hinted = torch.nn.functional.one_hot(problem["tokens"], vocab).bool()
    found = _taught(problem, hints=problem["hints"], hinted=hinted).log() - _taught(problem).log()
    of_token = found.gather(-1, problem["tokens"][..., None])
    others = found[~hinted].view(*hinted.shape[:-1], vocab - 1)
    expected = -(problem["strength"] * problem["feedback"])[..., None] * problem["hints"]
    torch.testing.assert_close(of_token - others, expected[..., None].expand_as(others), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(problems())
def test_log_odds_move_by_strength_feedback_and_quality(problem: Tensors) -> None:
    """The definition, for every completion (PUB-010); feedback 0 leaves the student as it is."""
    moved = _taught(problem).log() - torch.log_softmax(problem["logits"], -1)[:, None]
    scale = (problem["strength"] * problem["feedback"])[..., None, None]
    expected = scale * problem["quality"][:, None]
    torch.testing.assert_close(moved - moved[..., :1], expected - expected[..., :1], rtol=1e-6, atol=1e-6)
    untold = _taught(problem | {"feedback": torch.zeros_like(problem["feedback"])})
    torch.testing.assert_close(untold, torch.softmax(problem["logits"], -1)[:, None].expand_as(untold))
