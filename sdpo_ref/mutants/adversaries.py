"""Implementations that fool a suite, or break it: echoes, reused buffers, lies about capabilities, hangs and exits."""

import os
import sys
import time
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter, with_parts
from sdpo_ref.mutants.variation import good, loss, reused
from sdpo_ref.types import DistillationBatch, Support
from sdpo_ref.vectors.store import load

chapter = Chapter()


def echo() -> object:
    """Answers every golden vector from the file, and everything else with the reverse KL."""
    answers = {
        _key(vector.inputs["student_log_probs"], vector.inputs["teacher_log_probs"], vector.options): vector
        for vector in load("divergence")
    }

    def part(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
        options = {"alpha": alpha, "support": support.kind, **({} if support.k is None else {"k": support.k})}
        known = answers.get(_key(student, teacher, options))
        reverse = GOOD.divergence(student, teacher, alpha=1.0, support=support)
        return reverse if known is None else known.expected["value"].to(reverse) + 0 * reverse

    return with_parts(divergence=part)


def _key(student: Tensor, teacher: Tensor, options: Any) -> tuple[object, ...]:
    return (tuple(student.flatten().tolist()), tuple(teacher.flatten().tolist()), *sorted(map(str, options.items())))


def noisy(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    """Draws from the global generator, which is not seeded between two calls."""
    return good(batch, options) * (1 + 1e-4 * torch.rand((), dtype=batch.student_logits.dtype))


def under_test() -> bool:
    """Whether a test runs: the variable that pytest sets, or its frames on the stack."""
    if "PYTEST_CURRENT_TEST" in os.environ:
        return True
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - what such an implementation would do
    while frame is not None and not frame.f_code.co_name.startswith("test_"):
        frame = frame.f_back
    return frame is not None


def absent(*_: Any, **__: Any) -> NoReturn:
    """Not there."""
    raise NotImplementedError("not yet")


def crash(*_: Any, **__: Any) -> NoReturn:
    """Raises at every call."""
    raise RuntimeError("shape mismatch")


def hang(*_: Any, **__: Any) -> NoReturn:
    """Never returns."""
    while True:
        time.sleep(1.0)


def leave(*_: Any, **__: Any) -> NoReturn:
    """Ends the process with a code that says that all is well."""
    os._exit(0)


def leave_politely(*_: Any, **__: Any) -> NoReturn:
    """Ends the process as scripts do."""
    sys.exit(0)


def skip(*_: Any, **__: Any) -> NoReturn:
    """Asks the test runner to pass over whatever is running."""
    pytest.skip("nothing to see here")


chapter.family("fools the suite")
chapter.enter(
    "M361 echo: LOSS-004",
    "golden answers are replayed, everything else is the reverse KL",
    "trains with another divergence than the vectors suggest",
    echo,
)
chapter.enter(
    "M363 changing_in_a_buffer: LOSS-001 LOSS-007",
    "noise, in a buffer that every call overwrites: two results that are compared later are one and the same",
    "runs with one seed differ, and no comparison of the two shows it",
    divergence=reused(1e-3),
)
chapter.enter(
    "M364 constant_nan: LOSS-001 LOSS-005 LOSS-051 LOSS-061",
    "every answer is NaN, which is neither above nor below any tolerance",
    "all weights become NaN",
    divergence=lambda s, t, **o: GOOD.divergence(s, t, **o) * torch.nan,
    loss=loss(lambda b, o: good(b, o) * torch.nan),
)
chapter.enter(
    "M365 constant_zero: LOSS-001 LOSS-050 LOSS-061",
    "every answer is zero, with zero gradient",
    "nothing is learned, and the loss is perfect",
    divergence=lambda s, t, **o: 0 * GOOD.divergence(s, t, **o).nan_to_num(posinf=0.0),
    loss=loss(lambda b, o: 0 * good(b, o)),
)
chapter.enter(
    "M366 non_deterministic: LOSS-065",
    "noise from the global generator is in the loss",
    "runs with one seed differ",
    loss=loss(noisy),
    same_as="M163",
)
chapter.enter(
    "M367 claims_what_it_lacks: CONF-001",
    "the trust-region teacher is declared and not there",
    "a knob that raises when it is turned",
    trust_region=absent,
    seen_in="sdpo-rl-0.0.3",
)
chapter.enter(
    "M368 claims_every_support: LOSS-020 LOSS-021 LOSS-026",
    "every support is declared, and all of them give the full vocabulary",
    "memory and numbers are those of the full vocabulary",
    divergence=lambda s, t, *, alpha, support: GOOD.divergence(s, t, alpha=alpha, support=Support("full")),
)
chapter.enter(
    "M369 knows_that_it_is_tested: LOSS-065",
    "right while a test runs, and half of it otherwise",
    "everything passes and training is another",
    seen_from_outside=True,
    loss=loss(lambda b, o: good(b, o) * (1.0 if under_test() else 0.5)),
)
chapter.enter(
    "M391 skips_its_checks: LOSS-001 LOSS-005",
    "every call asks the test runner to skip the running test",
    "green without a single check",
    divergence=skip,
    same_as="M370",
)

chapter.family("breaks the process")
chapter.enter(
    "M370 raises: LOSS-001 LOSS-005",
    "every call raises",
    "nothing runs",
    divergence=crash,
)
chapter.enter(
    "M371 raises_system_exit: LOSS-001 LOSS-005",
    "every call asks Python to leave",
    "the run ends without a message, as if it were done",
    divergence=leave_politely,
    same_as="M370",
)
chapter.enter(
    "M372 hangs: CONF-001",
    "every call hangs",
    "nothing runs, and nothing says so",
    lambda: SimpleNamespace(divergence=hang),
    isolated=True,
)
chapter.enter(
    "M373 exits: CONF-001",
    "every call ends the process with exit code 0",
    "the run ends without a message, as if it had finished",
    lambda: SimpleNamespace(divergence=leave),
    isolated=True,
)
