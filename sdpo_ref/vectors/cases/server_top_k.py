"""Losses whose teacher is a server's top k: each support at both ends and between, masks, temperature and ratios."""

from mpmath import mpf, workdps

from sdpo_ref.vectors.array import array
from sdpo_ref.vectors.case import Case
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import FORWARD, REVERSE, LossInputs, random_batch, rounding_tolerance
from sdpo_ref.vectors.derivation.numbers import DIGITS, exact, log_softmax

_SUPPORTS = {
    "top_k_tail": ("LOSS-134", (FORWARD, 0.25, REVERSE)),
    "top_k_renormalized": ("LOSS-135", (FORWARD, 0.25, REVERSE)),
    "cross_entropy": ("LOSS-136", (FORWARD,)),
}


def _listed(inputs: LossInputs, k: int, temperature: float) -> LossInputs:
    """The teacher's k most likely tokens at each position, most likely first; garbage where nothing counts."""
    ids: list[list[list[int]]] = []
    scores: list[list[list[float]]] = []
    usable, mask = inputs["self_distillation_mask"].nested(), inputs["completion_mask"].nested()
    for row, rows in enumerate(inputs["teacher_logits"].nested()):
        ids.append([])
        scores.append([])
        for time, logits in enumerate(rows):
            with workdps(DIGITS):
                log_probs = [float(it) for it in log_softmax(exact(logits), mpf(temperature))]
            order = sorted(range(len(log_probs)), key=lambda token: -log_probs[token])[:k]
            counts = usable[row] and mask[row][time]
            ids[-1].append(order if counts else [0] * k)
            scores[-1].append([log_probs[token] for token in order] if counts else [0.5] * k)
    others = {name: it for name, it in inputs.items() if name != "teacher_logits"}
    return {**others, "teacher_ids": array(ids, "int64"), "teacher_log_probs": array(scores)}


def _case(
    name: str, support: str, inputs: LossInputs, *, alpha: float, temperature: float = 1.0, cap: float | None = None
) -> Case:
    factor = inputs["completions"].shape[1] * max(1.0, cap or 1.0) / min(1.0, temperature)
    return Case(
        id=f"top_k_loss-{support}-{name}-alpha-{alpha:g}",
        kind="top_k_loss",
        requirements=(_SUPPORTS[support][0],),
        comment=f"A server's list of a drawn teacher, {name.replace('-', ' ')}.",
        hazard=hazards.LISTS,
        options={"alpha": alpha, "support": support, "temperature": temperature, "ratio_cap": cap},
        inputs=inputs,
        tolerance=rounding_tolerance(inputs, factor=factor),
    )


def cases() -> list[Case]:
    """All of this file."""
    found = []
    for support, (_, alphas) in _SUPPORTS.items():
        for alpha in alphas:
            plain = random_batch(71, vocab=7, time=3, bounds=[(0, 3), (1, 3)], usable=[True, True])
            found.append(_case("three-of-seven", support, _listed(plain, 3, 1.0), alpha=alpha))
            ragged = random_batch(
                72,
                vocab=6,
                time=4,
                bounds=[(0, 4), (1, 3), (0, 2)],
                usable=[True, True, False],
                temperature=1.7,
                log_ratios=(1.1, -0.4, 0.3),
            )
            found.append(_case("everything", support, _listed(ragged, 2, 1.7), alpha=alpha, temperature=1.7, cap=2.0))
        whole = random_batch(73, vocab=4, time=2, bounds=[(0, 2)], usable=[True])
        found.append(_case("all-of-four", support, _listed(whole, 4, 1.0), alpha=FORWARD))
    return found
