"""The parts of an implementation that take values and return values, each computed by a program.

The gradient of a loss is requested together with its value whenever the student's tensor requires one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor

from sdpo_ref.protocols.parts import Attempt, LowRankFactors, Message, TeacherContext
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.types import DistillationBatch, Support
from sdpo_ref.verification.entry.json_lines.gradient import attached
from sdpo_ref.verification.entry.json_lines.program import Program
from sdpo_ref.verification.entry.json_lines.tensors import decode_tensor, encode_number, encode_tensor

REACHABLE = frozenset(
    {
        *("divergence", "loss", "hybrid_loss", "sdft_loss", "implicit_reward", "completion_mask", "context"),
        *("demonstration_context", "trust_region", "low_rank_average", "defaults"),
    }
)
"""Parts that a program can offer. ``step``, ``trainer`` and ``hybrid_trainer`` are given live models, and cannot;
``hidden_loss`` has no operation of its own."""

_Read = TypeVar("_Read")


class Parts:
    """Every reachable part, as :class:`~sdpo_ref.protocols.parts.Implementation` has it.

    Args:
        program: answers the requests.
    """

    def __init__(self, program: Program) -> None:
        self._program = program

    def divergence(
        self,
        student_log_probs: Float[Tensor, "*batch vocab"],
        teacher_log_probs: Float[Tensor, "*batch vocab"],
        *,
        alpha: float,
        support: Support,
    ) -> Float[Tensor, "..."]:
        """Nats per token; gradient w.r.t. the student's log-probabilities."""
        sides = {"student_log_probs": student_log_probs, "teacher_log_probs": teacher_log_probs}
        arguments = _encoded(**sides, alpha=alpha, support=support)
        return self._differentiable("divergence", arguments, student_log_probs)

    def loss(
        self,
        batch: DistillationBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
        denominator: float | None = None,
    ) -> Float[Tensor, "..."]:
        """The scalar; gradient w.r.t. the student's logits. A denominator is sent only where one is given."""
        options = {"alpha": alpha, "support": support, "temperature": temperature, "ratio_cap": ratio_cap}
        piece = {} if denominator is None else {"denominator": denominator}
        arguments = _encoded(batch=batch, **options, **piece)
        return self._differentiable("loss", arguments, batch.student_logits)

    def hybrid_loss(
        self,
        batch: DistillationBatch,
        rewards: Float[Tensor, " rollout"],
        group_ids: Int[Tensor, " rollout"],
        *,
        reward_weight: float,
        support: Support,
    ) -> Float[Tensor, "..."]:
        """The scalar; gradient w.r.t. the student's logits."""
        given = {"batch": batch, "rewards": rewards, "group_ids": group_ids}
        arguments = _encoded(**given, reward_weight=reward_weight, support=support)
        return self._differentiable("hybrid_loss", arguments, batch.student_logits)

    def sdft_loss(
        self, batch: DistillationBatch, *, alpha: float, support: Support, skip_tokens: int
    ) -> Float[Tensor, "..."]:
        """The scalar; gradient w.r.t. the student's logits."""
        arguments = _encoded(batch=batch, alpha=alpha, support=support, skip_tokens=skip_tokens)
        return self._differentiable("sdft_loss", arguments, batch.student_logits)

    def implicit_reward(
        self,
        conditioned_logits: Float[Tensor, "rollout time vocab"],
        reference_logits: Float[Tensor, "rollout time vocab"],
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Tensor:
        """Nats per rollout."""
        sides = {"conditioned_logits": conditioned_logits, "reference_logits": reference_logits}
        arguments = _encoded(**sides, completions=completions, completion_mask=completion_mask)
        return self._value("implicit_reward", arguments, decode_tensor)

    def completion_mask(self, completions: Int[Tensor, "rollout time"], *, end_ids: Collection[int]) -> Tensor:
        """True up to and including the first id in ``end_ids``."""
        arguments = _encoded(completions=completions, end_ids=sorted(end_ids))
        return self._value("completion_mask", arguments, decode_tensor)

    def context(self, attempts: Sequence[Attempt], rules: ContextRules) -> list[TeacherContext]:
        """One context for each attempt."""
        described = [{**asdict(attempt), "reward": encode_number(attempt.reward)} for attempt in attempts]
        arguments = {"attempts": described, "rules": _encoded(**rules.model_dump())}
        return self._value("context", arguments, _contexts)

    def demonstration_context(self, prompt: tuple[Message, ...], demonstration: str | None) -> tuple[Message, ...]:
        """The messages that the teacher reads."""
        arguments = {"prompt": [dict(message) for message in prompt], "demonstration": demonstration}
        return self._value("demonstration_context", arguments, _messages)

    def trust_region(
        self,
        reference_logits: Float[Tensor, "*batch vocab"],
        student_logits: Float[Tensor, "*batch vocab"],
        *,
        mix: float,
    ) -> Tensor:
        """Logits or log-probabilities of the teacher."""
        arguments = _encoded(reference_logits=reference_logits, student_logits=student_logits, mix=mix)
        return self._value("trust_region", arguments, decode_tensor)

    def low_rank_average(self, student: Sequence[LowRankFactors], *, update_rate: float) -> list[Tensor]:
        """The teacher's weight change at the start and after each later student."""
        factors = [{"b": encode_tensor(b), "a": encode_tensor(a)} for b, a in student]
        arguments = {"student": factors, "update_rate": encode_number(update_rate)}
        return self._value("low_rank_average", arguments, _tensors)

    def defaults(self) -> Mapping[str, object]:
        """Defaults of the published configuration."""
        return self._value("defaults", {}, _mapping)

    def _differentiable(self, op: str, arguments: Mapping[str, object], student: Tensor) -> Tensor:
        wanted = student.requires_grad
        result = self._program.call(op, arguments, gradient=wanted)
        value = self._read(op, result, "value", decode_tensor)
        if not wanted:
            return value
        gradient = self._read(op, result, "gradient", decode_tensor)
        if gradient.shape != student.shape or not gradient.is_floating_point():
            self._program.give_up(
                op,
                f"gradient must be floating-point numbers of shape {list(student.shape)}, received {gradient.dtype} of "
                f"shape {list(gradient.shape)}",
            )
        return attached(value, gradient, student)

    def _value(self, op: str, arguments: Mapping[str, object], read: Callable[[object], _Read]) -> _Read:
        return self._read(op, self._program.call(op, arguments), "value", read)

    def _read(self, op: str, result: Mapping[str, object], name: str, read: Callable[[object], _Read]) -> _Read:
        if name not in result:
            self._program.give_up(op, f"the result must hold {name!r}, received {sorted(result)}")
        try:
            return read(result[name])
        except ValueError as error:
            self._program.give_up(op, f"{name}: {error}")


def _encoded(**arguments: object) -> dict[str, object]:
    """Arguments of a part as JSON has them."""
    return {name: _as_json(value) for name, value in arguments.items()}


def _as_json(value: object) -> object:
    match value:
        case Tensor():
            return encode_tensor(value)
        case float():
            return encode_number(value)
        case Support():
            return asdict(value)
        case DistillationBatch():
            return _encoded(**vars(value))
    return value


def _tensors(value: object) -> list[Tensor]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of tensors, received a {type(value).__name__}")  # noqa: TRY004 - as its neighbours
    return [decode_tensor(element) for element in value]


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, received a {type(value).__name__}")  # noqa: TRY004
    return value


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not all(
        isinstance(message, dict)
        and set(message) == {"role", "content"}
        and all(isinstance(text, str) for text in message.values())
        for message in value
    ):
        raise ValueError(f"expected a list of messages, each with role and content, received {str(value)[:80]!r}")
    return tuple(value)


def _contexts(value: object) -> list[TeacherContext]:
    if not isinstance(value, list) or not all(
        isinstance(entry, dict) and set(entry) == {"messages", "usable"} and isinstance(entry["usable"], bool)
        for entry in value
    ):
        raise ValueError(f"expected a list of contexts, each with messages and usable, received {str(value)[:80]!r}")
    return [TeacherContext(_messages(entry["messages"]), usable=entry["usable"]) for entry in value]
