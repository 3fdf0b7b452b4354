"""What the teacher reads, in the style of a collator: groups are dictionaries, texts are joined from lists."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdpo_ref.protocols.parts import Attempt, TeacherContext
from sdpo_ref.protocols.profile import ContextRules

_TRACE = re.compile(r"<think>.*?</think>\s*|^.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class Reader:
    """Builds contexts; each field that is not at its default is a slip.

    Attributes:
        pick: which of the successes is shown: ``first``, ``last``, ``best`` or ``never_own``.
        note: when feedback is shown: ``alone`` (a failure without a demonstration), ``always`` or ``neighbour``.
        compare: how rewards are compared with the threshold: ``at_least`` or ``above``.
        place: where the evidence stands: ``after`` or ``before`` the question.
        traces: whether reasoning stays in demonstrations.
        system: whether messages before the last are kept.
    """

    pick: str = "first"
    note: str = "alone"
    compare: str = "at_least"
    place: str = "after"
    traces: bool = False
    system: bool = True
    capabilities: frozenset[str] = frozenset({"context", "context.feedback", "context.strip_thinking"})

    def context(self, attempts: Sequence[Attempt], rules: ContextRules) -> list[TeacherContext]:
        """One for each attempt."""
        if rules.success_quantile is not None or rules.max_length is not None:
            raise NotImplementedError("quantiles and limits")
        groups: dict[int, list[int]] = defaultdict(list)
        for number, attempt in enumerate(attempts):
            if self._passed(attempt, rules):
                groups[attempt.group].append(number)
        return [self._one(number, attempts, groups[it.group], rules) for number, it in enumerate(attempts)]

    def _passed(self, attempt: Attempt, rules: ContextRules) -> bool:
        if self.compare == "above":
            return attempt.reward > rules.success_threshold
        return attempt.reward >= rules.success_threshold

    def _one(
        self, number: int, attempts: Sequence[Attempt], passed: Sequence[int], rules: ContextRules
    ) -> TeacherContext:
        attempt = attempts[number]
        own = rules.own_success == "include" and self.pick != "never_own"
        shown = [it for it in passed if own or it != number]
        parts = []
        if shown and rules.use_demonstrations:
            at = shown[-1 if self.pick == "last" else 0]
            if self.pick == "best":
                at = max(shown, key=lambda it: (attempts[it].reward, len(attempts[it].completion)))
            text = attempts[at].completion
            parts.append(text if self.traces or not rules.strip_thinking else _TRACE.sub("", text))
        note = attempts[(number + 1) % len(attempts)].feedback if self.note == "neighbour" else attempt.feedback
        lets = {
            "always": True,
            "without_demonstration": not parts,
            "failed_without_demonstration": not parts and not self._passed(attempt, rules),
        }[rules.feedback_when]
        if note and note.strip() and rules.use_feedback and (lets or self.note == "always"):
            parts.append(note)
        if not parts:
            return TeacherContext(attempt.prompt, usable=False)
        *before, last = attempt.prompt
        return TeacherContext((*(before if self.system else ()), self._joined(last, parts)), usable=True)

    def _joined(self, last: Mapping[str, str], parts: list[str]) -> Mapping[str, str]:
        question = str(last["content"])
        order = [question, *parts] if self.place == "after" else [*parts, question]
        return {"role": "user", "content": "\n\n---\n\n".join([*order, "Try again."])}
