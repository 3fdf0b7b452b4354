"""Teachers in closed form: trust region (TEACH-026) and weight averages (TEACH-020)."""

from sdpo_ref.vectors.array import array
from sdpo_ref.vectors.case import Case
from sdpo_ref.vectors.cases import hazards
from sdpo_ref.vectors.cases.build import Draws, Table, logs, rounding_tolerance


def _trust_region(name: str, reference_and_student: tuple[Table, Table], mix: float, text: str) -> Case:
    reference, student = reference_and_student
    inputs = {"reference_logits": array(reference), "student_logits": array(student)}
    return Case(
        id=f"trust-region-{name}-mix-{mix:g}",
        kind="trust_region",
        requirements=("TEACH-026",),
        comment=f"{text}; mix = {mix:g}. Logits that differ from the expected ones by a constant are as good.",
        hazard=hazards.TRUST_REGION,
        options={"mix": mix},
        inputs=inputs,
        tolerance=rounding_tolerance(inputs),
    )


def _average(name: str, teacher: list[float], students: Table, rate: float, text: str) -> Case:
    inputs = {"teacher": array(teacher), "students": array(students)}
    return Case(
        id=f"average-{name}-rate-{rate:g}",
        kind="average",
        requirements=("TEACH-020",),
        comment=f"{text}; update_rate = {rate:g}.",
        hazard=hazards.AVERAGE,
        options={"update_rate": rate},
        inputs=inputs,
        tolerance=rounding_tolerance(inputs, factor=float(len(students))),
    )


def trust_region_cases() -> list[Case]:
    """Questions about the trust-region teacher."""
    three = (logs([0.7, 0.2, 0.1]), logs([0.2, 0.5, 0.3]))
    drawn = (Draws(91).logits(3, 7), Draws(92).logits(3, 7))
    by_hand = "Reference (.7, .2, .1) and student (.2, .5, .3)"
    return [
        *(_trust_region("v3", three, mix, by_hand) for mix in (0.0, 0.25, 0.5, 1.0)),
        *(_trust_region("v7", drawn, mix, "Three drawn rows of unnormalised logits") for mix in (0.1, 0.9)),
    ]


def average_cases() -> list[Case]:
    """Questions about averaged weights."""
    by_hand = [[1.0, 1.0], [3.0, -1.0]]
    start, drawn = Draws(93).logits(1, 5)[0], Draws(94).logits(10, 5)
    return [
        *(
            _average("two-steps", [0.0, 1.0], by_hand, rate, "Two weights, two steps")
            for rate in (0.05, 0.25, 0.0, 1.0)
        ),
        *(_average("ten-steps", start, drawn, rate, "Five weights, ten steps") for rate in (0.01, 0.9)),
    ]
