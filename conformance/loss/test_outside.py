"""The loss is the same in a process that runs no test (spec/04-loss, E)."""

import pytest

from sdpo_ref.verification.checks.comparison import assert_close, assert_that
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.outside import loss_outside
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.isolation.plugin import name_of_implementation


@pytest.mark.requirement("LOSS-065")
def test_same_outside_a_test(request: pytest.FixtureRequest, subject: Subject) -> None:
    """Loss and gradient equal those of a process in which nothing is tested; threads and dtype are the same."""
    batch = on_policy(random_batch(30))
    on = subject.offered.one("loss", vocab=11)
    here = subject.loss(batch, **on.options)
    there = loss_outside(name_of_implementation(request.config), batch, on)
    if isinstance(there, str):
        assert_that(condition=False, expected="a loss in a process of its own", got=there)
        return
    value, gradient = there
    given = {**on.given, "the other process": "imports no test runner"}
    assert_close(here.value, value, what="loss in nats, that of a process in which nothing is tested,", given=given)
    assert_close(here.student, gradient, what="gradient, that of a process in which nothing is tested,", given=given)
