"""What training sees of the loss: its gradient (spec/04-loss, E)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.closed_form import losses_and_gradient, token_weights
from sdpo_ref.verification.checks.comparison import HALF, assert_close, assert_that
from sdpo_ref.verification.checks.inputs import input_generator, on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import NotAskedError
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
    for on in subject.offered.each("loss", at=alpha):
        found = subject.loss(on_policy(random_batch(21)), **on.options)
        assert_close(
            found.teacher,
            torch.zeros_like(found.teacher),
            what="gradient w.r.t. the teacher's logits",
            absolute=0.0,
            given={**on.given, "teacher_logits": "requires_grad=True"},
        )


@pytest.mark.requirement("LOSS-061")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_closed_form(subject: Subject, alpha: float) -> None:
    """The gradient equals the formula of the requirement, token by token."""
    batch = on_policy(random_batch(22))
    on = subject.offered.one("loss", at=alpha, vocab=11)
    found = subject.loss(batch, **on.options).student
    if on.is_surrogate:
        _, expected = losses_and_gradient(batch, subject.profile, **on.options)
    else:
        expected = _closed_form(batch.student_logits, batch.teacher_logits, on.alpha)
        expected = expected * token_weights(batch.loss_mask, subject.profile.aggregation)[..., None]
    assert_close(
        found,
        expected,
        what="gradient w.r.t. the student's logits",
        relative=1e-9,
        absolute=1e-13,
        given={**on.given, "aggregation": subject.profile.aggregation},
    )


@pytest.mark.requirement("LOSS-061")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_finite_differences(subject: Subject, alpha: float) -> None:
    """The gradient is the slope of the implementation's own value."""
    batch = on_policy(random_batch(23))
    on = subject.offered.one("loss", at=alpha, vocab=11)
    if on.is_surrogate:
        raise NotAskedError("the value of the surrogate is not what its gradient is the slope of")
    gradient = subject.loss(batch, **on.options).student
    direction = torch.randn(batch.student_logits.shape, generator=input_generator(1)).double()
    # central difference: error of order step^2, rounding 1e-16 / step in float64 and 6e-8 / step in float32; in half
    # precision a difference of two values has no digits, and the formula above decides alone
    if subject.precision in HALF:
        return
    step, absolute = (1e-5, 1e-8) if subject.precision is torch.float64 else (1e-2, 1e-3)
    ahead, behind = (
        subject.loss(replace(batch, student_logits=batch.student_logits + sign * step * direction), **on.options).value
        for sign in (1, -1)
    )
    assert_close(
        (gradient * direction).sum(),
        (ahead - behind) / (2 * step),
        what="slope along a random direction, in nats,",
        relative=1e-6,
        absolute=absolute,
        given={**on.given, "step": step},
    )


@pytest.mark.requirement("LOSS-062")
@pytest.mark.parametrize("temperature", [0.5, 1.7])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_temperature_in_the_chain_rule(subject: Subject, temperature: float, alpha: float) -> None:
    """The gradient w.r.t. z is 1/tau times the gradient w.r.t. z/tau."""
    batch = on_policy(random_batch(24))
    divided = replace(
        batch,
        student_logits=batch.student_logits / temperature,
        teacher_logits=batch.teacher_logits / temperature,
    )
    for on in subject.offered.each("loss", at=alpha):
        tempered = subject.loss(batch, **on.options, temperature=temperature).student
        plain = subject.loss(divided, **on.options).student
        assert_close(
            tempered,
            plain / temperature,
            what="gradient w.r.t. the untempered logits",
            relative=1e-9,
            given={"temperature": temperature, **on.given},
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
    for on in subject.offered.each("loss", at=alpha):
        half = on_policy(random_batch(25, dtype=dtype, vocab=37))
        if on.support.k is not None:  # half precision has many equal logits: keep the likeliest away from the others
            half = _with_a_head(half, on.support.k)
        exact = replace(half, student_logits=half.student_logits.double(), teacher_logits=half.teacher_logits.double())
        expected = subject.loss(exact, **on.options)
        if side == "student":
            half = replace(half, teacher_logits=half.teacher_logits.float())
        elif side == "teacher":
            half = replace(half, student_logits=half.student_logits.float())
        found = subject.loss(half, **on.options)
        inputs = {"dtype": dtype, "half": side, **on.given, "vocab": 37}
        # an answer in half precision would be off by more than is allowed: it has no tolerance of its own here
        value = found.value.float() if found.value.dtype in HALF else found.value
        assert_close(value, expected.value, what="loss in nats", relative=1e-4, absolute=0.0, given=inputs)
        # the gradient may come back in half precision: 2^-8 (bfloat16) of each entry, and of the largest, which cancels
        assert_close(
            found.student,
            expected.student,
            what="gradient",
            relative=2**-7,
            absolute=2**-9 * float(expected.student.abs().max()),
            given=inputs,
        )


def _with_a_head(batch: DistillationBatch, k: int) -> DistillationBatch:
    """The first tokens of the vocabulary are the likeliest on both sides."""
    above = torch.zeros_like(batch.student_logits)
    above[..., :k] = 12.0
    return replace(batch, student_logits=batch.student_logits + above, teacher_logits=batch.teacher_logits + above)


@pytest.mark.requirement("LOSS-094")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_inputs_are_left_alone(subject: Subject, alpha: float) -> None:
    """Logits, ids and masks are bit for bit the same after forward and backward."""
    batch = random_batch(26)
    for on in subject.offered.each("loss", at=alpha):
        after = subject.inputs_after_loss(batch, **on.options)
        for name in ("student_logits", "teacher_logits", "completions", "completion_mask", "self_distillation_mask"):
            before, now = getattr(batch, name), getattr(after, name).detach()
            assert_that(bool(torch.equal(before, now)), f"{name} unchanged", f"{name} was written to", on.given)


@pytest.mark.requirement("LOSS-095")
def test_behaviour_is_left_alone(subject: Subject) -> None:
    """Recorded log-probabilities, some of which the cap and the masks leave out, are those that were recorded."""
    batch = random_batch(26)
    assert batch.behaviour_log_probs is not None
    for on in subject.offered.each("loss"):
        after = subject.inputs_after_loss(batch, **on.options, ratio_cap=1.1).behaviour_log_probs
        assert_that(
            after is not None and bool(torch.equal(batch.behaviour_log_probs, after)),
            "behaviour_log_probs unchanged",
            "behaviour_log_probs was written to",
            {"ratio_cap": 1.1, **on.given},
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
    for on in subject.offered.each("loss"):
        try:
            make(usual)
            subject.loss(on_policy(random_batch(26)), **on.options)
            found = read()
        finally:
            make(before)
        assert_that(found == usual, f"{setting}: {usual}, as before", f"{found}", on.given)


@pytest.mark.requirement("LOSS-096")
def test_random_numbers_are_left_alone(subject: Subject) -> None:
    """Neither seeded nor used: the next random number is the expected one."""
    state = torch.get_rng_state()
    for on in subject.offered.each("loss"):
        try:
            torch.manual_seed(20_577)
            due = torch.get_rng_state()
            subject.loss(on_policy(random_batch(26)), **on.options)
            found = torch.get_rng_state()
        finally:
            torch.set_rng_state(state)
        same = bool(torch.equal(found, due))
        assert_that(same, "the generator of random numbers in the state before", "another state of it", on.given)


@pytest.mark.requirement("LOSS-065")
def test_same_again(subject: Subject) -> None:
    """Two calls agree bit for bit."""
    batch = on_policy(random_batch(27))
    for on in subject.offered.each("loss"):
        first, second = (subject.loss(batch, **on.options) for _ in range(2))
        exact: dict[str, Any] = {"relative": 0.0, "absolute": 0.0, "given": on.given}
        assert_close(second.value, first.value, what="loss of the second call", **exact)
        assert_close(second.student, first.student, what="gradient of the second call", **exact)


@pytest.mark.requirement("LOSS-065")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_upstream_factor(subject: Subject, alpha: float) -> None:
    """One graph, differentiated for the factors 1, 3 and 1 again."""
    batch = on_policy(random_batch(28))
    for on in subject.offered.each("loss", at=alpha):
        first, tripled, again = subject.loss_backward(batch, **on.options, upstream=(1.0, 3.0, 1.0))
        assert_close(tripled, 3 * first, what="gradient for the upstream factor 3", given=on.given)
        assert_close(again, first, what="gradient of a second backward", given=on.given)


@pytest.mark.requirement("LOSS-098")
@pytest.mark.parametrize("alpha", [-0.5, 1.5, math.nan, -1e-6, 1 + 1e-6])
def test_refuses_alpha(subject: Subject, alpha: float) -> None:
    """An alpha outside [0, 1] raises in the loss as well."""
    batch = on_policy(random_batch(29))
    for on in subject.offered.each("loss"):
        refused = subject.raises("loss", partial(Subject.loss, batch=batch, alpha=alpha, support=on.support))
        assert_that(refused is not None, "an error that names alpha", "a result", {**on.given, "alpha": alpha})


@pytest.mark.requirement("LOSS-099")
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_refuses_temperature(subject: Subject, temperature: float) -> None:
    """A temperature that is not positive raises."""
    batch = on_policy(random_batch(29))
    for on in subject.offered.each("loss"):
        inputs = {"temperature": temperature, **on.given}
        refused = subject.raises("loss", partial(Subject.loss, batch=batch, **on.options, temperature=temperature))
        assert_that(refused is not None, "an error that names the temperature", "a result", inputs)


@pytest.mark.requirement("LOSS-100")
@pytest.mark.parametrize("ratio_cap", [0.0, -1.0, math.nan])
def test_refuses_ratio_cap(subject: Subject, ratio_cap: float) -> None:
    """A cap that is not positive raises."""
    batch = random_batch(29)
    for on in subject.offered.each("loss"):
        inputs = {"ratio_cap": ratio_cap, **on.given}
        refused = subject.raises("loss", partial(Subject.loss, batch=batch, **on.options, ratio_cap=ratio_cap))
        assert_that(refused is not None, "an error that names the cap", "a result", inputs)
