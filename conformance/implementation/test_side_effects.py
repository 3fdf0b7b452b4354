"""What a part leaves behind: its inputs as they were, and the process as it was (spec/08-conformance)."""

import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from sdpo_ref.protocols.top_k import LIST_SUPPORTS
from sdpo_ref.types import SAMPLED_TOKEN
from sdpo_ref.verification.checks.attempts import group_of, note, prompt, rules_of
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.inputs import every_row, input_generator, lists_of, on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.checks.problems import problem_on
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.suite.capabilities import SUPPORTS, not_offered

REWARDS = torch.tensor([1.0, 0.0, 0.3, 0.5], dtype=torch.float64)


def _logits(rows: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, rows, 5, generator=input_generator(101), dtype=torch.float64))


def _divergence(it: Subject) -> object:
    student, teacher = _logits(3)
    return it.divergence_gradient(student, 500 * teacher.log_softmax(-1), **it.offered.each("divergence")[0].options)


def _loss(it: Subject) -> object:
    return it.loss(random_batch(102), **it.offered.each("loss")[0].options)


def _top_k_loss(it: Subject) -> object:
    kinds = [kind for kind in LIST_SUPPORTS if it.offers(SUPPORTS["top_k_loss"][kind])]
    alpha = 0.0 if kinds[0] == "cross_entropy" or it.profile.alphas == "all" else it.profile.alphas[0]
    return it.top_k_loss(lists_of(on_policy(random_batch(102))), alpha=alpha, support=kinds[0])


def _hybrid(it: Subject) -> object:
    batch, groups = on_policy(random_batch(102)), torch.zeros(4).long()
    return it.hybrid_loss(batch, REWARDS, groups, reward_weight=0.5, support=SAMPLED_TOKEN)


def _sdft(it: Subject) -> object:
    return it.sdft_loss(every_row(random_batch(102)), **it.offered.each("sdft_loss")[0].options, skip_tokens=1)


def _implicit_reward(it: Subject) -> object:
    batch = random_batch(102)
    return it.implicit_reward(batch.teacher_logits, batch.student_logits, batch.completions, batch.completion_mask)


def _low_rank(it: Subject) -> object:
    factors = [(torch.ones(3, 2) * number, torch.ones(2, 3)) for number in (1, 2, 3)]
    return it.low_rank_average(factors, update_rate=0.25)


def _not_asked() -> NoReturn:
    raise NotAskedError(not_offered(["defaults"]))


CALLS: Mapping[str, Callable[[Subject], object]] = {
    "divergence": _divergence,
    "loss": _loss,
    "hidden_loss": lambda it: _loss(it.through_hidden_states()),
    "top_k_loss": _top_k_loss,
    "hybrid_loss": _hybrid,
    "sdft_loss": _sdft,
    "implicit_reward": _implicit_reward,
    "completion_mask": lambda it: it.completion_mask(torch.tensor([[3, 2, 2, 7], [5, 5, 5, 5]]), end_ids={2}),
    "context": lambda it: it.context(group_of(0, [0.0, 1.0], [note(0, 0)] * 2), rules_of(it.profile)),
    "demonstration_context": lambda it: it.demonstration_context(prompt(0), "shown"),
    "step": lambda it: it.step(problem_on(it.offered.each("step")[0], steps_per_iteration=(((4, 2),), ((1, 3),)))),
    "step.live": lambda it: it.step(problem_on(it.offered.each("step")[0], teacher="live")),
    "trust_region": lambda it: it.trust_region(*_logits(3), mix=0.5),
    "low_rank_average": _low_rank,
    "defaults": lambda it: it.defaults() if it.offers("defaults") else _not_asked(),
}
"""A call of each part on inputs that code which works in place would change."""

PARTS = [pytest.param(part, marks=[] if part == "defaults" else pytest.mark.needs(part), id=part) for part in CALLS]
"""Whatever is offered is asked; the requirements need no part, and so one check needs none."""


@pytest.mark.requirement("CONF-004")
@pytest.mark.parametrize("part", PARTS)
def test_inputs_are_left_alone(subject: Subject, part: str) -> None:
    """Every tensor that a part is given is the same after it, and after its backward."""
    with subject.watching() as written:
        CALLS[part](subject)
    assert_that(not written, "inputs as they were", f"{written[:1]} wrote into a tensor that it was given")


def _numpy_state() -> object:
    numpy = sys.modules.get("numpy")
    return None if numpy is None else [str(it) for it in numpy.random.get_state(legacy=False)["state"]["key"].tolist()]


GENERATORS: Mapping[str, Callable[[], object]] = {
    "Python's generator": random.getstate,
    "NumPy's generator": _numpy_state,
    "PyTorch's generator": lambda: torch.get_rng_state().tolist(),
}
"""What is drawn from or seeded in a process."""

SETTINGS: Mapping[str, Callable[[], object]] = {
    "PyTorch's default dtype": torch.get_default_dtype,
    "recording of gradients": torch.is_grad_enabled,
    "number of threads": torch.get_num_threads,
    "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
    "detection of anomalies": torch.is_anomaly_enabled,
    "precision of products of float32": torch.get_float32_matmul_precision,
    "denormal numbers": lambda: float(torch.tensor([1e-310], dtype=torch.float64) * 1.0) > 0,
    "printing of tensors": lambda: str(torch.tensor([0.123456789])),
    "filters of warnings": lambda: list(warnings.filters),
    "environment variables": lambda: dict(os.environ),
    "working directory": Path.cwd,
    "garbage collection": gc.isenabled,
    "limit of recursion": sys.getrecursionlimit,
    "level of the log": lambda: (logging.root.level, logging.root.manager.disable),
}
"""What belongs to the whole process, and how it is read."""


ENVIRONMENT = dict(os.environ)
"""Of the process once the implementation was loaded, and before any part was called."""


def _make_usual() -> None:
    """Put what earlier calls may have changed into a state that no part would choose."""
    warnings.resetwarnings()
    logging.disable(logging.NOTSET)
    torch.set_float32_matmul_precision("highest")
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    random.seed(20_577)
    torch.manual_seed(20_577)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(20_577)


@contextmanager
def _same_afterwards() -> Iterator[None]:
    """Put back what this file looks at, whatever happens: other checks run in the same process."""
    environment, folder, dtype, grad = dict(os.environ), Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    seeds: tuple[Any, Any] = random.getstate(), torch.get_rng_state()
    level, disabled, limit = logging.root.level, logging.root.manager.disable, sys.getrecursionlimit()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(mode=False)
        torch.autograd.set_detect_anomaly(mode=False)
        torch.set_flush_denormal(False)
        torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]
        random.setstate(seeds[0])
        torch.set_rng_state(seeds[1])
        logging.root.setLevel(level)
        logging.disable(disabled)
        sys.setrecursionlimit(limit)
        gc.enable()


@pytest.mark.requirement("CONF-005")
@pytest.mark.parametrize("part", PARTS)
def test_process_is_left_alone(subject: Subject, part: str) -> None:
    """After a first call, in which libraries may be imported and code compiled, a second one leaves nothing behind."""
    with _same_afterwards():
        CALLS[part](subject)
    with _same_afterwards():
        _make_usual()
        readers = SETTINGS if part == "low_rank_average" else {**GENERATORS, **SETTINGS}
        before = {name: read() for name, read in readers.items()}
        CALLS[part](subject)
        changed = [name for name, read in readers.items() if read() != before[name]]
    assert_that(
        not changed, f"the process as it was before a call of {part}", f"another state of: {', '.join(changed)}"
    )
