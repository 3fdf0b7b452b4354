"""Divergences that can be checked by hand: three and five tokens, every alpha and every support."""

from sdpo_ref.vectors.case import Case, Hazard
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import FORWARD, REVERSE, divergence_case, logs

THREE_STUDENT, THREE_TEACHER = [0.5, 0.3, 0.2], [0.2, 0.6, 0.2]
FIVE_STUDENT, FIVE_TEACHER = [0.40, 0.25, 0.20, 0.10, 0.05], [0.10, 0.45, 0.08, 0.30, 0.07]
"""Top-2 sets differ: {0, 1} for the student, {1, 3} for the teacher."""

END_REQUIREMENTS = {FORWARD: "LOSS-001 LOSS-004", REVERSE: "LOSS-002 LOSS-004"}
ALPHAS = (0.0, 1e-6, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def of_alpha(alpha: float) -> str:
    """Requirements that an alpha touches on the full vocabulary.

    Example:
        >>> of_alpha(0.0)
        'LOSS-001 LOSS-004'
    """
    near_an_end = min(alpha, 1 - alpha) < 0.05
    return END_REQUIREMENTS.get(alpha, "LOSS-003 LOSS-004" if near_an_end else "LOSS-003")


def hazard_of_alpha(alpha: float) -> Hazard:
    """What a wrong answer at an alpha most likely means."""
    if alpha in END_REQUIREMENTS:
        return hazards.DIRECTION
    if alpha == 0.5:
        return hazards.LOG_MIXTURE
    return hazards.ENDS if min(alpha, 1 - alpha) < 0.05 else hazards.INTERIOR


def _three_tokens(alpha: float) -> Case:
    return divergence_case(
        f"v3-alpha-{alpha:g}",
        of_alpha(alpha),
        f"Student (.5, .3, .2) and teacher (.2, .6, .2) at alpha = {alpha:g}.",
        hazard_of_alpha(alpha),
        student=logs(THREE_STUDENT),
        teacher=logs(THREE_TEACHER),
        alpha=alpha,
    )


_SUPPORTS = (
    ("full", None, "student"),
    ("top_k_tail", 1, "student"),
    ("top_k_tail", 2, "student"),
    ("top_k_tail", 3, "student"),
    ("top_k_tail", 4, "student"),
    ("top_k_tail", 5, "student"),
    ("top_k_tail", 8, "student"),
    ("top_k_renormalized", 1, "student"),
    ("top_k_renormalized", 2, "student"),
    ("top_k_renormalized", 3, "student"),
    ("top_k_renormalized", 4, "student"),
    ("top_k_renormalized", 5, "student"),
    ("top_k_renormalized", 8, "student"),
    ("top_k_tail", 2, "teacher"),
    ("top_k_renormalized", 2, "teacher"),
)


def _of_support(support: str, k: int) -> tuple[str, Hazard]:
    if k > 5:
        return "LOSS-027", hazards.WHOLE_SUPPORT
    if support == "top_k_renormalized":
        return ("LOSS-021 LOSS-026" if k == 1 else "LOSS-021"), hazards.RENORMALISED
    if k >= 4:
        return "LOSS-024", hazards.WHOLE_SUPPORT
    return "LOSS-020 LOSS-022", hazards.SUPPORT_MASS if k == 1 else hazards.TOP_K_OWNER


def _five_tokens(support: str, k: int | None, top_k_from: str, alpha: float) -> Case:
    name = support if k is None else f"{support.replace('_k_', f'-{k}-')}-{top_k_from}"
    requirements, hazard = _of_support(support, k) if k else (of_alpha(alpha), hazard_of_alpha(alpha))
    return divergence_case(
        f"v5-{name}-alpha-{alpha:g}",
        requirements,
        f"Student (.40, .25, .20, .10, .05) and teacher (.10, .45, .08, .30, .07), support {name}, alpha = {alpha:g}.",
        hazard,
        student=logs(FIVE_STUDENT),
        teacher=logs(FIVE_TEACHER),
        alpha=alpha,
        support=support,
        k=k,
        top_k_from=top_k_from,
    )


def cases() -> list[Case]:
    """All of this file."""
    return [_three_tokens(alpha) for alpha in ALPHAS] + [
        _five_tokens(support, k, top_k_from, alpha)
        for support, k, top_k_from in _SUPPORTS
        for alpha in (0.0, 0.25, 0.5, 1.0)
    ]
