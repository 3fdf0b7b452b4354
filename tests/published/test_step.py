"""What a control makes of feedback within a step, and how tokens are sampled."""

import pytest
import torch

from sdpo_ref.published.batch import Batch, Draws
from sdpo_ref.published.feedback import feedback_of
from sdpo_ref.published.run import run_batch, sample
from sdpo_ref.published.settings import Control, FeedbackName, MethodName, PublishedSettings
from sdpo_ref.published.step import Moment, descent
from sdpo_ref.study.execute_published import execute_published


def _first_step(settings: PublishedSettings) -> tuple[Batch, Moment]:
    batch, draws = Batch.draw([settings], [7]), Draws.of_seeds(settings, [7])
    logits = torch.zeros_like(batch.world.quality)
    student = logits.softmax(-1)
    tokens = sample(student, draws.uniform[0])
    return batch, Moment(logits, student, tokens, batch.world.reward(tokens), draws.noise[0], draws.hints[0])


@pytest.mark.parametrize("kind", ["binary", "ordinal", "continuous", "critique"])
@pytest.mark.parametrize("given", ["own", "other", 0.3])
def test_equal_mean_makes_means_equal(kind: FeedbackName, given: str | float) -> None:
    """To that of the same completions without noise and bias, whatever stands in their place (PUB-044)."""
    control = Control.model_validate({"feedback": given, "equal_mean": True})
    settings = PublishedSettings(feedback=kind, noise=0.5, bias="positivity", control=control)
    batch, moment = _first_step(settings)
    found = descent(batch, moment).feedback
    assert found is not None
    torch.testing.assert_close(found, feedback_of(moment.rewards, kind).mean(1))
    shifted = descent(*_first_step(settings.model_copy(update={"control": Control()}))).feedback
    assert shifted is not None
    assert not torch.allclose(shifted, found)


def test_another_completions_feedback_is_a_cycle() -> None:
    """All feedback is given once, so its mean is the same; what it teaches is not (PUB-041)."""
    batch, moment = _first_step(PublishedSettings(rollouts=3))
    other = descent(*_first_step(PublishedSettings(rollouts=3, control=Control(feedback="other"))))
    own = descent(batch, moment)
    assert own.feedback is not None
    assert other.feedback is not None
    torch.testing.assert_close(own.feedback, other.feedback)
    torch.testing.assert_close(own.gradient, other.gradient)  # the published teacher does not know whose feedback it is
    hinted = PublishedSettings(rollouts=3, feedback="critique", control=Control(hints="token"))
    away = hinted.model_copy(update={"control": Control(hints="token", feedback="other")})
    assert not torch.allclose(descent(*_first_step(hinted)).gradient, descent(*_first_step(away)).gradient)


def test_sampled_tokens_have_their_probabilities() -> None:
    """Within five standard errors; a number on a bound belongs to the token above it (PUB-031)."""
    student = torch.tensor([[[0.5, 0.125, 0.375], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    uniform = torch.rand(1, 10_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.nn.functional.one_hot(sample(student, uniform), 3).to(torch.float64).mean(1)
    assert ((counts - student).abs() <= 5 * (student * (1 - student) / 10_000).sqrt()).all()
    edges = torch.tensor([[[0.0], [0.5], [0.625], [1 - 2**-53]]], dtype=torch.float64)
    assert sample(student[:, :1], edges).flatten().tolist() == [0, 1, 2, 2]
    assert sample(student[:, 1:], edges).flatten().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("method", ["sdpo", "hybrid", "reinforce", "advantage_weighted"])
def test_the_smallest_run(method: MethodName) -> None:
    """Two tokens, one position, two completions."""
    settings = PublishedSettings(vocab=2, time=1, rollouts=2, steps=50, method=method, noise=0.1)
    (found,) = execute_published([settings], [1])
    assert found.error is None
    assert found.metrics["final_entropy"] > 0


@pytest.mark.parametrize("method", ["sdpo", "hybrid", "reinforce", "advantage_weighted"])
def test_a_run_at_an_absurd_rate_has_an_error_and_no_numbers(method: MethodName) -> None:
    """Logits that overflow are said, and what runs beside is as it is alone."""
    sane = PublishedSettings(vocab=3, time=2, rollouts=4, steps=50, method=method)
    absurd = sane.model_copy(update={"learning_rate": 1.7e308, "noise": 1e3, "pull": 1e3})
    broken, fine = execute_published([absurd, sane], [1, 1])
    assert broken.error == "the logits are not finite after 50 steps at rate 1.7e+308"
    assert not broken.metrics
    assert fine.error is None
    assert dict(fine.metrics) == pytest.approx(dict(run_batch([sane], [1])[0].metrics))
