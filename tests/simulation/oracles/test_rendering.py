"""The words of the feedback say what its numbers say."""

import pytest
import torch

from sdpo_ref.simulation.oracles.regimes import WORDS, rendered
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import REGIMES, judged, ratings_of


def test_levels_have_their_own_texts() -> None:
    """Five levels, five words, five texts."""
    levels = torch.tensor([[0.0], [0.25], [0.5], [0.75], [1.0]])
    texts = rendered(["Overall"], levels)
    assert len(set(texts)) == 5
    assert [text.removeprefix("Overall: ").split(" (")[0] for text in texts] == list(WORDS)


def test_words_follow_the_rating() -> None:
    """A better rating never gets a worse word, and a hundredth more gets another text."""
    hundredths = torch.arange(101)[:, None] / 100
    texts = rendered(["Overall"], hundredths)
    assert len(set(texts)) == 101
    places = [WORDS.index(text.removeprefix("Overall: ").split(" (")[0]) for text in texts]
    assert places == sorted(places)
    assert (places[12], places[13], places[87], places[88]) == (0, 1, 3, 4)


@pytest.mark.parametrize(
    ("regime", "labels"),
    [
        ("binary", ["Overall"]),
        ("ordinal", ["Overall"]),
        ("scalar", ["Overall"]),
        ("rubric", ["Overall", "Aspect 1", "Aspect 2", "Aspect 3", "Aspect 4"]),
        ("critique", ["Tokens 1 to 2", "Tokens 3 to 4", "Tokens 5 to 6", "Tokens 7 to 8"]),
    ],
)
def test_text_and_ratings_agree(world: World, rollouts: Rollouts, regime: str, labels: list[str]) -> None:
    """One sentence for each rating, in the same order, with the same number to a hundredth."""
    judgement = judged(REGIMES[regime](world, 0.15), rollouts)
    ratings = ratings_of(judgement)
    assert ratings.shape[1] == len(labels)
    for row, said in enumerate(judgement.feedback):
        assert said is not None
        sentences = said.text.removesuffix(".").split(". ")
        assert [sentence.split(": ")[0] for sentence in sentences] == labels
        numbers = [int(sentence.split("(")[1].split(" of ")[0]) for sentence in sentences]
        assert numbers == pytest.approx((100 * ratings[row]).tolist(), abs=0.5)
