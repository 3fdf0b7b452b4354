"""The implementation under test, wrapped: inputs and outputs are copied, and outputs are checked.

A check never touches the implementation itself. What goes in is a copy, so that an implementation that writes into
its inputs is detected (LOSS-094) and cannot change the expectation; what comes out is a copy, so that one that reuses
its buffers is not compared with itself. Kind, shape and dtype of an output are checked before it is compared.
"""

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor

from sdpo_ref.errors import UsageError
from sdpo_ref.protocols import Policy, Teacher, Trainer
from sdpo_ref.protocols.parts import Attempt, LowRankFactors, Message, StepProblem, StepTrace, TeacherContext
from sdpo_ref.protocols.profile import ContextRules, Profile, resolve_profile
from sdpo_ref.protocols.top_k import ListSupport, ServerTopK
from sdpo_ref.types import SAMPLED_TOKEN, DistillationBatch, HiddenBatch, Judgement, Rollouts, Support
from sdpo_ref.verification.checks.comparison import HALF, HALF_SLACK, allow
from sdpo_ref.verification.checks.denominators import ALLOWED, bias
from sdpo_ref.verification.checks.exactness import (
    Answers,
    Question,
    measure,
    one_token,
    two_rollouts,
    two_sides,
    weights_after,
)
from sdpo_ref.verification.checks.hidden_form import Hidden, as_hidden
from sdpo_ref.verification.checks.mismatch import (
    ImplementationRaisedError,
    Mismatch,
    NoAnswerError,
    NotAskedError,
    NotOfferedError,
)
from sdpo_ref.verification.checks.problems import SmallWorld
from sdpo_ref.verification.checks.settings import Offers, Setting
from sdpo_ref.verification.suite.capabilities import (
    FORMS,
    KEYWORDS,
    declared_capabilities,
    is_through_form,
    part_of,
    takes_keyword,
    through_form,
)

PRECISIONS = ("float64", "float32")
"""What an implementation may declare."""


@dataclass(frozen=True)
class Gradient:
    """A value and its gradients.

    Attributes:
        value: what was differentiated.
        student: gradient with respect to the student's logits or log-probabilities.
        teacher: the same for the teacher's logits; zero where none arrived.
    """

    value: Tensor
    student: Tensor
    teacher: Tensor


@dataclass(frozen=True)
class GuardedTrainer:
    """A trainer whose exceptions say that the implementation raised them.

    Attributes:
        part: that made it.
        trainer: the implementation's own.
    """

    part: str
    trainer: Trainer

    @property
    def policy(self) -> Policy:
        """As the trainer has trained it so far."""
        return self.trainer.policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        """One call.

        Args:
            rollouts: to learn from.
            judgement: on them.

        Raises:
            ImplementationRaisedError: if the trainer raises.
            NotOfferedError: if it does not offer what it was made for.
        """
        try:
            self.trainer.step(rollouts, judgement)
        except NotImplementedError as error:
            raise NotOfferedError(self.part, str(error) or type(error).__name__) from error
        except (NoAnswerError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise ImplementationRaisedError(self.part, f"step: {_summary(error)}", traceback.format_exc()) from error


class Subject:
    """An implementation, as the checks see it.

    The loss is asked from hidden states where it is offered in that form alone, and by :meth:`through_hidden_states`
    also where it is offered in both.

    Args:
        implementation: any object with some of the attributes of
            :class:`~sdpo_ref.protocols.parts.Implementation`.
        beside: the same implementation asked from logits, where this is to ask it from hidden states.

    Raises:
        UsageError: if its profile or capabilities cannot be understood.
    """

    def __init__(self, implementation: object, *, beside: "Subject | None" = None) -> None:
        self._implementation = implementation
        self.declared: frozenset[str] = declared_capabilities(implementation)
        is_hidden = beside is not None or is_through_form(self.declared)
        self._loss_part = FORMS["loss"] if is_hidden else "loss"
        self._through_hidden_states: Subject | None = self if is_hidden else None
        others = frozenset(it for it in self.declared if part_of(it) != "loss")
        self.capabilities: frozenset[str] = others | through_form(self.declared) if is_hidden else self.declared
        declared = getattr(implementation, "profile", "paper")
        self.profile: Profile = resolve_profile(declared)
        self.base_profile: str = declared if isinstance(declared, str) else str(declared.get("base", "paper"))
        self.offered: Offers = Offers(self.capabilities, self.profile, self._answers)
        self.declared_precision: str = _declared_precision(implementation)
        self._coarse: dict[Question, torch.dtype] | None = None
        self._measures = False
        self.watched: _Watched = _Watched() if beside is None else beside.watched
        self._bias: dict[str, float] = {}

    def through_hidden_states(self) -> "Subject":
        """The same implementation, its loss asked from hidden states (LOSS-130)."""
        if self._through_hidden_states is None:
            self._through_hidden_states = Subject(self._implementation, beside=self)
        return self._through_hidden_states

    @property
    def coarse(self) -> Mapping[Question, torch.dtype]:
        """What answers more coarsely than in float64, with the precision found; empty where float32 is declared."""
        if self._coarse is None:
            self._coarse, self._measures = {}, True  # what is asked meanwhile is compared with nothing
            try:
                self._coarse = self._measured()
            finally:
                self._measures = False
        return self._coarse

    @property
    def precision(self) -> torch.dtype:
        """The coarsest precision that is declared or was found."""
        found = {*self.coarse.values(), *([torch.float32] if self.declared_precision == "float32" else [])}
        return max(found, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)

    @property
    def slack(self) -> float:
        """Rounding allowed in a property that holds exactly on paper, in the unit of the quantity."""
        return {torch.float64: 1e-12, torch.float32: 1e-5}.get(self.precision, HALF_SLACK)

    def _measured(self) -> dict[Question, torch.dtype]:
        """What answers more coarsely than in float64."""
        if self.declared_precision == "float32":
            return {}

        def divergence(at: Setting, student: float, teacher: float) -> Answers:
            sides = (side.log_softmax(-1)[0] for side in two_sides(student, teacher))
            found = self.divergence_gradient(*sides, **at.options)
            return found.value, found.student

        def loss(at: Setting, student: float, teacher: float) -> Answers:
            found = self.loss(one_token(student, teacher), **at.options)
            return found.value, found.student

        def sdft_loss(at: Setting, student: float, teacher: float) -> Answers:
            found = self.sdft_loss(one_token(student, teacher), **at.options, skip_tokens=0)
            return found.value, found.student

        def hybrid_loss(at: Setting, student: float, teacher: float) -> Answers:
            batch, rewards = two_rollouts(student, teacher), torch.tensor([1.0, 0.0], dtype=torch.float64)
            found = self.hybrid_loss(batch, rewards, torch.zeros(2).long(), reward_weight=0.5, support=at.support)
            return found.value, found.student

        def implicit_reward(_: Setting, student: float, teacher: float) -> Answers:
            batch = one_token(student, teacher)
            sides = batch.teacher_logits, batch.student_logits
            return (self.implicit_reward(*sides, batch.completions, batch.completion_mask),)

        def trust_region(_: Setting, student: float, teacher: float) -> Answers:
            reference, current = two_sides(student, teacher)
            return (self.trust_region(reference, current, mix=0.5),)

        def step(_: Setting, student: float, teacher: float) -> Answers:
            return (weights_after(self.step, moved=student + teacher),)

        parts = (divergence, loss, sdft_loss, hybrid_loss, implicit_reward, trust_region, step)
        return measure(self.capabilities, self.offered, {part.__name__: part for part in parts})

    def bias(self, part: str) -> float:
        """How much less a token weighs where it is alone, relative to its share; zero but for an epsilon (LOSS-119).

        Args:
            part: ``loss``, ``sdft_loss`` or ``hybrid_loss``.
        """
        if self._measures:
            return 0.0
        if part not in self._bias:
            self._bias[part] = 0.0  # what is asked meanwhile is compared with nothing
            with suppress(NotAskedError, NotOfferedError, ImplementationRaisedError, Mismatch):
                self._bias[part] = self._measured_bias(part)
        return self._bias[part]

    def _measured_bias(self, part: str) -> float:
        if self.precision is not torch.float64:
            return 0.0  # it would be lost in rounding, and within the tolerance

        def loss(batch: DistillationBatch) -> Tensor:
            return self.loss(batch, **self.offered.each("loss", near=1.0)[0].options).student

        def sdft_loss(batch: DistillationBatch) -> Tensor:
            return self.sdft_loss(batch, **self.offered.each("sdft_loss", near=1.0)[0].options, skip_tokens=0).student

        def hybrid_loss(batch: DistillationBatch) -> Tensor:
            rows = len(batch.completions)
            rewards = torch.arange(rows, dtype=torch.float64)
            groups = torch.zeros(rows).long()
            return self.hybrid_loss(batch, rewards, groups, reward_weight=0.0, support=SAMPLED_TOKEN).student

        if part == "hybrid_loss":
            mixed = "token_mean" if self.profile.hybrid == "advantage" else self.profile.aggregation
            return bias(hybrid_loss, mixed, rollouts=2)
        return bias(loss if part == "loss" else sdft_loss, self.profile.aggregation)

    def _as_exact_as_it_is(
        self, value: Tensor, part: str, alpha: float | None = None, support: Support | None = None
    ) -> Tensor:
        """A float64 answer in the precision in which it was computed, from which a comparison takes its tolerance."""
        if value.dtype is not torch.float64:
            return value
        found = self.coarse.get(Question.of(part, alpha, support), torch.float64)
        return value.float() if self.declared_precision == "float32" else value.to(found)

    def _answers(self, part: str, setting: Setting) -> bool:
        """Whether a part answers its simplest call in a setting; one without alpha and support always does."""
        rows = torch.tensor([[[0.5, 0.3, 0.2]]], dtype=torch.float64).log()
        true = torch.ones(1, 1, dtype=torch.bool)
        batch = DistillationBatch(rows, rows.flip(-1), torch.zeros(1, 1).long(), true, true[0])
        try:
            if part == "divergence":
                self._call(part, rows, rows.flip(-1), **setting.options)
            elif part == "loss":
                self._call_loss(batch, temperature=1.0, ratio_cap=None, **setting.options)
        except (NotOfferedError, ImplementationRaisedError):
            return False
        return True

    def offers(self, capability: str) -> bool:
        """Whether the implementation declares a capability; one of the loss, in the form in which that is asked."""
        return capability in self.capabilities

    def has_part(self, capability: str) -> bool:
        """Whether there is something callable that could offer a capability, declared or not."""
        part = getattr(self._implementation, part_of(capability), None)
        return callable(part) and takes_keyword(self._implementation, capability)

    def require_keyword(self, capability: str) -> None:
        """Refuse a part whose signature does not name the keyword of a capability.

        Raises:
            NotOfferedError: if it does not.
        """
        if not takes_keyword(self._implementation, capability):
            raise NotOfferedError(part_of(capability), f"its signature does not name {KEYWORDS[capability]!r}")

    def divergence(
        self, student_log_probs: Tensor, teacher_log_probs: Tensor, *, alpha: float, support: Support
    ) -> Tensor:
        """Value only."""
        value = self._call(
            "divergence", _copy(student_log_probs), _copy(teacher_log_probs), alpha=alpha, support=support
        )
        value = _tensor("divergence", value, student_log_probs.shape[:-1])
        return self._as_exact_as_it_is(value, "divergence", alpha, support)

    def divergence_gradient(
        self, student_logits: Tensor, teacher_log_probs: Tensor, *, alpha: float, support: Support
    ) -> Gradient:
        """Value of each token, and the gradient of their sum with respect to the logits behind the student."""
        student = _leaf(student_logits)
        log_probs = torch.log_softmax(student, dim=-1)
        result = self._call("divergence", log_probs, _copy(teacher_log_probs), alpha=alpha, support=support)
        value = _tensor("divergence", result, student_logits.shape[:-1], graph=result)
        value = self._as_exact_as_it_is(value, "divergence", alpha, support)
        (gradient,) = _gradients("divergence", result.sum(), [student])
        return Gradient(value, _no_finer(gradient, value), torch.zeros_like(gradient))

    def loss(
        self,
        batch: DistillationBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float = 1.0,
        ratio_cap: float | None = None,
        **pieces: object,
    ) -> Gradient:
        """The scalar and its gradients; the teacher's logits require one too, which must not arrive.

        ``pieces`` is the keyword of ``loss.denominator``.
        """
        if pieces:
            self.require_keyword("loss.denominator")
        options = {"alpha": alpha, "support": support, "temperature": temperature, "ratio_cap": ratio_cap, **pieces}
        own, result = self._call_loss(batch, **options)
        return self._loss_gradient("loss", result, own, alpha, support)

    def hidden_loss(
        self,
        batch: HiddenBatch,
        wanted: Sequence[Tensor],
        *,
        alpha: float,
        support: Support,
        temperature: float = 1.0,
        ratio_cap: float | None = None,
    ) -> tuple[Tensor, ...]:
        """The loss from hidden states that a check has made, and its gradients; zero where none arrives.

        Args:
            batch: made for this call; it is given as it is.
            wanted: leaves of the batch.
            alpha: of the divergence.
            support: of the divergence.
            temperature: divides the logits of both sides.
            ratio_cap: of the importance weights.
        """
        options = {"alpha": alpha, "support": support, "temperature": temperature, "ratio_cap": ratio_cap}
        result = self._call("hidden_loss", batch, **options)
        value = self._as_exact_as_it_is(
            _tensor("hidden_loss", result, torch.Size(()), graph=result), "loss", alpha, support
        )
        allow(ALLOWED * self.bias("loss"))
        return value, *(_no_finer(it, value) for it in _gradients("hidden_loss", result, wanted))

    def top_k_loss(
        self,
        batch: ServerTopK,
        *,
        alpha: float,
        support: ListSupport,
        temperature: float = 1.0,
        ratio_cap: float | None = None,
    ) -> Gradient:
        """The scalar and its gradients; the teacher's log-probabilities require one too."""
        copies: dict[str, Any] = {name: _copy(it) if isinstance(it, Tensor) else it for name, it in vars(batch).items()}
        own = ServerTopK(**copies)
        leaves = own.student_logits.requires_grad_(), own.teacher_log_probs.requires_grad_()
        options = {"alpha": alpha, "support": support, "temperature": temperature, "ratio_cap": ratio_cap}
        result = self._call("top_k_loss", own, **options)
        value = _tensor("top_k_loss", result, torch.Size(()), graph=result)
        value = value.float() if self.declared_precision == "float32" else value
        return Gradient(value, *(_no_finer(it, value) for it in _gradients("top_k_loss", result, leaves)))

    def _call_loss(self, batch: DistillationBatch, **options: object) -> "tuple[_Own, Any]":
        """The loss in the form in which it is offered, and the copy of the batch that it was given."""
        own = as_hidden(batch) if self._loss_part == FORMS["loss"] else _own(batch)
        return own, self._call(self._loss_part, own.batch if isinstance(own, Hidden) else own, **options)

    def loss_without_recording(self, batch: DistillationBatch, *, alpha: float, support: Support) -> Tensor:
        """The value where no gradients are recorded, as in an evaluation."""
        with torch.no_grad():
            _, result = self._call_loss(batch, alpha=alpha, support=support, temperature=1.0, ratio_cap=None)
        return self._as_exact_as_it_is(_tensor("loss", result, torch.Size(())), "loss", alpha, support)

    def loss_backward(
        self, batch: DistillationBatch, *, alpha: float, support: Support, upstream: Sequence[float]
    ) -> list[Tensor]:
        """Gradients for several upstream factors, of one graph; of several, where one allows a single backward.

        A compiled loss reuses the memory of what it saved, and says so when it is differentiated again.
        """
        own, result = self._called(batch, alpha, support)
        value = _tensor("loss", result, torch.Size(()), graph=result)
        value = self._as_exact_as_it_is(value, "loss", alpha, support)
        try:
            found = [_gradients("loss", factor * result, _leaves(own)[:1], again=True) for factor in upstream]
        except NoAnswerError:
            raise
        except ImplementationRaisedError:
            anew = [(factor, *self._called(batch, alpha, support)) for factor in upstream]
            found = [_gradients("loss", factor * result, _leaves(own)[:1]) for factor, own, result in anew]
        return [_no_finer(_of_logits(own, gradients)[0], value) for gradients in found]

    def _called(self, batch: DistillationBatch, alpha: float, support: Support) -> "tuple[_Own, Any]":
        """A copy of the batch, and the loss that hangs on it."""
        return self._call_loss(batch, alpha=alpha, support=support, temperature=1.0, ratio_cap=None)

    def inputs_after_loss(
        self, batch: DistillationBatch, *, alpha: float, support: Support, ratio_cap: float | None = None
    ) -> DistillationBatch:
        """The copies that the implementation was given, after forward and backward."""
        own, result = self._call_loss(batch, alpha=alpha, support=support, temperature=1.0, ratio_cap=ratio_cap)
        self._loss_gradient("loss", result, own, alpha, support)
        return own.seen(batch) if isinstance(own, Hidden) else own

    def hybrid_loss(
        self, batch: DistillationBatch, rewards: Tensor, group_ids: Tensor, *, reward_weight: float, support: Support
    ) -> Gradient:
        """The scalar and its gradients."""
        own = _own(batch)
        result = self._call(
            "hybrid_loss", own, _copy(rewards), _copy(group_ids), reward_weight=reward_weight, support=support
        )
        return self._loss_gradient("hybrid_loss", result, own)

    def sdft_loss(self, batch: DistillationBatch, *, alpha: float, support: Support, skip_tokens: int) -> Gradient:
        """The scalar and its gradients."""
        own = _own(batch)
        result = self._call("sdft_loss", own, alpha=alpha, support=support, skip_tokens=skip_tokens)
        return self._loss_gradient("sdft_loss", result, own, alpha, support)

    def implicit_reward(
        self, conditioned_logits: Tensor, reference_logits: Tensor, completions: Tensor, completion_mask: Tensor
    ) -> Tensor:
        """Nats per rollout."""
        arguments = map(_copy, (conditioned_logits, reference_logits, completions, completion_mask))
        result = self._call("implicit_reward", *arguments)
        return self._as_exact_as_it_is(_tensor("implicit_reward", result, completions.shape[:1]), "implicit_reward")

    def completion_mask(self, completions: Tensor, *, end_ids: Collection[int]) -> Tensor:
        """The mask."""
        result = self._call("completion_mask", _copy(completions), end_ids=frozenset(end_ids))
        return _tensor("completion_mask", result, completions.shape)

    def context(self, attempts: Sequence[Attempt], rules: ContextRules) -> list[TeacherContext]:
        """One context for each attempt, rebuilt from plain strings."""
        result = self._call("context", tuple(attempts), rules)
        contexts = [
            TeacherContext(_messages("context", context.messages), usable=bool(context.usable)) for context in result
        ]
        if len(contexts) != len(attempts):
            raise Mismatch(f"{len(attempts)} contexts, one for each attempt", f"{len(contexts)} contexts")
        return contexts

    def demonstration_context(self, prompt: tuple[Message, ...], demonstration: str | None) -> tuple[Message, ...]:
        """The messages, rebuilt from plain strings."""
        return _messages("demonstration_context", self._call("demonstration_context", prompt, demonstration))

    def step(self, problem: StepProblem) -> StepTrace:
        """The weights after each optimiser step."""
        result = self._call("step", problem)
        allow(ALLOWED * self.bias("loss"))
        moments = 1 + sum(len(iteration) for iteration in problem.iterations)
        model = problem.make_model()
        names = [name for name, _ in model.named_parameters()]
        also = {name for name, _ in model.named_parameters(remove_duplicate=False)}  # other names of tied weights
        for side in ("student", "teacher"):
            weights = getattr(result, side)
            if len(weights) != moments or any(not set(names) <= set(at) <= also for at in weights):
                raise Mismatch(
                    f"{moments} snapshots of {sorted(names)} for the {side}: the start and each optimiser step",
                    f"{len(weights)} snapshots of {sorted({name for at in weights for name in at})}",
                )
        return StepTrace(
            tuple({name: self.weight(at[name]) for name in names} for at in result.student),
            tuple({name: self.weight(at[name]) for name in names} for at in result.teacher),
        )

    def weight(self, weight: Tensor) -> Tensor:
        """A copy, in float32 if that is what weights are kept in or what gradients are computed in."""
        exact = weight.dtype is torch.float64 and self.precision is torch.float64
        return _copy(weight).to(torch.float64 if exact else torch.float32)

    def trust_region(self, reference_logits: Tensor, student_logits: Tensor, *, mix: float) -> Tensor:
        """Log-probabilities of the teacher, normalised here whatever was returned."""
        result = self._call("trust_region", _copy(reference_logits), _copy(student_logits), mix=mix)
        logits = self._as_exact_as_it_is(_tensor("trust_region", result, reference_logits.shape), "trust_region")
        return torch.log_softmax(logits, dim=-1)

    def low_rank_average(self, student: Sequence[LowRankFactors], *, update_rate: float) -> list[Tensor]:
        """The teacher's weight changes."""
        result = self._call("low_rank_average", [(_copy(b), _copy(a)) for b, a in student], update_rate=update_rate)
        shape = (student[0][0] @ student[0][1]).shape
        changes = [_tensor("low_rank_average", change, shape) for change in result]
        return [self._as_exact_as_it_is(change, "low_rank_average") for change in changes]

    def trainer(self, part: str = "trainer") -> "Callable[..., GuardedTrainer]":
        """The factory of a trainer; what it makes has its errors told apart from those of a check."""

        def make(policy: Policy, teacher: Teacher, **options: object) -> GuardedTrainer:
            made = self._call(part, policy, teacher, **options)
            if not isinstance(made, Trainer):
                raise Mismatch(f"{part} returns an object with `policy` and `step`", f"a {type(made).__name__}")
            return GuardedTrainer(part, made)

        return make

    def trained(self, part: str, small: SmallWorld, **options: object) -> Policy:
        """The policy after one step of the trainer that a part makes."""
        trainer = self.trainer(part)(small.policy, small.teacher, **options)
        trainer.step(small.rollouts, small.judgement)
        return trainer.policy

    def defaults(self) -> Mapping[str, object]:
        """Defaults of the published configuration."""
        return dict(self._call("defaults"))

    def raises(self, part: str, call: Callable[["Subject"], object]) -> str | None:
        """The error with which the implementation refuses a call, or ``None`` if it returned something."""
        try:
            call(self)
        except NoAnswerError:
            raise
        except ImplementationRaisedError as error:
            return error.summary
        except NotOfferedError as error:
            return f"{part}: {error.summary}"
        except Mismatch:
            return None
        return None

    def _loss_gradient(
        self,
        part: str,
        result: object,
        own: "_Own",
        alpha: float | None = None,
        support: Support | None = None,
    ) -> Gradient:
        value = self._as_exact_as_it_is(_tensor(part, result, torch.Size(()), graph=result), part, alpha, support)
        allow(ALLOWED * self.bias(part))
        assert isinstance(result, Tensor)  # noqa: S101 - checked by _tensor; for mypy
        student, teacher = _of_logits(own, _gradients(part, result, _leaves(own)))
        return Gradient(value, _no_finer(student, value), teacher)

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Note each part that has written into a tensor that it was given, when the block ends."""
        written: list[str] = []
        self.watched.given = []
        try:
            yield written
            for part, tensor, before in self.watched.given:
                if not torch.equal(tensor.detach().nan_to_num(), before) and part not in written:
                    written.append(part)
        finally:
            self.watched.given = None

    def _call(self, part: str, *arguments: object, **options: object) -> Any:
        function = getattr(self._implementation, part, None)
        if not callable(function):
            raise NotOfferedError(part, f"there is no attribute {part!r}")
        if self.watched.given is not None:
            given = _tensors((arguments, options))
            self.watched.given += [(part, it, it.detach().nan_to_num().clone()) for it in given]
        try:
            result = function(*arguments, **options)
        except NotImplementedError as error:
            raise NotOfferedError(part, str(error) or type(error).__name__) from error
        except (NoAnswerError, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit too, and what pytest skips a test with
            raise ImplementationRaisedError(part, _summary(error), traceback.format_exc()) from error
        return result


class _Watched:
    """What parts were given while they are watched, with a copy of each; ``None`` while they are not."""

    given: list[tuple[str, Tensor, Tensor]] | None = None


_Own = DistillationBatch | Hidden
"""A copy of a batch in the form in which a part is given it."""


def _leaves(own: _Own) -> list[Tensor]:
    """Where the gradients of both sides' logits arrive."""
    if isinstance(own, Hidden):
        return [own.student.leaf, own.teacher.leaf]
    return [own.student_logits, own.teacher_logits]


def _of_logits(own: _Own, gradients: Sequence[Tensor]) -> list[Tensor]:
    """Gradients at the leaves as gradients of the logits."""
    sides = (own.student, own.teacher) if isinstance(own, Hidden) else ()
    return [side.of_logits(it) for side, it in zip(sides, gradients, strict=False)] or list(gradients)


def _summary(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _tensors(value: object) -> Iterator[Tensor]:
    """Every tensor in tuples, lists, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for it in value:
            yield from _tensors(it)
    elif is_dataclass(value):
        yield from _tensors(tuple(vars(value).values()))


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def _own(batch: DistillationBatch) -> DistillationBatch:
    """A batch that shares no memory with ``batch``; both logits require a gradient."""
    tensors: Mapping[str, Tensor | None] = vars(batch)
    copies: dict[str, Any] = {name: None if it is None else _copy(it) for name, it in tensors.items()}
    own = DistillationBatch(**copies)
    own.student_logits.requires_grad_()
    own.teacher_logits.requires_grad_()
    return own


def _tensor(part: str, result: object, shape: torch.Size, *, graph: object = None) -> Tensor:
    """A copy of a result, once it is known to be a tensor of the right shape (and on a graph, if one is needed)."""
    if not isinstance(result, Tensor):
        raise Mismatch(f"{part} returns a tensor of shape {tuple(shape)}", f"a {type(result).__name__}")
    if result.shape != shape:
        raise Mismatch(f"{part} returns shape {tuple(shape)}", f"shape {tuple(result.shape)}")
    if isinstance(graph, Tensor) and not graph.requires_grad:
        raise Mismatch(
            f"{part} returns a value that is attached to the student's logits", "a value without a gradient function"
        )
    return _copy(result)


def _gradients(part: str, value: Tensor, wanted: Sequence[Tensor], *, again: bool = False) -> tuple[Tensor, ...]:
    """Copies of the gradients; the graph is kept only if it is differentiated again, which costs and may be refused."""
    try:
        found = torch.autograd.grad(value, wanted, retain_graph=again, allow_unused=True, materialize_grads=True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ImplementationRaisedError(part, f"backward: {_summary(error)}", traceback.format_exc()) from error
    return tuple(map(_copy, found))


def _no_finer(gradient: Tensor, value: Tensor) -> Tensor:
    """A gradient is as exact as the value it belongs to, although autograd returns it in the dtype of the leaf."""
    if value.dtype is not torch.float64:
        return gradient.to(value.dtype)
    return gradient.float() if gradient.dtype in HALF else gradient


def _declared_precision(implementation: object) -> str:
    """What an implementation declares, or ``float64``.

    Raises:
        UsageError: if it declares something else.
    """
    declared = getattr(implementation, "precision", PRECISIONS[0])
    if declared not in PRECISIONS:
        allowed = " and ".join(map(repr, PRECISIONS))
        raise UsageError(f"precision {declared!r} is unknown; allowed are {allowed}, or leave it out")
    return str(declared)


def _messages(part: str, messages: object) -> tuple[Message, ...]:
    if not isinstance(messages, Sequence):
        raise Mismatch(f"{part} returns a sequence of messages", f"a {type(messages).__name__}")
    return tuple({"role": str(message["role"]), "content": str(message["content"])} for message in messages)
