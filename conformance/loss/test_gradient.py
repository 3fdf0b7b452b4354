"""What training sees of the loss: its gradient (spec/04-loss, E)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.closed_form import token_weights
from sdpo_ref.verification.checks.comparison import HALF, assert_close, assert_that
from sdpo_ref.verification.checks.inputs import input_generator, on_policy, random_batch
from sdpo_ref.verification.checks.subject import Subject

ALPHAS = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]


def _closed_form(student_logits: Tensor, teacher_logits: Tensor, alpha: float) -> Tensor:
    """Gradient of each token's divergence with respect to the student's logits, written out."""
    p, q = student_logits.softmax(-1), teacher_logits.softmax(-1)
    if alpha == 0.0:
        return p - q
    if alpha == 1.0:
        log_ratio = (p / q).log()
        return p * (log_ratio - (p * log_ratio).sum(-1, keepdim=True))
    m = (1 - alpha) * p + alpha * q
    log_ratio = (p / m).log()
    return (1 - alpha) * p * (log_ratio - (p * log_ratio).sum(-1, keepdim=True))


@pytest.mark.requirement("LOSS-060")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_teacher_is_a_constant(subject: Subject, alpha: float) -> None:
    """Teacher logits that require a gradient get none."""
    found = subject.loss(on_policy(random_batch(21)), alpha=alpha, support=FULL)
    assert_close(
        found.teacher,
        torch.zeros_like(found.teacher),
        what="gradient w.r.t. the teacher's logits",
        absolute=0.0,
        given={"alpha": alpha, "teacher_logits": "requires_grad=True"},
    )


@pytest.mark.requirement("LOSS-061")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_closed_form(subject: Subject, alpha: float) -> None:
    """The gradient equals the formula of the requirement, token by token."""
    batch = on_policy(random_batch(22))
    found = subject.loss(batch, alpha=alpha, support=FULL).student
    expected = _closed_form(batch.student_logits, batch.teacher_logits, alpha)
    expected = expected * token_weights(batch.loss_mask, subject.profile.aggregation)[..., None]
    assert_close(
        found,
        expected,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-13,
        given={"alpha": alpha, "aggregation": subject.profile.aggregation},
    )


@pytest.mark.requirement("LOSS-061")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_finite_differences(subject: Subject, alpha: float) -> None:
    """The gradient is the slope of the implementation's own value."""
    batch = on_policy(random_batch(23))
    gradient = subject.loss(batch, alpha=alpha, support=FULL).student
    direction = torch.randn(batch.student_logits.shape, generator=input_generator(1)).double()
    # central difference: error of order step^2, rounding 1e-16 / step in float64 and 6e-8 / step in float32; in half
    # precision a difference of two values has no digits, and the formula above decides alone
    if subject.precision in HALF:
        return
    step, absolute = (1e-5, 1e-8) if subject.precision is torch.float64 else (1e-2, 1e-3)
    ahead, behind = (
        subject.loss(
            replace(batch, student_logits=batch.student_logits + sign * step * direction), alpha=alpha, support=FULL
        ).value
        for sign in (1, -1)
    )
    assert_close(
        (gradient * direction).sum(),
        (ahead - behind) / (2 * step),
        what="slope along a random direction, in nats,",
        relative=1e-6,
        absolute=absolute,
        given={"alpha": alpha, "step": step},
    )


@pytest.mark.requirement("LOSS-062")
@pytest.mark.parametrize("temperature", [0.5, 1.7])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_temperature_in_the_chain_rule(subject: Subject, temperature: float, alpha: float) -> None:
    """The gradient w.r.t. z is 1/tau times the gradient w.r.t. z/tau."""
    batch = on_policy(random_batch(24))
    tempered = subject.loss(batch, alpha=alpha, support=FULL, temperature=temperature).student
    divided = replace(
        batch,
        student_logits=batch.student_logits / temperature,
        teacher_logits=batch.teacher_logits / temperature,
    )
    plain = subject.loss(divided, alpha=alpha, support=FULL).student
    assert_close(
        tempered,
        plain / temperature,
        what="gradient w.r.t. the untempered logits",
        relative=1e-9,
        given={"temperature": temperature, "alpha": alpha},
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "side",
    [
        pytest.param("both", marks=pytest.mark.requirement("LOSS-091")),
        pytest.param("student", marks=pytest.mark.requirement("LOSS-092")),
        pytest.param("teacher", marks=pytest.mark.requirement("LOSS-092")),
    ],
)
def test_half_precision_logits(subject: Subject, alpha: float, dtype: torch.dtype, side: str) -> None:
    """The loss of half-precision logits, beside float32 as well, equals that of the same numbers in float64."""
    half = on_policy(random_batch(25, dtype=dtype, vocab=37))
    exact = replace(half, student_logits=half.student_logits.double(), teacher_logits=half.teacher_logits.double())
    expected = subject.loss(exact, alpha=alpha, support=FULL)
    if side == "student":
        half = replace(half, teacher_logits=half.teacher_logits.float())
    elif side == "teacher":
        half = replace(half, student_logits=half.student_logits.float())
    found = subject.loss(half, alpha=alpha, support=FULL)
    inputs = {"dtype": dtype, "half": side, "alpha": alpha, "vocab": 37}
    # an answer in half precision would be off by more than the requirement allows: it has no tolerance of its own here
    value = found.value.float() if found.value.dtype in HALF else found.value
    assert_close(value, expected.value, what="loss in nats", relative=1e-4, absolute=0.0, given=inputs)
    # the gradient may come back in half precision: 2^-8 (bfloat16) of each entry, and of the largest for cancellation
    assert_close(
        found.student,
        expected.student,
        what="gradient",
        relative=2**-7,
        absolute=2**-9 * float(expected.student.abs().max()),
        given=inputs,
    )


@pytest.mark.requirement("LOSS-094")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_inputs_are_left_alone(subject: Subject, alpha: float) -> None:
    """Logits, ids and masks are bit for bit the same after forward and backward."""
    batch = random_batch(26)
    after = subject.inputs_after_loss(batch, alpha=alpha, support=FULL)
    for name in ("student_logits", "teacher_logits", "completions", "completion_mask", "self_distillation_mask"):
        before, now = getattr(batch, name), getattr(after, name).detach()
        assert_that(bool(torch.equal(before, now)), f"{name} unchanged", f"{name} was written to", {"alpha": alpha})


@pytest.mark.requirement("LOSS-095")
def test_behaviour_is_left_alone(subject: Subject) -> None:
    """Recorded log-probabilities, some of which the cap and the masks leave out, are those that were recorded."""
    batch = random_batch(26)
    assert batch.behaviour_log_probs is not None
    after = subject.inputs_after_loss(batch, alpha=0.25, support=FULL, ratio_cap=1.1).behaviour_log_probs
    assert_that(
        after is not None and bool(torch.equal(batch.behaviour_log_probs, after)),
        "behaviour_log_probs unchanged",
        "behaviour_log_probs was written to",
        {"ratio_cap": 1.1},
    )


SETTINGS: Mapping[str, tuple[Callable[[], object], Callable[[Any], object], object]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "recording of gradients": (torch.is_grad_enabled, torch.set_grad_enabled, True),
    "number of threads": (torch.get_num_threads, torch.set_num_threads, 1),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
        False,
    ),
    "detection of anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
}
"""How each setting is read and set, and what it is before the loss is computed."""


@pytest.mark.requirement("LOSS-097")
@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_are_left_alone(subject: Subject, setting: str) -> None:
    """Settings of the whole process are the same as before."""
    read, make, usual = SETTINGS[setting]
    before = read()
    try:
        make(usual)
        subject.loss(on_policy(random_batch(26)), alpha=0.25, support=FULL)
        found = read()
    finally:
        make(before)
    assert_that(found == usual, f"{setting}: {usual}, as before", f"{found}")


@pytest.mark.requirement("LOSS-096")
def test_random_numbers_are_left_alone(subject: Subject) -> None:
    """Neither seeded nor used: the next random number is the expected one."""
    state = torch.get_rng_state()
    try:
        torch.manual_seed(20_577)
        due = torch.get_rng_state()
        subject.loss(on_policy(random_batch(26)), alpha=0.25, support=FULL)
        found = torch.get_rng_state()
    finally:
        torch.set_rng_state(state)
    assert_that(
        bool(torch.equal(found, due)), "the generator of random numbers in the state before", "another state of it"
    )


@pytest.mark.requirement("LOSS-065")
def test_same_again(subject: Subject) -> None:
    """Two calls agree bit for bit."""
    batch = on_policy(random_batch(27))
    first, second = (subject.loss(batch, alpha=0.25, support=FULL) for _ in range(2))
    assert_close(second.value, first.value, what="loss of the second call", relative=0.0, absolute=0.0)
    assert_close(second.student, first.student, what="gradient of the second call", relative=0.0, absolute=0.0)


@pytest.mark.requirement("LOSS-065")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_upstream_factor(subject: Subject, alpha: float) -> None:
    """One graph, differentiated for the factors 1, 3 and 1 again."""
    first, tripled, again = subject.loss_backward(
        on_policy(random_batch(28)), alpha=alpha, support=FULL, upstream=(1.0, 3.0, 1.0)
    )
    assert_close(tripled, 3 * first, what="gradient for the upstream factor 3", given={"alpha": alpha})
    assert_close(again, first, what="gradient of a second backward", given={"alpha": alpha})


@pytest.mark.requirement("LOSS-098")
@pytest.mark.parametrize("alpha", [-0.5, 1.5, math.nan])
def test_refuses_alpha(subject: Subject, alpha: float) -> None:
    """An alpha outside [0, 1] raises in the loss as well."""
    batch = on_policy(random_batch(29))
    refused = subject.raises("loss", lambda it: it.loss(batch, alpha=alpha, support=FULL))
    assert_that(refused is not None, "an error that names alpha", "a result", {"alpha": alpha})


@pytest.mark.requirement("LOSS-099")
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_refuses_temperature(subject: Subject, temperature: float) -> None:
    """A temperature that is not positive raises."""
    batch = on_policy(random_batch(29))
    refused = subject.raises("loss", lambda it: it.loss(batch, alpha=0.25, support=FULL, temperature=temperature))
    assert_that(refused is not None, "an error that names the temperature", "a result", {"temperature": temperature})


@pytest.mark.requirement("LOSS-100")
@pytest.mark.parametrize("ratio_cap", [0.0, -1.0, math.nan])
def test_refuses_ratio_cap(subject: Subject, ratio_cap: float) -> None:
    """A cap that is not positive raises."""
    batch = random_batch(29)
    refused = subject.raises("loss", lambda it: it.loss(batch, alpha=0.25, support=FULL, ratio_cap=ratio_cap))
    assert_that(refused is not None, "an error that names the cap", "a result", {"ratio_cap": ratio_cap})
