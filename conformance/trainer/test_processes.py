"""Several processes, one of them with nothing to learn from (spec/05-trainer, TRAIN-005)."""

from collections.abc import Callable
from typing import NoReturn

import pytest
import torch

from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.processes import VOCAB, run_two_processes
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.isolation.plugin import name_of_implementation


@pytest.mark.requirement("TRAIN-005")
def test_one_empty_process(
    request: pytest.FixtureRequest, subject: Subject, not_applicable: Callable[[str], NoReturn]
) -> None:
    """Rank 1 has no usable row; both ranks finish."""
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        not_applicable("this build of torch has no gloo")
    on = subject.offered.one("loss", near=1.0, vocab=VOCAB)
    found = run_two_processes(name_of_implementation(request.config), on)
    if "loaded" in found.reached:
        raise IntegrityError(
            f"two processes cannot take a step with usable rows on both, nor can the reference's: {found.messages}; "
            "can processes on this machine talk to each other over the loopback interface?"
        )
    assert_that(
        found.reached == ("one empty", "one empty"),
        "both processes finish a step in which rank 1 has no usable row",
        f"rank 0: {found.messages[0] or 'finished'}; rank 1: {found.messages[1] or 'finished'}",
        {"control": "with usable rows on both, both finished", **on.given},
        looks_like="M114 a rank returns early, before a collective that the other is waiting in",
    )
