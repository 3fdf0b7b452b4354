"""The bundled implementations: ``sdpo_ref.bundled:make`` (short ``reference``), ``:chunked`` and ``:fused``.

The suite treats each as any other implementation: nothing is waived for it. ``make(profile=...)`` behaves as that
profile declares, so that every published variant has a reference to be compared with. The other two are the reference
with its divergence and its SDPO loss computed by an optimised implementation, and with them SDFT and a hybrid that
mixes losses. What is not a loss, and the advantages of the paper's hybrid, are those of the reference.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed import ProcessGroup

from sdpo_ref.errors import UnsupportedError
from sdpo_ref.functional.aggregation import completion_mask
from sdpo_ref.functional.averaging import trust_region_log_probs
from sdpo_ref.functional.divergence import generalized_jsd
from sdpo_ref.functional.implicit_reward import implicit_reward
from sdpo_ref.functional.support import on_support
from sdpo_ref.losses import sdpo_loss, sdpo_token_losses
from sdpo_ref.losses.denominator import Denominator, global_denominator
from sdpo_ref.losses.dispatch import Impl, load
from sdpo_ref.losses.reference import hybrid_loss
from sdpo_ref.losses.sdft import sdft_loss
from sdpo_ref.losses.server_top_k import top_k_loss
from sdpo_ref.protocols import Policy, Teacher
from sdpo_ref.protocols.loss import SdpoTokenLosses, SupportDivergence
from sdpo_ref.protocols.parts import (
    Attempt,
    LowRankFactors,
    Message,
    StepProblem,
    StepTrace,
    TeacherContext,
)
from sdpo_ref.protocols.profile import DEFAULTS, ContextRules, Profile, resolve_profile
from sdpo_ref.protocols.top_k import ListSupport, ServerTopK, TopKBatch
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.teachers.context import demonstration_context, teacher_contexts
from sdpo_ref.teachers.low_rank import low_rank_average
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.trainers.step import run_steps
from sdpo_ref.types import DistillationBatch, Head, HiddenBatch, Support, TopKFrom


@dataclass(frozen=True)
class Losses:
    """One implementation of the loss.

    Attributes:
        name: of the implementation.
        divergence: of each token, on a support.
        sdpo_loss: behind the loss, SDFT, and a hybrid that mixes losses.
    """

    name: str
    divergence: SupportDivergence
    sdpo_loss: Callable[..., Tensor]


def _divergence(
    student_log_probs: Float[Tensor, "*batch vocab"],
    teacher_log_probs: Float[Tensor, "*batch vocab"],
    *,
    alpha: float,
    support: Support,
    top_k_from: TopKFrom,
) -> Float[Tensor, "*batch"]:
    cells = on_support(student_log_probs, teacher_log_probs, support=support, top_k_from=top_k_from)
    return generalized_jsd(*cells, alpha=alpha)


load("reference")  # while this is imported: a mutant of one of its files is loaded only so long
REFERENCE_LOSSES = Losses("reference", _divergence, partial(sdpo_loss, impl="reference"))
"""The plain implementation, as the specification states it."""


class Reference:
    """Every part of :class:`~sdpo_ref.protocols.parts.Implementation`, as one profile declares.

    Args:
        profile: name of a published variant.
        losses: which implementation of the loss its parts call.
    """

    capabilities = "all"

    def __init__(self, profile: str, *, losses: Losses = REFERENCE_LOSSES) -> None:
        self.name = f"sdpo-ref {losses.name}"
        self.profile = profile
        self._profile: Profile = resolve_profile(profile)
        self._losses = losses

    def divergence(
        self,
        student_log_probs: Float[Tensor, "*batch vocab"],
        teacher_log_probs: Float[Tensor, "*batch vocab"],
        *,
        alpha: float,
        support: Support,
    ) -> Float[Tensor, "*batch"]:
        """Divergence of each token on the cells of the support, in nats."""
        return self._losses.divergence(
            student_log_probs, teacher_log_probs, alpha=alpha, support=support, top_k_from=self._profile.top_k_from
        )

    def loss(
        self,
        batch: DistillationBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
        denominator: Denominator | None = None,
        group: ProcessGroup | None = None,
    ) -> Float[Tensor, ""]:
        """The SDPO loss under the profile's aggregation; in a group, this process's share of the joined batch's."""
        if group is not None:
            masks = [batch.loss_mask]
            denominator = global_denominator(masks, aggregation=self._profile.aggregation, group=group)
        options: dict[str, Any] = {"alpha": alpha, "support": support, "temperature": temperature}
        return self._sdpo_loss(batch, **options, ratio_cap=ratio_cap, denominator=denominator)

    def hidden_loss(
        self,
        batch: HiddenBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
    ) -> Float[Tensor, ""]:
        """The same from hidden states and heads."""
        return self._sdpo_loss(batch, alpha=alpha, support=support, temperature=temperature, ratio_cap=ratio_cap)

    def _sdpo_loss(
        self,
        batch: DistillationBatch | HiddenBatch,
        *,
        alpha: float,
        support: Support,
        temperature: float,
        ratio_cap: float | None,
        denominator: Denominator | None = None,
    ) -> Float[Tensor, ""]:
        skips = self._profile.missing_behaviour == "skip" and batch.behaviour_log_probs is None
        return self._losses.sdpo_loss(
            batch,
            alpha=alpha,
            support=support,
            temperature=temperature,
            ratio_cap=None if skips else ratio_cap,
            aggregation=self._profile.aggregation,
            denominator=denominator,
            top_k_from=self._profile.top_k_from,
        )

    def top_k_loss(
        self,
        batch: ServerTopK,
        *,
        alpha: float,
        support: ListSupport,
        temperature: float,
        ratio_cap: float | None,
    ) -> Float[Tensor, ""]:
        """The loss on the lists of a server, once they are known to be such."""
        skips = self._profile.missing_behaviour == "skip" and batch.behaviour_log_probs is None
        return top_k_loss(
            TopKBatch.of(batch),
            alpha=alpha,
            support=support,
            temperature=temperature,
            ratio_cap=None if skips else ratio_cap,
            aggregation=self._profile.aggregation,
        )

    def hybrid_loss(
        self,
        batch: DistillationBatch,
        rewards: Float[Tensor, " rollout"],
        group_ids: Int[Tensor, " rollout"],
        *,
        reward_weight: float,
        support: Support,
    ) -> Float[Tensor, ""]:
        """Reward and self-distillation, mixed as the profile says."""
        if self._profile.hybrid == "advantage" and support.kind != "sampled_token":
            raise UnsupportedError("advantages are mixed on the sampled token only; use support 'sampled_token'")
        return hybrid_loss(
            batch,
            rewards,
            group_ids,
            reward_weight=reward_weight,
            support=support,
            mixing=self._profile.hybrid,
            group_advantage=self._profile.group_advantage,
            aggregation=self._profile.aggregation,
            distillation_loss=self._losses.sdpo_loss,
        )

    def sdft_loss(
        self, batch: DistillationBatch, *, alpha: float, support: Support, skip_tokens: int
    ) -> Float[Tensor, ""]:
        """The SDFT loss under the profile's aggregation."""
        return sdft_loss(
            batch,
            alpha=alpha,
            support=support,
            skip_tokens=skip_tokens,
            aggregation=self._profile.aggregation,
            distillation_loss=self._losses.sdpo_loss,
        )

    def implicit_reward(
        self,
        conditioned_logits: Float[Tensor, "rollout time vocab"],
        reference_logits: Float[Tensor, "rollout time vocab"],
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, " rollout"]:
        """How much more likely each completion is under the context, in nats."""
        return implicit_reward(conditioned_logits, reference_logits, completions, completion_mask)

    def completion_mask(
        self, completions: Int[Tensor, "rollout time"], *, end_ids: Collection[int]
    ) -> Bool[Tensor, "rollout time"]:
        """True up to and including the first end of the completion."""
        return completion_mask(completions, end_ids=frozenset(end_ids))

    def context(self, attempts: Sequence[Attempt], rules: ContextRules) -> list[TeacherContext]:
        """What the teacher reads."""
        return teacher_contexts(attempts, rules)

    def demonstration_context(self, prompt: tuple[Message, ...], demonstration: str | None) -> tuple[Message, ...]:
        """SDFT's context."""
        return demonstration_context(prompt, demonstration)

    def step(self, problem: StepProblem, *, group: ProcessGroup | None = None) -> StepTrace:
        """Every optimiser step of the problem; in a group, of the problems of all its processes."""
        return run_steps(problem, profile=self._profile, group=group)

    def trust_region(
        self,
        reference_logits: Float[Tensor, "*batch vocab"],
        student_logits: Float[Tensor, "*batch vocab"],
        *,
        mix: float,
    ) -> Float[Tensor, "*batch vocab"]:
        """The trust-region teacher's log-probabilities."""
        return trust_region_log_probs(reference_logits, student_logits, mix=mix)

    def low_rank_average(
        self, student: Sequence[LowRankFactors], *, update_rate: float
    ) -> list[Float[Tensor, "out in"]]:
        """The EMA teacher's weight changes."""
        return low_rank_average(student, update_rate=update_rate)

    def defaults(self) -> Mapping[str, object]:
        """The published defaults of the profile. Implements: TRAIN-008."""
        return DEFAULTS[self.profile]


class PaperReference(Reference):
    """The reference under the paper's profile, with the trainers that the claims are about.

    ``sdpo-ref verify`` runs them on the batched simulator, which is held equal to these to 1e-12 (SIM-160).
    """

    def __init__(self) -> None:
        super().__init__("paper")

    def trainer(
        self,
        policy: FirstOrderPolicy,
        teacher: Teacher,
        *,
        learning_rate: float,
        reference: Policy | None = None,
        kl_weight: float = 0.0,
        optimizer_steps: int = 1,
        micro_batches: int = 1,
    ) -> SdpoTrainer:
        """SDPO with Adam.

        Implements: TRAIN-011, TRAIN-012, TRAIN-013, TRAIN-014, TRAIN-015, TRAIN-016, TRAIN-018, TRAIN-019, TRAIN-020,
        TRAIN-022.
        """
        return SdpoTrainer(
            policy,
            teacher,
            torch.optim.Adam(policy.parameters(), lr=learning_rate),
            optimizer_steps=optimizer_steps,
            micro_batches=micro_batches,
            reference=reference,
            kl_weight=kl_weight,
        )

    def hybrid_trainer(
        self, policy: FirstOrderPolicy, teacher: Teacher, *, learning_rate: float, reward_weight: float, gated: bool
    ) -> HybridTrainer:
        """The hybrid with Adam. Implements: TRAIN-040, TRAIN-041."""
        optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
        return HybridTrainer(policy, teacher, optimizer, reward_weight=reward_weight, gated=gated)


def make(profile: str = "paper") -> Reference:
    """The reference implementation as a profile declares it.

    Args:
        profile: name of a published variant, see ``sdpo_ref.protocols.profile.PROFILES``.

    Returns:
        An implementation with every part; with the trainers of the claims under the paper's profile.

    Example:
        >>> make(profile="trl-sdpo").profile
        'trl-sdpo'
    """
    return PaperReference() if profile == "paper" else Reference(profile)


def chunked(profile: str = "paper") -> Reference:
    """The reference with the loss in plain torch and bounded memory, as a profile declares it.

    Args:
        profile: name of a published variant, see ``sdpo_ref.protocols.profile.PROFILES``.

    Returns:
        An implementation with every part.

    Example:
        >>> chunked().name
        'sdpo-ref chunked'
    """
    return Reference(profile, losses=_losses("chunked"))


def fused(profile: str = "paper") -> Reference:
    """The reference with the loss in Triton, as a profile declares it; needs the extra ``gpu``.

    Args:
        profile: name of a published variant, see ``sdpo_ref.protocols.profile.PROFILES``.

    Returns:
        An implementation with every part.
    """
    return Reference(profile, losses=_losses("fused", wrap=in_float32))


def hidden(profile: str = "paper", impl: Impl = "reference") -> SimpleNamespace:
    """The loss from hidden states alone, as a kernel offers it that makes no logits (LOSS-130).

    Args:
        profile: name of a published variant, see ``sdpo_ref.protocols.profile.PROFILES``.
        impl: ``reference``, ``chunked`` or ``fused``.

    Returns:
        An implementation with one part.

    Example:
        >>> hidden(impl="chunked").name
        'sdpo-ref chunked from hidden states'
    """
    whole = {"reference": make, "chunked": chunked, "fused": fused}[impl](profile)
    return SimpleNamespace(name=f"{whole.name} from hidden states", profile=profile, hidden_loss=whole.hidden_loss)


def _losses(
    impl: Impl, *, wrap: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = lambda loss: loss
) -> Losses:
    """An optimised implementation of the loss.

    It is imported here and not when it is first called: a mutant of one of its files is loaded only while this runs.
    """
    load(impl)
    token_losses, loss = (wrap(partial(each, impl=impl)) for each in (sdpo_token_losses, sdpo_loss))
    return Losses(impl, divergence_from(token_losses), loss)


def in_float32(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same loss of inputs rounded to float32 first, for an implementation that takes no float64 (CONF-003).

    Args:
        loss: of a batch of logits or of hidden states.

    Returns:
        A loss whose value is in float32, and whose gradient has the dtype of what it is given.
    """

    def rounded(batch: DistillationBatch | HiddenBatch, **options: Any) -> Tensor:
        if isinstance(batch, DistillationBatch):
            student, teacher = batch.student_logits.float(), batch.teacher_logits.float()
            return loss(replace(batch, student_logits=student, teacher_logits=teacher), **options)
        student_head = _head_in_float32(batch.student_head)
        is_shared = batch.teacher_head is batch.student_head
        teacher_head = student_head if is_shared else _head_in_float32(batch.teacher_head)
        student, teacher = batch.student_hidden.float(), batch.teacher_hidden.float()
        raised = HiddenBatch(
            student,
            student_head,
            teacher,
            teacher_head,
            batch.completions,
            batch.completion_mask,
            batch.self_distillation_mask,
            batch.behaviour_log_probs,
        )
        return loss(raised, **options)

    return rounded


def _head_in_float32(head: Head) -> Head:
    return Head(head.weight.float(), None if head.bias is None else head.bias.float())


def divergence_from(token_losses: SdpoTokenLosses) -> SupportDivergence:
    """The divergence of tokens by an implementation of the loss: log-probabilities are logits too.

    Args:
        token_losses: the losses of single tokens.

    Returns:
        A divergence whose gradient goes to the student only, and sums to zero over the vocabulary.
    """

    def divergence(
        student_log_probs: Float[Tensor, "*batch vocab"],
        teacher_log_probs: Float[Tensor, "*batch vocab"],
        *,
        alpha: float,
        support: Support,
        top_k_from: TopKFrom,
    ) -> Float[Tensor, "*batch"]:
        rows = student_log_probs.reshape(-1, 1, student_log_probs.shape[-1])
        counted = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
        batch = DistillationBatch(
            rows, teacher_log_probs.reshape(rows.shape), torch.zeros_like(counted).long(), counted, counted[:, 0]
        )
        found = token_losses(batch, alpha=alpha, support=support, top_k_from=top_k_from)
        return found.reshape(student_log_probs.shape[:-1])

    return divergence
