"""Rules that decide what the teacher reads (spec/03-teacher, TEACH-001 to TEACH-013)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OwnSuccess = Literal["exclude", "include"]
"""May an attempt that succeeded be its own demonstration?"""

FeedbackWhen = Literal["always", "without_demonstration", "failed_without_demonstration"]
"""When feedback reaches the teacher: whenever there is some; only if no demonstration does; or, as the paper has
it, only if moreover the attempt failed."""


class ContextRules(BaseModel):
    """Which demonstration and which feedback reach the teacher.

    Attributes:
        success_threshold: an attempt succeeds if its reward is at least this; ``-inf`` where only rank matters.
        success_quantile: if set, an attempt must also have a strictly higher reward than at least this share of
            its group; meant for continuous and ordinal rewards (spec/decisions/0009).
        own_success: whether a success may be its own demonstration.
        feedback_when: when feedback is used.
        use_demonstrations: whether successes are shown at all.
        use_feedback: whether feedback is shown at all.
        strip_thinking: whether a reasoning trace is cut from the demonstration.
        max_length: longest allowed text of the rewritten user message, in tokens of the implementation's tokenizer
            (the checks use one token for each character); ``None`` for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    success_threshold: float = 1.0
    success_quantile: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    own_success: OwnSuccess = "include"
    feedback_when: FeedbackWhen = "failed_without_demonstration"
    use_demonstrations: bool = True
    use_feedback: bool = True
    strip_thinking: bool = True
    max_length: Annotated[int, Field(ge=1)] | None = None
