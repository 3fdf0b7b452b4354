"""An epsilon in a denominator is measured, named by one requirement, and hides no other."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.mutants import make, make_benign
from sdpo_ref.mutants.mutant import GOOD, with_parts
from sdpo_ref.mutants.variation import good, loss
from sdpo_ref.types import FULL, Aggregation, DistillationBatch
from sdpo_ref.verification.checks.comparison import allow, allowances, allowed, allowed_after, assert_close
from sdpo_ref.verification.checks.denominators import of_one_token
from sdpo_ref.verification.checks.inputs import on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import Mismatch
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.kill_matrix import read_kill_matrix


def _only_the_loss(name: str) -> Subject:
    """A mutant or right variant that offers nothing else, so that nothing else is asked."""
    implementation: Any = make_benign(name) if name == "float32" else make(name)
    implementation.capabilities = {"loss"}
    return Subject(implementation)


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_the_reference_has_none(aggregation: Aggregation) -> None:
    """Under any mean."""
    profile, offered = {"aggregation": aggregation}, {"loss"}
    part = loss(lambda b, o: sdpo_loss(b, aggregation=aggregation, **o))
    assert Subject(with_parts(profile=profile, capabilities=offered, loss=part)).bias("loss") == 0.0


def test_no_part_of_the_reference_has_one() -> None:
    """Nor SDFT's loss, nor the hybrid."""
    subject = Subject(GOOD)
    assert subject.bias("sdft_loss") == subject.bias("hybrid_loss") == 0.0


def test_an_epsilon_is_measured() -> None:
    """1e-8 beside one token, or beside the two of a group; in the part that has it."""
    subject = Subject(make("M570"))
    assert subject.bias("loss") == pytest.approx(1e-8, rel=0.05)
    assert subject.bias("sdft_loss") == pytest.approx(1e-8, rel=0.05)
    assert subject.bias("hybrid_loss") == pytest.approx(0.5e-8, rel=0.05)


def test_an_epsilon_beside_the_number_of_rows() -> None:
    """In a mean of row means."""

    def part(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
        rows = batch.loss_mask.any(-1).sum().double()
        return sdpo_loss(batch, aggregation="row_mean", **options) * rows / (rows + 1e-9)

    implementation = with_parts(profile={"aggregation": "row_mean"}, capabilities={"loss"}, loss=loss(part))
    assert Subject(implementation).bias("loss") == pytest.approx(1e-9, rel=0.1)


def test_what_is_no_epsilon() -> None:
    """Another mean, one hundred-thousandth, float32, or a loss that drifts is not excused."""
    assert _only_the_loss("M122").bias("loss") == 0.0
    assert _only_the_loss("M113").bias("loss") == 0.0
    assert _only_the_loss("M163").bias("loss") == 0.0
    assert _only_the_loss("float32").bias("loss") == 0.0
    nan = with_parts(capabilities={"loss"}, loss=loss(lambda b, o: good(b, o) * torch.nan))
    assert Subject(nan).bias("loss") == 0.0


def test_allowed_to_whoever_calls_it() -> None:
    """Four times what was found, until the check ends; what is demanded bit for bit stays so."""
    batch = on_policy(random_batch(7))
    exact = GOOD.loss(batch, alpha=0.5, support=FULL, temperature=1.0, ratio_cap=None)
    with allowances():
        assert allowed() == 0.0
        found = _only_the_loss("M570").loss(batch, alpha=0.5, support=FULL).value
        assert allowed() == pytest.approx(4e-8, rel=0.05)
        assert_close(found, exact, what="loss")
        with pytest.raises(Mismatch):
            assert_close(found, exact, what="loss", relative=0.0, absolute=0.0)
    assert allowed() == 0.0
    with pytest.raises(Mismatch):
        assert_close(found, exact, what="loss")
    allow(1.0)
    assert allowed() == 0.0


def test_what_is_allowed_grows_with_what_was_moved() -> None:
    """A share of each update, wherever the weight ends; nothing where nothing is allowed."""
    there_and_back = [{"a": torch.zeros(2)}, {"a": torch.tensor([3.0, 1.0])}, {"a": torch.zeros(2)}]
    assert allowed_after(there_and_back) == 0.0
    with allowances():
        allow(1e-8)
        assert allowed_after(there_and_back[:1]) == 0.0
        assert allowed_after(there_and_back) == pytest.approx(2 * allowed_after(there_and_back[:2]))
        assert allowed_after(there_and_back) == pytest.approx(6e-8)


def test_one_token_everywhere() -> None:
    """All rows and positions are equal, and all count."""
    batch = of_one_token(2, 3)
    assert batch.loss_mask.all()
    assert torch.equal(batch.student_logits[1, 2], batch.student_logits[0, 0])


def test_an_epsilon_fails_one_requirement() -> None:
    """On file: every other one was decided, and held."""
    (row,) = (row for row in read_kill_matrix().rows if row.id == "M570")
    assert row.failed == ("LOSS-119",)
