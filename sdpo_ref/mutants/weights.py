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


chapter.family("moving average")
chapter.enter(
    "M281 rate_is_decay: TEACH-020 TEACH-023",
    "the update rate is taken for the decay",
    "the teacher is all but the live student, and learns its mistakes at once",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), 1 - update_rate)"),
)
chapter.enter(
    "M282 rate_squared: TEACH-020",
    "the average is applied with the squared rate",
    "the teacher hardly moves",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), update_rate**2)"),
)
chapter.enter(
    "M283 rate_is_fixed: TEACH-020 TEACH-023",
    "the rate is always 0.05",
    "a sweep over the rate shows that the rate makes no difference",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), 0.05)"),
)
chapter.enter(
    "M284 added_not_averaged: TEACH-020",
    "the student's share is added without taking the teacher's away",
    "the teacher's weights grow without bound",
    Planted(FILE, LERP, "weight.add_(student[name].to(weight), alpha=update_rate)"),
)
chapter.enter(
    "M285 first_parameter_only: TEACH-020",
    "only the first parameter is averaged, since the sides are matched by position and one is shorter",
    "most of the teacher stays what it was",
    Planted(FILE, "in teacher.items():\n            if weight", "in list(teacher.items())[:1]:\n            if weight"),
    seen_in="huggingface/trl#6828",
)
chapter.enter(
    "M286 never_moves: TEACH-020 TEACH-021 TEACH-023",
    "the average is never applied",
    "the teacher stays the first model",
    Planted(STEP, 'if problem.teacher == "ema" and due:', 'if problem.teacher == "ema" and due and number < 0:'),
    seen_in="siyan-zhao/OPSD",
)
chapter.enter(
    "M287 corrected_for_bias: TEACH-020",
    "the average is corrected for a start at zero, as Adam's are, although it starts at the student",
    "the teacher jumps to the student in the first steps",
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
    "M435 rate_limited: TEACH-020",
    "an update rate below one hundredth counts as one hundredth",
    "slow teachers are faster than was set",
    Planted(FILE, LERP, "weight.lerp_(student[name].to(weight), max(update_rate, 0.01) if update_rate else 0.0)"),
)

chapter.family("when the average moves")
chapter.enter(
    "M288 other_cadence: TEACH-021",
    "the teacher moves after each optimiser step, while the profile says once an iteration",
    "the teacher is as many times faster as there are steps in an iteration",
    step=steps(same, ema_cadence="optimizer_step"),
)
chapter.enter(
    "M289 moves_at_the_start: TEACH-021",
    "the teacher moves at the start of an iteration, before the student has",
    "the teacher is one iteration behind",
    Planted(STEP, "or number == len(iteration)", "or number == 1"),
)
chapter.enter(
    "M290 every_other_iteration: TEACH-020 TEACH-021",
    "the last iteration's update is missed",
    "the teacher is one update behind",
    step=traces(lambda p, t: type(t)(t.student, (*t.teacher[:-1], t.teacher[-2])) if p.teacher == "ema" else t),
)

chapter.family("the teacher's first weights")
chapter.enter(
    "M291 reloaded_teacher: TEACH-022",
    "the teacher is loaded anew and is not the student in memory",
    "after a resume the teacher is another model",
    step=traces(
        lambda p, t: type(t)(t.student, tuple(scaled(at, 0.0) for at in t.teacher)) if p.teacher != "live" else t
    ),
)
chapter.enter(
    "M292 rounded_teacher: TEACH-022 TEACH-020",
    "the teacher is kept in half precision",
    "small differences round away, and the teacher stops moving",
    step=traces(
        lambda p, t: (
            type(t)(t.student, tuple({n: w.half().to(w.dtype) for n, w in at.items()} for at in t.teacher))
            if p.teacher != "live"
            else t
        )
    ),
)

chapter.family("kinds of teacher")
chapter.enter(
    "M293 frozen_thaws: TEACH-024",
    "a frozen teacher moves",
    "the anchor drifts with the student",
    Planted(STEP, 'if problem.teacher == "ema" and due:', "if due:"),
)
chapter.enter(
    "M294 frozen_is_live: TEACH-024",
    "a frozen teacher is the live student",
    "the anchor is the student itself",
    Planted(STEP, 'student if problem.teacher == "live" else', 'student if problem.teacher != "ema" else'),
    same_as="M293",
)
chapter.enter(
    "M295 live_is_frozen: TEACH-025",
    "a live teacher is a copy that is never updated",
    "the teacher stays the first model",
    Planted(STEP, 'student if problem.teacher == "live" else copy.deepcopy(student)', "copy.deepcopy(student)"),
)
chapter.enter(
    "M296 live_lags: TEACH-025",
    "a live teacher is the student of one step before",
    "an accidental moving average",
    step=traces(lambda p, t: type(t)(t.student, (t.student[0], *t.student[:-1])) if p.teacher == "live" else t),
)
chapter.enter(
    "M297 teacher_optimised: TEACH-029",
    "the teacher's weights are among the optimiser's",
    "weight decay eats the teacher",
    step=traces(lambda p, t: type(t)(t.student, (t.teacher[0], *(scaled(at, 0.999) for at in t.teacher[1:])))),
    seen_in="huggingface/trl#5990 huggingface/trl#6311",
)
chapter.enter(
    "M298 student_is_the_teacher: TRAIN-001",
    "the student's weights are swapped with the teacher's for its forward pass and not swapped back",
    "the student falls back to its own past after every step",
    step=traces(
        lambda p, t: type(t)(tuple(mixed(s, w, 0.5) for s, w in zip(t.student, t.teacher, strict=True)), t.teacher)
    ),
)

chapter.family("trust-region teacher")
chapter.enter(
    "M299 arithmetic_mixture: TEACH-026",
    "the probabilities are mixed, not their logarithms",
    "the teacher keeps what either side finds possible",
    trust_region=lambda r, s, *, mix: ((1 - mix) * r.softmax(-1) + mix * s.softmax(-1)).log(),
)
chapter.enter(
    "M300 mixture_of_squares: TEACH-026",
    "the mixture's weight is squared",
    "the teacher stays too near to the reference",
    Planted(FILE, "(1 - mix) * reference + mix * student", "(1 - mix**2) * reference + mix**2 * student"),
)
chapter.enter(
    "M301 mix_swapped: TEACH-026",
    "mix is the reference's share",
    "a teacher that should stay follows, and one that should follow stays",
    trust_region=lambda r, s, *, mix: GOOD.trust_region(r, s, mix=1 - mix),
)
chapter.enter(
    "M302 mix_ignored: TEACH-026",
    "the teacher is the reference, whatever the mix",
    "a frozen teacher under another name",
    trust_region=lambda r, s, *, mix: GOOD.trust_region(r, s, mix=0.0),
)
chapter.enter(
    "M303 product_of_experts: TEACH-026",
    "the logarithms are added with full weight",
    "the teacher is sharper than either side",
    trust_region=lambda r, s, *, mix: torch.log_softmax(r + mix * s, -1),
)

chapter.family("teacher of a low-rank student")
chapter.enter(
    "M304 factors_averaged: TEACH-027",
    "the factors are averaged and not their product",
    "the teacher lags in a way that no rate describes",
    low_rank_average=averaged_factors,
    seen_in="trl-1.16",
)
chapter.enter(
    "M305 low_rank_from_zero: TEACH-028",
    "the teacher starts without an adapter",
    "the teacher starts as the base model and not as the student",
    low_rank_average=lambda s, *, update_rate: GOOD.low_rank_average(
        [(0 * s[0][0], s[0][1]), *s[1:]], update_rate=update_rate
    ),
    seen_in="trl-1.16",
)
chapter.enter(
    "M306 low_rank_rate_twice: TEACH-027",
    "the rate is applied to both factors",
    "the teacher moves with the squared rate",
    low_rank_average=lambda s, *, update_rate: GOOD.low_rank_average(s, update_rate=update_rate**2),
)
chapter.enter(
    "M486 low_rank_rate_of_a_quarter: TEACH-027",
    "the rate that is set has no effect",
    "the teacher follows four times as slowly, or five times as fast, as was set",
    low_rank_average=lambda s, *, update_rate: GOOD.low_rank_average(s, update_rate=0.25),
)

chapter.family("what a process remembers, and weights that are one")
chapter.enter(
    "M487 teacher_of_the_first_model: TEACH-022",
    "the first model of a process is kept, and every later teacher starts as that",
    "the second run of a sweep is distilled towards the first one's model",
    Planted(
        STEP,
        "else copy.deepcopy(student)",
        "else copy.deepcopy(run_steps.__dict__.setdefault('first', copy.deepcopy(student)))",
    ),
)
chapter.enter(
    "M488 tied_weights_move_twice: TEACH-020",
    "a weight with two names is averaged once for each",
    "the embedding of the teacher follows twice as fast as its layers",
    Planted(STEP, "**dict(model.named_parameters())", "**dict(model.named_parameters(remove_duplicate=False))"),
)
chapter.enter(
    "M489 teacher_waits_for_a_context: TEACH-021",
    "the teacher does not move where no row is usable",
    "the time constant of the teacher depends on how hard the prompts are",
    Planted(
        STEP,
        "number == len(iteration)\n",
        "number == len(iteration)\n            due = due and bool(micro_batches[0].self_distillation_mask.any())\n",
    ),
)

chapter.family("the trust region of peaked logits")
chapter.enter(
    "M490 trust_region_with_a_floor: TEACH-026",
    "the student's log-probabilities are not less than -30",
    "what the student has unlearned stays in its teacher",
    Planted(
        FILE,
        "student = torch.log_softmax(student_logits, dim=-1)",
        "student = torch.log_softmax(student_logits, dim=-1).clamp(min=-30.0)",
    ),
)
chapter.enter(
    "M491 trust_region_by_probabilities: TEACH-026",
    "the mixture's logarithm is taken of its probabilities",
    "tokens below the smallest number are excluded, and the loss is infinite",
    Planted(
        FILE,
        "return torch.log_softmax((1 - mix) * reference + mix * student, dim=-1)",
        "return torch.log(torch.softmax((1 - mix) * reference + mix * student, dim=-1))",
    ),
)
