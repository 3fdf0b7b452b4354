"""What published codes offer, as implementations: the reference restricted to it, right and made wrong.

``python -m tests.verification.subsets NAME...`` verifies each up to level 3 and writes how it ended as JSON.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
from torch import Tensor

from sdpo_ref.bundled import REFERENCE_LOSSES
from sdpo_ref.losses.reference import sdpo_loss
from sdpo_ref.protocols.parts import StepProblem, StepTrace
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.trainers.step import run_steps
from sdpo_ref.types import DistillationBatch, HiddenBatch, Support
from sdpo_ref.verification.report import Report, RequirementResult
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.capabilities import SUPPORTS
from tests.verification.many import reports

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Subset:
    """What an implementation offers, and nothing else: every other call raises.

    Attributes:
        capabilities: that it declares.
        alphas: that exist; empty for all.
        missing: capabilities that it declares, too, and does not offer.
        hides_alphas: whether it declares all alphas, whichever exist.
    """

    capabilities: tuple[str, ...]
    alphas: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()
    hides_alphas: bool = False

    def require(self, part: str, alpha: float, support: Support) -> None:
        """Raise for a call that nobody was told to make; one that is wrong in itself is for the loss to refuse."""
        if SUPPORTS[part][support.kind] not in self.capabilities:
            raise NotImplementedError(support.kind)
        if self.alphas and 0.0 <= alpha <= 1.0 and alpha not in self.alphas and support.kind != "sampled_token":
            raise NotImplementedError(alpha)

    def implementation(self, wrong: Callable[[Loss], Loss] = lambda loss: loss) -> object:
        """The reference, restricted, and made wrong."""

        def loss(
            batch: DistillationBatch, *, alpha: float, support: Support, temperature: float, ratio_cap: float | None
        ) -> Tensor:
            self.require("loss", alpha, support)
            if temperature != 1.0 and "loss.temperature" not in self.capabilities:
                raise NotImplementedError("temperature")
            if {batch.student_logits.dtype, batch.teacher_logits.dtype} & HALF and "loss.half" not in self.capabilities:
                raise NotImplementedError("half precision")
            if ratio_cap is not None and "loss.importance" not in self.capabilities:
                raise NotImplementedError("ratio_cap")
            return wrong(sdpo_loss)(batch, alpha=alpha, support=support, temperature=temperature, ratio_cap=ratio_cap)

        def divergence(student: Tensor, teacher: Tensor, *, alpha: float, support: Support) -> Tensor:
            self.require("divergence", alpha, support)
            return wrong(REFERENCE_LOSSES.divergence)(
                student, teacher, alpha=alpha, support=support, top_k_from="student"
            )

        def step(problem: StepProblem) -> StepTrace:
            self.require("loss", problem.alpha, problem.support)
            if problem.teacher != "ema" or (problem.temperature != 1.0 and "loss.temperature" not in self.capabilities):
                raise NotImplementedError("teacher, or temperature")
            return run_steps(problem, profile=Profile())

        if any(capability.startswith("hidden_loss") for capability in self.capabilities):
            return self._from_hidden_states(wrong)
        return SimpleNamespace(
            loss=loss,
            step=step,
            divergence=divergence,
            capabilities=self.capabilities + self.missing,
            profile={"alphas": "all" if self.hides_alphas else self.alphas or "all"},
        )

    def _from_hidden_states(self, wrong: Callable[[Loss], Loss]) -> object:
        """The same where nothing is offered but a loss from hidden states."""

        def hidden_loss(
            batch: HiddenBatch, *, alpha: float, support: Support, temperature: float, ratio_cap: float | None
        ) -> Tensor:
            self.require("hidden_loss", alpha, support)
            if temperature != 1.0 or ratio_cap is not None or batch.student_hidden.dtype in HALF:
                raise NotImplementedError("temperature, ratio cap, or half precision")
            return wrong(sdpo_loss)(batch.project(), alpha=alpha, support=support)

        return SimpleNamespace(hidden_loss=hidden_loss, capabilities=self.capabilities)


HALF = {torch.bfloat16, torch.float16}
RATIOS = ("loss.importance", "loss.temperature", "loss.half")
QUICK = {
    "full vocabulary": Subset(("loss",)),
    "sampled token": Subset(("loss.sampled_token",)),
    "forward KL": Subset(("divergence", "loss"), (0.0,)),
}
OTHERS = {
    "everything": Subset((*SUPPORTS["divergence"].values(), *SUPPORTS["loss"].values(), *RATIOS)),
    "full vocabulary, both ends": Subset(("loss", *RATIOS), (0.0, 1.0)),
    "reverse KL": Subset(("loss", *RATIOS), (1.0,)),
    "one between the ends": Subset(("divergence", "loss"), (0.5,)),
    "top-k with tail, ratios": Subset(("loss.top_k_tail", *RATIOS)),
    "top-k with tail, reverse KL": Subset(("loss.top_k_tail",), (1.0,)),
    "renormalised top-k, ratios, both ends": Subset(("loss.top_k_renormalized", *RATIOS), (0.0, 1.0)),
    "sampled token, top-k": Subset(("loss.top_k_tail", "loss.sampled_token")),
    "sampled token, forward KL": Subset(("loss", "loss.sampled_token"), (0.0,)),
    "divergence, top-k with tail, forward KL": Subset(("divergence.top_k_tail",), (0.0,)),
    "divergence, both top-k": Subset(("divergence.top_k_tail", "divergence.top_k_renormalized")),
    "step, reverse KL": Subset(("loss", "step"), (1.0,)),
    "step, top-k with tail": Subset(("loss.top_k_tail", "step")),
    "step, sampled token": Subset(("loss.sampled_token", "step")),
    "hidden states": Subset(("hidden_loss",)),
    "hidden states, top-k with tail": Subset(("hidden_loss.top_k_tail",)),
}


def zero(loss: Loss) -> Loss:
    """Always zero, attached to the graph."""

    def wrong(first: DistillationBatch | Tensor, *others: Tensor, **options: object) -> Tensor:
        loss(first, *others, **options)  # what is refused is refused
        if isinstance(first, Tensor):
            return torch.where(first.isfinite(), first, 0.0).sum(-1) * 0.0
        logits = first.student_logits
        return (torch.where(logits.isfinite(), logits, 0.0) * 0.0).sum()

    return wrong


def negated(loss: Loss) -> Loss:
    """The sign flipped."""
    return lambda *arguments, **options: -loss(*arguments, **options)


def unmasked(loss: Loss) -> Loss:
    """Every position of the loss counts; a divergence has no mask."""

    def wrong(first: DistillationBatch | Tensor, *others: Tensor, **options: object) -> Tensor:
        if isinstance(first, Tensor):
            return loss(first, *others, **options)
        everywhere = replace(
            first,
            completions=first.completions.clamp(0, first.student_logits.shape[-1] - 1),
            completion_mask=torch.ones_like(first.completion_mask),
            self_distillation_mask=torch.ones_like(first.self_distillation_mask),
        )
        return loss(everywhere, **options)

    return wrong


def doubled(loss: Loss) -> Loss:
    """Twice as much."""
    return lambda *arguments, **options: 2.0 * loss(*arguments, **options)


WRONG = (zero, negated, doubled, unmasked)
DECLARED_AND_MISSING = {
    "alphas that are not declared": Subset(("divergence", "loss", *RATIOS), (0.0, 1.0), hides_alphas=True),
    "a full vocabulary that is not there": Subset(("loss.top_k_tail", "loss.sampled_token"), missing=("loss",)),
}
SUBSETS = {**QUICK, **OTHERS, **DECLARED_AND_MISSING}


def main() -> None:
    """Verify the subsets that the command line names, each right and in every way wrong."""
    names = sys.argv[1:]
    right = reports({name: SUBSETS[name].implementation() for name in names})
    wrong = reports(
        {f"{name}, {kind.__name__}": SUBSETS[name].implementation(kind) for name in names for kind in wrong_ways(name)},
        first_failure=True,
    )
    found = {
        name: {
            "exit_code": report.verdict.exit_code,
            "sentence": report.verdict.sentence,
            "passed": report.count("MUST").passed,
            "open": [f"{it.id} {it.status} {it.reason} {it.failure}" for it in _open(report)],
        }
        for name, report in {**right, **wrong}.items()
    }
    sys.stdout.write(json.dumps(found))


def wrong_ways(name: str) -> list[Callable[[Loss], Loss]]:
    """Those that a subset can be wrong in."""
    has_masks = any(capability.startswith(("loss", "hidden_loss")) for capability in SUBSETS[name].capabilities)
    return [kind for kind in WRONG if has_masks or kind is not unmasked]


def _open(report: Report) -> list[RequirementResult]:
    return [it for it in report.requirements if it.status not in (Status.PASS, Status.NA) and it.strength == "MUST"]


if __name__ == "__main__":
    main()
