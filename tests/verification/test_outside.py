"""The loss in a process that runs no test: agrees with the loss within one, and names what kept it from an answer."""

import pytest
import torch

from sdpo_ref.bundled import make
from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError
from sdpo_ref.verification.checks.outside import loss_outside
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.checks.subject import Subject

SETTING = Setting(0.25, FULL)


@pytest.mark.slow
def test_reference_is_the_same_outside() -> None:
    """The reference does not know whether it is tested."""
    batch = on_policy(random_batch(3))
    found = loss_outside("reference", batch, SETTING)
    assert not isinstance(found, str)
    here = Subject(make()).loss(batch, **SETTING.options)
    assert torch.equal(found[0], here.value)
    assert torch.equal(found[1], here.student)


@pytest.mark.slow
def test_what_raises_is_told() -> None:
    """What cannot be loaded there is an error of the implementation, not another loss; its last line says why."""
    with pytest.raises(ImplementationRaisedError, match=r"loading it again, in a process .*no_such_mutant"):
        loss_outside("sdpo_ref.mutants:make,name=no_such_mutant", on_policy(random_batch(3)), SETTING)


@pytest.mark.slow
def test_the_tested_one_is_found_out() -> None:
    """An implementation that is right while a test runs is half of that outside."""
    batch = on_policy(random_batch(3))
    outside, honest = (
        loss_outside(name, batch, SETTING)
        for name in ("sdpo_ref.mutants:make,name=knows_that_it_is_tested", "reference")
    )
    assert not isinstance(outside, str)
    assert not isinstance(honest, str)
    assert torch.allclose(2 * outside[0], honest[0])
