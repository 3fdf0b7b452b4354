"""Defects that show only where tools wrote inside completions (spec/01-policy; spec/05-trainer)."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import torch

from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.trainer import Seen
from sdpo_ref.mutants.variation import micro_batches, parts_of, steps
from sdpo_ref.protocols.attention import up_to_the_last
from sdpo_ref.protocols.parts import MicroBatch, StepProblem
from sdpo_ref.types import Judgement, Rollouts
from sdpo_ref.verification.checks.written_out import Tokens

FILE = "trainers/step.py"
ATTENDED = "[prompts.mask, micro_batch.attended]"
COUNTED = "micro_batch.completion_mask"

chapter = Chapter()


def with_tools(part: MicroBatch) -> bool:
    """Whether a tool wrote anything in a micro-batch."""
    return not torch.equal(part.attended, part.completion_mask)


def where_tools_wrote(change: Callable[[MicroBatch], MicroBatch]) -> Callable[[StepProblem], StepProblem]:
    """The problem with those micro-batches changed in which a tool wrote."""
    return micro_batches(lambda part: change(part) if with_tools(part) else part)


def until_the_first_tool(part: MicroBatch) -> MicroBatch:
    """What comes after a tool does not count."""
    return replace(part, completion_mask=part.completion_mask & (part.completion_mask.cumprod(-1) > 0))


def after_the_last_tool(part: MicroBatch) -> MicroBatch:
    """Only the last turn counts."""
    later = (~part.completion_mask & part.attended).long().flip(-1).cumsum(-1).flip(-1)
    return replace(part, completion_mask=part.completion_mask & (later == 0))


def first_of_a_turn_untrained(part: MicroBatch) -> MicroBatch:
    """The first token after a tool does not count."""
    before = torch.nn.functional.pad(part.completion_mask[:, :-1], (1, 0), value=True)
    return replace(part, completion_mask=part.completion_mask & before)


def to_the_end(part: MicroBatch) -> MicroBatch:
    """All counts from the first sampled token to the end of the padding."""
    every = part.completion_mask.long().cumsum(-1) > 0
    return replace(part, completion_mask=every, attended_mask=torch.ones_like(every))


def at_the_right(part: MicroBatch) -> MicroBatch:
    """Completions are moved to the right, and the padding that is then in front of them is attended."""
    order = part.attended.long().argsort(dim=-1, stable=True)
    return replace(
        part,
        completions=part.completions.gather(-1, order),
        completion_mask=part.completion_mask.gather(-1, order),
        attended_mask=torch.ones_like(part.attended),
    )


def without_tools(part: MicroBatch) -> MicroBatch:
    """What tools wrote is cut out, and what was sampled moves together."""
    order = (~part.completion_mask).long().argsort(dim=-1, stable=True)
    mask = part.completion_mask.gather(-1, order)
    return replace(part, completions=part.completions.gather(-1, order), completion_mask=mask, attended_mask=None)


def divided_by_all(problem: StepProblem) -> StepProblem:
    """The mean is over all that is attended."""
    counted = sum(int(part.loss_mask.sum()) for part in parts_of(problem))
    attended = sum(int(part.attended[part.self_distillation_mask].sum()) for part in parts_of(problem))
    return replace(problem, learning_rate=problem.learning_rate * counted / max(attended, 1))


class Unattending(Seen):
    """The student is scored on completions in which what tools wrote is another token."""

    def _tokens(self, rollouts: Rollouts, judgement: Judgement) -> Tokens:
        with torch.no_grad():
            sampled = torch.where(rollouts.completion_mask, rollouts.completions, 0)
            student = self.policy.logits(rollouts.prompts, sampled, rollouts.completion_mask)
        return replace(super()._tokens(rollouts, judgement), student=student)


class Imitating(Seen):
    """What tools wrote is trained."""

    def _tokens(self, rollouts: Rollouts, judgement: Judgement) -> Tokens:
        return replace(super()._tokens(rollouts, judgement), sampled=up_to_the_last(rollouts.completion_mask))


def offering_tools(trainer: type[Seen]) -> Callable[[], SimpleNamespace]:
    """An implementation that has a trainer and nothing else."""

    def build() -> SimpleNamespace:
        return SimpleNamespace(trainer=trainer, capabilities={"trainer", "trainer.tools"})

    build.parts = frozenset({"trainer"})  # type: ignore[attr-defined]
    return build


chapter.family("what tools wrote, attended")
chapter.enter(
    "M641 tools_not_attended: POLICY-007",
    "what does not count is not attended",
    "the policy is trained on distributions that it never sampled from",
    Planted(FILE, ATTENDED, f"[prompts.mask, {COUNTED}]"),
    seen_in="huggingface/trl#4974",
)
chapter.enter(
    "M642 tools_not_attended_by_the_student: POLICY-007",
    "the student does not attend what tools wrote, and the teacher does",
    "the student learns to go on as if it had read an answer that it has not read",
    Planted(FILE, ATTENDED, f"[prompts.mask, {COUNTED} if prompts is micro_batch.prompts else micro_batch.attended]"),
)
chapter.enter(
    "M643 tools_not_attended_by_the_teacher: POLICY-007",
    "the teacher does not attend what tools wrote, and the student does",
    "the student unlearns to heed what tools answer",
    Planted(
        FILE, ATTENDED, f"[prompts.mask, {COUNTED} if prompts is not micro_batch.prompts else micro_batch.attended]"
    ),
)
chapter.enter(
    "M644 tools_cut_out: POLICY-007",
    "what tools wrote is cut out of the completion, and what was sampled moves together",
    "the policy is trained on a text that never was",
    step=steps(where_tools_wrote(without_tools)),
)
chapter.enter(
    "M645 padded_in_front: POLICY-008",
    "completions in which a tool wrote are padded in front, and the padding is attended",
    "what a rollout teaches depends on the longest completion in its batch",
    step=steps(where_tools_wrote(at_the_right)),
)
chapter.enter(
    "M646 padding_behind_tools_trained: POLICY-008 TRAIN-021",
    "all counts from the first sampled token on, padding among it",
    "the policy learns to write the tool's answers itself, and then padding",
    step=steps(where_tools_wrote(to_the_end)),
)

chapter.family("what tools wrote, not trained")
chapter.enter(
    "M647 tools_trained: TRAIN-021",
    "all that is attended counts",
    "the policy learns to write the tool's answers itself",
    Planted(FILE, "        micro_batch.completion_mask,\n", "        micro_batch.attended,\n"),
)
chapter.enter(
    "M648 tools_in_the_denominators: TRAIN-021",
    "the share of a micro-batch is that of what is attended",
    "micro-batches in which tools answer at length weigh more",
    Planted(FILE, "[part.loss_mask for part", "[part.attended & part.self_distillation_mask[:, None] for part"),
)
chapter.enter(
    "M649 divided_by_all_that_is_attended: TRAIN-021",
    "the sum over sampled tokens is divided by all that are attended",
    "steps shrink with the length of the tools' answers",
    step=steps(divided_by_all),
)
chapter.enter(
    "M650 first_of_a_turn_untrained: TRAIN-021",
    "the first token after a tool does not count",
    "how to take up an answer is never learned",
    step=steps(where_tools_wrote(first_of_a_turn_untrained)),
)
chapter.enter(
    "M651 first_turn_only: TRAIN-021",
    "what comes after the first tool does not count",
    "what to make of an answer is never learned",
    step=steps(where_tools_wrote(until_the_first_tool)),
)
chapter.enter(
    "M652 last_turn_only: TRAIN-021",
    "what comes before the last tool does not count",
    "when to call a tool is never learned",
    step=steps(where_tools_wrote(after_the_last_tool)),
)
chapter.enter(
    "M653 trainer_does_not_attend_tools: TRAIN-022",
    "a trainer puts padding in the place of what tools wrote, and has the student scored on that",
    "the policy is trained on distributions that it never sampled from",
    offering_tools(Unattending),
)
chapter.enter(
    "M654 trainer_trains_tools: TRAIN-022",
    "a trainer trains all that is attended",
    "the policy learns to write the tool's answers itself",
    offering_tools(Imitating),
)
