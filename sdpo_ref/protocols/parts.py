"""What a third party may plug into ``sdpo-ref verify``: any of these parts, under these names.

An implementation is any object with some of the attributes of :class:`Implementation`. Nothing is inherited and
nothing of this package need be imported: ``types.SimpleNamespace(loss=my_loss)`` is enough. Parts are called with
the positional and keyword arguments shown here, and what they return is copied before it is compared.

A part that does not offer an option raises ``NotImplementedError`` for it (:class:`sdpo_ref.errors.UnsupportedError`
is one), and does not list the option among its capabilities.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from sdpo_ref.protocols import Policy, Teacher, Trainer
from sdpo_ref.protocols.attention import require_attended, up_to_the_last
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.protocols.top_k import ListSupport, ServerTopK
from sdpo_ref.types import DistillationBatch, HiddenBatch, Prompts, Support


@runtime_checkable
class Divergence(Protocol):
    """**Protocol (level 0):** divergence of each token from two normalised log-probability tensors."""

    def __call__(
        self,
        student_log_probs: Float[Tensor, "*batch vocab"],
        teacher_log_probs: Float[Tensor, "*batch vocab"],
        *,
        alpha: float,
        support: Support,
    ) -> Float[Tensor, "*batch"]:
        """Nats per token; ``support`` is ``full``, ``top_k_tail`` or ``top_k_renormalized``."""
        ...


@runtime_checkable
class Loss(Protocol):
    """**Protocol (level 1):** the scalar that is minimised; gradient w.r.t. ``batch.student_logits``.

    Aggregation, and what happens without ``behaviour_log_probs``, are as the implementation's profile declares.
    """

    def __call__(
        self,
        batch: DistillationBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
    ) -> Float[Tensor, ""]:
        """The loss; ``ratio_cap=None`` means no importance weighting."""
        ...


@runtime_checkable
class HiddenLoss(Protocol):
    """**Protocol (level 1):** the loss from hidden states and heads, as kernels take it that make no logits.

    Gradient w.r.t. ``batch.student_hidden``, and the weight and bias of ``batch.student_head`` where they ask for one;
    none to the teacher's side. Where this is offered and :class:`Loss` is not, all of level 1 is asked through it.
    """

    def __call__(
        self,
        batch: HiddenBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
    ) -> Float[Tensor, ""]:
        """The loss of the logits that the heads make of the hidden states (LOSS-130)."""
        ...


@runtime_checkable
class TopKLoss(Protocol):
    """**Protocol (level 1):** the loss where a server gives the k most likely tokens of its teacher.

    Nothing of what it gives has been checked: refusing what is no top k is the part's duty (LOSS-138).
    """

    def __call__(
        self,
        batch: ServerTopK,
        *,
        alpha: float,
        support: ListSupport,
        temperature: float,
        ratio_cap: float | None,
    ) -> Float[Tensor, ""]:
        """The loss; gradient w.r.t. ``batch.student_logits``. ``cross_entropy`` is asked at alpha 0 only."""
        ...


@runtime_checkable
class LossOverADenominator(Protocol):
    """**Protocol (level 1), with ``loss.denominator``:** the loss of a piece of a step, such as a micro-batch.

    ``denominator`` stands in place of the batch's own count, by which its aggregation divides: of tokens for
    ``token_mean``, of rows with tokens for ``row_mean`` and ``row_sum``, of rows for ``row_mean_all``; the field's
    ``num_items_in_batch``. It is any number of at least zero, and ``None`` for the batch's own.
    """

    def __call__(
        self,
        batch: DistillationBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
        denominator: float | None = None,
    ) -> Float[Tensor, ""]:
        """The sum over the piece, divided by the denominator."""
        ...


@runtime_checkable
class LossInProcesses(Protocol):
    """**Protocol (level 3), with ``loss.processes``:** the loss of this process's batch among those of a group.

    It is called on every process of the group, whose gradients are averaged afterwards, as DDP and FSDP do.
    """

    def __call__(
        self,
        batch: DistillationBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
        group: ProcessGroup,
    ) -> Float[Tensor, ""]:
        """A share, so that the mean of the shares over the group is the loss of the joined batch (TRAIN-034)."""
        ...


@runtime_checkable
class HybridLoss(Protocol):
    """**Protocol (level 1):** self-distillation mixed with the reward's policy gradient; ratio one, no clipping."""

    def __call__(
        self,
        batch: DistillationBatch,
        rewards: Float[Tensor, " rollout"],
        group_ids: Int[Tensor, " rollout"],
        *,
        reward_weight: float,
        support: Support,
    ) -> Float[Tensor, ""]:
        """``reward_weight`` = 1 is the pure policy gradient, 0 pure self-distillation with reverse KL (LOSS-072)."""
        ...


@runtime_checkable
class SdftLoss(Protocol):
    """**Protocol (level 1):** the loss of SDFT; every row of the batch is usable."""

    def __call__(
        self, batch: DistillationBatch, *, alpha: float, support: Support, skip_tokens: int
    ) -> Float[Tensor, ""]:
        """The loss without the first ``skip_tokens`` tokens of each completion."""
        ...


@runtime_checkable
class ImplicitReward(Protocol):
    """**Protocol (level 1):** log pi(y|x,c) - log pi_k(y|x) of each rollout."""

    def __call__(
        self,
        conditioned_logits: Float[Tensor, "rollout time vocab"],
        reference_logits: Float[Tensor, "rollout time vocab"],
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, " rollout"]:
        """Nats per rollout."""
        ...


@runtime_checkable
class CompletionMask(Protocol):
    """**Protocol (level 2):** which sampled tokens count, given the ids that end a completion."""

    def __call__(
        self, completions: Int[Tensor, "rollout time"], *, end_ids: Collection[int]
    ) -> Bool[Tensor, "rollout time"]:
        """True up to and including the first id in ``end_ids``."""
        ...


Message = Mapping[str, str]
"""One chat message: ``{"role": ..., "content": ...}``."""


@dataclass(frozen=True)
class Attempt:
    """One judged rollout, as text.

    Attributes:
        group: equal for attempts at the same prompt; attempts of a group are neighbours.
        prompt: chat messages, the last one from the user.
        completion: what the policy answered.
        reward: its reward.
        feedback: the oracle's feedback on this very attempt, or ``None``.
    """

    group: int
    prompt: tuple[Message, ...]
    completion: str
    reward: float
    feedback: str | None = None


@dataclass(frozen=True)
class TeacherContext:
    """What the teacher reads before it scores an attempt.

    Attributes:
        messages: the chat messages in front of the attempt; equal to the prompt where there is no context.
        usable: whether the row takes part in self-distillation (the self-distillation mask).
    """

    messages: tuple[Message, ...]
    usable: bool


@runtime_checkable
class Context(Protocol):
    """**Protocol (level 2):** from judged attempts to what the teacher reads."""

    def __call__(self, attempts: Sequence[Attempt], rules: ContextRules) -> Sequence[TeacherContext]:
        """One context for each attempt, in the same order."""
        ...


@runtime_checkable
class DemonstrationContext(Protocol):
    """**Protocol (level 2):** SDFT's context, which is a demonstration that comes with the data."""

    def __call__(self, prompt: tuple[Message, ...], demonstration: str | None) -> tuple[Message, ...]:
        """The messages that the teacher reads."""
        ...


@dataclass(frozen=True)
class MicroBatch:
    """Rollouts of one backward pass, on token ids.

    Attributes:
        prompts: what the student reads, padded on the left.
        reprompts: what the teacher reads, on the same rows, padded on the left; wider than ``prompts``.
        completions: sampled token ids, scored verbatim by both.
        completion_mask: True where a token counts; with the capability ``step.tools`` it may have holes, where a tool
            wrote.
        self_distillation_mask: True for rows whose teacher has a context.
        attended_mask: True where a token stands, sampled or written by a tool; ``None`` for up to the last one that
            counts.

    Raises:
        InvalidInputError: if ``attended_mask`` leaves out a token that counts, or is no mask of the completions.
    """

    prompts: Prompts
    reprompts: Prompts
    completions: Int[Tensor, "rollout time"]
    completion_mask: Bool[Tensor, "rollout time"]
    self_distillation_mask: Bool[Tensor, " rollout"]
    attended_mask: Bool[Tensor, "rollout time"] | None = None

    def __post_init__(self) -> None:
        """Refuse an attended mask that contradicts what counts."""
        require_attended(self.completion_mask, self.attended_mask)

    @property
    def attended(self) -> Bool[Tensor, "rollout time"]:
        """True where a token stands that later ones are conditioned on (POLICY-007)."""
        return up_to_the_last(self.completion_mask) if self.attended_mask is None else self.attended_mask

    @property
    def loss_mask(self) -> Bool[Tensor, "rollout time"]:
        """True where a token takes part in the loss: it counts, in a row that has a teacher (LOSS-050)."""
        return self.completion_mask & self.self_distillation_mask[:, None]


OptimizerStep = tuple[MicroBatch, ...]
"""Micro-batches whose gradients are accumulated into one update."""

Iteration = tuple[OptimizerStep, ...]
"""Optimiser steps taken on the rollouts of one sampling round."""


@dataclass(frozen=True)
class StepProblem:
    """A few updates of a small model by plain gradient descent (no momentum, no decay, no clipping).

    Attributes:
        make_model: a new student with the weights it has *in memory* now. The module maps
            ``(input_ids [rollout, length], attention_mask [rollout, length])`` to logits ``[rollout, length, vocab]``;
            logits at position ``i`` are for the token at ``i + 1``.
        iterations: what to train on, in order.
        learning_rate: of gradient descent.
        alpha: of the divergence.
        support: of the divergence.
        temperature: divides the logits of both sides.
        teacher: kind of teacher weights.
        update_rate: of the EMA teacher.
    """

    make_model: Callable[[], nn.Module]
    iterations: tuple[Iteration, ...]
    learning_rate: float
    alpha: float
    support: Support
    temperature: float
    teacher: Literal["live", "frozen", "ema"]
    update_rate: float


@dataclass(frozen=True)
class StepTrace:
    """Weights by name, before the first update (index 0) and after each optimiser step.

    Attributes:
        student: the student's weights.
        teacher: the teacher's weights at the same moments, after the teacher's own update if there was one.
    """

    student: tuple[Mapping[str, Tensor], ...]
    teacher: tuple[Mapping[str, Tensor], ...]


@runtime_checkable
class Step(Protocol):
    """**Protocol (level 3):** the training step on a model whose gradient is known."""

    def __call__(self, problem: StepProblem) -> StepTrace:
        """Run every optimiser step of the problem and report the weights."""
        ...


@runtime_checkable
class StepInProcesses(Protocol):
    """**Protocol (level 3), with ``step.processes``:** the same on several processes, with one model.

    It is called on every process of the group. The problem's model, options and number of optimiser steps and
    micro-batches are the same on all of them, its rollouts are this process's own. What wraps the model for that (DDP,
    FSDP, by hand) is up to the step; the process group of the whole world is initialised, with gloo.
    """

    def __call__(self, problem: StepProblem, *, group: ProcessGroup) -> StepTrace:
        """Make the updates of one process that has the micro-batches of all, and report the weights (TRAIN-030).

        Raise ``NotImplementedError`` if ``group`` is not the whole world and only that is offered.
        """
        ...


@runtime_checkable
class TrustRegion(Protocol):
    """**Protocol (level 3):** the trust-region teacher, from two tensors of logits."""

    def __call__(
        self,
        reference_logits: Float[Tensor, "*batch vocab"],
        student_logits: Float[Tensor, "*batch vocab"],
        *,
        mix: float,
    ) -> Float[Tensor, "*batch vocab"]:
        """Logits or log-probabilities of the teacher."""
        ...


LowRankFactors = tuple[Float[Tensor, "out rank"], Float[Tensor, "rank in"]]
"""LoRA factors (B, A): the weight change is ``B @ A``."""


@runtime_checkable
class LowRankAverage(Protocol):
    """**Protocol (level 3):** the EMA teacher of a student whose weight change is a product of low-rank factors."""

    def __call__(self, student: Sequence[LowRankFactors], *, update_rate: float) -> Sequence[Float[Tensor, "out in"]]:
        """The teacher's weight change at the start (``student[0]``) and after each later student."""
        ...


@runtime_checkable
class MakeTrainer(Protocol):
    """**Protocol (levels 3 and 4):** SDPO's trainer, on a policy and a teacher that are given to it.

    The trainer is any object with a property ``policy`` and a method ``step(rollouts, judgement)``, see
    :class:`~sdpo_ref.protocols.Trainer`; what ``step`` returns is not looked at. The policy is a
    :class:`torch.nn.Module`; train its ``parameters()`` with Adam at the learning rate, on the reverse KL to
    ``teacher.view(rollouts, judgement).logits`` over the whole vocabulary, averaged over the tokens that count, as the
    profile declares: those where ``rollouts.completion_mask`` is True, in rows where the view's
    ``self_distillation_mask`` is. Anything may stand at the others. With the capability ``trainer.tools`` tools wrote
    some tokens inside completions: these do not count, and are given to the policy all the same, which attends them.
    """

    def __call__(
        self,
        policy: Policy,
        teacher: Teacher,
        *,
        learning_rate: float,
        reference: Policy | None = None,
        kl_weight: float = 0.0,
        optimizer_steps: int = 1,
        micro_batches: int = 1,
    ) -> Trainer:
        """Make it; each option beyond the learning rate is given with its capability only.

        ``reference`` and ``kl_weight`` come with ``trainer.kl_penalty``: the divergence from the reference is averaged
        over all sampled tokens. ``optimizer_steps`` comes with the capability of its name: the rollouts of one call are
        cut into so many parts, one behind the other as :func:`torch.tensor_split` does, with an update on each. So
        does ``micro_batches``: each part in so many backward passes.
        """
        ...


@runtime_checkable
class MakeHybridTrainer(Protocol):
    """**Protocol (level 4):** the trainer of the hybrid (LOSS-117), with a fixed weight or gated by prompt."""

    def __call__(
        self, policy: Policy, teacher: Teacher, *, learning_rate: float, reward_weight: float, gated: bool
    ) -> Trainer:
        """``reward_weight`` of the reward's gradient, the rest for the teacher."""
        ...


class Implementation(Protocol):
    """**Protocol:** documentation of every attribute that ``verify`` looks for; all are optional but one part.

    ``profile`` is the name of a published variant, or a mapping of profile fields (spec/08-conformance); without it
    the paper's choices are assumed. Which alphas exist is one of its fields: ``{"alphas": [0.0, 1.0]}``. ``precision``
    is found by asking, also where float32 is computed with and float64 is returned (spec/08-conformance,
    "Tolerances"); ``"float32"`` declares it for every answer. ``capabilities`` lists what is offered,
    ``loss.sampled_token`` for instance without ``loss``; without it, every capability of the parts that are present,
    ``step.tools`` and ``trainer.tools`` excepted, which only a declaration offers; ``"all"`` is every one.
    ``defaults`` returns the defaults of the published configuration, by profile name.
    """

    name: str
    profile: str | Mapping[str, object]
    capabilities: Collection[str] | Literal["all"]
    precision: Literal["float64", "float32"]
    divergence: Divergence
    loss: Loss
    hidden_loss: HiddenLoss
    top_k_loss: TopKLoss
    hybrid_loss: HybridLoss
    sdft_loss: SdftLoss
    implicit_reward: ImplicitReward
    completion_mask: CompletionMask
    context: Context
    demonstration_context: DemonstrationContext
    step: Step
    trust_region: TrustRegion
    low_rank_average: LowRankAverage
    trainer: MakeTrainer
    hybrid_trainer: MakeHybridTrainer
    defaults: Callable[[], Mapping[str, object]]
