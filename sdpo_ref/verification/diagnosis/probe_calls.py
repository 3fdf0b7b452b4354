"""Calls on which wrong implementations differ from the reference: awkward inputs for every part, in the spec's order.

They share no input with the checks, so that a mutant's difference from the reference is a fact of its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor

from sdpo_ref.protocols.parts import Attempt
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.protocols.top_k import ListSupport, ServerTopK
from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch, Head, HiddenBatch, Support
from sdpo_ref.verification.checks.attempts import group_of, prompt
from sdpo_ref.verification.checks.first_steps import Asked, MakeInputs, Ragged, SmallStudy, first_steps, own_weights
from sdpo_ref.verification.checks.inputs import every_row, input_generator, lists_of, on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import NotOfferedError
from sdpo_ref.verification.checks.problems import (
    TOOLS,
    cut,
    step_problem,
    with_a_confident_teacher,
    with_tied_weights,
    with_tools,
    without_a_context,
)
from sdpo_ref.verification.checks.subject import Subject


@dataclass(frozen=True)
class Call:
    """Calls a part of an implementation.

    Attributes:
        make: the call.
        arguments: what the part is given, where that is needed to read its answer.
        is_surrogate: whether only the gradient of its answer means something.
        is_half: whether it is given half precision, in which gradients may come back.
    """

    make: Callable[[Subject], object]
    arguments: tuple[object, ...] = ()
    is_surrogate: bool = False
    is_half: bool = False

    def __call__(self, subject: Subject) -> object:
        """The answer."""
        return self.make(subject)


SUPPORTS = (FULL, Support("top_k_tail", 1), Support("top_k_tail", 3), Support("top_k_renormalized", 3))
ALPHAS = (0.0, 0.005, 0.1, 0.5, 1.0)

HALF = "bfloat16"
"""In the name of a call that is given half precision."""


@cache
def probes_of() -> Mapping[str, tuple[str, Call]]:
    """Name to the part that is called, and the call."""
    every = (_divergence, _loss, _hidden, _lists, _hybrid, _completions, _context, _weights, _step, _sizes, _trainer)
    return {name: (part, call) for chapter in every for name, part, call in chapter()}


Entries = Iterator[tuple[str, str, Call]]
"""Name, part, call."""


def _probe(name: str, method: str, *arguments: object, part: str = "", **options: object) -> tuple[str, str, Call]:
    """A call of a method of the subject; of the part of that name, unless another is named."""
    call = Call(
        lambda it: getattr(it, method)(*arguments, **options),
        arguments,
        is_surrogate=options.get("support") == SAMPLED_TOKEN,
        is_half=HALF in name,
    )
    return name, part or method, call


def _rows() -> dict[str, tuple[Tensor, Tensor]]:
    """Logits of student and teacher."""
    generator = torch.Generator().manual_seed(901)
    student, teacher = 2.0 * torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    peaked = torch.tensor([[26.0, 0.0, -1.0, 0.5, 0.2, -0.3]], dtype=torch.float64)
    gone = torch.tensor([[0.3, -0.4, -torch.inf, 0.9, -torch.inf, 0.1]], dtype=torch.float64)
    return {
        "random rows": (student, teacher),
        "a confident teacher": (student[:1], peaked),
        "a confident student": (peaked, teacher[:1]),
        "tokens without mass": (gone, gone.flip(-1).roll(-1, -1)),
        "tokens without mass on both sides": (gone, gone + torch.tensor([0.5, 0.1, 0.0, -0.7, 0.0, 0.2]).double()),
        "a teacher that excludes": (student[:1], torch.where(gone.isinf(), gone, teacher[:1])),
        "the vocabulary in another order": (student[:, [3, 1, 5, 0, 2, 4]], teacher[:, [3, 1, 5, 0, 2, 4]]),
    }


def _divergence() -> Entries:
    for (rows, (student, teacher)), alpha, support in product(_rows().items(), ALPHAS, SUPPORTS):
        name = f"divergence of {rows}, alpha {alpha:g}, {support.kind}{support.k or ''}"
        sides = student, teacher.log_softmax(-1)
        yield _probe(name, "divergence_gradient", *sides, alpha=alpha, support=support, part="divergence")
    one = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()
    pair = one, one.flip(-1)
    for alpha in (-0.25, 1.25, math.nan):
        yield _probe(f"divergence at alpha {alpha:g}", "divergence", *pair, alpha=alpha, support=FULL)
    above = Support("top_k_tail", 9)
    yield _probe("divergence with k above the vocabulary", "divergence", *pair, alpha=1.0, support=above)
    yield (
        "two divergences, one after the other",
        "divergence",
        Call(lambda it: [it.divergence(*pair, alpha=1.0, support=FULL) for _ in range(2)]),
    )


def _batches() -> dict[str, tuple[DistillationBatch, dict[str, Any]]]:
    """Batches with the options under which they are given to the loss."""
    batch = on_policy(random_batch(911))
    garbage = torch.where(batch.loss_mask[..., None], batch.student_logits, torch.nan)
    none = replace(batch, self_distillation_mask=torch.zeros(4, dtype=torch.bool))
    stale = random_batch(912)
    assert stale.behaviour_log_probs is not None  # noqa: S101 - random_batch always has them
    half = on_policy(random_batch(913, dtype=torch.bfloat16))
    recorded = torch.where(stale.loss_mask, stale.behaviour_log_probs, torch.nan)
    whole = replace(
        batch,
        completions=torch.where(batch.completion_mask, batch.completions, 0),
        completion_mask=torch.ones_like(batch.completion_mask),
        self_distillation_mask=torch.ones_like(batch.self_distillation_mask),
    )
    return {
        "a batch": (batch, {}),
        "rows of one length": (whole, {}),  # most aggregations agree on these
        "rows of one length at a temperature": (whole, {"temperature": 2.0}),
        "a batch of bfloat16": (half, {}),
        "a student of bfloat16": (replace(half, teacher_logits=half.teacher_logits.float()), {}),
        "a teacher of bfloat16": (replace(half, student_logits=half.student_logits.float()), {}),
        "garbage behind the mask": (replace(batch, student_logits=garbage), {}),
        "foreign ids behind the mask": (
            replace(batch, completions=torch.where(batch.completion_mask, batch.completions, 999)),
            {},
        ),
        "nothing that counts": (none, {}),
        "large logits": (replace(batch, student_logits=batch.student_logits - 200.0), {}),
        "holes": (replace(batch, completion_mask=batch.completion_mask & (torch.arange(6) % 2 == 0)), {}),
        "temperature one half": (batch, {"temperature": 0.5}),
        "temperature thirty": (batch, {"temperature": 30.0}),
        "weights": (replace(stale, behaviour_log_probs=recorded), {"ratio_cap": 1.5}),
        "far too stale weights": (
            replace(stale, behaviour_log_probs=stale.behaviour_log_probs - 900),
            {"ratio_cap": 2.0},
        ),
        "weights of what was unlearned": (
            replace(stale, behaviour_log_probs=stale.behaviour_log_probs + 14),
            {"ratio_cap": 2.0},
        ),
        "weights under a cap of one half": (stale, {"ratio_cap": 0.5}),
        "weights under a cap of forty": (
            replace(stale, behaviour_log_probs=stale.behaviour_log_probs - 3),
            {"ratio_cap": 40.0},
        ),
        "weights at a temperature": (stale, {"ratio_cap": 2.0, "temperature": 2.0}),
        "weights without a record": (batch, {"ratio_cap": 2.0}),
        "temperature zero": (batch, {"temperature": 0.0}),
        "a negative temperature": (batch, {"temperature": -2.0}),
        "a cap of zero": (stale, {"ratio_cap": 0.0}),
        "a cap that is NaN": (stale, {"ratio_cap": math.nan}),
        "a recorded NaN": (
            replace(stale, behaviour_log_probs=stale.behaviour_log_probs * math.nan),
            {"ratio_cap": 2.0},
        ),
        "a NaN that counts": (replace(batch, student_logits=batch.student_logits * math.nan), {}),
        "tokens that the teacher excludes": (
            replace(batch, teacher_logits=batch.teacher_logits.masked_fill(torch.arange(11) == 1, -torch.inf)),
            {},
        ),
        "sides far apart": (replace(batch, student_logits=200 * batch.student_logits), {}),
        "logits with the vocabulary in front": (
            replace(batch, student_logits=batch.student_logits.permute(2, 1, 0).contiguous().permute(2, 1, 0)),
            {},
        ),
        "rounded logits of the student": (replace(batch, student_logits=batch.student_logits.round() / 2000), {}),
    }


def _large() -> dict[str, DistillationBatch]:
    """Batches of which one side is as large as in training."""
    found = {}
    for name, time, vocab in (("a large vocabulary", 6, 40_000), ("a long completion", 1_100, 3)):
        student, teacher = torch.randn(2, 1, time, vocab, generator=input_generator(915), dtype=torch.float64)
        true = torch.ones(1, time, dtype=torch.bool)
        completions = torch.arange(time)[None] * (vocab // time)
        found[name] = DistillationBatch(student, teacher, completions % vocab, true, true[:, 0])
    return found


def _loss() -> Entries:
    supports = (FULL, Support("top_k_tail", 3), Support("top_k_renormalized", 3))
    for (name, (batch, options)), alpha, support in product(_batches().items(), (0.0, 0.1, 1.0), supports):
        yield _probe(
            f"loss of {name}, alpha {alpha:g}, {support.kind}", "loss", batch, alpha=alpha, support=support, **options
        )
    batch = on_policy(random_batch(914))
    for alpha in (1.0, 0.5):
        yield _probe(f"loss on the sampled token, alpha {alpha:g}", "loss", batch, alpha=alpha, support=SAMPLED_TOKEN)
    apart = replace(batch, student_logits=200 * batch.student_logits)
    for name, large in {**_large(), "sides far apart": apart}.items():
        yield _probe(f"loss on the sampled token of {name}", "loss", large, alpha=1.0, support=SAMPLED_TOKEN)
    for alpha in (-0.5, 1.5):
        yield _probe(f"loss at alpha {alpha:g}", "loss", batch, alpha=alpha, support=FULL)
    half: dict[str, Any] = {"alpha": 0.5, "support": FULL, "part": "loss"}
    twice = Call(lambda it: [it.loss(batch, alpha=0.5, support=FULL) for _ in "ab"])
    yield "two losses, one after the other", "loss", twice
    yield _probe("gradients under a factor from above", "loss_backward", batch, upstream=(3.0,), **half)
    yield "the next random number after a loss", "loss", Call(lambda it: _random_number_after(it, batch))
    yield "the default dtype after a loss", "loss", Call(lambda it: _default_dtype_after(it, batch))
    yield _probe("loss without recording", "loss_without_recording", batch, **half)
    for alpha in (0.0, 1.0):  # for those that offer no alpha between the ends
        ends: dict[str, Any] = {"alpha": alpha, "support": FULL, "part": "loss"}
        name = f"gradients under a factor from above, alpha {alpha:g}"
        yield _probe(name, "loss_backward", batch, upstream=(3.0,), **ends)
        yield _probe(f"what the loss leaves behind, alpha {alpha:g}", "inputs_after_loss", batch, **ends)
    behind = "what the loss leaves behind"
    yield _probe(behind, "inputs_after_loss", batch, **half)
    yield _probe(f"{behind}, with importance weights", "inputs_after_loss", random_batch(917), ratio_cap=2.0, **half)
    empty = replace(batch, self_distillation_mask=torch.zeros(4, dtype=torch.bool))
    yield "the graph of an empty loss", "loss", Call(lambda it: _reaches_a_parameter(it, empty))
    for name, piece, denominator in (("a piece", batch, 0.375), ("an empty piece", empty, 0.0)):
        yield _probe(f"loss of {name} of a step", "loss", piece, alpha=1.0, support=FULL, denominator=denominator)


def _hidden() -> Entries:
    """The loss from hidden states, with the gradient of everything that has one."""
    settings: tuple[tuple[float, Support], ...] = ((0.0, FULL), (0.3, Support("top_k_tail", 3)), (1.0, SAMPLED_TOKEN))
    for (name, make), (alpha, support) in product(_hidden_batches().items(), settings):
        yield (
            f"loss from hidden states of {name}, alpha {alpha:g}, {support.kind}",
            "hidden_loss",
            Call(
                partial(_hidden_gradients, make=make, alpha=alpha, support=support),
                is_surrogate=support == SAMPLED_TOKEN,
            ),
        )


def _lists() -> Entries:
    """The loss on the top k of a server, on lists that are right and on some that are not."""
    settings: tuple[tuple[ListSupport, float], ...] = (
        ("top_k_tail", 0.0),
        ("top_k_tail", 0.3),
        ("top_k_tail", 1.0),
        ("top_k_renormalized", 0.3),
        ("cross_entropy", 0.0),
    )
    batch = on_policy(random_batch(981))
    sure = replace(batch, student_logits=8.0 * batch.teacher_logits)
    right, garbage = lists_of(batch), lists_of(batch)
    counts = right.loss_mask[..., None]
    garbage = replace(garbage, teacher_log_probs=torch.where(counts, garbage.teacher_log_probs, math.nan))
    twice, ids = right.teacher_log_probs.clone(), right.teacher_ids.clone()
    twice[..., 1], ids[..., 1] = twice[..., 0], ids[..., 0]
    short = right.teacher_log_probs.clone()
    short[..., -1] = -math.inf
    batches: dict[str, tuple[ServerTopK, dict[str, Any]]] = {
        "a list": (right, {}),
        "a list beside a sure student": (lists_of(sure), {}),
        "garbage behind the mask": (garbage, {}),
        "a list with an id twice": (replace(right, teacher_ids=ids, teacher_log_probs=twice), {}),
        "a list without its last score": (replace(right, teacher_log_probs=short), {}),
        "a list at temperature two": (lists_of(batch, temperature=2.0), {"temperature": 2.0}),
        "a list at another temperature": (lists_of(batch, temperature=2.0), {"temperature": 1.0}),
        "a list with weights": (lists_of(random_batch(982)), {"ratio_cap": 1.5}),
    }
    for (name, (given, options)), (support, alpha) in product(batches.items(), settings):
        what = f"loss of {name}, alpha {alpha:g}, {support}"
        yield _probe(what, "top_k_loss", given, alpha=alpha, support=support, **options)


def _hidden_batches() -> dict[str, Callable[[], HiddenBatch]]:
    def make(
        rows: int = 3, time: int = 4, *, has_bias: bool = True, shared: bool = False, garbage: float = 0.0
    ) -> HiddenBatch:
        generator, vocab, width = torch.Generator().manual_seed(971), 9, 6

        def leaf(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

        student_head, teacher_head = (Head(leaf(vocab, width), leaf(vocab) if has_bias else None) for _ in "ab")
        mask = torch.arange(time) < time - torch.arange(rows)[:, None]
        student, teacher = (
            torch.where(mask[..., None], leaf(rows, time, width).detach(), garbage).requires_grad_() for _ in "ab"
        )
        ids = torch.randint(vocab, (rows, time), generator=generator)
        head = student_head if shared else teacher_head
        return HiddenBatch(student, student_head, teacher, head, ids, mask, mask[:, 0])

    return {
        "a batch": make,
        "a batch without biases": partial(make, has_bias=False),
        "a batch with one head": partial(make, shared=True),
        "garbage behind the mask": partial(make, garbage=math.nan),
        "1,500 tokens": partial(make, 2, 750),
    }


def _hidden_gradients(
    subject: Subject, *, make: Callable[[], HiddenBatch], alpha: float, support: Support
) -> tuple[Tensor, ...]:
    batch = make()
    heads = [batch.student_head, *([] if batch.teacher_head is batch.student_head else [batch.teacher_head])]
    leaves = [batch.student_hidden, batch.teacher_hidden]
    leaves += [it for head in heads for it in (head.weight, head.bias) if it is not None]
    return subject.through_hidden_states().hidden_loss(batch, leaves, alpha=alpha, support=support)


def _random_number_after(subject: Subject, batch: DistillationBatch) -> Tensor:
    torch.manual_seed(916)
    subject.loss(batch, alpha=0.5, support=FULL)
    return torch.rand(1)


def _default_dtype_after(subject: Subject, batch: DistillationBatch) -> str:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # not what an earlier call of the same subject left
    try:
        subject.loss(batch, alpha=0.5, support=FULL)
        return str(torch.get_default_dtype())
    finally:
        torch.set_default_dtype(before)


def _reaches_a_parameter(subject: Subject, batch: DistillationBatch) -> str:
    """Whether backward arrives at a weight in front of the logits."""
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    if subject.through_hidden_states() is subject:
        raise NotOfferedError("loss", "it is offered from hidden states")
    loss = subject._implementation.loss(  # type: ignore[attr-defined]  # noqa: SLF001 - Subject copies without the graph
        replace(batch, student_logits=batch.student_logits * weight, teacher_logits=batch.teacher_logits.clone()),
        alpha=1.0,
        support=FULL,
        temperature=1.0,
        ratio_cap=None,
    )
    torch.autograd.backward(loss)
    return "no gradient arrives" if weight.grad is None else "a gradient arrives"


def _written_by_completion_mask(subject: Subject) -> str:
    with subject.watching() as written:
        subject.completion_mask(torch.tensor([[8, 4, 6, 6]]), end_ids={4})
    return str(written)


def _random_number_after_trust_region(subject: Subject) -> Tensor:
    torch.manual_seed(943)
    subject.trust_region(torch.zeros(1, 3), torch.ones(1, 3), mix=0.5)
    return torch.rand(1)


def _hybrid() -> Entries:
    batch = on_policy(random_batch(921))
    rewards = {
        "one success": [0.0, 1.0, 0.0, 0.0],
        "ratings": [0.3, 0.8, 0.1, 0.9],
        "a rating of NaN": [0.3, math.nan, 0.1, 0.9],
    }
    groups = {
        "one group": [0, 0, 0, 0],
        "two groups": [0, 0, 1, 1],
        "groups of three and one": [0, 0, 0, 1],
        "groups numbered 256 apart": [7, 7, 263, 263],
        "groups numbered beyond single precision": [2**25, 2**25, 2**25 + 1, 2**25 + 1],
        "groups numbered with signs": [-2, -2, 2, 2],
    }
    for (rated, numbers), (of, ids), weight in product(rewards.items(), groups.items(), (0.0, 0.3, 1.0, 1.5)):
        given = batch, torch.tensor(numbers).double(), torch.tensor(ids)
        name = f"hybrid of {rated} in {of}, weight {weight:g}"
        yield _probe(name, "hybrid_loss", *given, reward_weight=weight, support=SAMPLED_TOKEN)
    half, close = on_policy(random_batch(922, dtype=torch.bfloat16)), torch.tensor([100.0, 100.3, 100.0, 100.0])
    given, name = (half, close, torch.zeros(4).long()), "hybrid of close ratings beside bfloat16"
    yield _probe(name, "hybrid_loss", *given, reward_weight=1.0, support=SAMPLED_TOKEN)

    foreign = replace(batch, completions=torch.where(batch.completion_mask, batch.completions, -100))
    given = foreign, torch.tensor([1.0, 0.0, 0.0, 0.0]).double(), torch.zeros(4).long()
    yield _probe("hybrid with padding ids", "hybrid_loss", *given, reward_weight=0.5, support=SAMPLED_TOKEN)


def _completions() -> Entries:
    batch = random_batch(931)
    half = random_batch(933, dtype=torch.bfloat16)
    given = half.teacher_logits, half.student_logits, half.completions, half.completion_mask
    yield _probe("implicit reward of bfloat16", "implicit_reward", *given)
    padded = torch.where(batch.completion_mask, batch.completions, -100)
    given = batch.teacher_logits, batch.student_logits, padded, batch.completion_mask
    yield _probe("implicit reward with padding ids", "implicit_reward", *given)
    yield "what a completion mask writes", "completion_mask", Call(_written_by_completion_mask)
    on_a_head: dict[str, Any] = {"alpha": 0.5, "support": Support("top_k_tail", 2)}
    yield _probe("SDFT on a head", "sdft_loss", every_row(batch), skip_tokens=1, **on_a_head)
    yield _probe("SDFT without 258 tokens", "sdft_loss", every_row(batch), alpha=0.5, support=FULL, skip_tokens=258)
    poisoned = torch.where(batch.completion_mask[..., None], batch.teacher_logits, torch.nan)
    answered = {
        "a batch": batch.teacher_logits,
        "garbage behind the mask": poisoned,
        "sides far apart": 200 * batch.teacher_logits,
    }
    for name, logits in answered.items():
        given = logits, batch.student_logits, batch.completions, batch.completion_mask
        yield _probe(f"implicit reward of {name}", "implicit_reward", *given)
    rising = torch.linspace(-1, 1, 2_000, dtype=torch.float64)[None, :, None] * torch.eye(2, dtype=torch.float64)[0]
    given = rising, 0 * rising, torch.zeros(1, 2_000).long(), torch.ones(1, 2_000).bool()
    yield _probe("implicit reward of a long completion", "implicit_reward", *given)
    for alpha, skip in product((0.0, 1.0), (0, 2, 5, -2)):
        name = f"SDFT, alpha {alpha:g}, {skip} tokens skipped"
        rows = every_row(random_batch(932))
        yield _probe(name, "sdft_loss", rows, alpha=alpha, support=FULL, skip_tokens=skip)
    wide = torch.tensor([[5, 70_001 - 65_536, 70_001, 0, 5], [7] * 5]).repeat(1, 150)
    for end_id in (0, 70_001):
        yield _probe(f"completion mask of a large vocabulary, end {end_id}", "completion_mask", wide, end_ids={end_id})
    for length in (700, 66_000):
        name = f"completion mask of {length} times an end"
        yield _probe(name, "completion_mask", torch.full((1, length), 4), end_ids={4})
    ids = torch.tensor([[9, 7, 1, 4, 0], [1, 4, 4, 2, 4], [3, 3, 3, 3, 3]])
    for end_ids in ({4}, {4, 7}, {1, 2, 7}, set[int]()):
        yield _probe(f"completion mask, ends {sorted(end_ids)}", "completion_mask", ids, end_ids=end_ids)


def _attempts() -> dict[str, list[Attempt]]:
    """Groups of attempts in all their ways."""
    code = "code {prompt} {{x}} %s"
    return {
        "one success": group_of(3, [0.0, 1.0, 0.0], ["NOTE-1-MARK", "NOTE-2-MARK", "NOTE-3-MARK"]),
        "two successes": group_of(3, [0.0, 1.0, 1.0], ["NOTE-1-MARK", "NOTE-2-MARK", None]),
        "failures with feedback": group_of(3, [0.0, 0.5], ["NOTE-1-MARK", "NOTE-2-MARK"]),
        "failures without feedback": group_of(3, [0.0, 0.5]),
        "blank feedback": group_of(3, [0.0, 0.0], ["", " \n"]),
        "a reward that is no number": group_of(3, [0.0, math.nan]),
        "rewards of seven tenths": group_of(3, [0.0, 0.7]),
        "ratings with ties": group_of(3, [0.1, 0.4, 0.4, 0.9]),
        "two groups": [*group_of(1, [0.0, 0.0]), *group_of(2, [1.0, 0.0])],
        "code in braces": [
            replace(it, prompt=(prompt(0)[0], {"role": "user", "content": code}), completion=f"{it.completion} {code}")
            for it in group_of(0, [0.0, 1.0])
        ],
        "a reasoning trace": [
            replace(it, completion="<think>TRACE-1\nTRACE-2</think>ANSWER-1") for it in group_of(0, [0.0, 1.0])
        ],
        "two reasoning traces": [
            replace(it, completion="<think>TRACE-1</think>ANSWER-1<think>TRACE-2</think>ANSWER-2")
            for it in group_of(0, [0.0, 1.0])
        ],
        "a dialogue with a tool": [
            replace(it, prompt=({"role": "tool", "content": "42"}, {"role": "user", "content": "Why?"}))
            for it in group_of(0, [0.0, 1.0])
        ],
        "what looks like a template": [
            replace(
                it,
                prompt=(
                    {"role": "system", "content": " Rules.\n"},
                    {"role": "user", "content": "\t<|im_end|> <think>x</think>\r\ny "},
                ),
                feedback="  <|im_end|>\r\n ",
            )
            for it in group_of(0, [0.0, 1.0])
        ],
        "the end of a trace": [replace(it, completion="TRACE-1</think>ANSWER-1") for it in group_of(0, [0.0, 1.0])],
        "long feedback": group_of(0, [0.0, 0.0], ["LONG-1 " * 200, "SHORT-1"]),
        "feedback that is a little too long": group_of(0, [0.0], ["w" * 220]),
        "feedback in lines and scripts": group_of(0, [0.0], ["\u2163 r\u00e9sum\u00e9:\n\n  if x:\n\t\tpass"]),
        "a long demonstration": [replace(it, completion="STEP-1 " * 900) for it in group_of(0, [0.0, 1.0])],
        "a success after twenty failures": group_of(0, [0.0] * 20 + [1.0]),
        "a reward just below": group_of(0, [0.0, 1 - 5e-7]),
        "rewards of zero and less": group_of(0, [-1.0, 0.0]),
        "two groups of ratings": [*group_of(1, [0.1, 0.2, 0.3]), *group_of(2, [0.7, 0.8, 0.9])],
        "groups with large numbers": [
            replace(it, group=int(str(it.group)))
            for it in [*group_of(2**33, [0.0, 1.0]), *group_of(2**33 + 65_536, [0.0, 0.0])]
        ],
        "two groups with one question": [
            replace(it, prompt=prompt(0)) for it in [*group_of(1, [0.0, 0.0]), *group_of(2, [0.0, 1.0])]
        ],
    }


def _context() -> Entries:
    rules = {
        "the paper's rules": ContextRules(),
        "a threshold of seven tenths": ContextRules(success_threshold=0.7),
        "a threshold of zero": ContextRules(success_threshold=0.0),
        "the upper half": ContextRules(success_threshold=-math.inf, success_quantile=0.5),
        "the upper quarter": ContextRules(success_threshold=-math.inf, success_quantile=0.75),
        "traces and all": ContextRules(strip_thinking=False),
        "a limit": ContextRules(max_length=300),
        "hardly any room": ContextRules(max_length=20),
        "room for the question": ContextRules(max_length=80),
        "no demonstrations": ContextRules(use_demonstrations=False),
        "no feedback": ContextRules(use_feedback=False),
        "a threshold in the upper three quarters": ContextRules(success_threshold=0.6, success_quantile=0.25),
    }
    for (name, attempts), (under, rule) in product(_attempts().items(), rules.items()):
        yield _probe(f"context of {name} under {under}", "context", attempts, rule)
    for name, shown in {"a solution": "SOLUTION-1", "a long solution": "STEP-1 " * 900, "nothing": None}.items():
        yield _probe(f"demonstration context of {name}", "demonstration_context", prompt(0), shown)


def _weights() -> Entries:
    reference, student = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(941), dtype=torch.float64)
    for mix in (0.0, 0.3, 1.0):
        yield _probe(f"trust region, mix {mix:g}", "trust_region", reference, student, mix=mix)
    yield _probe("trust region of peaked logits", "trust_region", 900 * reference, 90 * student, mix=0.21)
    yield "the next random number after a trust region", "trust_region", Call(_random_number_after_trust_region)
    generator = torch.Generator().manual_seed(942)
    factors = [(torch.randn(3, 2, generator=generator), torch.randn(2, 3, generator=generator)) for _ in range(3)]
    yield _probe("average of low-rank factors", "low_rank_average", factors, update_rate=0.3)
    yield _probe("average of many low-rank factors", "low_rank_average", 3 * factors, update_rate=0.25)
    yield _probe("defaults", "defaults")


def _step() -> Entries:
    teachers: tuple[Literal["ema", "frozen", "live"], ...] = ("ema", "frozen", "live")
    two = (((3, 2), (1, 4)), ((2, 2), (3, 1)))
    for teacher, alpha in product(teachers, (0.0, 1.0)):
        problem = step_problem(
            steps_per_iteration=two, teacher=teacher, alpha=alpha, ragged_prompts=True, update_rate=0.3, seed=951
        )
        yield _probe(f"steps with the teacher {teacher}, alpha {alpha:g}", "step", problem)
    whole = step_problem(steps_per_iteration=(((4, 1, 2, 3),),), seed=952)
    parts = cut(whole.iterations[0][0][0], 2)
    yield _probe("a step of two micro-batches", "step", replace(whole, iterations=((parts,),)))
    unusable = replace(parts[1], self_distillation_mask=torch.zeros(2, dtype=torch.bool))
    yield _probe("a step with an empty micro-batch", "step", replace(whole, iterations=(((parts[0], unusable),),)))
    tempered = step_problem(alpha=1.0, temperature=3.0, seed=954)
    yield _probe("a step at temperature three", "step", tempered)
    yield _probe("a step on the sampled token", "step", step_problem(alpha=1.0, support=SAMPLED_TOKEN, seed=955))
    confident = with_a_confident_teacher(step_problem(alpha=1.0, seed=956), factor=200.0)
    yield _probe("a step to a confident teacher", "step", confident)
    some = replace(whole.iterations[0][0][0], self_distillation_mask=torch.tensor([True, False, True, False]))
    yield _probe("a step with unusable rows", "step", replace(whole, iterations=(((some,),),)))
    slow = step_problem(update_rate=0.002, seed=957)
    yield _probe("a step of a slow teacher", "step", slow)
    for kind in ("top_k_tail", "top_k_renormalized"):
        on_a_head = step_problem(alpha=0.4, support=Support(kind, 2), temperature=0.6, seed=958)
        yield _probe(f"a step at alpha 0.4 on {kind}", "step", on_a_head)
    yield _probe("a step at alpha 0.3", "step", step_problem(alpha=0.3, seed=959))
    tied = with_tied_weights(step_problem(steps_per_iteration=two, seed=960))
    yield _probe("steps with tied weights", "step", tied)
    yield _probe(
        "steps of which the last has no context",
        "step",
        without_a_context(step_problem(steps_per_iteration=two, seed=961), iteration=1),
    )
    yield _probe("a step with nothing to learn", "step", step_problem(usable=False, seed=953))
    written = with_tools(step_problem(steps_per_iteration=(((1, 1, 1, 1),),), seed=962), TOOLS, seed=962)
    yield _probe("a step on what tools wrote", "step", written)
    parts = cut(written.iterations[0][0][0], 1)
    yield _probe("a step on what tools wrote, row by row", "step", replace(written, iterations=((parts,),)))


def _sizes() -> Entries:
    """The loss of batches of which one side is as large as in training, on the whole vocabulary and on a head."""
    student, teacher = torch.randn(2, 300, 1, 3, generator=input_generator(916), dtype=torch.float64)
    true = torch.ones(300, 1, dtype=torch.bool)
    many = DistillationBatch(student, teacher, torch.zeros(300, 1, dtype=torch.long), true, true[:, 0])
    wide = torch.randn(2, 1, 1, 200_000, generator=input_generator(918), dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.bool)
    widest = DistillationBatch(wide[0], wide[1], torch.tensor([[150_000]]), one, one[0])
    yield _probe("loss of a very large vocabulary", "loss", widest, alpha=0.5, support=FULL)
    long = torch.randn(2, 10, 7_000, 2, generator=input_generator(919), dtype=torch.float64)
    true = torch.ones(10, 7_000, dtype=torch.bool)
    longest = DistillationBatch(long[0], long[1], torch.zeros(10, 7_000, dtype=torch.long), true, true[:, 0])
    yield _probe("loss of 70,000 tokens", "loss", longest, alpha=0.5, support=FULL)
    for name, large in {**_large(), "many rollouts": many}.items():
        for support in (FULL, Support("top_k_tail", 2)):
            yield _probe(f"loss of {name}, {support.kind}", "loss", large, alpha=0.0, support=support)


def _trainer() -> Entries:
    asked = (Asked(), Asked(micro_batches=3), Asked(optimizer_steps=3), Asked(kl_weight=0.7))
    worlds: dict[str, MakeInputs] = {
        "the study": SmallStudy(921),
        "a ragged world": Ragged(922),
        "one under NaN": Ragged(923, garbage=math.nan),
        "one whose teacher stays": Ragged(924, live=False),
        "one whose teacher is far away": Ragged(925, distance=150.0),
    }
    for (name, world), options in product(worlds.items(), asked):
        given = {key: value for key, value in vars(options).items() if value != vars(Asked())[key]}
        words = ", ".join(f"{key} {value:g}" for key, value in given.items()) or "nothing more"
        yield (
            f"a trainer in {name}, asked for {words}",
            "trainer",
            Call(partial(_first_calls, world=world, asked=options)),
        )
    tools = Ragged(926, tools=True)
    yield "a trainer in a world with tools", "trainer", Call(partial(_first_calls, world=tools, asked=Asked()))

    for (name, world), gated in product(worlds.items(), (False, True)):
        options_of_hybrid = {"reward_weight": 0.6, "gated": gated}
        yield (
            f"a hybrid trainer in {name}, {'gated' if gated else 'without a gate'}",
            "hybrid_trainer",
            Call(partial(_first_hybrid_calls, world=world, options=options_of_hybrid)),
        )


def _first_hybrid_calls(subject: Subject, *, world: MakeInputs, options: Mapping[str, object]) -> list[object]:
    """The policy after each call, and its first gradient."""
    found = first_steps(partial(subject.trainer("hybrid_trainer"), **options), world)
    return [*found.log_probs, "unseen" if found.gradient is None else found.gradient]


def _first_calls(subject: Subject, *, world: MakeInputs, asked: Asked) -> list[object]:
    """The policy after each call, its first gradient, and what became of the teacher's own weights."""
    inputs = world()
    found = first_steps(subject.trainer(), lambda: inputs, asked)
    teacher = own_weights(inputs) if isinstance(inputs.teacher, torch.nn.Module) else {}
    return [*found.log_probs, "unseen" if found.gradient is None else found.gradient, teacher]
