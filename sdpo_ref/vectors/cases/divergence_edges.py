"""Divergences where careless arithmetic breaks: no mass, almost no mass, almost no difference, odd sizes."""

from sdpo_ref.vectors.case import Case, Tolerance
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import FORWARD, REVERSE, Draws, Table, divergence_case, logs, normalized
from sdpo_ref.vectors.cases.divergence_golden import hazard_of_alpha, of_alpha

_ZERO_ROWS = {
    "student": ([0.6, 0.4, 0.0], [0.3, 0.5, 0.2], "The student gives the third token no mass, the teacher does"),
    "teacher": ([0.5, 0.2, 0.3], [0.7, 0.3, 0.0], "The teacher gives the third token no mass, the student does"),
    "both": ([0.6, 0.4, 0.0], [0.3, 0.7, 0.0], "Neither side gives the third token mass"),
}


def _zero_mass() -> list[Case]:
    def case(side: str, alpha: float) -> Case:
        student, teacher, sentence = _ZERO_ROWS[side]
        infinite = (side, alpha) in {("student", FORWARD), ("teacher", REVERSE)}
        return divergence_case(
            f"zero-mass-{side}-alpha-{alpha:g}",
            "LOSS-008" if infinite else "LOSS-007",
            f"{sentence}; alpha = {alpha:g}{', so the divergence is infinite' if infinite else ''}.",
            hazards.INFINITE if infinite else hazards.ZERO_MASS,
            student=logs(student),
            teacher=logs(teacher),
            alpha=alpha,
        )

    return [case(side, alpha) for side in _ZERO_ROWS for alpha in (0.0, 0.25, 1.0)] + [
        divergence_case(
            f"zero-mass-tail-alpha-{alpha:g}",
            "LOSS-007",
            "Top-2 with a tail bucket that has no mass on either side.",
            hazards.ZERO_MASS,
            student=logs([0.6, 0.4, 0.0, 0.0]),
            teacher=logs([0.3, 0.7, 0.0, 0.0]),
            alpha=alpha,
            support="top_k_tail",
            k=2,
        )
        for alpha in (0.0, 0.25, 1.0)
    ]


_TAIL_SHARES = (0.2, 0.5, 0.3)
_WIDE = [0.5, 0.3, 0.1, 0.06, 0.04]
"""A tail of 0.2 behind the first two tokens."""


_TAIL_TOLERANCES = {
    "float64": Tolerance(
        relative=1e-10,
        absolute=2e-11,
        derivation="log mass of the small tail to 1e-10 (LOSS-025), weighted by the other side's tail mass 0.2",
    ),
    "float32": Tolerance(
        relative=1e-6,
        absolute=2e-6,
        derivation="log mass of the small tail to 1e-5 (LOSS-025), weighted by the other side's tail mass 0.2; 1e-6 "
        "relative for the rounding of float32 log-probabilities near 20",
    ),
}


def _narrow(mass: float) -> list[float]:
    return [0.9, 0.1 - mass, *(share * mass for share in _TAIL_SHARES)]


def _tails() -> list[Case]:
    def case(side: str, mass: float, dtype: str) -> Case:
        teacher_is_narrow = side == "teacher"
        wide, narrow = logs(_WIDE), logs(_narrow(mass))
        return divergence_case(
            f"tail-{side}-{mass:.0e}-{dtype}",
            "LOSS-025",
            f"Top-2 with tail: the {side}'s tail has mass {mass:.0e}, the other's 0.2; {dtype} inputs.",
            hazards.SMALL_TAIL,
            student=wide if teacher_is_narrow else narrow,
            teacher=narrow if teacher_is_narrow else wide,
            alpha=REVERSE if teacher_is_narrow else FORWARD,
            support="top_k_tail",
            k=2,
            dtype="float32" if dtype == "float32" else "float64",
            tolerance=_TAIL_TOLERANCES[dtype],
        )

    masses = (1e-3, 1e-6, 1e-8, 1e-10, 1e-12)
    return [
        case(side, mass, dtype)
        for dtype in ("float64", "float32")
        for side in ("teacher", "student")
        for mass in masses
    ] + [
        divergence_case(
            f"tail-both-{mass:.0e}-alpha-{alpha:g}",
            "LOSS-025",
            f"Top-1 with tail on a peaked row: the student's tail has mass {mass:.0e}, the teacher's a hundredth.",
            hazards.SMALL_TAIL,
            student=logs([1 - mass, 0.6 * mass, 0.4 * mass]),
            teacher=logs([1 - mass / 100, 0.3 * mass / 100, 0.7 * mass / 100]),
            alpha=alpha,
            support="top_k_tail",
            k=1,
            tolerance=Tolerance(
                relative=1e-10,
                absolute=1e-14,
                derivation="log mass of both tails to 1e-10 (LOSS-025); 1e-14 for the head, a logarithm near zero",
            ),
        )
        for mass in (1e-3, 1e-6)
        for alpha in (0.25, 1.0)
    ]


def _peaked() -> list[Case]:
    rows = {
        "agreeing": ([20.0, 0.0, -1.0, 1.0], [24.0, 1.0, 0.5, -2.0]),
        "opposed": ([30.0, 0.0, -1.0, 1.0], [-1.0, 30.0, 0.5, 1.0]),
        "certain": ([50.0, 0.0, -1.0, 1.0], [1.0, 0.5, -1.0, 0.0]),
    }
    return [
        divergence_case(
            f"peaked-{name}-alpha-{alpha:g}",
            "LOSS-011",
            f"Peaked rows, {name}: logits up to {max(student):g}, alpha = {alpha:g}.",
            hazards.PEAKED,
            student=normalized([student]),
            teacher=normalized([teacher]),
            alpha=alpha,
        )
        for name, (student, teacher) in rows.items()
        for alpha in (0.0, 0.25, 0.9, 1.0)
    ]


def _nearly_equal() -> list[Case]:
    student = Draws(11).logits(3, 7)
    shifts = Draws(12).logits(3, 7, 1.0)

    def case(name: str, size: float, alpha: float) -> Case:
        teacher = [
            [z + size * d for z, d in zip(row, shift, strict=True)] for row, shift in zip(student, shifts, strict=True)
        ]
        return divergence_case(
            f"near-{name}-alpha-{alpha:g}",
            of_alpha(alpha),
            f"The teacher's logits differ from the student's by at most {size:g}.",
            hazards.SAME,
            student=normalized(student),
            teacher=normalized(teacher),
            alpha=alpha,
        )

    return [
        case(name, size, alpha)
        for name, size in (("equal", 0.0), ("1e-3", 1e-3), ("1e-6", 1e-6))
        for alpha in (0.0, 0.25, 1.0)
    ]


def _sizes() -> list[Case]:
    def rows(vocab: int) -> tuple[Table, Table]:
        return normalized(Draws(vocab).logits(2, vocab)), normalized(Draws(1000 + vocab).logits(2, vocab))

    def case(vocab: int, support: str, k: int | None, top_k_from: str, alpha: float) -> Case:
        student, teacher = rows(vocab)
        requirements = {
            "full": of_alpha(alpha),
            "top_k_tail": "LOSS-020 LOSS-022",
            "top_k_renormalized": "LOSS-021",
        }
        if support == "top_k_tail" and k == vocab - 1:
            requirements[support] = "LOSS-024"
        name = support if k is None else f"{support.replace('_k_', f'-{k}-')}-{top_k_from}"
        return divergence_case(
            f"v{vocab}-{name}-alpha-{alpha:g}",
            requirements[support],
            f"Two drawn rows over {vocab} tokens, support {name}, alpha = {alpha:g}.",
            hazards.VOCABULARY if k is None else hazards.TOP_K_OWNER,
            student=student,
            teacher=teacher,
            alpha=alpha,
            support=support,
            k=k,
            top_k_from=top_k_from,
        )

    return [
        case(vocab, *options)
        for vocab in (7, 17, 123, 257)
        for options in (
            ("full", None, "student", 0.0),
            ("full", None, "student", 0.1),
            ("full", None, "student", 0.9),
            ("full", None, "student", 1.0),
            ("top_k_tail", vocab // 4 + 1, "student", 0.25),
            ("top_k_tail", vocab // 4 + 1, "teacher", 0.75),
            ("top_k_renormalized", vocab // 4 + 1, "student", 0.1),
            ("top_k_renormalized", vocab // 4 + 1, "teacher", 0.9),
            ("top_k_tail", vocab - 1, "student", 0.25),
            ("top_k_renormalized", vocab, "student", 0.25),
        )
    ]


def _clipping() -> Case:
    return divergence_case(
        "v4-uniform-teacher-alpha-0",
        "LOSS-001",
        "A confident student and a uniform teacher: terms of both signs, whose sum must not be clipped term by term.",
        hazards.DIRECTION,
        student=logs([0.97, 0.01, 0.01, 0.01]),
        teacher=logs([0.25, 0.25, 0.25, 0.25]),
        alpha=FORWARD,
    )


def _interior_rows() -> list[Case]:
    """Several rows at once, so that rows cannot be confused with each other."""
    student, teacher = normalized(Draws(21).logits(4, 6)), normalized(Draws(22).logits(4, 6))
    return [
        divergence_case(
            f"four-rows-alpha-{alpha:g}",
            of_alpha(alpha),
            f"Four drawn rows over six tokens at alpha = {alpha:g}.",
            hazard_of_alpha(alpha),
            student=student,
            teacher=teacher,
            alpha=alpha,
        )
        for alpha in (0.0, 0.1, 0.25, 0.75, 0.9, 1.0)
    ]


def cases() -> list[Case]:
    """All of this file."""
    return [_clipping(), *_zero_mass(), *_tails(), *_peaked(), *_nearly_equal(), *_interior_rows(), *_sizes()]
