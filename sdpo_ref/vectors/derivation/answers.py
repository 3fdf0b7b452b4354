"""From a case to its answer: what is expected, and what well-known defects would give instead."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from mpmath import inf, mpf, workdps

from sdpo_ref.vectors.array import Array, array
from sdpo_ref.vectors.case import Answer, Case, Kind, KnownWrong, Tolerance
from sdpo_ref.vectors.derivation import defects
from sdpo_ref.vectors.derivation.divergence import Comparison, TokenSupport, chosen_tokens, token_divergence
from sdpo_ref.vectors.derivation.hidden import HiddenSide, hidden_losses
from sdpo_ref.vectors.derivation.hybrid import hybrid_gradient, hybrid_loss, implicit_rewards
from sdpo_ref.vectors.derivation.loss import (
    AGGREGATIONS,
    AggregationName,
    Batch,
    LossOptions,
    Recipe,
    loss_gradients,
    losses,
)
from sdpo_ref.vectors.derivation.numbers import DIGITS, Row, gradient, log_softmax
from sdpo_ref.vectors.derivation.server_top_k import LIST_DEFECTS, ListOptions, Lists, list_losses
from sdpo_ref.vectors.derivation.teacher import averages, trust_region

LARGEST_GRADIENT_VOCABULARY = 17
"""Central differences cost the square of the vocabulary, so larger ones get a value only."""

RESOLUTION = 1e-25
"""Results below this are zero: central differences cannot tell them from rounding."""

LARGEST_WRONG_GRADIENT = 60
"""Most elements of a gradient that is stored for a defect."""

Wrong = Iterable[tuple[str, str, Any]]
"""Defect's numbers: (expected tensor, defect, nested numbers)."""


def answer(case: Case) -> Answer:
    """Derive everything that is known about a case, in 50-digit arithmetic, rounded to float64 at the end."""
    with workdps(DIGITS):
        expected, wrong = _ANSWERS[case.kind](case)
        expected = {name: array(_rounded(value)) for name, value in expected.items()}
        return Answer(expected, _distinct(expected, wrong, case.tolerance))


def _rounded(nested: Any) -> Any:
    if isinstance(nested, list):
        return [_rounded(item) for item in nested]
    return 0.0 if abs(nested) < RESOLUTION else float(nested)


def _exact(tensor: Array) -> Any:
    def convert(nested: Any) -> Any:
        return [convert(item) for item in nested] if isinstance(nested, list) else mpf(nested)

    return convert(tensor.nested())


def _distinct(expected: Mapping[str, Array], wrong: Wrong, tolerance: Tolerance) -> tuple[KnownWrong, ...]:
    """Only numbers that differ clearly: finite, far outside the tolerance, and equal numbers under one label."""
    labels: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    generous = replace(tolerance, relative=100 * tolerance.relative, absolute=100 * tolerance.absolute)
    for name, label, nested in wrong:
        values = tuple(array(_rounded(nested)).values)
        if not all(math.isfinite(value) for value in values):
            continue
        if all(generous.allows(got, true) for got, true in zip(values, expected[name].values, strict=True)):
            continue
        labels.setdefault((name, values), []).append(label)
    return tuple(KnownWrong(name, values, " or ".join(found)) for (name, values), found in labels.items())


def _support(case: Case) -> TokenSupport:
    options: Mapping[str, Any] = case.options
    return TokenSupport(options["support"], options["k"], options["top_k_from"])


def _token_defects(support: TokenSupport) -> dict[str, defects.TokenDivergence]:
    found: dict[str, defects.TokenDivergence] = {
        label: partial(_compared, comparison=comparison) for label, comparison in defects.COMPARISONS.items()
    }
    if support.k is not None:
        found |= defects.TOP_K_DEFECTS
    if support.kind == "top_k_tail":
        found |= defects.TAIL_DEFECTS
    return found


def _compared(s: Row, t: Row, alpha: mpf, support: TokenSupport, *, comparison: Comparison) -> mpf:
    return token_divergence(s, t, alpha=alpha, support=support, comparison=comparison)


def _divergence(case: Case) -> tuple[dict[str, Any], Wrong]:
    support, alpha = _support(case), mpf(case.options["alpha"])
    logits = _exact(case.inputs["student_log_probs"])
    rows = [
        (log_softmax(s), log_softmax(t)) for s, t in zip(logits, _exact(case.inputs["teacher_log_probs"]), strict=True)
    ]
    values = [token_divergence(s, t, alpha=alpha, support=support) for s, t in rows]
    expected = {"value": values}

    def slope(student: Row, teacher: Row) -> list[mpf]:
        chosen = chosen_tokens(student, teacher, support)
        return gradient(
            lambda z: token_divergence(log_softmax(z), teacher, alpha=alpha, support=support, chosen=chosen), student
        )

    if len(logits[0]) <= LARGEST_GRADIENT_VOCABULARY and inf not in values:
        expected["gradient"] = [slope(s, t) for s, t in rows]
    wrong = [
        ("value", label, [defect(s, t, alpha, support) for s, t in rows])
        for label, defect in _token_defects(support).items()
    ]
    return expected, wrong


def _batch(case: Case) -> Batch:
    behaviour = case.inputs.get("behaviour_log_probs")
    return Batch(
        _exact(case.inputs["student_logits"]),
        _exact(case.inputs["teacher_logits"]),
        case.inputs["completions"].nested(),
        case.inputs["completion_mask"].nested(),
        case.inputs["self_distillation_mask"].nested(),
        None if behaviour is None else _exact(behaviour),
    )


def _loss(case: Case) -> tuple[dict[str, Any], Wrong]:
    batch, cap = _batch(case), case.options["ratio_cap"]
    options = LossOptions(
        alpha=mpf(case.options["alpha"]),
        support=_support(case),
        temperature=mpf(case.options["temperature"]),
        ratio_cap=None if cap is None else mpf(cap),
    )
    values, gradients = losses(batch, options), loss_gradients(batch, options)
    expected = {f"value/{name}": values[name] for name in AGGREGATIONS}
    expected |= {f"gradient/{name}": gradients[name] for name in AGGREGATIONS}
    return expected, _loss_defects(batch, options, values)


def _loss_defects(batch: Batch, options: LossOptions, correct: Mapping[AggregationName, mpf]) -> Wrong:
    for label, wrong in _wrong_losses(batch, options):
        for name, value in wrong.items():
            yield f"value/{name}", label, value
    for name in AGGREGATIONS:
        for other in AGGREGATIONS:
            yield f"value/{name}", f"aggregation {other} in place of {name}", correct[other]
    elements = len(batch.completions) * len(batch.completions[0]) * len(batch.student_logits[0][0])
    if options.ratio_cap is not None and elements <= LARGEST_WRONG_GRADIENT:
        for name, value in loss_gradients(batch, options, defects.slope_with_ratio).items():
            yield f"gradient/{name}", "M081 ratio not detached", value


def _wrong_losses(batch: Batch, options: LossOptions) -> Iterable[tuple[str, Mapping[AggregationName, mpf]]]:
    recipes = dict(defects.MASKS)
    if options.support.kind != "sampled_token":
        recipes |= {label: Recipe(comparison=comparison) for label, comparison in defects.COMPARISONS.items()}
    if options.support.k is not None:
        recipes["M041 neither tail nor renormalisation"] = Recipe(restriction=defects.without_tail)
    if options.ratio_cap is not None:
        recipes |= defects.RATIOS
    for label, recipe in recipes.items():
        yield label, losses(batch, options, recipe)
    for label, recipe in defects.DENOMINATORS.items():
        yield label, {"token_mean": losses(batch, options, recipe)["token_mean"]}
    if options.temperature != 1:
        for label, student, teacher in (
            ("M150 temperature on the student only", False, True),
            ("M150 temperature on the teacher only", True, False),
            ("M151 temperature ignored", True, True),
        ):
            changed = defects.untempered(batch, options.temperature, student=student, teacher=teacher)
            yield label, losses(changed, options)
    if options.support.k is not None:
        yield (
            "M049 top-k chosen from the other side",
            losses(batch, replace(options, support=defects.other_side(options.support))),
        )


def _hidden_loss(case: Case) -> tuple[dict[str, Any], Wrong]:
    inputs = case.inputs
    student, teacher = (
        HiddenSide(*(_exact(inputs[f"{side}_{what}"]) for what in ("hidden", "weight", "bias")))
        for side in ("student", "teacher")
    )
    masks = [inputs[name].nested() for name in ("completions", "completion_mask", "self_distillation_mask")]
    options = LossOptions(mpf(case.options["alpha"]), _support(case), mpf(1), None)
    expected = dict(hidden_losses(student, teacher, masks, options))
    bare = replace(student, bias=[mpf(0)] * len(student.bias)), replace(teacher, bias=[mpf(0)] * len(teacher.bias))
    without = hidden_losses(*bare, masks, options)
    wrong = [(name, "M664 biases left out", it) for name, it in without.items() if name.startswith("value")]
    return expected, wrong


def _top_k_loss(case: Case) -> tuple[dict[str, Any], Wrong]:
    inputs, cap = case.inputs, case.options["ratio_cap"]
    behaviour = inputs.get("behaviour_log_probs")
    batch = Lists(
        _exact(inputs["student_logits"]),
        inputs["teacher_ids"].nested(),
        _exact(inputs["teacher_log_probs"]),
        inputs["completions"].nested(),
        inputs["completion_mask"].nested(),
        inputs["self_distillation_mask"].nested(),
        None if behaviour is None else _exact(behaviour),
    )
    alpha, temperature = mpf(case.options["alpha"]), mpf(case.options["temperature"])
    asked = ListOptions(alpha, str(case.options["support"]), temperature, None if cap is None else mpf(cap))
    values, gradients = list_losses(batch, asked)
    expected = {f"value/{name}": values[name] for name in AGGREGATIONS}
    expected |= {f"gradient/{name}": gradients[name] for name in AGGREGATIONS}
    wrong = [
        (f"value/{name}", label, value)
        for label, formula in LIST_DEFECTS.items()
        for name, value in list_losses(batch, asked, formula, with_gradients=False)[0].items()
    ]
    return expected, wrong


def _hybrid(case: Case) -> tuple[dict[str, Any], Wrong]:
    batch, weight = _batch(case), mpf(case.options["reward_weight"])
    rewards, groups = _exact(case.inputs["rewards"]), case.inputs["group_ids"].nested()
    expected = {
        "value": hybrid_loss(batch, rewards, groups, weight),
        "gradient": hybrid_gradient(batch, rewards, groups, weight),
    }
    wrong = [
        ("value", label, hybrid_loss(batch, rewards, groups, weight, recipe))
        for label, recipe in defects.HYBRIDS.items()
    ]
    return expected, wrong


def _implicit_reward(case: Case) -> tuple[dict[str, Any], Wrong]:
    conditioned, reference = _exact(case.inputs["conditioned_logits"]), _exact(case.inputs["reference_logits"])
    completions, mask = case.inputs["completions"].nested(), case.inputs["completion_mask"].nested()
    values = implicit_rewards(conditioned, reference, completions, mask)
    means = [value / max(sum(row), 1) for value, row in zip(values, mask, strict=True)]
    unmasked = implicit_rewards(conditioned, reference, completions, [[True] * len(row) for row in mask])
    wrong = [
        ("value", "M191 conditioned and reference swapped", [-value for value in values]),
        ("value", "M192 mean over tokens in place of the sum", means),
        ("value", "M193 completion_mask ignored", unmasked),
    ]
    return {"value": values}, wrong


def _trust_region(case: Case) -> tuple[dict[str, Any], Wrong]:
    mix = mpf(case.options["mix"])
    rows = list(zip(_exact(case.inputs["reference_logits"]), _exact(case.inputs["student_logits"]), strict=True))
    wrong = [
        (
            "log_probs",
            "M299 arithmetic mixture of probabilities",
            [defects.arithmetic_region(r, s, mix) for r, s in rows],
        ),
        ("log_probs", "M301 reference and student swapped", [trust_region(s, r, mix) for r, s in rows]),
    ]
    return {"log_probs": [trust_region(r, s, mix) for r, s in rows]}, wrong


def _average(case: Case) -> tuple[dict[str, Any], Wrong]:
    rate = mpf(case.options["update_rate"])
    teacher, students = _exact(case.inputs["teacher"]), _exact(case.inputs["students"])
    wrong = [
        ("teachers", "M281 update_rate on the teacher's side", averages(teacher, students, 1 - rate)),
        ("teachers", "M289 updated before the optimiser step", averages(teacher, [teacher, *students[:-1]], rate)),
        ("teachers", "updated twice for each step", defects.averaged_twice(teacher, students, rate)),
        ("teachers", "M286 never updated", [teacher for _ in students]),
    ]
    return {"teachers": averages(teacher, students, rate)}, wrong


_ANSWERS: Mapping[Kind, Callable[[Case], tuple[dict[str, Any], Wrong]]] = {
    "divergence": _divergence,
    "loss": _loss,
    "hidden_loss": _hidden_loss,
    "top_k_loss": _top_k_loss,
    "hybrid": _hybrid,
    "implicit_reward": _implicit_reward,
    "trust_region": _trust_region,
    "average": _average,
}
