"""Runs of the published study: alone and together, and what a control changes."""

import pytest

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.published.run import run_batch
from sdpo_ref.published.settings import Constants, Control, PublishedSettings

KINDS = {
    "sdpo": PublishedSettings(steps=50, noise=0.1),
    "critique": PublishedSettings(steps=50, feedback="critique", control=Control(hints="token", feedback="other")),
    "reinforce": PublishedSettings(steps=50, method="reinforce", bias="length"),
    "advantage_weighted": PublishedSettings(steps=50, method="advantage_weighted", bias="anchoring"),
    "hybrid": PublishedSettings(steps=50, method="hybrid", noise=0.2, feedback="binary", bias="positivity"),
    "constant": PublishedSettings(steps=50, control=Control(feedback=0.5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_the_same_alone_and_in_a_batch(kind: str) -> None:
    """Numbers may differ within a batch: each run has its own (PUB-032)."""
    one = KINDS[kind]
    other = one.model_copy(update={"learning_rate": 0.5, "pull": 0.1, "constants": Constants(strength=2.0)})
    together = run_batch([other, one], [3, 4])
    for settings, seed, found in zip([other, one], [3, 4], together, strict=True):
        (alone,) = run_batch([settings], [seed])
        assert dict(alone.metrics) == pytest.approx(dict(found.metrics), abs=1e-12)
        assert alone.rewards == pytest.approx(found.rewards, abs=1e-12)
        assert alone.entropies == pytest.approx(found.entropies, abs=1e-12)
    assert together[0].metrics != together[1].metrics


def test_what_is_no_one_program_is_refused() -> None:
    """Two kinds of feedback need two batches."""
    with pytest.raises(InvalidInputError, match="group them by batch_key"):
        run_batch([KINDS["sdpo"], KINDS["critique"]], [1, 2])
