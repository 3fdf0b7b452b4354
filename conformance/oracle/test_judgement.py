"""What an oracle may return (spec/02-oracle, ORACLE-001)."""

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.types import Feedback, Judgement
from sdpo_ref.verification.checks.comparison import assert_that

BROKEN = {
    "a reward that is not a number": (torch.tensor([1.0, torch.nan]), (None, None)),
    "an infinite reward": (torch.tensor([1.0, torch.inf]), (None, None)),
    "one feedback for two rewards": (torch.tensor([1.0, 0.0]), (Feedback("too long"),)),
}


@pytest.mark.requirement("ORACLE-001")
@pytest.mark.parametrize("case", BROKEN)
def test_broken_judgements_are_refused(case: str) -> None:
    """A broken judgement is refused when it is built, not when it is used."""
    rewards, feedback = BROKEN[case]
    try:
        Judgement(rewards, feedback)
    except InvalidInputError:
        return
    assert_that(condition=False, expected="an error", got="a judgement", given={"judgement": case})


@pytest.mark.requirement("ORACLE-001")
def test_sound_judgement_is_kept() -> None:
    """Feedback may be absent."""
    judgement = Judgement(torch.tensor([1.0, 0.0]), (None, Feedback("too long")))
    assert_that(judgement.feedback[1] == Feedback("too long"), "the feedback as given", str(judgement.feedback))
