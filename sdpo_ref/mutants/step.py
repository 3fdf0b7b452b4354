"""Defects of the training step: alignment, accumulation, direction, defaults (spec/05-trainer, spec/01-policy)."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import micro_batches, parts_of, same, scaled, steps, traces
from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.protocols.profile import DEFAULTS

FILE = "trainers/step.py"
USABLE = "        micro_batch.self_distillation_mask,\n"
MOVE = "            optimizer.step()"
LOGITS = "return logits[:, prompts.token_ids.shape[-1] - 1 : -1]"
TEACHER = "_completion_logits(teacher, micro_batch.reprompts, micro_batch)"

chapter = Chapter()


def unmasked(part: MicroBatch) -> MicroBatch:
    """Padding is attended."""
    return replace(
        part,
        prompts=replace(part.prompts, mask=torch.ones_like(part.prompts.mask)),
        reprompts=replace(part.reprompts, mask=torch.ones_like(part.reprompts.mask)),
    )


def at_the_left(part: MicroBatch) -> MicroBatch:
    """Prompts are padded on the right."""

    def moved(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        order = mask.long().argsort(dim=-1, descending=True, stable=True)
        return ids.gather(-1, order), mask.gather(-1, order)

    prompts, reprompts = (
        moved(part.prompts.token_ids, part.prompts.mask),
        moved(part.reprompts.token_ids, part.reprompts.mask),
    )
    return replace(
        part,
        prompts=replace(part.prompts, token_ids=prompts[0], mask=prompts[1]),
        reprompts=replace(part.reprompts, token_ids=reprompts[0], mask=reprompts[1]),
    )


def truncated(part: MicroBatch) -> MicroBatch:
    """The teacher's prompt is cut to the length of the student's, from the left."""
    width = part.prompts.token_ids.shape[-1]
    reprompts = replace(
        part.reprompts, token_ids=part.reprompts.token_ids[:, -width:], mask=part.reprompts.mask[:, -width:]
    )
    return replace(part, reprompts=reprompts)


def nan_if_empty(problem: StepProblem, found: StepTrace) -> StepTrace:
    """An empty micro-batch makes all weights NaN."""
    empty = any(not part.self_distillation_mask.any() for part in parts_of(problem))
    return replace(found, student=tuple(scaled(at, math.nan if empty else 1.0) for at in found.student))


def count_of(problem: StepProblem) -> int:
    """The largest number of micro-batches in a step."""
    return max(len(parts) for iteration in problem.iterations for parts in iteration)


chapter.family("alignment of logits and tokens")
chapter.enter(
    "M321 logits_one_late: POLICY-001 TRAIN-001",
    "logits are read at the position of their token and not before it",
    "every token is compared with the distribution of the next one",
    Planted(FILE, LOGITS, "return logits[:, prompts.token_ids.shape[-1] :]"),
    seen_in="inclusionAI/AReaL#1728 modelscope/ms-swift#8436 AI-Hypercomputer/maxtext#2103",
)
chapter.enter(
    "M322 logits_one_early: POLICY-001 TRAIN-001",
    "logits are read two positions before their token",
    "every token is compared with the distribution of another one",
    Planted(FILE, LOGITS, "return logits[:, prompts.token_ids.shape[-1] - 2 : -2]"),
)
chapter.enter(
    "M323 teacher_one_late: POLICY-001 TRAIN-001",
    "the teacher's logits are read one position late, the student's are not",
    "the student learns to write one token ahead",
    Planted(FILE, TEACHER, f"{TEACHER}.roll(-1, 1)"),
)
chapter.enter(
    "M324 teacher_at_the_students_place: POLICY-001 TRAIN-001",
    "the teacher's logits are cut out at the length of the student's prompt",
    "the teacher is read in the middle of its own context",
    Planted(
        FILE,
        "teacher_logits = _completion_logits(teacher, micro_batch.reprompts, micro_batch)",
        "ids = torch.cat([micro_batch.reprompts.token_ids, micro_batch.completions], -1)\n"
        "        seen = torch.cat([micro_batch.reprompts.mask, micro_batch.completion_mask], -1).long()\n"
        "        start = micro_batch.prompts.token_ids.shape[-1] - 1\n"
        "        teacher_logits = teacher(ids, seen)[:, start : start + micro_batch.completions.shape[-1]]",
    ),
)

chapter.family("padding of prompts")
chapter.enter(
    "M325 padding_attended: POLICY-004",
    "padding is attended",
    "what a row learns depends on the longest prompt of its batch",
    step=steps(micro_batches(unmasked)),
)
chapter.enter(
    "M326 padded_on_the_right: POLICY-004",
    "prompts are padded on the right, and logits read behind the padding",
    "what a row learns depends on the longest prompt of its batch",
    step=steps(micro_batches(at_the_left)),
    seen_in="siyan-zhao/OPSD",
)
chapter.enter(
    "M327 completion_mask_attended: POLICY-001",
    "unusable rows are not attended, since the loss mask is used for attention",
    "nothing, until a row is masked in part",
    Planted(FILE, "micro_batch.attended], dim=-1).long()", "micro_batch.attended & False], dim=-1).long()"),
    seen_in="lasgroup/SDPO",
)

chapter.family("tokens that are scored")
chapter.enter(
    "M328 retokenised: POLICY-005",
    "the first completion token is another one, as after decoding and encoding again",
    "the teacher judges a text that was not sampled",
    step=steps(micro_batches(lambda m: replace(m, completions=m.completions * (torch.arange(4) > 0)))),
    seen_in="siyan-zhao/OPSD",
)
chapter.enter(
    "M329 padding_scored: POLICY-005",
    "tokens behind the mask are scored",
    "padding is trained",
    step=steps(micro_batches(lambda m: replace(m, completion_mask=torch.ones_like(m.completion_mask)))),
)
chapter.enter(
    "M330 reprompt_ignored: TRAIN-006 TRAIN-001",
    "the teacher reads the student's prompt",
    "feedback is never seen; nothing is learned at the first step, and drift afterwards",
    Planted(FILE, TEACHER, TEACHER.replace("reprompts", "prompts")),
    seen_in="modelscope/ms-swift#8436",
)
chapter.enter(
    "M331 student_reads_the_reprompt: TRAIN-001",
    "the student reads the teacher's prompt",
    "the student is trained with the feedback in view, and has none when it is used",
    Planted(FILE, "(student, micro_batch.prompts, micro_batch)", "(student, micro_batch.reprompts, micro_batch)"),
)
chapter.enter(
    "M332 reprompt_truncated: TRAIN-001",
    "the teacher's prompt is cut to the length of the student's",
    "long feedback is lost, and the question with it",
    step=steps(micro_batches(truncated)),
    seen_in="huggingface/trl#5883 trl-1.16",
)
chapter.enter(
    "M429 unusable_rows_in_the_step: TRAIN-001",
    "the step takes every row for usable",
    "rows without a context pull the student to the teacher's older self",
    Planted(FILE, USABLE, USABLE.replace(",", " | True,")),
)

chapter.family("accumulation of micro-batches")
chapter.enter(
    "M333 not_divided: TRAIN-002",
    "micro-batches are added without dividing by their number",
    "the step is as many times larger as there are micro-batches",
    step=steps(lambda p: replace(p, learning_rate=p.learning_rate * count_of(p))),
    seen_in="huggingface/trl#4935 modelscope/easydistill#16",
)
chapter.enter(
    "M334 divided_twice: TRAIN-002",
    "micro-batches are divided by their number twice",
    "the step is as many times smaller as there are micro-batches",
    step=steps(lambda p: replace(p, learning_rate=p.learning_rate / count_of(p))),
)
chapter.enter(
    "M335 mean_of_means: TRAIN-003",
    "losses of micro-batches are averaged, while the profile declares one mean over all tokens",
    "tokens in short micro-batches weigh more",
    step=steps(same, accumulation="micro_batch_mean"),
)
chapter.enter(
    "M336 last_micro_batch_only: TRAIN-002",
    "gradients are cleared before each micro-batch",
    "most of the batch is not trained on",
    step=steps(
        lambda p: replace(p, iterations=tuple(tuple(parts[-1:] for parts in iteration) for iteration in p.iterations))
    ),
)
chapter.enter(
    "M337 gradients_not_cleared: TEACH-021",
    "gradients are never cleared",
    "every step repeats all that came before",
    Planted(FILE, "            optimizer.zero_grad()\n", ""),
)
chapter.enter(
    "M338 nan_if_empty: TRAIN-004",
    "a micro-batch without a usable row is NaN",
    "all weights become NaN",
    step=traces(nan_if_empty),
)

chapter.family("update of the student")
chapter.enter(
    "M339 drifts: TRAIN-007",
    "rows without a context are trained in the step",
    "batches without feedback pull the student to its older self",
    step=steps(micro_batches(lambda m: replace(m, self_distillation_mask=torch.ones_like(m.self_distillation_mask)))),
)
chapter.enter(
    "M340 ascends: TRAIN-001 TRAIN-009",
    "the step goes uphill",
    "the student runs from its teacher",
    Planted(FILE, "lr=problem.learning_rate)", "lr=problem.learning_rate, maximize=True)"),
)
chapter.enter(
    "M341 momentum: TEACH-025",
    "the optimiser has momentum",
    "the step depends on earlier ones",
    Planted(FILE, "lr=problem.learning_rate)", "lr=problem.learning_rate, momentum=0.9)"),
)
chapter.enter(
    "M342 weight_decay: TRAIN-007",
    "weights decay",
    "the student forgets where there is no feedback",
    Planted(FILE, "lr=problem.learning_rate)", "lr=problem.learning_rate, weight_decay=0.01)"),
)
chapter.enter(
    "M343 alpha_dropped: TRAIN-001",
    "the step does not pass alpha on, and alpha 0 trains on the reverse KL as well",
    "every run is reverse KL",
    Planted(FILE, "alpha=problem.alpha,", "alpha=1.0,"),
    same_as="M002",
)
chapter.enter(
    "M344 teacher_gradient_in_the_step: TEACH-025",
    "the live teacher's scores carry gradient and are not detached either",
    "both sides meet half-way",
    step=steps(lambda p: replace(p, learning_rate=p.learning_rate * (0.5 if p.teacher == "live" else 1.0))),
)
chapter.enter(
    "M409 update_clipped: TRAIN-001",
    "the gradient is cut to a norm of one, a common default",
    "steps are shorter than was set, the first ones most",
    Planted(FILE, MOVE, f"            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)\n{MOVE}"),
)
chapter.enter(
    "M410 gradient_values_clipped: TRAIN-001",
    "every entry of the gradient is cut to at most five",
    "steps are shorter than was set, the first ones most, and in another direction",
    Planted(FILE, MOVE, f"            torch.nn.utils.clip_grad_value_(student.parameters(), 5.0)\n{MOVE}"),
)
chapter.enter(
    "M411 temperature_not_passed: TRAIN-010",
    "the temperature of the step does not reach its loss",
    "the run is another one than was written down",
    Planted(FILE, "temperature=problem.temperature", "temperature=1.0"),
)
chapter.enter(
    "M412 support_not_passed: TRAIN-010",
    "the support of the step does not reach its loss",
    "the run is another one than was written down",
    Planted(FILE, "support=problem.support", "support=type(problem.support)('full')"),
)
chapter.enter(
    "M492 alpha_at_its_ends_only: TRAIN-001",
    "an alpha between the ends becomes the end behind it",
    "a sweep of alpha compares reverse KL with itself",
    Planted(FILE, "alpha=problem.alpha,", "alpha=float(problem.alpha > 0),"),
)
chapter.enter(
    "M493 head_of_the_step_is_everything: TRAIN-010",
    "a top-k support of the step is the full vocabulary",
    "the run is another one than was written down",
    Planted(
        FILE,
        "support=problem.support,",
        "support=problem.support if problem.support.k is None else type(problem.support)('full'),",
    ),
)
chapter.enter(
    "M494 old_gradient_without_a_context: TRAIN-007",
    "the gradient is set to zero only where there is something to learn",
    "a step without a usable row repeats the one before",
    Planted(
        FILE,
        "            optimizer.zero_grad()\n",
        "            if micro_batches[0].self_distillation_mask.any():\n                optimizer.zero_grad()\n",
    ),
)

chapter.family("defaults")
chapter.enter(
    "M345 other_defaults: TRAIN-008",
    "a default is not the documented one",
    "two papers' numbers are compared under one name",
    defaults=lambda: {**GOOD.defaults(), "alpha": 0.25},
)
chapter.enter(
    "M346 defaults_of_another: TRAIN-008",
    "the defaults are those of another published variant",
    "two papers' numbers are compared under one name",
    defaults=lambda: dict(DEFAULTS["lasgroup"]),
    same_as="M345",
)
