"""What an implementation may offer, one id for each part and option, and whether a requirement applies to it."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sdpo_ref.errors import UsageError
from sdpo_ref.protocols.words import nearest

CAPABILITIES: Mapping[str, str] = {
    "divergence": "per-token divergence on the full vocabulary",
    "divergence.top_k_tail": "top-k support with one bucket for the tail",
    "divergence.top_k_renormalized": "top-k support, both sides rescaled",
    "loss": "the scalar loss on the full vocabulary",
    "loss.top_k_tail": "the loss on top-k support with a tail bucket",
    "loss.top_k_renormalized": "the loss on renormalised top-k support",
    "loss.sampled_token": "the surrogate on the sampled token",
    "loss.importance": "truncated importance weights",
    "loss.temperature": "a temperature other than one",
    "loss.half": "logits in bfloat16 or float16",
    "hidden_loss": "the scalar loss from hidden states and heads, on the full vocabulary",
    "hidden_loss.top_k_tail": "the same on top-k support with a tail bucket",
    "hidden_loss.top_k_renormalized": "the same on renormalised top-k support",
    "hidden_loss.sampled_token": "the same on the sampled token",
    "hidden_loss.importance": "the same with truncated importance weights",
    "hidden_loss.temperature": "the same at a temperature other than one",
    "hidden_loss.half": "hidden states and heads in bfloat16 or float16",
    "top_k_loss": "the loss on the top k of a server, with one cell for the rest",
    "top_k_loss.renormalized": "the same without the rest, both sides rescaled",
    "top_k_loss.cross_entropy": "the same as a cross-entropy with the rescaled list",
    "top_k_loss.importance": "the same with truncated importance weights",
    "top_k_loss.temperature": "the same at a temperature other than one",
    "loss.denominator": "the loss over a given count of tokens or rows",
    "loss.processes": "the loss in a process group, as a share of the joined batch's",
    "hybrid_loss": "self-distillation mixed with the reward's policy gradient",
    "sdft_loss": "the loss of SDFT, its first tokens left out",
    "implicit_reward": "log pi(y|x,c) - log pi_k(y|x)",
    "completion_mask": "which sampled tokens count",
    "context": "what the teacher reads",
    "context.feedback": "feedback as part of what the teacher reads",
    "context.strip_thinking": "reasoning traces cut from demonstrations",
    "context.success_quantile": "success by quantile of the group, for continuous rewards",
    "context.max_length": "a limit on the length of what the teacher reads",
    "demonstration_context": "SDFT's context",
    "step": "the training step on a small model, teacher by EMA",
    "step.frozen": "the training step with a frozen teacher",
    "step.live": "the training step with the live student as teacher",
    "step.processes": "the training step in a process group",
    "step.tools": "the training step on completions in which tools wrote",
    "trust_region": "the trust-region teacher",
    "low_rank_average": "the EMA teacher of a low-rank student",
    "trainer": "SDPO's trainer, on a policy and a teacher that are given to it",
    "trainer.kl_penalty": "the same with a KL penalty to a reference policy",
    "trainer.optimizer_steps": "the same with several optimiser steps on the rollouts of one call",
    "trainer.micro_batches": "the same with each optimiser step in several backward passes",
    "trainer.tools": "the same on completions in which tools wrote",
    "hybrid_trainer": "the trainer of the hybrid, with a fixed weight or gated",
    "defaults": "the defaults of the published configuration",
}
"""Capability id to description; the text before the dot is the attribute that must be present."""


ON_DECLARATION = frozenset({"step.tools", "trainer.tools"})
"""Asked of whom declares them only, or ``"all"``: code without a declaration may never have heard of tools."""


def part_of(capability: str) -> str:
    """The attribute that offers a capability.

    Example:
        >>> part_of("loss.top_k_tail")
        'loss'
    """
    return capability.partition(".")[0]


PARTS: tuple[str, ...] = tuple(dict.fromkeys(part_of(capability) for capability in CAPABILITIES))
"""Every attribute that an implementation may have, in the order of the levels."""


KEYWORDS: Mapping[str, str] = {"loss.denominator": "denominator", "loss.processes": "group", "step.processes": "group"}
"""Capabilities that need a keyword of their part; a part whose signature does not name it does not offer them."""


SUPPORTS: Mapping[str, Mapping[str, str]] = {
    "divergence": {
        "full": "divergence",
        "top_k_tail": "divergence.top_k_tail",
        "top_k_renormalized": "divergence.top_k_renormalized",
    },
    "loss": {
        "full": "loss",
        "top_k_tail": "loss.top_k_tail",
        "top_k_renormalized": "loss.top_k_renormalized",
        "sampled_token": "loss.sampled_token",
    },
    "hidden_loss": {
        "full": "hidden_loss",
        "top_k_tail": "hidden_loss.top_k_tail",
        "top_k_renormalized": "hidden_loss.top_k_renormalized",
        "sampled_token": "hidden_loss.sampled_token",
    },
    "top_k_loss": {
        "top_k_tail": "top_k_loss",
        "top_k_renormalized": "top_k_loss.renormalized",
        "cross_entropy": "top_k_loss.cross_entropy",
    },
}
"""Parts that are offered on one support or on several: support to the capability that declares it."""

FORMS: Mapping[str, str] = {"loss": "hidden_loss"}
"""A part to its other form. Where that alone is declared, what needs the part is asked of the form (LOSS-130)."""


def through_form(declared: Collection[str]) -> frozenset[str]:
    """The capabilities on which a part is asked through its other form, named as those of the part itself.

    Example:
        >>> sorted(through_form({"step", "hidden_loss", "hidden_loss.half"}))
        ['loss', 'loss.half']
    """
    return frozenset(
        part + capability.removeprefix(form)
        for part, form in FORMS.items()
        for capability in declared
        if part_of(capability) == form
    )


def is_through_form(declared: Collection[str]) -> bool:
    """Whether the loss is declared in its other form alone.

    Example:
        >>> is_through_form({"hidden_loss"}), is_through_form({"hidden_loss", "loss.sampled_token"})
        (True, False)
    """
    return {*map(part_of, declared)} & {*FORMS, *FORMS.values()} == {*FORMS.values()}


def is_declared(need: str, declared: Collection[str]) -> bool:
    """Whether what a requirement needs is declared; a part with several supports is, if one of them is.

    The loss is declared as well, if it is so in its other form alone.

    Example:
        >>> is_declared("loss", {"loss.sampled_token"}), is_declared("loss.sampled_token", {"loss"})
        (True, False)
        >>> is_declared("loss", {"hidden_loss"}), is_declared("loss.half", {"loss", "hidden_loss.half"})
        (True, False)
    """
    if is_through_form(declared):
        declared = {*declared, *through_form(declared)}
    return need in declared or any(other in declared for other in SUPPORTS.get(need, {}).values())


def has_part(implementation: object, part: str) -> bool:
    """Whether there is something callable under the name of a part; one that raises when it is looked up is none."""
    try:
        return callable(getattr(implementation, part, None))
    except Exception:  # noqa: BLE001 - a property that is not ours
        return False


def takes_keyword(implementation: object, capability: str) -> bool:
    """Whether the signature of a capability's part names the keyword that it needs; True if it needs none."""
    keyword = KEYWORDS.get(capability)
    if keyword is None:
        return True
    try:
        return keyword in inspect.signature(getattr(implementation, part_of(capability))).parameters
    except Exception:  # noqa: BLE001 - a callable that is not ours, or none
        return False


def declaration(implementation: object, name: str) -> Any:
    """What an implementation declares under a name; ``None`` if it declares nothing.

    A ``__getattr__`` that raises something else than AttributeError declares nothing; a property that raises does so.
    """
    try:
        return getattr(implementation, name, None)
    except Exception:
        if inspect.getattr_static(implementation, name, None) is None:
            return None
        raise


def declared_capabilities(implementation: object) -> frozenset[str]:
    """The capabilities that an implementation declares, where ``"all"`` is all that its parts could offer.

    Without a declaration it is these as well, tools excepted (:data:`ON_DECLARATION`).

    Raises:
        UsageError: if a declared capability is unknown, or if there is no part at all.
    """
    present = frozenset(part for part in PARTS if has_part(implementation, part))
    offered = frozenset(it for it in CAPABILITIES if part_of(it) in present and takes_keyword(implementation, it))
    declared: Collection[str] | None = declaration(implementation, "capabilities")
    if declared is None:
        declared = offered - ON_DECLARATION
    elif declared == "all":
        declared = offered
    unknown = sorted(set(declared) - set(CAPABILITIES))
    if unknown:
        allowed = f"{', '.join(CAPABILITIES)}, or the word 'all' in place of a list"
        raise UsageError(f"unknown capabilities {unknown}; allowed are {allowed}{nearest(unknown[0], CAPABILITIES)}")
    if not present and not declared:
        raise UsageError(
            f"the implementation has none of the parts {', '.join(PARTS)}; give it at least one, "
            "for instance a function `divergence(student_log_probs, teacher_log_probs, *, alpha, support)`"
        )
    return frozenset(declared)


NOT_OFFERED = "not offered: "
"""How the reason of a status N/A begins, if it is about capabilities and not about the profile."""


def not_declared(needs: Iterable[str], declared: Collection[str]) -> tuple[str, ...]:
    """Needed capabilities that are not declared; only the part itself, where the whole part is missing.

    Example:
        >>> not_declared(["loss", "loss.temperature"], {"divergence"})
        ('loss',)
        >>> not_declared(["loss", "loss.temperature"], {"loss.sampled_token"})
        ('loss.temperature',)
    """
    missing = (need for need in needs if not is_declared(need, declared))
    return tuple(dict.fromkeys(need if is_declared(part_of(need), declared) else part_of(need) for need in missing))


def not_offered(missing: Iterable[str]) -> str:
    """The reason of a status N/A."""
    return f"{NOT_OFFERED}{', '.join(missing)}"
