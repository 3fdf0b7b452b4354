"""How cases are put together: inputs from decimals or from a documented generator, and tolerances from rounding."""

import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from mpmath import log, mpf, workdps

from sdpo_ref.vectors.array import Array, DType, array
from sdpo_ref.vectors.case import Case, Hazard, Option, Tolerance
from sdpo_ref.vectors.derivation.numbers import DIGITS, exact, log_softmax

Table = list[list[float]]
"""Numbers with axes row, vocab."""

ROUNDOFF = 2.0**-53
"""Unit roundoff of float64."""

REVERSE, FORWARD = 1.0, 0.0
"""The two ends of alpha."""


class Draws:
    """Reproducible numbers: uniform, rounded to four decimals, from Python's Mersenne Twister and nothing else.

    Only ``Random.random`` is used, whose sequence for a seed Python guarantees.

    Example:
        >>> Draws(1).number(-3.0, 3.0)
        -2.1938
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - reproducible test inputs, not secrets

    def number(self, low: float, high: float) -> float:
        """Uniform in ``[low, high]``, rounded to four decimals."""
        return round(low + (high - low) * self._random.random(), 4)

    def index(self, size: int) -> int:
        """Uniform in ``[0, size)``."""
        return int(size * self._random.random())

    def logits(self, rows: int, vocab: int, scale: float = 3.0) -> Table:
        """Rows of logits uniform in ``[-scale, scale]``."""
        return [[self.number(-scale, scale) for _ in range(vocab)] for _ in range(rows)]


def logs(*rows: Sequence[float]) -> Table:
    """Log-probabilities of rows of probabilities, correctly rounded on every platform; log 0 is minus infinity."""
    with workdps(DIGITS):
        return [[float(log(mpf(p))) if p else -math.inf for p in row] for row in rows]


def normalized(logits: Table) -> Table:
    """Log-softmax of rows, correctly rounded on every platform."""
    with workdps(DIGITS):
        return [[float(value) for value in log_softmax(exact(row))] for row in logits]


def rounding_tolerance(inputs: Mapping[str, Array], *, factor: float = 1.0) -> Tolerance:
    """What rounding in float64 may cost: 16 u (vocab + 8) L factor, rounded up to a power of ten.

    Args:
        inputs: the case's tensors; ``L`` is the largest finite magnitude of a float64 one, at least one.
        factor: how much the options magnify a token's error.

    Returns:
        The absolute tolerance, with 1e-10 for numbers far above one.
    """
    floats = [tensor for tensor in inputs.values() if tensor.dtype == "float64"]
    vocab = max(tensor.shape[-1] for tensor in floats)
    largest = max([1.0, *(abs(v) for tensor in floats for v in tensor.values if math.isfinite(v))])
    bound = 16 * ROUNDOFF * (vocab + 8) * largest * factor
    return Tolerance(
        relative=1e-10,
        absolute=float(f"1e{math.ceil(math.log10(bound))}"),
        derivation=f"16 u (V + 8) L F rounded up to a power of ten, with u = 2^-53, V = {vocab}, largest input "
        f"L = {largest:g}, F = {factor:g}: about V + 8 roundings of numbers up to L, times 16 for their order",
    )


def divergence_case(
    id: str,  # noqa: A002 - the field's own name
    requirements: str,
    comment: str,
    hazard: Hazard,
    *,
    student: Table,
    teacher: Table,
    alpha: float,
    support: str = "full",
    k: int | None = None,
    top_k_from: str = "student",
    dtype: DType = "float64",
    tolerance: Tolerance | None = None,
) -> Case:
    """A question about the divergence of rows of log-probabilities.

    Args:
        id: without the kind, which is put in front.
        requirements: ids, separated by spaces.
        comment: the question.
        hazard: what a wrong answer means.
        student: log-probabilities.
        teacher: log-probabilities.
        alpha: interpolation coefficient.
        support: which tokens are compared.
        k: number of tokens of a top-k support.
        top_k_from: whose top-k.
        dtype: element type of the stored log-probabilities.
        tolerance: if rounding is not what limits the answer.
    """
    inputs = {"student_log_probs": array(student, dtype), "teacher_log_probs": array(teacher, dtype)}
    return Case(
        id=f"divergence-{id}",
        kind="divergence",
        requirements=tuple(requirements.split()),
        comment=comment,
        hazard=hazard,
        options={"alpha": alpha, "support": support, "k": k, "top_k_from": top_k_from},
        inputs=inputs,
        tolerance=tolerance or rounding_tolerance(inputs),
    )


def spans(time: int, bounds: Sequence[tuple[int, int]]) -> list[list[bool]]:
    """A completion mask whose row ``i`` counts positions ``start <= t < stop`` of ``bounds[i]``.

    Example:
        >>> spans(4, [(1, 3)])
        [[False, True, True, False]]
    """
    return [[start <= t < stop for t in range(time)] for start, stop in bounds]


LossInputs = dict[str, Array]


def loss_inputs(
    student: Any,
    teacher: Any,
    completions: list[list[int]],
    completion_mask: list[list[bool]],
    self_distillation_mask: list[bool],
    *,
    behaviour: Table | None = None,
) -> LossInputs:
    """The tensors of a loss under the specification's names."""
    inputs = {
        "student_logits": array(student),
        "teacher_logits": array(teacher),
        "completions": array(completions, "int64"),
        "completion_mask": array(completion_mask, "bool"),
        "self_distillation_mask": array(self_distillation_mask, "bool"),
    }
    return inputs if behaviour is None else {**inputs, "behaviour_log_probs": array(behaviour)}


def random_batch(
    seed: int,
    *,
    vocab: int,
    time: int,
    bounds: Sequence[tuple[int, int]],
    usable: Sequence[bool],
    temperature: float = 1.0,
    log_ratios: Sequence[float] = (),
) -> LossInputs:
    """A batch of drawn logits and completions.

    Args:
        seed: of the draws.
        vocab: number of tokens.
        time: padded length of the completions.
        bounds: first counted and first no longer counted position of each row; padding holds token 0 and drawn logits.
        usable: the self-distillation mask; the teacher's logits of other rows are drawn five times wider.
        temperature: of the loss, at which behaviour log-probabilities are taken.
        log_ratios: wished log-ratios of student to behaviour policy, dealt out in turn; behaviour log-probabilities
            are rounded to three decimals and kept below -0.01. Without any, none are recorded.
    """
    draws = Draws(seed)
    student = [draws.logits(time, vocab) for _ in bounds]
    teacher = [draws.logits(time, vocab, 3.0 if has_context else 15.0) for has_context in usable]
    mask = spans(time, bounds)
    completions = [[draws.index(vocab) if counted else 0 for counted in row] for row in mask]
    behaviour = None
    if log_ratios:
        wished = _endless(log_ratios)
        behaviour = [
            [
                min(-0.01, round(_log_prob(student[i][t], completions[i][t], temperature) - next(wished), 3))
                if counted
                else 0.0
                for t, counted in enumerate(row)
            ]
            for i, row in enumerate(mask)
        ]
    return loss_inputs(student, teacher, completions, mask, list(usable), behaviour=behaviour)


def _endless(values: Sequence[float]) -> Iterator[float]:
    while True:
        yield from values


def _log_prob(logits: list[float], token: int, temperature: float) -> float:
    with workdps(DIGITS):
        return float(log_softmax(exact(logits), mpf(temperature))[token])


def loss_case(
    id: str,  # noqa: A002 - the field's own name
    requirements: str,
    comment: str,
    hazard: Hazard,
    inputs: LossInputs,
    *,
    alpha: float,
    support: str = "full",
    k: int | None = None,
    top_k_from: str = "student",
    temperature: float = 1.0,
    ratio_cap: float | None = None,
    tolerance: Tolerance | None = None,
) -> Case:
    """A question about the scalar loss; arguments as in :func:`divergence_case`."""
    factor = inputs["completions"].shape[1] * max(1.0, ratio_cap or 1.0) / min(1.0, temperature)
    if support == "sampled_token":
        factor *= max(1.0, *(abs(v) for v in inputs["student_logits"].values))
    options: dict[str, Option] = {"alpha": alpha, "support": support, "k": k, "top_k_from": top_k_from}
    return Case(
        id=f"loss-{id}",
        kind="loss",
        requirements=tuple(requirements.split()),
        comment=comment,
        hazard=hazard,
        options={**options, "temperature": temperature, "ratio_cap": ratio_cap},
        inputs=inputs,
        tolerance=tolerance or rounding_tolerance(inputs, factor=factor),
    )
