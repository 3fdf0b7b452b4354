"""What is declared is there, and what is there is declared (spec/08-conformance)."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import torch

from sdpo_ref.protocols.parts import StepProblem
from sdpo_ref.protocols.top_k import LIST_SUPPORTS, ListSupport
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Support
from sdpo_ref.verification.checks.attempts import group_of, note, prompt, rules_of
from sdpo_ref.verification.checks.comparison import assert_that
from sdpo_ref.verification.checks.first_steps import Ragged, first_steps
from sdpo_ref.verification.checks.inputs import every_row, lists_of, on_policy, random_batch
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError, NotAskedError, NotOfferedError
from sdpo_ref.verification.checks.problems import TOOLS, VOCAB, problem_on, small_world, with_tools
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.suite.capabilities import CAPABILITIES, ON_DECLARATION, SUPPORTS, not_offered

TAIL, RENORMALIZED = Support("top_k_tail", 2), Support("top_k_renormalized", 2)


def _divergence(subject: Subject, support: Support) -> object:
    rows = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2]], dtype=torch.float64).log()
    return subject.divergence(rows, rows.flip(0), **subject.offered.on("divergence", support).options)


def _loss(
    subject: Subject, support: Support | None = None, temperature: float = 1.0, ratio_cap: float | None = None
) -> object:
    batch = random_batch(1)
    batch = batch if ratio_cap else on_policy(batch)
    setting = (
        subject.offered.one("loss", near=1.0, vocab=11) if support is None else subject.offered.on("loss", support)
    )
    return subject.loss(batch, **setting.options, temperature=temperature, ratio_cap=ratio_cap)


def _top_k_loss(
    subject: Subject, support: ListSupport | None = None, temperature: float = 1.0, ratio_cap: float | None = None
) -> object:
    declared = [kind for kind in LIST_SUPPORTS if subject.offers(SUPPORTS["top_k_loss"][kind])] or ["top_k_tail"]
    support = support or declared[0]
    exist = (1.0, 0.0) if subject.profile.alphas == "all" else subject.profile.alphas
    alpha = 0.0 if support == "cross_entropy" else max(exist)
    given = lists_of(random_batch(1), temperature=temperature)
    return subject.top_k_loss(given, alpha=alpha, support=support, temperature=temperature, ratio_cap=ratio_cap)


def _over_a_denominator(subject: Subject) -> object:
    """A keyword that is taken and has no effect is not offered."""
    batch, on = on_policy(random_batch(1)), subject.offered.one("loss", near=1.0, vocab=11)
    seven, fourteen = (subject.loss(batch, **on.options, denominator=it).student for it in (7.0, 14.0))
    if torch.equal(seven, fourteen):
        raise NotOfferedError("loss", "another denominator gives the same loss")
    return seven


def _problem(subject: Subject, **options: Any) -> StepProblem:
    return problem_on(subject.offered.one("step", near=0.0, vocab=VOCAB), **options)


def _context(subject: Subject, **rules: object) -> object:
    return subject.context(group_of(0, [0.0, 1.0]), rules_of(subject.profile, **rules))


def _trained(subject: Subject, part: str, **options: float | bool) -> object:
    small = small_world()
    near = {"reference": small.base} if "kl_weight" in options else {}
    return subject.trained(part, small, learning_rate=0.1, **near, **options)


PROBES: dict[str, Callable[[Subject], object]] = {
    "divergence": lambda it: _divergence(it, FULL),
    "divergence.top_k_tail": lambda it: _divergence(it, TAIL),
    "divergence.top_k_renormalized": lambda it: _divergence(it, RENORMALIZED),
    "loss": lambda it: _loss(it, FULL),
    "loss.top_k_tail": lambda it: _loss(it, TAIL),
    "loss.top_k_renormalized": lambda it: _loss(it, RENORMALIZED),
    "loss.sampled_token": lambda it: _loss(it, SAMPLED_TOKEN),
    "loss.importance": lambda it: _loss(it, ratio_cap=2.0),
    "loss.temperature": lambda it: _loss(it, temperature=0.5),
    "loss.half": lambda it: it.loss(
        on_policy(random_batch(1, dtype=torch.bfloat16)), **it.offered.one("loss", near=1.0, vocab=11).options
    ),
    **{
        f"hidden_{name}": lambda it, name=name: PROBES[name](it.through_hidden_states())  # type: ignore[misc]
        for name in CAPABILITIES
        if f"hidden_{name}" in CAPABILITIES
    },
    "top_k_loss": lambda it: _top_k_loss(it, "top_k_tail"),
    "top_k_loss.renormalized": lambda it: _top_k_loss(it, "top_k_renormalized"),
    "top_k_loss.cross_entropy": lambda it: _top_k_loss(it, "cross_entropy"),
    "top_k_loss.importance": lambda it: _top_k_loss(it, ratio_cap=2.0),
    "top_k_loss.temperature": lambda it: _top_k_loss(it, temperature=0.5),
    "loss.denominator": _over_a_denominator,
    "loss.processes": lambda it: it.require_keyword("loss.processes"),
    "hybrid_loss": lambda it: it.hybrid_loss(
        on_policy(random_batch(1)), torch.rand(4), torch.zeros(4).long(), reward_weight=0.5, support=SAMPLED_TOKEN
    ),
    "sdft_loss": lambda it: it.sdft_loss(
        every_row(random_batch(1)), **it.offered.one("sdft_loss", near=0.0, vocab=11).options, skip_tokens=1
    ),
    "implicit_reward": lambda it: it.implicit_reward(
        random_batch(1).teacher_logits,
        random_batch(1).student_logits,
        random_batch(1).completions,
        random_batch(1).completion_mask,
    ),
    "completion_mask": lambda it: it.completion_mask(torch.tensor([[3, 2]]), end_ids={2}),
    "context": _context,
    "context.feedback": lambda it: it.context(group_of(0, [0.0], [note(0, 0)]), rules_of(it.profile)),
    "context.strip_thinking": lambda it: _context(it, strip_thinking=True),
    "context.success_quantile": lambda it: _context(it, success_threshold=float("-inf"), success_quantile=0.5),
    "context.max_length": lambda it: _context(it, max_length=10_000),
    "demonstration_context": lambda it: it.demonstration_context(prompt(0), "shown"),
    "step": lambda it: it.step(_problem(it)),
    "step.frozen": lambda it: it.step(_problem(it, teacher="frozen")),
    "step.live": lambda it: it.step(_problem(it, teacher="live")),
    "step.processes": lambda it: it.require_keyword("step.processes"),
    "step.tools": lambda it: it.step(with_tools(_problem(it), TOOLS[:2])),
    "trust_region": lambda it: it.trust_region(torch.zeros(1, 3), torch.ones(1, 3), mix=0.5),
    "low_rank_average": lambda it: it.low_rank_average(
        [(torch.ones(2, 1), torch.ones(1, 2)), (torch.ones(2, 1), torch.ones(1, 2))], update_rate=0.5
    ),
    "trainer": lambda it: _trained(it, "trainer"),
    "trainer.kl_penalty": lambda it: _trained(it, "trainer", kl_weight=0.1),
    "trainer.optimizer_steps": lambda it: _trained(it, "trainer", optimizer_steps=2),
    "trainer.micro_batches": lambda it: _trained(it, "trainer", micro_batches=2),
    "trainer.tools": lambda it: first_steps(it.trainer(), Ragged(tools=True), calls=1),
    "hybrid_trainer": lambda it: _trained(it, "hybrid_trainer", reward_weight=0.5, gated=True),
    "defaults": lambda it: it.defaults(),
}
"""The simplest call for each capability; in a process group there is none, and the keyword must be there."""


@pytest.mark.requirement("CONF-001")
@pytest.mark.parametrize("capability", [pytest.param(it, marks=pytest.mark.needs(it), id=it) for it in CAPABILITIES])
def test_declared_is_offered(subject: Subject, capability: str) -> None:
    """A declared capability answers the simplest call with something that can be compared."""
    if capability not in subject.declared:  # it applies on one support of a part, and this is another
        raise NotAskedError(not_offered([capability]))
    try:
        PROBES[capability](subject)
    except NotOfferedError as refusal:
        assert_that(
            condition=False,
            expected=f"capability {capability!r} ({CAPABILITIES[capability]}), which is declared",
            got=f"NotImplementedError: {refusal.summary}",
            given={"remedy": "offer it, or take it out of `capabilities`"},
        )


@pytest.mark.requirement("CONF-001")
@pytest.mark.parametrize("part", ["divergence", "loss"])
def test_declared_alphas_are_offered(subject: Subject, part: str) -> None:
    """A part that answers at some alpha answers at every alpha of the profile; without a declaration, from 0 to 1."""
    alphas = subject.offered.alphas(part)
    answered = [alpha for alpha, answers in alphas.items() if answers]
    if not answered:
        raise NotAskedError(f"{part} is not offered, or answers at no alpha")
    assert_that(
        len(answered) == len(alphas),
        f"an answer of {part} at every alpha of the profile, such as {list(alphas)}",
        f"answers at {answered} only",
        {"remedy": f"declare which alphas exist: profile = {{'alphas': {answered}}}"},
    )


@pytest.mark.requirement("CONF-002")
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_offered_is_declared(subject: Subject, not_applicable: Callable[[str], NoReturn], capability: str) -> None:
    """A capability that answers is declared; an answer about tools alone shows nothing."""
    if capability in subject.declared or not subject.has_part(capability) or capability in ON_DECLARATION:
        not_applicable("none of its parts offers what it does not declare")
    try:
        PROBES[capability](subject)
    except (NotOfferedError, ImplementationRaisedError):
        return
    assert_that(
        condition=False,
        expected=f"capability {capability!r} declared, since it works",
        got="it is not declared, so its requirements are not checked",
    )


@pytest.mark.requirement("CONF-003")
def test_precision(subject: Subject) -> None:
    """Float64 in, float64 computed, float64 out."""
    if subject.declared_precision == "float32":
        assert_that(condition=False, expected="float64 throughout", got="float32 is declared: all tolerances follow it")
    parts: dict[str, list[str]] = {}
    for asked, dtype in subject.coarse.items():
        parts.setdefault(f"{str(dtype).removeprefix('torch.')} in {asked.part}", []).append(asked.options)
    few = 4
    found = ", ".join(
        f"{part} ({', '.join(options)})" if any(options) and len(options) < few else part
        for part, options in parts.items()
    )
    assert_that(
        not subject.coarse,
        "answers in float64 to float64 inputs, and another answer where a logit has moved by 1e-12",
        f"{found}: each is held to the tolerance of that precision",
    )
