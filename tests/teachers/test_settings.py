"""What the teachers do by default, and which settings they take."""

import pytest
import torch

from sdpo_ref.protocols import Teacher
from sdpo_ref.teachers.weights import EmaTeacher, TrustRegionTeacher
from tests.teachers.test_teachers import JUDGEMENT, REPROMPTER, moved, sampled


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_are_taken(share: float) -> None:
    """At 0 the teacher stays where it was, at 1 it is the student."""
    policy, rollouts = sampled()
    before = REPROMPTER.view(policy, rollouts, JUDGEMENT).logits
    teachers: list[Teacher] = [
        EmaTeacher(policy, REPROMPTER, update_rate=share),
        TrustRegionTeacher(policy, REPROMPTER, mix=share),
    ]
    moved(policy)
    after = REPROMPTER.view(policy, rollouts, JUDGEMENT).logits
    for teacher in teachers:
        teacher.update(policy)
        expected = before if share == 0.0 else after
        found = teacher.view(rollouts, JUDGEMENT).logits
        torch.testing.assert_close(found.log_softmax(-1), expected.log_softmax(-1))


def test_defaults_are_a_twentieth() -> None:
    """The paper's rate, and its share of the live student."""
    policy, rollouts = sampled()
    pairs: list[tuple[Teacher, Teacher]] = [
        (EmaTeacher(policy, REPROMPTER), EmaTeacher(policy, REPROMPTER, update_rate=0.05)),
        (TrustRegionTeacher(policy, REPROMPTER), TrustRegionTeacher(policy, REPROMPTER, mix=0.05)),
    ]
    moved(policy)
    for one, other in pairs:
        one.update(policy)
        other.update(policy)
        assert torch.equal(one.view(rollouts, JUDGEMENT).logits, other.view(rollouts, JUDGEMENT).logits)
