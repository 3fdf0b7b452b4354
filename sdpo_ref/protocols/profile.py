"""Profiles: the choices in which published variants of SDPO legitimately differ (spec/08-conformance).

What the teacher reads is decided by rules of its own (spec/03-teacher); a profile has two of them.

A profile is a declaration, not an excuse: an implementation is checked against the choices that it declares, and
the report names how they differ from the paper's.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sdpo_ref.errors import UsageError
from sdpo_ref.protocols.words import nearest
from sdpo_ref.types import Aggregation, TopKFrom

OwnSuccess = Literal["exclude", "include"]
"""May an attempt that succeeded be its own demonstration?"""

FeedbackWhen = Literal["always", "without_demonstration", "failed_without_demonstration"]
"""When feedback reaches the teacher: whenever there is some; only if no demonstration does; or, as the paper has
it, only if moreover the attempt failed."""


def _read_alphas(value: object) -> object:
    """One number or several, in any collection, as a tuple in order."""
    if value == "all":
        return value
    listed = tuple(value) if isinstance(value, Collection) and not isinstance(value, str | bytes) else (value,)
    if not listed or not all(isinstance(it, float | int) and 0.0 <= it <= 1.0 for it in listed):
        raise ValueError("allowed are 'all', or the alphas that exist, from 0 to 1, such as [0.0, 1.0]")
    return tuple(sorted({float(it) for it in listed}))


Alphas = Annotated[Literal["all"] | tuple[float, ...], BeforeValidator(_read_alphas)]
"""Which alphas of the divergence exist (spec/04-loss, A)."""


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


class Profile(BaseModel):
    """One variant's choices; the defaults are the paper's (arXiv:2601.20802).

    Attributes:
        aggregation: how per-token losses become one number (LOSS-053).
        accumulation: whether an optimiser step normalises over all its micro-batches or averages their losses
            (TRAIN-003).
        missing_behaviour: what a ratio cap does without behaviour log-probabilities (LOSS-043).
        top_k_from: whose top-k tokens are compared (LOSS-022).
        own_success: whether a success may be its own demonstration (TEACH-002).
        feedback_when: when feedback reaches the teacher (TEACH-004).
        ema_cadence: how often the EMA teacher moves (TEACH-021).
        hybrid: whether advantages or losses are mixed (LOSS-071).
        group_advantage: reward minus the group's mean, or that divided by the group's deviation (LOSS-117).
        alphas: which alphas of the divergence exist: all of [0, 1], or those listed. No check asks at another one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    aggregation: Aggregation = "token_mean"
    accumulation: Literal["global", "micro_batch_mean"] = "global"
    missing_behaviour: Literal["raise", "skip"] = "raise"
    top_k_from: TopKFrom = "student"
    own_success: OwnSuccess = "include"
    feedback_when: FeedbackWhen = "failed_without_demonstration"
    ema_cadence: Literal["optimizer_step", "iteration"] = "iteration"
    hybrid: Literal["advantage", "loss"] = "advantage"
    group_advantage: Literal["centered", "standardized"] = "centered"
    alphas: Alphas = "all"

    def departures(self) -> dict[str, tuple[object, object]]:
        """Fields that differ from the paper's: name to (declared, paper's)."""
        paper = Profile()
        return {
            name: (getattr(self, name), getattr(paper, name))
            for name in type(self).model_fields
            if getattr(self, name) != getattr(paper, name)
        }


PROFILES: Mapping[str, Profile] = {
    "paper": Profile(),
    "lasgroup": Profile(accumulation="micro_batch_mean", own_success="exclude", feedback_when="without_demonstration"),
    "trl-sdpo": Profile(
        aggregation="row_mean_all",
        accumulation="micro_batch_mean",
        missing_behaviour="skip",
        own_success="exclude",
        feedback_when="always",
        ema_cadence="optimizer_step",
        hybrid="loss",
        group_advantage="standardized",
    ),
    "trl-sdft": Profile(
        aggregation="row_mean_all",
        accumulation="micro_batch_mean",
        missing_behaviour="skip",
        ema_cadence="optimizer_step",
    ),
    "sdpo-rl": Profile(
        accumulation="micro_batch_mean",
        missing_behaviour="skip",
        own_success="exclude",
        feedback_when="without_demonstration",
    ),
}
"""Published variants by name; spec/08-conformance has each choice's source."""


DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "paper": {
        "alpha": 1.0,
        "support": "top_k_tail",
        "k": 20,
        "ratio_cap": 2.0,
        "temperature": 1.0,
        "teacher": "ema",
        "update_rate": 0.01,
        "own_success": "include",
        "feedback_when": "failed_without_demonstration",
        "use_feedback": True,
    },
    "lasgroup": {
        "alpha": 0.5,
        "support": "top_k_tail",
        "k": 100,
        "ratio_cap": 2.0,
        "temperature": 1.0,
        "teacher": "ema",
        "update_rate": 0.05,
        "success_threshold": 0.5,
        "own_success": "exclude",
        "feedback_when": "without_demonstration",
        "use_feedback": True,
        "strip_thinking": True,
    },
    "trl-sdpo": {
        "alpha": 1.0,
        "support": "sampled_token",
        "k": None,
        "ratio_cap": 2.0,
        "temperature": 1.0,
        "teacher": "ema",
        "update_rate": 0.05,
        "success_threshold": 1.0,
        "own_success": "exclude",
        "feedback_when": "always",
        "use_feedback": False,
        "strip_thinking": False,
    },
    "trl-sdft": {
        "alpha": 0.5,
        "support": "top_k_renormalized",
        "k": 100,
        "ratio_cap": 2.0,
        "temperature": 1.0,
        "teacher": "frozen",
        "update_rate": 0.05,
    },
    "sdpo-rl": {
        "alpha": 0.5,
        "support": "top_k_tail",
        "k": 100,
        "ratio_cap": 2.0,
        "teacher": "ema",
        "update_rate": 0.05,
        "success_threshold": 1.0,
        "own_success": "exclude",
        "feedback_when": "without_demonstration",
        "use_feedback": True,
        "strip_thinking": True,
    },
}
"""Published defaults by profile; the same name hides different methods (TRAIN-008). Sources in spec/08-conformance:
the paper's are those of its section 4 (rich feedback), lasgroup's those of its ``actor.yaml``."""


def resolve_profile(declared: str | Mapping[str, object]) -> Profile:
    """The profile that a name or a mapping of fields stands for; ``base`` in a mapping names where it starts.

    Raises:
        UsageError: if the name, a field or a value is unknown; the message lists what is allowed.

    Example:
        >>> resolve_profile({"base": "trl-sdpo", "aggregation": "token_mean"}).aggregation
        'token_mean'
    """
    if isinstance(declared, str):
        return _named(declared)
    fields = dict(declared)
    base = _named(str(fields.pop("base", "paper")))
    try:
        return Profile.model_validate({**base.model_dump(), **fields})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(Profile.model_fields)
            hint = nearest(name, Profile.model_fields)
            raise UsageError(f"profile has no field {name!r}; allowed are base, {allowed}{hint}") from error
        words = [it for it in get_args(Profile.model_fields[name].annotation) if isinstance(it, str)]
        hint = nearest(fields.get(name), words)
        raise UsageError(f"profile field {name}={fields.get(name)!r}: {first['msg']}{hint}") from error


def _named(name: str) -> Profile:
    if name not in PROFILES:
        raise UsageError(
            f"no profile is called {name!r}; allowed are {', '.join(PROFILES)}, or a mapping of fields"
            f"{nearest(name, PROFILES)}"
        )
    return PROFILES[name]
