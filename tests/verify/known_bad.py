"""Implementations with one defect each, and the requirements that must notice it.

Every MUST that an implementation can break is broken here at least once, so that no check is one that cannot fail.
Each is an ordinary factory, from the repository's root: ``sdpo-ref verify tests.verify.known_bad:make,name=tail_dropped``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.config.profile import Profile
from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.divergence import generalized_jsd, kl_divergence, mixture_log_probs
from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.functional.support import on_support
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.losses.sdft import sdft_loss
from sdpo_ref.protocols.implementation import Attempt, MicroBatch, StepProblem, StepTrace, TeacherContext
from sdpo_ref.reference import PaperReference
from sdpo_ref.trainers.step import run_steps
from sdpo_ref.types import FULL, DistillationBatch, Support
from sdpo_ref.verify.capabilities import CAPABILITIES, PARTS

GOOD = PaperReference()
KNOWN_BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
"""Name to (attributes that differ from the reference, requirements that must fail)."""

BENIGN: dict[str, dict[str, Any]] = {"reference": {}}
"""Name to attributes that differ from the reference without being wrong: no MUST may fail."""


def make(name: str) -> SimpleNamespace:
    """The reference with one defect, or a benign variant of it."""
    parts = {part: getattr(GOOD, part) for part in PARTS}
    changes = BENIGN[name] if name in BENIGN else KNOWN_BAD[name][0]
    return SimpleNamespace(**{"profile": "paper", **parts, **changes})


def bad(name: str, *caught_by: str, **attributes: Any) -> None:
    """Enter a defect into the table."""
    KNOWN_BAD[name] = (attributes, caught_by)


# --- divergence -----------------------------------------------------------------------------------------------------


def divergence(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A divergence whose cells are the reference's and whose formula is ``change``."""

    def part(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
        if not 0.0 <= alpha <= 1.0:
            raise InvalidInputError("alpha")
        return change(*on_support(student, teacher, support=support, top_k_from="student"), alpha)

    return part


def swapped_coefficients(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    m = mixture_log_probs(s, t, alpha=alpha) if 0 < alpha < 1 else (s if alpha == 0 else t)
    return alpha * kl_divergence(s, m) + (1 - alpha) * kl_divergence(t, m)


def reversed_inner(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    if alpha in {0.0, 1.0}:
        return generalized_jsd(s, t, alpha=alpha)
    m = mixture_log_probs(s, t, alpha=alpha)
    return (1 - alpha) * kl_divergence(m, s) + alpha * kl_divergence(m, t)


def plain_arithmetic(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    if alpha in {0.0, 1.0}:
        p, q = (t, s) if alpha == 0 else (s, t)
        return (p.exp() * (p - q)).sum(-1)
    m = torch.logaddexp(s + math.log1p(-alpha), t + math.log(alpha))
    return (1 - alpha) * (s.exp() * (s - m)).sum(-1) + alpha * (t.exp() * (t - m)).sum(-1)


def clipped_terms(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    if 0 < alpha < 1:
        return generalized_jsd(s, t, alpha=alpha)
    p, q = (t, s) if alpha == 0 else (s, t)
    return (p.exp() * (p - q)).clamp(max=0.05).sum(-1)


def any_alpha(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    return GOOD.divergence(student, teacher, alpha=min(max(alpha, 0.0), 1.0), support=support)


def on_cells(s: Tensor, t: Tensor, alpha: float) -> Tensor:
    return generalized_jsd(s, t, alpha=alpha)


def other_cells(
    project: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]], formula: Callable[..., Tensor] = on_cells
) -> Callable[..., Tensor]:
    """A divergence whose top-k cells are ``project``'s."""

    def part(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
        if support.kind != "top_k_tail" or support.k is None:
            return GOOD.divergence(student, teacher, alpha=alpha, support=support)
        return formula(*project(student, teacher, min(support.k, student.shape[-1])), alpha)

    return part


def head(log_probabilities: Tensor, ids: Tensor) -> Tensor:
    return log_probabilities.gather(-1, ids)


def clamped_tail(row: Tensor, ids: Tensor) -> Tensor:
    top = head(row, ids)
    mass = torch.logsumexp(top, -1, keepdim=True).clamp(max=-1e-7)
    return torch.cat([top, torch.log(-torch.expm1(mass))], -1)


def no_tail(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    ids = s.topk(k).indices
    return head(s, ids), head(t, ids)


def own_heads(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return clamped_tail(s, s.topk(k).indices), clamped_tail(t, t.topk(k).indices)


def clamped(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    ids = s.topk(k).indices
    return clamped_tail(s, ids), clamped_tail(t, ids)


def one_fewer(s: Tensor, t: Tensor, k: int) -> tuple[Tensor, Tensor]:
    ids = s.topk(max(k - 1, 1)).indices
    return clamped_tail(s, ids), clamped_tail(t, ids)


def exchanged_supports(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    other = {"top_k_tail": "top_k_renormalized", "top_k_renormalized": "top_k_tail"}
    kind: Any = other.get(support.kind, support.kind)
    return GOOD.divergence(student, teacher, alpha=alpha, support=Support(kind, support.k))


bad(
    "direction_swapped",
    "LOSS-001",
    "LOSS-002",
    divergence=divergence(
        lambda s, t, a: generalized_jsd(s, t, alpha=1 - a) if a in {0, 1} else generalized_jsd(s, t, alpha=a)
    ),
)
bad("coefficients_swapped", "LOSS-003", "LOSS-004", divergence=divergence(swapped_coefficients))
bad(
    "coefficients_swapped_in_float32",
    "LOSS-003",
    "LOSS-004",
    divergence=lambda s, t, **o: divergence(swapped_coefficients)(s.float(), t.float(), **o),
)
bad("mixture_swapped", "LOSS-003", divergence=divergence(lambda s, t, a: generalized_jsd(t, s, alpha=a)))
bad("inner_reversed", "LOSS-003", "LOSS-010", divergence=divergence(reversed_inner))
bad("nan_on_zero_mass", "LOSS-007", divergence=divergence(plain_arithmetic))
bad("terms_clipped", "LOSS-005", divergence=divergence(clipped_terms))
bad(
    "half_of_it",
    "LOSS-004",
    divergence=divergence(lambda s, t, a: generalized_jsd(s, t, alpha=min(max(a, 1e-6), 1 - 1e-6))),
)
bad(
    "positions_sorted",
    "LOSS-006",
    divergence=divergence(lambda s, t, a: generalized_jsd(s, t, alpha=a) * (1 + s[..., 0].exp())),
)
bad(
    "infinity_hidden",
    "LOSS-008",
    divergence=divergence(lambda s, t, a: torch.nan_to_num(generalized_jsd(s, t, alpha=a), posinf=100.0)),
)
bad("any_alpha", "LOSS-009", divergence=any_alpha)
bad(
    "probabilities_floored",
    "LOSS-011",
    divergence=divergence(lambda s, t, a: generalized_jsd(s.clamp(min=-16), t.clamp(min=-16), alpha=a)),
)
bad("teacher_floored", "LOSS-012", divergence=divergence(lambda s, t, a: generalized_jsd(s, t.clamp(min=-8), alpha=a)))
bad("tail_dropped", "LOSS-020", "LOSS-023", divergence=other_cells(no_tail, plain_arithmetic))
bad("own_heads", "LOSS-022", divergence=other_cells(own_heads))
bad("tail_clamped", "LOSS-025", divergence=other_cells(clamped))
bad("one_fewer", "LOSS-020", "LOSS-024", divergence=other_cells(one_fewer))
bad("supports_exchanged", "LOSS-020", "LOSS-021", "LOSS-026", divergence=exchanged_supports)

# --- loss -----------------------------------------------------------------------------------------------------------


def loss(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A loss that is ``change(batch, options)``."""

    def part(batch: DistillationBatch, **options: Any) -> Tensor:
        return change(batch, options)

    return part


def good(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    return GOOD.loss(batch, **options)


def sampled(surrogate: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def part(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
        if options["support"].kind != "sampled_token":
            return good(batch, options)
        s, t = log_probs(batch.student_logits), log_probs(batch.teacher_logits.detach())
        tokens = surrogate(token_log_probs(s, batch.completions), token_log_probs(t, batch.completions))
        return (tokens * batch.loss_mask).sum() / batch.loss_mask.sum().clamp(min=1)

    return loss(part)


def weighted(ratio: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """A loss with another importance ratio, on the full vocabulary and token mean."""

    def part(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
        cap = options["ratio_cap"]
        if cap is None or batch.behaviour_log_probs is None:
            return good(batch, options)
        s = log_probs(batch.student_logits, temperature=options["temperature"])
        t = log_probs(batch.teacher_logits.detach(), temperature=options["temperature"])
        tokens = generalized_jsd(*on_support(s, t, support=FULL, top_k_from="student"), alpha=options["alpha"]) * ratio(
            token_log_probs(s, batch.completions), batch.behaviour_log_probs, cap
        )
        return torch.where(batch.loss_mask, tokens, 0.0).sum() / batch.loss_mask.sum().clamp(min=1)

    return loss(part)


def untempered_ratio(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    if options["ratio_cap"] is None or batch.behaviour_log_probs is None:
        return good(batch, options)
    plain = good(batch, {**options, "ratio_cap": None})
    now = token_log_probs(log_probs(batch.student_logits), batch.completions)
    ratio = importance_ratio(now, batch.behaviour_log_probs, ratio_cap=options["ratio_cap"])
    return plain * ratio[batch.loss_mask].mean()


def multiplied_mask(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    s, t = log_probs(batch.student_logits), log_probs(batch.teacher_logits.detach())
    tokens = generalized_jsd(s, t, alpha=options["alpha"])
    return (tokens * batch.loss_mask).sum() / batch.loss_mask.sum().clamp(min=1)


def in_place(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    value = good(batch, options)
    with torch.no_grad():
        batch.teacher_logits.sub_(1e-3)
    return value


def half_precision(batch: DistillationBatch, options: dict[str, Any]) -> Tensor:
    if batch.student_logits.dtype is torch.float64:
        return good(batch, options)
    s, t = batch.student_logits.log_softmax(-1), batch.teacher_logits.detach().log_softmax(-1)
    tokens = generalized_jsd(s, t, alpha=options["alpha"])
    return torch.where(batch.loss_mask, tokens, 0.0).sum() / batch.loss_mask.sum().clamp(min=1)


CALLS = iter(range(10**9))


def split_gradient(value: Tensor, share: float) -> Tensor:
    """The same value with a gradient that is ``share`` of the right one."""
    return share * value + (1 - share) * value.detach()


def at(batch: DistillationBatch, **changes: Any) -> DistillationBatch:
    return replace(batch, **changes)


def in_float32(batch: DistillationBatch) -> DistillationBatch:
    behaviour = batch.behaviour_log_probs
    return at(
        batch,
        student_logits=batch.student_logits.float(),
        teacher_logits=batch.teacher_logits.float(),
        behaviour_log_probs=None if behaviour is None else behaviour.float(),
    )


def flipped(batch: DistillationBatch) -> DistillationBatch:
    """The vocabulary in reverse order."""
    last = batch.student_logits.shape[-1] - 1
    return at(
        batch,
        student_logits=batch.student_logits.flip(-1),
        teacher_logits=batch.teacher_logits.flip(-1),
        completions=torch.where(batch.completion_mask, last - batch.completions, 0),
    )


bad("surrogate_not_stopped", "LOSS-030", "LOSS-031", loss=sampled(lambda s, t: (s - t) * s))
bad("divergence_as_advantage", "LOSS-031", loss=sampled(lambda s, t: (s - t).detach().square() * s))
bad("sampled_sign", "LOSS-030", loss=sampled(lambda s, t: (t - s).detach() * s))
bad(
    "sampled_any_alpha",
    "LOSS-032",
    loss=loss(lambda b, o: good(b, {**o, "alpha": 1.0} if o["support"].kind == "sampled_token" else o)),
)
bad("ratio_with_gradient", "LOSS-040", loss=weighted(lambda s, b, cap: (s - b).exp().clamp(max=cap)))
bad("ratio_inverted", "LOSS-040", loss=weighted(lambda s, b, cap: (b - s).detach().exp().clamp(max=cap)))
bad("ratio_two_sided", "LOSS-041", loss=weighted(lambda s, b, cap: (s - b).detach().exp().clamp(1 / cap, cap)))
bad("ratio_overflows", "LOSS-042", loss=weighted(lambda s, b, cap: (r := (s - b).detach().exp()) - (r - cap).relu()))
bad(
    "silently_on_policy",
    "LOSS-043",
    loss=loss(lambda b, o: good(b, {**o, "ratio_cap": o["ratio_cap"] if b.behaviour_log_probs is not None else None})),
)
bad("ratio_untempered", "LOSS-044", loss=loss(untempered_ratio))
bad("full_vocabulary_after_all", "LOSS-028", loss=loss(lambda b, o: good(b, {**o, "support": FULL})))
bad(
    "weighted_twice",
    "LOSS-067",
    loss=loss(lambda b, o: good(b, o) * (1 + (o["ratio_cap"] is not None) * (o["temperature"] != 1))),
)
bad(
    "row_mask_ignored",
    "LOSS-050",
    "LOSS-053",
    loss=loss(lambda b, o: good(at(b, self_distillation_mask=torch.ones_like(b.self_distillation_mask)), o)),
)
bad("mask_multiplied", "LOSS-051", loss=loss(multiplied_mask))
bad("divided_by_time", "LOSS-052", "LOSS-053", loss=loss(lambda b, o: good(b, o) / b.completions.shape[1]))
bad("mean_of_rows", "LOSS-053", loss=loss(lambda b, o: sdpo_loss(b, aggregation="row_mean", **o)))
bad("empty_is_nan", "LOSS-054", loss=loss(lambda b, o: good(b, o) / b.loss_mask.any()))
bad("empty_without_graph", "LOSS-054", loss=loss(lambda b, o: good(b, o) if b.loss_mask.any() else torch.tensor(0.0)))
bad("rows_in_order", "LOSS-055", loss=loss(lambda b, o: good(b, o) * (1 + b.loss_mask[0].double().mean())))
bad("mean_of_rows_again", "LOSS-056", loss=loss(lambda b, o: sdpo_loss(b, aggregation="row_mean", **o)))
bad(
    "teacher_gradient",
    "LOSS-060",
    loss=loss(lambda b, o: good(b, o) + 1e-3 * b.teacher_logits.square().mean() * (b.student_logits.sum() * 0 + 1)),
)
bad("gradient_halved", "LOSS-061", loss=loss(lambda b, o: split_gradient(good(b, o), 0.5)))
bad("temperature_outside_gradient", "LOSS-062", loss=loss(lambda b, o: split_gradient(good(b, o), o["temperature"])))
bad("half_precision", "LOSS-063", loss=loss(half_precision))
bad("written_in_place", "LOSS-064", loss=loss(in_place))
bad("changing", "LOSS-065", loss=loss(lambda b, o: good(b, o) * (1 + 1e-6 * next(CALLS))))
bad(
    "any_option",
    "LOSS-066",
    loss=loss(
        lambda b, o: good(
            b,
            {
                **o,
                "temperature": abs(o["temperature"]) or 1.0,
                "ratio_cap": abs(o["ratio_cap"] or 1.0) if o["ratio_cap"] is not None else None,
                "alpha": min(max(o["alpha"], 0), 1),
            },
        )
    ),
)
bad(
    "logits_regularised",
    "POLICY-002",
    loss=loss(
        lambda b, o: good(b, o) + 1e-4 * torch.where(b.loss_mask[..., None], b.student_logits, 0.0).square().mean()
    ),
)
bad(
    "one_side_tempered",
    "POLICY-003",
    loss=loss(lambda b, o: good(at(b, teacher_logits=b.teacher_logits * o["temperature"]), o)),
)
bad("temperature_ignored", "POLICY-003", loss=loss(lambda b, o: good(b, {**o, "temperature": 1.0})))


def hybrid(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def part(batch: DistillationBatch, rewards: Tensor, group_ids: Tensor, **options: Any) -> Tensor:
        return change(batch, rewards, group_ids, options)

    return part


def spread(rewards: Tensor) -> Tensor:
    return rewards / (rewards.std() + 1e-4)


bad("rewards_standardized", "LOSS-070", hybrid_loss=hybrid(lambda b, r, g, o: GOOD.hybrid_loss(b, spread(r), g, **o)))
bad(
    "mix_added",
    "LOSS-071",
    hybrid_loss=hybrid(
        lambda b, r, g, o: (
            GOOD.hybrid_loss(b, r, g, **o)
            + o["reward_weight"] * (1 - o["reward_weight"]) * GOOD.hybrid_loss(b, r, g, **{**o, "reward_weight": 1.0})
        )
    ),
)
bad(
    "lambda_swapped",
    "LOSS-070",
    "LOSS-072",
    hybrid_loss=hybrid(lambda b, r, g, o: GOOD.hybrid_loss(b, r, g, **{**o, "reward_weight": 1 - o["reward_weight"]})),
)
bad("reward_of_the_wrong_policy", "LOSS-080", implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(r, c, y, m))
bad(
    "reward_per_token",
    "LOSS-080",
    "LOSS-081",
    implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(c, r, y, m) / m.sum(-1).clamp(min=1),
)
bad(
    "reward_of_padding",
    "LOSS-082",
    implicit_reward=lambda c, r, y, m: GOOD.implicit_reward(c, r, y, torch.ones_like(m)),
)
bad(
    "skips_columns",
    "LOSS-090",
    sdft_loss=lambda b, *, alpha, support, skip_tokens: sdft_loss(
        at(b, completion_mask=b.completion_mask & (torch.arange(b.completions.shape[1]) >= skip_tokens)),
        alpha=alpha,
        support=support,
    ),
)
bad(
    "end_not_trained",
    "POLICY-006",
    completion_mask=lambda y, end_ids: (
        GOOD.completion_mask(y, end_ids=end_ids) & ~torch.isin(y, torch.tensor(sorted(end_ids), dtype=y.dtype))
    ),
)
bad("one_end_id", "POLICY-006", completion_mask=lambda y, end_ids: GOOD.completion_mask(y, end_ids=sorted(end_ids)[:1]))

# --- context --------------------------------------------------------------------------------------------------------

Contexts = Sequence[TeacherContext]


def context(change: Callable[[Sequence[Attempt], Any], Contexts]) -> Callable[..., Contexts]:
    return change


def read(attempts: Sequence[Attempt], rules: Any, **changes: Any) -> list[TeacherContext]:
    return GOOD.context(attempts, rules.model_copy(update=changes))


def each(change: Callable[[Attempt, TeacherContext], TeacherContext]) -> Callable[..., Contexts]:
    return context(lambda attempts, rules: [change(a, c) for a, c in zip(attempts, read(attempts, rules), strict=True)])


def told(found: TeacherContext, content: str) -> TeacherContext:
    return replace(found, messages=(*found.messages[:-1], {"role": "user", "content": content}))


def of_attempts(change: Callable[[Attempt], Attempt]) -> Callable[..., Contexts]:
    return context(lambda attempts, rules: read([change(attempt) for attempt in attempts], rules))


def by_group(attempts: Sequence[Attempt], change: Callable[[list[Attempt]], list[Attempt]]) -> list[Attempt]:
    return [attempt for _, group in groupby(attempts, key=lambda it: it.group) for attempt in change(list(group))]


def first_feedback(group: list[Attempt]) -> list[Attempt]:
    return [replace(attempt, feedback=group[0].feedback) for attempt in group]


def last_success(attempts: Sequence[Attempt], rules: Any) -> Contexts:
    return read(attempts[::-1], rules)[::-1]


def cut_front(found: TeacherContext, limit: int | None) -> TeacherContext:
    return told(found, found.messages[-1]["content"][-limit:]) if limit else found


bad("feedback_per_prompt", "ORACLE-002", context=context(lambda a, r: read(by_group(a, first_feedback), r)))
bad("threshold_exclusive", "ORACLE-003", context=of_attempts(lambda a: replace(a, reward=a.reward - 1e-9)))
bad(
    "threshold_in_float32",
    "ORACLE-003",
    context=of_attempts(lambda a: replace(a, reward=float(torch.tensor(a.reward)))),
)
bad(
    "threshold_too_low",
    "ORACLE-003",
    context=context(lambda a, r: read(a, r, success_threshold=r.success_threshold - 0.2)),
)
bad("quantile_ignored", "ORACLE-004", context=context(lambda a, r: read(a, r, success_quantile=None)))
bad(
    "nan_succeeds",
    "ORACLE-005",
    context=of_attempts(lambda a: replace(a, reward=1.0 if math.isnan(a.reward) else a.reward)),
)
bad(
    "blank_feedback",
    "ORACLE-006",
    context=of_attempts(
        lambda a: (
            replace(a, feedback=a.feedback or "(empty)") if a.feedback is not None and not a.feedback.strip() else a
        )
    ),
)
bad("last_success", "TEACH-001", context=context(last_success))
bad("own_success_excluded", "TEACH-002", context=context(lambda a, r: read(a, r, own_success="exclude")))
bad("one_group", "TEACH-003", "TEACH-012", context=of_attempts(lambda a: replace(a, group=0)))
bad("gate_open", "TEACH-004", context=context(lambda a, r: read(a, r, feedback_when="always")))
bad("always_usable", "TEACH-005", context=each(lambda a, c: replace(c, usable=True)))
bad(
    "empty_frame",
    "TEACH-006",
    context=each(lambda a, c: c if c.usable else told(c, c.messages[-1]["content"] + "\n\nNow answer.")),
)
bad("own_attempt_shown", "TEACH-007", context=each(lambda a, c: told(c, c.messages[-1]["content"] + a.completion)))
bad("system_message_lost", "TEACH-008", context=each(lambda a, c: replace(c, messages=c.messages[-1:])))
bad(
    "question_twice",
    "TEACH-008",
    context=each(lambda a, c: told(c, a.prompt[-1]["content"] + c.messages[-1]["content"])),
)
bad(
    "braces_eaten",
    "TEACH-009",
    context=each(lambda a, c: told(c, c.messages[-1]["content"].replace("{{", "{").replace("}}", "}"))),
)
bad("trace_kept", "TEACH-010", context=context(lambda a, r: read(a, r, strip_thinking=False)))
bad(
    "front_cut",
    "TEACH-011",
    context=context(lambda a, r: [cut_front(c, r.max_length) for c in read(a, r, max_length=None)]),
)
bad(
    "sft_without_demonstration",
    "TEACH-040",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration and "x"),
)
bad(
    "sft_made_up",
    "TEACH-041",
    demonstration_context=lambda prompt, demonstration: GOOD.demonstration_context(prompt, demonstration or "(none)"),
)

# --- step -----------------------------------------------------------------------------------------------------------


class Shifted(torch.nn.Module):
    """Reads logits one position too late."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.current, self.prefix = inner.current, inner.prefix
        self.inner = [inner]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.inner[0](input_ids, attention_mask)
        return logits.roll(-1, dims=1)


def step(change: Callable[[StepProblem], StepProblem], **profile: Any) -> Callable[[StepProblem], StepTrace]:
    return lambda problem: run_steps(change(problem), profile=Profile(**profile))


def micro_batches(change: Callable[[MicroBatch], MicroBatch]) -> Callable[[StepProblem], StepProblem]:
    return lambda problem: replace(
        problem,
        iterations=tuple(
            tuple(tuple(change(part) for part in parts) for parts in steps) for steps in problem.iterations
        ),
    )


def parts_of(problem: StepProblem) -> list[MicroBatch]:
    return [part for steps in problem.iterations for parts in steps for part in parts]


def trace(change: Callable[[StepProblem, StepTrace], StepTrace]) -> Callable[[StepProblem], StepTrace]:
    return lambda problem: change(problem, GOOD.step(problem))


def scaled(weights: Any, factor: float) -> dict[str, Tensor]:
    return {name: factor * weight for name, weight in weights.items()}


def unmasked(part: MicroBatch) -> MicroBatch:
    return replace(
        part,
        prompts=replace(part.prompts, mask=torch.ones_like(part.prompts.mask)),
        reprompts=replace(part.reprompts, mask=torch.ones_like(part.reprompts.mask)),
    )


def nan_if_empty(problem: StepProblem, found: StepTrace) -> StepTrace:
    empty = any(not part.self_distillation_mask.any() for part in parts_of(problem))
    return replace(found, student=tuple(scaled(at_, math.nan if empty else 1.0) for at_ in found.student))


bad(
    "logits_shifted",
    "POLICY-001",
    "TRAIN-001",
    step=step(lambda p: replace(p, make_model=lambda: Shifted(p.make_model()))),
)
bad("padding_attended", "POLICY-004", step=step(micro_batches(unmasked)))
bad(
    "retokenised",
    "POLICY-005",
    step=step(micro_batches(lambda m: replace(m, completions=m.completions * (torch.arange(4) > 0)))),
)
bad(
    "padding_scored",
    "POLICY-005",
    step=step(micro_batches(lambda m: replace(m, completion_mask=torch.ones_like(m.completion_mask)))),
)
bad(
    "not_divided",
    "TRAIN-002",
    step=step(
        lambda p: replace(
            p, learning_rate=p.learning_rate * max(len(parts) for steps in p.iterations for parts in steps)
        )
    ),
)
bad("mean_of_means", "TRAIN-003", step=step(lambda p: p, accumulation="micro_batch_mean"))
bad("nan_if_empty", "TRAIN-004", step=trace(nan_if_empty))
bad("reprompt_ignored", "TRAIN-006", step=step(micro_batches(lambda m: replace(m, reprompts=m.prompts))))
bad(
    "drifts",
    "TRAIN-007",
    step=step(micro_batches(lambda m: replace(m, self_distillation_mask=torch.ones_like(m.self_distillation_mask)))),
)
bad("ascends", "TRAIN-009", step=step(lambda p: replace(p, learning_rate=-p.learning_rate)))
bad("rate_is_decay", "TEACH-020", "TEACH-023", step=step(lambda p: replace(p, update_rate=1 - p.update_rate)))
bad("other_cadence", "TEACH-021", step=step(lambda p: p, ema_cadence="optimizer_step"))
bad(
    "reloaded_teacher",
    "TEACH-022",
    step=trace(lambda p, t: replace(t, teacher=tuple(scaled(at_, 0.0) for at_ in t.teacher))),
)
bad("frozen_thaws", "TEACH-024", step=step(lambda p: replace(p, teacher="ema" if p.teacher == "frozen" else p.teacher)))
bad(
    "live_is_frozen",
    "TEACH-025",
    step=step(lambda p: replace(p, teacher="frozen" if p.teacher == "live" else p.teacher)),
)
bad(
    "teacher_optimised",
    "TEACH-029",
    step=trace(lambda p, t: replace(t, teacher=(t.teacher[0], *(scaled(at_, 0.999) for at_ in t.teacher[1:])))),
)
bad(
    "arithmetic_mixture",
    "TEACH-026",
    trust_region=lambda r, s, *, mix: ((1 - mix) * r.softmax(-1) + mix * s.softmax(-1)).log(),
)
bad(
    "mixture_of_logits_unnormalised", "TEACH-026", trust_region=lambda r, s, *, mix: (1 - mix) * r.softmax(-1) + mix * s
)


def averaged_factors(student: Any, *, update_rate: float) -> list[Tensor]:
    b, a = student[0]
    found = [b @ a]
    for next_b, next_a in student[1:]:
        b, a = b.lerp(next_b, update_rate), a.lerp(next_a, update_rate)
        found.append(b @ a)
    return found


bad("factors_averaged", "TEACH-027", low_rank_average=averaged_factors)
bad(
    "low_rank_from_zero",
    "TEACH-028",
    low_rank_average=lambda s, *, update_rate: GOOD.low_rank_average(
        [(0 * s[0][0], s[0][1]), *s[1:]], update_rate=update_rate
    ),
)
bad("other_defaults", "TRAIN-008", defaults=lambda: {**GOOD.defaults(), "alpha": 0.25})


def absent(*_: Any, **__: Any) -> Tensor:
    raise NotImplementedError("not yet")


bad("declared_but_absent", "CONF-001", trust_region=absent)

# --- right, although different ---------------------------------------------------------------------------------------

BENIGN["float32"] = {
    "divergence": lambda s, t, **o: GOOD.divergence(s.float(), t.float(), **o),
    "loss": loss(lambda b, o: good(in_float32(b), o)),
    "capabilities": {it for it in CAPABILITIES if it.partition(".")[0] in {"divergence", "loss"}},
}
BENIGN["lenient about empty batches"] = {
    "loss": loss(lambda b, o: good(b, o) if b.loss_mask.any() else b.student_logits.sum() * 0)
}
BENIGN["other order of summation"] = {"loss": loss(lambda b, o: good(flipped(b), o))}
