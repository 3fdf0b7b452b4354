"""Defects of whose weights the teacher reads with (spec/03-teacher, B)."""

from typing import Any

import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import mixed, same, scaled, steps, traces

FILE = "functional/averaging.py"
STEP = "trainers/step.py"
LERP = "weight.lerp_(student[name].to(weight), update_rate)"

chapter = Chapter()


def averaged_factors(student: Any, *, update_rate: float) -> list[Tensor]:
    """The factors are averaged, each by itself."""
    b, a = student[0]
    found = [b @ a]
    for next_b, next_a in student[1:]:
        b, a = b.lerp(next_b, update_rate), a.lerp(next_a, update_rate)
        found.append(b @ a)
    return found


AVERAGE = "moving average"
chapter.enter(
    281,
    "rate_is_decay",
    AVERAGE,
    "the update rate is taken for the decay",
    "the teacher is all but the live student, and learns its mistakes at once",
    "TEACH-020 TEACH-023",
    Planted(
        FILE,
        "weight.lerp_(student[name].to(weight), update_rate)",
        "weight.lerp_(student[name].to(weight), 1 - update_rate)",
    ),
)
chapter.enter(
    282,
    "rate_squared",
    AVERAGE,
    "the average is applied with the squared rate",
    "the teacher hardly moves",
    "TEACH-020",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), update_rate**2)"),
)
chapter.enter(
    283,
    "rate_is_fixed",
    AVERAGE,
    "the rate is always 0.05",
    "a sweep over the rate shows that the rate makes no difference",
    "TEACH-020 TEACH-023",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), 0.05)"),
)
chapter.enter(
    284,
    "added_not_averaged",
    AVERAGE,
    "the student's share is added without taking the teacher's away",
    "the teacher's weights grow without bound",
    "TEACH-020",
    Planted(FILE, LERP, "weight.add_(student[name].to(weight), alpha=update_rate)"),
)
chapter.enter(
    285,
    "first_parameter_only",
    AVERAGE,
    "only the first parameter is averaged, since the sides are matched by position and one is shorter",
    "most of the teacher stays what it was",
    "TEACH-020",
    Planted(
        FILE,
        "for name, weight in teacher.items():\n            if weight.is_floating_point():",
        "for name, weight in list(teacher.items())[:1]:\n            if weight.is_floating_point():",
    ),
    seen_in="huggingface/trl#6828",
)
chapter.enter(
    286,
    "never_moves",
    AVERAGE,
    "the average is never applied",
    "the teacher stays the first model",
    "TEACH-020 TEACH-021 TEACH-023",
    Planted(STEP, 'if problem.teacher == "ema" and due:', 'if problem.teacher == "ema" and due and number < 0:'),
    seen_in="siyan-zhao/OPSD",
)
chapter.enter(
    287,
    "corrected_for_bias",
    AVERAGE,
    "the average is corrected for a start at zero, as Adam's are, although it starts at the student",
    "the teacher jumps to the student in the first steps",
    "TEACH-020",
    step=traces(
        lambda p, t: (
            t
            if p.teacher != "ema"
            else type(t)(
                t.student,
                (t.teacher[0], *(scaled(at, 1 + 0.1 * 0.5**n) for n, at in enumerate(t.teacher[1:], start=1))),
            )
        )
    ),
)
chapter.enter(
    435,
    "rate_limited",
    AVERAGE,
    "an update rate below one hundredth counts as one hundredth",
    "slow teachers are faster than was set",
    "TEACH-020",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), max(update_rate, 0.01) if update_rate else 0.0)"),
)

CADENCE = "when the average moves"
chapter.enter(
    288,
    "other_cadence",
    CADENCE,
    "the teacher moves after each optimiser step, while the profile says once an iteration",
    "the teacher is as many times faster as there are steps in an iteration",
    "TEACH-021",
    step=steps(same, ema_cadence="optimizer_step"),
)
chapter.enter(
    289,
    "moves_at_the_start",
    CADENCE,
    "the teacher moves at the start of an iteration, before the student has",
    "the teacher is one iteration behind",
    "TEACH-021",
    Planted(STEP, "or number == len(iteration)", "or number == 1"),
)
chapter.enter(
    290,
    "every_other_iteration",
    CADENCE,
    "the last iteration's update is missed",
    "the teacher is one update behind",
    "TEACH-020 TEACH-021",
    step=traces(lambda p, t: type(t)(t.student, (*t.teacher[:-1], t.teacher[-2])) if p.teacher == "ema" else t),
)

START = "the teacher's first weights"
chapter.enter(
    291,
    "reloaded_teacher",
    START,
    "the teacher is loaded anew and is not the student in memory",
    "after a resume the teacher is another model",
    "TEACH-022",
    step=traces(
        lambda p, t: type(t)(t.student, tuple(scaled(at, 0.0) for at in t.teacher)) if p.teacher != "live" else t
    ),
)
chapter.enter(
    292,
    "rounded_teacher",
    START,
    "the teacher is kept in half precision",
    "small differences round away, and the teacher stops moving",
    "TEACH-022 TEACH-020",
    step=traces(
        lambda p, t: (
            type(t)(t.student, tuple({n: w.half().to(w.dtype) for n, w in at.items()} for at in t.teacher))
            if p.teacher != "live"
            else t
        )
    ),
)

KINDS = "kinds of teacher"
chapter.enter(
    293,
    "frozen_thaws",
    KINDS,
    "a frozen teacher moves",
    "the anchor drifts with the student",
    "TEACH-024",
    Planted(STEP, 'if problem.teacher == "ema" and due:', "if due:"),
)
chapter.enter(
    294,
    "frozen_is_live",
    KINDS,
    "a frozen teacher is the live student",
    "the anchor is the student itself",
    "TEACH-024",
    Planted(
        STEP,
        'student if problem.teacher == "live" else copy.deepcopy(student)',
        'student if problem.teacher != "ema" else copy.deepcopy(student)',
    ),
    same_as=293,
)
chapter.enter(
    295,
    "live_is_frozen",
    KINDS,
    "a live teacher is a copy that is never updated",
    "the teacher stays the first model",
    "TEACH-025",
    Planted(STEP, 'student if problem.teacher == "live" else copy.deepcopy(student)', "copy.deepcopy(student)"),
)
chapter.enter(
    296,
    "live_lags",
    KINDS,
    "a live teacher is the student of one step before",
    "an accidental moving average",
    "TEACH-025",
    step=traces(lambda p, t: type(t)(t.student, (t.student[0], *t.student[:-1])) if p.teacher == "live" else t),
)
chapter.enter(
    297,
    "teacher_optimised",
    KINDS,
    "the teacher's weights are among the optimiser's",
    "weight decay eats the teacher",
    "TEACH-029",
    step=traces(lambda p, t: type(t)(t.student, (t.teacher[0], *(scaled(at, 0.999) for at in t.teacher[1:])))),
    seen_in="huggingface/trl#5990 huggingface/trl#6311",
)
chapter.enter(
    298,
    "student_is_the_teacher",
    KINDS,
    "the student's weights are swapped with the teacher's for its forward pass and not swapped back",
    "the student falls back to its own past after every step",
    "TRAIN-001",
    step=traces(
        lambda p, t: type(t)(tuple(mixed(s, w, 0.5) for s, w in zip(t.student, t.teacher, strict=True)), t.teacher)
    ),
)

TRUST = "trust-region teacher"
chapter.enter(
    299,
    "arithmetic_mixture",
    TRUST,
    "the probabilities are mixed, not their logarithms",
    "the teacher keeps what either side finds possible",
    "TEACH-026",
    trust_region=lambda r, s, *, mix: ((1 - mix) * r.softmax(-1) + mix * s.softmax(-1)).log(),
)
chapter.enter(
    300,
    "mixture_of_squares",
    TRUST,
    "the mixture's weight is squared",
    "the teacher stays too near to the reference",
    "TEACH-026",
    Planted(FILE, "(1 - mix) * reference + mix * student", "(1 - mix**2) * reference + mix**2 * student"),
)
chapter.enter(
    301,
    "mix_swapped",
    TRUST,
    "mix is the reference's share",
    "a teacher that should stay follows, and one that should follow stays",
    "TEACH-026",
    trust_region=lambda r, s, *, mix: GOOD.trust_region(r, s, mix=1 - mix),
)
chapter.enter(
    302,
    "mix_ignored",
    TRUST,
    "the teacher is the reference, whatever the mix",
    "a frozen teacher under another name",
    "TEACH-026",
    trust_region=lambda r, s, *, mix: GOOD.trust_region(r, s, mix=0.0),
)
chapter.enter(
    303,
    "product_of_experts",
    TRUST,
    "the logarithms are added with full weight",
    "the teacher is sharper than either side",
    "TEACH-026",
    trust_region=lambda r, s, *, mix: torch.log_softmax(r + mix * s, -1),
)

LOW_RANK = "teacher of a low-rank student"
chapter.enter(
    304,
    "factors_averaged",
    LOW_RANK,
    "the factors are averaged and not their product",
    "the teacher lags in a way that no rate describes",
    "TEACH-027",
    low_rank_average=averaged_factors,
    seen_in="trl-1.16",
)
chapter.enter(
    305,
    "low_rank_from_zero",
    LOW_RANK,
    "the teacher starts without an adapter",
    "the teacher starts as the base model and not as the student",
    "TEACH-028",
    low_rank_average=lambda s, *, update_rate: GOOD.low_rank_average(
        [(0 * s[0][0], s[0][1]), *s[1:]], update_rate=update_rate
    ),
    seen_in="trl-1.16",
)
chapter.enter(
    306,
    "low_rank_rate_twice",
    LOW_RANK,
    "the rate is applied to both factors",
    "the teacher moves with the squared rate",
    "TEACH-027",
    low_rank_average=lambda s, *, update_rate: GOOD.low_rank_average(s, update_rate=update_rate**2),
)

MUTANTS = tuple(chapter.mutants)
