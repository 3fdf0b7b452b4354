"""More right variants, each unusual in another way: how it computes, what it returns, or what it does besides.

They are the reference but for the parts that they name, and only the checks of these are run. Some were false alarms
once, and most are what published code does: gradients computed ahead, packed rows, float32 that is returned as float64.
"""

import logging
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.functional.aggregation import aggregation_weights
from sdpo_ref.functional.importance import importance_ratio
from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.functional.support import on_support
from sdpo_ref.mutants.apart import of_gathered_counts, step_with, under_ddp
from sdpo_ref.mutants.mutant import GOOD, with_parts
from sdpo_ref.mutants.variation import Options, good, loss, micro_batches, steps
from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.types import FULL, SAMPLED_TOKEN, DistillationBatch, Prompts, Support
from sdpo_ref.verification.checks.problems import select
from sdpo_ref.verification.checks.written_out import WrittenOut

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Unusual:
    """A right variant.

    Attributes:
        parts: what it replaces; only the checks of these are run.
        build: makes it.
    """

    parts: frozenset[str]
    build: Callable[[], object]


def of_loss(change: Callable[[DistillationBatch, Options], Tensor]) -> Unusual:
    """A loss that is ``change(batch, options)``."""
    return Unusual(frozenset({"loss"}), lambda: with_parts(loss=loss(change)))


def in_float32(batch: DistillationBatch) -> DistillationBatch:
    """The same batch in float32."""
    behaviour = batch.behaviour_log_probs
    return replace(
        batch,
        student_logits=batch.student_logits.float(),
        teacher_logits=batch.teacher_logits.float(),
        behaviour_log_probs=None if behaviour is None else behaviour.float(),
    )


def coarse(concerned: Callable[[Options], bool], answer: Callable[[Tensor], Tensor]) -> Callable[[], object]:
    """Divergence and loss computed in float32 where that is of concern, and answered in another dtype."""

    def divergence(student: Tensor, teacher: Tensor, **options: Any) -> Tensor:
        if not concerned(options):
            return GOOD.divergence(student, teacher, **options)
        return answer(GOOD.divergence(student.float(), teacher.float(), **options))

    def part(batch: DistillationBatch, options: Options) -> Tensor:
        return answer(good(in_float32(batch), options)) if concerned(options) else good(batch, options)

    return lambda: with_parts(divergence=divergence, loss=loss(part))


def surrogate_of_ratios(batch: DistillationBatch, options: Options) -> Tensor:
    """The bracket times the ratio to its own stopped value: the gradient of the surrogate, and another value."""
    right = good(batch, options)
    if options["support"] != SAMPLED_TOKEN or not batch.loss_mask.any():
        return right
    counted = batch.loss_mask[..., None]
    ids = torch.where(batch.loss_mask, batch.completions, 0)
    student, teacher = (
        token_log_probs(log_probs(torch.where(counted, side, 0.0) / options["temperature"]), ids)
        for side in (batch.student_logits, batch.teacher_logits.detach())
    )
    tokens = (student - teacher).detach() * (student - student.detach()).exp()
    if options["ratio_cap"] is not None and batch.behaviour_log_probs is not None:
        behaviour = torch.where(batch.loss_mask, batch.behaviour_log_probs, 0.0)
        tokens = tokens * importance_ratio(student, behaviour, ratio_cap=options["ratio_cap"])
    return torch.where(batch.loss_mask, tokens, 0.0).sum() / batch.loss_mask.sum()


class _Once(torch.autograd.Function):
    """The identity, whose graph is freed by its first backward."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The same value."""
        ctx.free = False
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """The same slope."""
        if ctx.free:
            raise RuntimeError("what this graph had saved is freed: call the loss again")
        ctx.free = True
        return slope


class _Ahead(torch.autograd.Function):
    """A value whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """The value."""
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        """The gradient times the slope."""
        (gradient,) = ctx.saved_tensors
        return (gradient * slope).to(ctx.dtype), None, None


def functional_gradient(batch: DistillationBatch, options: Options) -> Tensor:
    """Value and gradient come from ``torch.func`` in the forward, as fused losses have it."""

    def of_logits(student_logits: Tensor) -> Tensor:
        return good(replace(batch, student_logits=student_logits, teacher_logits=teacher), options)

    teacher = batch.teacher_logits.detach()
    gradient, value = torch.func.grad_and_value(of_logits)(batch.student_logits.detach())
    return _ahead(batch.student_logits, value, gradient)


def _ahead(logits: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    found: Tensor = _Ahead.apply(logits, value, gradient)  # type: ignore[no-untyped-call]
    return found


def in_numpy(batch: DistillationBatch, options: Options) -> Tensor:
    """On the full vocabulary in NumPy, with a gradient by hand; everything else as the reference."""
    alpha, temperature, mask = options["alpha"], options["temperature"], batch.loss_mask
    usual = options["support"] == FULL and options["ratio_cap"] is None and 0.0 <= alpha <= 1.0 and temperature > 0.0
    if not usual or not mask.any():
        return good(batch, options)
    sides = [side.detach()[mask].double().numpy() for side in (batch.student_logits, batch.teacher_logits)]
    with np.errstate(all="ignore"):
        student, teacher = (_normalized(side / temperature) for side in sides)
        tokens, slopes = _by_hand(student, teacher, alpha)
    count = len(tokens)
    gradient = torch.zeros(batch.student_logits.shape, dtype=torch.float64)
    gradient[mask] = torch.from_numpy(slopes / (count * temperature))
    return _ahead(batch.student_logits, torch.tensor(float(tokens.sum()) / count, dtype=torch.float64), gradient)


def _normalized(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    normalized: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normalized


def _by_hand(s: Array, t: Array, alpha: float) -> tuple[Array, Array]:
    """Each token's divergence and its gradient."""
    p = np.exp(s)
    if alpha == 0.0:
        return _mean_ratio(t, s), p - np.exp(t)
    m = t if alpha == 1.0 else np.logaddexp(s + np.log1p(-alpha), t + np.log(alpha))
    share = 1.0 if alpha == 1.0 else 1.0 - alpha
    inner = _mean_ratio(s, m)
    slopes = share * p * (np.where(p > 0.0, s - m, 0.0) - inner[:, None])
    return share * inner + (0.0 if alpha == 1.0 else alpha * _mean_ratio(t, m)), slopes


def _mean_ratio(p: Array, q: Array) -> Array:
    total: Array = np.where(p > -np.inf, np.exp(p) * (p - q), np.where(np.isnan(p), p, 0.0)).sum(-1)
    return total


def mapped(batch: DistillationBatch, options: Options) -> Tensor:
    """On the full vocabulary, token by token under ``vmap``."""
    alpha, temperature, mask = options["alpha"], options["temperature"], batch.loss_mask
    usual = options["support"] == FULL and options["ratio_cap"] is None and 0.0 <= alpha <= 1.0 and temperature > 0.0
    if not usual or not mask.any():
        return good(batch, options)
    sides = [
        log_probs(torch.where(mask[..., None], side, 0.0) / temperature)
        for side in (batch.student_logits, batch.teacher_logits.detach())
    ]
    tokens = torch.vmap(torch.vmap(partial(summed, alpha=alpha)))(*sides)
    return (torch.where(mask, tokens, 0.0) * aggregation_weights(mask, aggregation="token_mean")).sum()


def summed(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """The divergence of log-probabilities, as inner products."""
    if alpha in {0.0, 1.0}:
        return _product(teacher, student) if alpha == 0.0 else _product(student, teacher)
    floor = torch.finfo(student.dtype).tiny
    m = ((1 - alpha) * student.exp() + alpha * teacher.exp()).clamp_min(floor).log()
    return (1 - alpha) * _product(student, m) + alpha * _product(teacher, m)


def _product(p: Tensor, q: Tensor) -> Tensor:
    """KL(p‖q): infinite where q excludes what p allows."""
    possible = p != -torch.inf  # NaN is, so that value and gradient show it (LOSS-069)
    ratio = torch.where(possible, p, 0.0) - torch.where(possible, q, 0.0)
    excluded = ratio == torch.inf
    weights = torch.where(possible, p, -torch.inf).exp()
    product = torch.einsum("...v,...v->...", weights, torch.where(excluded, 0.0, ratio))
    return torch.where(excluded.any(-1), torch.inf, product)


def inner_products(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
    """The divergence as inner products."""
    if not 0.0 <= alpha <= 1.0:
        raise InvalidInputError(f"alpha must lie in [0, 1], received {alpha}")
    return summed(*on_support(student, teacher, support=support, top_k_from="student"), alpha)


def checkpointed(batch: DistillationBatch, options: Options) -> Tensor:
    """Everything is computed again in the backward."""

    def of_logits(student_logits: Tensor) -> Tensor:
        return good(replace(batch, student_logits=student_logits), options)

    found: Tensor = checkpoint(of_logits, batch.student_logits, use_reentrant=False)
    return found


def _rows(batch: DistillationBatch) -> Iterator[DistillationBatch]:
    """Each row in which something counts, as a batch."""
    for row in batch.loss_mask.any(-1).nonzero().flatten().tolist():
        tensors = {name: None if it is None else it[row : row + 1] for name, it in vars(batch).items()}
        yield DistillationBatch(**tensors)  # type: ignore[arg-type]


def in_threads(batch: DistillationBatch, options: Options) -> Tensor:
    """Each row in a thread, with its share of the tokens."""
    rows = list(_rows(batch))
    if not rows:
        return good(batch, options)
    with ThreadPoolExecutor(2) as threads:
        sums = threads.map(lambda row: good(row, options) * row.loss_mask.sum(), rows)
        return torch.stack(list(sums)).sum() / batch.loss_mask.sum()


def in_place(batch: DistillationBatch, options: Options) -> Tensor:
    """Row after row is added to one number, in place."""
    total = torch.zeros((), dtype=torch.float64)
    for row in _rows(batch):
        total += good(row, options).double() * int(row.loss_mask.sum())
    return total.div_(int(batch.loss_mask.sum())) if batch.loss_mask.any() else good(batch, options)


def packed(batch: DistillationBatch, options: Options) -> Tensor:
    """What counts is found with lists, and stands in one row without padding."""
    masks, usable = batch.completion_mask.tolist(), batch.self_distillation_mask.tolist()
    counted = [(row, at) for row, mask in enumerate(masks) if usable[row] for at, true in enumerate(mask) if true]
    if not counted:
        return good(batch, options)
    rows, times = (list(side) for side in zip(*counted, strict=True))
    true = torch.ones(1, len(counted), dtype=torch.bool)
    behaviour = None if batch.behaviour_log_probs is None else batch.behaviour_log_probs[rows, times][None]
    sides = (batch.student_logits[rows, times][None], batch.teacher_logits[rows, times][None])
    return good(DistillationBatch(*sides, batch.completions[rows, times][None], true, true[:, 0], behaviour), options)


def sorted_vocabulary(batch: DistillationBatch, options: Options) -> Tensor:
    """At each position the vocabulary is in the order of the student's logits."""
    order = batch.student_logits.detach().argsort(-1)
    ids = torch.where(batch.loss_mask, batch.completions, 0)
    return good(
        replace(
            batch,
            student_logits=batch.student_logits.gather(-1, order),
            teacher_logits=batch.teacher_logits.gather(-1, order),
            completions=order.argsort(-1).gather(-1, ids[..., None]).squeeze(-1),
        ),
        options,
    )


def padded_vocabulary(batch: DistillationBatch, options: Options) -> Tensor:
    """Five tokens that no side can take are appended, as for a vocabulary of a round size."""
    sides = {
        name: nn.functional.pad(getattr(batch, name), (0, 5), value=-torch.inf)
        for name in ("student_logits", "teacher_logits")
    }
    return good(replace(batch, **sides), options)


def cropped(batch: DistillationBatch, options: Options) -> Tensor:
    """Columns in which nothing counts are taken away before anything is computed."""
    columns = batch.loss_mask.any(0)
    if not columns.any():
        return good(batch, options)
    kept = {name: it if it is None or it.ndim == 1 else it[:, columns] for name, it in vars(batch).items()}
    return good(DistillationBatch(**kept), options)


def normalized_twice(batch: DistillationBatch, options: Options) -> Tensor:
    """Logits are shifted to a largest one of zero, and are log-probabilities before they are taken for logits."""
    mask = batch.loss_mask[..., None]
    raised = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
    sides = {
        name: torch.where(mask, side, 0.0).to(raised.get(side.dtype, side.dtype)).log_softmax(-1)
        for name, side in (("student_logits", batch.student_logits), ("teacher_logits", batch.teacher_logits))
    }
    return good(replace(batch, **sides), options)


class Nats(Tensor):
    """A tensor with a unit."""


def with_a_unit() -> object:
    """Divergence and loss are tensors of a class of their own."""
    return with_parts(
        divergence=lambda s, t, **o: GOOD.divergence(s, t, **o).as_subclass(Nats),
        loss=loss(lambda b, o: good(b, o).as_subclass(Nats)),
    )


def strided(value: Tensor) -> Tensor:
    """The same numbers as every other one of a larger tensor."""
    return torch.stack([value, torch.zeros_like(value)], -1)[..., 0]


def strided_answers() -> object:
    """Divergence and loss are views that are not contiguous."""
    return with_parts(
        divergence=lambda s, t, **o: strided(GOOD.divergence(s, t, **o)),
        loss=loss(lambda b, o: strided(good(b, o))),
    )


class LossModule(nn.Module):
    """A loss with a parameter that has no effect, and a memory of what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.seen = 0

    def forward(self, batch: DistillationBatch, **options: Any) -> Tensor:
        """The loss."""
        self.seen += 1
        return good(batch, options) * (self.scale / self.scale)


@dataclass
class OwnBatch:
    """A batch as another library would have it."""

    logits: dict[str, Tensor]
    labels: Tensor
    masks: tuple[Tensor, Tensor]
    extra: Tensor | None


def own_batch(batch: DistillationBatch, options: Options) -> Tensor:
    """The batch is copied into a class of one's own and back, its logits flat."""
    shape = batch.student_logits.shape
    mine = OwnBatch(
        {"student": batch.student_logits.flatten(0, 1).clone(), "teacher": batch.teacher_logits.flatten(0, 1).clone()},
        batch.completions.clone(),
        (batch.completion_mask.clone(), batch.self_distillation_mask.clone()),
        batch.behaviour_log_probs,
    )
    student, teacher = (mine.logits[side].view(shape) for side in ("student", "teacher"))
    return good(DistillationBatch(student, teacher, mine.labels, *mine.masks, mine.extra), options)


def talkative() -> object:
    """Slow at its first call, which imports what it needs; and every call prints, warns and logs."""
    called: list[int] = []

    def part(batch: DistillationBatch, options: Options) -> Tensor:
        if not called:
            import colorsys  # noqa: F401 - a module that nothing else has loaded

            time.sleep(0.3)
        called.append(1)
        print("\x1b[2J\x1b[31m[bold]step[/bold] </testcase>", called[-1], "=" * 400)  # noqa: T201 - that is the point
        print("E   AssertionError: expected 0 nats", file=sys.stderr)  # noqa: T201
        warnings.warn("this loss will change", FutureWarning, stacklevel=1)
        logging.getLogger("loss").error("a loss of %s", options)
        return good(batch, options)

    return with_parts(loss=loss(part))


@contextmanager
def _settings() -> Iterator[None]:
    """Other settings of PyTorch, which are put back."""
    before = torch.get_default_dtype(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.enable_grad():
            torch.manual_seed(7)
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(2)
            torch.set_num_threads(before[1])  # to compute with more than there are cores takes a hundred times as long
            torch.use_deterministic_algorithms(True)
            yield
    finally:
        torch.set_default_dtype(before[0])
        torch.set_num_threads(before[1])
        torch.use_deterministic_algorithms(before[2])


def settings_put_back(batch: DistillationBatch, options: Options) -> Tensor:
    """Seed, default dtype, threads, determinism, device and recording are other ones meanwhile, and dice are thrown."""
    with _settings():
        return good(batch, options) + 0.0 * torch.rand(())


def other_settings(batch: DistillationBatch, options: Options) -> Tensor:
    """Numbers are drawn, from generators of its own, and printed in another way, for a moment."""
    random.Random(1).random()  # noqa: S311 - no secret
    np.random.default_rng(1).random()
    with np.printoptions(precision=2):
        return good(batch, options)


def _equal_groups(batch: DistillationBatch, rewards: Tensor, group_ids: Tensor, **options: Any) -> Tensor:
    """Groups of unequal size are refused, as by code that reshapes rewards into a table."""
    sizes = set(torch.unique(group_ids, return_counts=True)[1].tolist())
    if len(sizes) > 1:
        raise InvalidInputError(f"groups of {sizes} rollouts; all must have the same size")
    found: Tensor = GOOD.hybrid_loss(batch, rewards, group_ids, **options)
    return found


def step_in_float32(problem: StepProblem) -> StepTrace:
    """The model is kept in float32, and its weights are reported as float64."""
    found = GOOD.step(replace(problem, make_model=lambda: problem.make_model().float()))

    def raised(moments: tuple[Mapping[str, Tensor], ...]) -> tuple[Mapping[str, Tensor], ...]:
        return tuple({name: weight.double() for name, weight in weights.items()} for weights in moments)

    return StepTrace(raised(found.student), raised(found.teacher))


def padding_attended(part: MicroBatch) -> MicroBatch:
    """What stands behind a completion is attended as well: nothing that counts reads it."""
    return replace(part, attended_mask=torch.ones_like(part.completion_mask))


def rows_trimmed(problem: StepProblem) -> StepProblem:
    """Each row is a micro-batch of its own, without padding on either side."""

    def trimmed(part: MicroBatch, row: int) -> MicroBatch:
        length = max(int(part.attended[row].sum()), 1)
        one = select(part, [row])
        prompts, reprompts = (
            Prompts(side.token_ids[side.mask][None], side.mask[side.mask][None], side.group_ids)
            for side in (one.prompts, one.reprompts)
        )
        completions, counted = one.completions[:, :length], one.completion_mask[:, :length]
        return MicroBatch(prompts, reprompts, completions, counted, one.self_distillation_mask)

    iterations = tuple(
        tuple(
            tuple(trimmed(part, row) for part in parts for row in range(len(part.completions))) for parts in iteration
        )
        for iteration in problem.iterations
    )
    return replace(problem, iterations=iterations)


def _of_two(build: Callable[[], object]) -> Unusual:
    return Unusual(frozenset({"divergence", "loss"}), build)


UNUSUAL: Mapping[str, Unusual] = {
    "float32-inside-float64": _of_two(coarse(lambda _: True, Tensor.double)),
    "float32-at-alpha-0": _of_two(coarse(lambda options: options["alpha"] == 0.0, Tensor.float)),
    "divergence-in-float32": Unusual(
        frozenset({"divergence"}),
        lambda: with_parts(divergence=lambda s, t, **o: GOOD.divergence(s.float(), t.float(), **o).double()),
    ),
    "step-in-float32": Unusual(frozenset({"step"}), lambda: with_parts(step=step_in_float32)),
    "answers-in-bfloat16": _of_two(coarse(lambda _: True, Tensor.bfloat16)),
    "surrogate-of-ratios": of_loss(surrogate_of_ratios),
    "one-backward-only": of_loss(lambda batch, options: _once(good(batch, options))),
    "equal-groups-only": Unusual(frozenset({"hybrid_loss"}), lambda: with_parts(hybrid_loss=_equal_groups)),
    "numpy": of_loss(in_numpy),
    "functional-gradient": of_loss(functional_gradient),
    "mapped": of_loss(mapped),
    "inner-products": Unusual(frozenset({"divergence"}), lambda: with_parts(divergence=inner_products)),
    "checkpointed": of_loss(checkpointed),
    "rows-in-threads": of_loss(in_threads),
    "rows-in-place": of_loss(in_place),
    "packed-by-lists": of_loss(packed),
    "vocabulary-sorted": of_loss(sorted_vocabulary),
    "vocabulary-padded": of_loss(padded_vocabulary),
    "time-cropped": of_loss(cropped),
    "normalized-twice": of_loss(normalized_twice),
    "tensor-subclass": _of_two(with_a_unit),
    "strided-answers": _of_two(strided_answers),
    "module": Unusual(frozenset({"loss"}), lambda: with_parts(loss=LossModule())),
    "own-batch-class": of_loss(own_batch),
    "talkative": Unusual(frozenset({"loss"}), talkative),
    "settings-put-back": of_loss(settings_put_back),
    "other-settings": of_loss(other_settings),
    "trainer-by-hand": Unusual(frozenset({"trainer"}), lambda: with_parts(trainer=WrittenOut)),
    "step-under-ddp": Unusual(frozenset({"step"}), lambda: with_parts(step=step_with(under_ddp))),
    "step-of-gathered-counts": Unusual(frozenset({"step"}), lambda: with_parts(step=step_with(of_gathered_counts))),
    "padding-behind-attended": Unusual(
        frozenset({"step"}), lambda: with_parts(step=steps(micro_batches(padding_attended)))
    ),
    "rows-trimmed": Unusual(frozenset({"step"}), lambda: with_parts(step=steps(rows_trimmed))),
}
"""Name to variant."""


def _once(value: Tensor) -> Tensor:
    found: Tensor = _Once.apply(value)  # type: ignore[no-untyped-call]
    return found
