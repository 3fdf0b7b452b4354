"""A training step in the style of a script: dictionaries of weights, ``functional_call``, ``autograd.grad``."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sdpo_ref.protocols.parts import MicroBatch, StepProblem, StepTrace
from sdpo_ref.types import Prompts

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Loop:
    """Runs a problem; each field that is not at its default is a slip.

    Attributes:
        average: how the teacher follows: ``right``, ``swapped`` (rate and decay), ``each_step``, ``never`` or
            ``squared``.
        look: how far behind its token a logit is read; one is right.
        teacher_reads: ``reprompt`` or ``prompt``.
        clip: largest norm of a gradient.
        accumulate: ``whole`` or ``parts`` (mean of the means of micro-batches).
        sign: of the update.
        everyone: whether rows without a teacher are trained.
    """

    average: str = "right"
    look: int = 1
    teacher_reads: str = "reprompt"
    clip: float = float("inf")
    accumulate: str = "whole"
    sign: int = -1
    everyone: bool = False
    capabilities: frozenset[str] = frozenset({"step", "step.frozen", "step.live"})

    def step(self, problem: StepProblem) -> StepTrace:
        """All of it."""
        if problem.support.kind != "full":
            raise NotImplementedError(problem.support.kind)
        model = problem.make_model()
        ours: Weights = {name: value.detach().clone() for name, value in model.named_parameters()}
        theirs: Weights = {name: value.clone() for name, value in ours.items()}
        left, right = [_kept(ours)], [_kept(theirs)]
        for iteration in problem.iterations:
            for number, parts in enumerate(iteration):
                ours = self._moved(model, ours, theirs if problem.teacher != "live" else ours, parts, problem)
                due = self.average == "each_step" or number == len(iteration) - 1
                if problem.teacher == "ema" and due:
                    theirs = self._followed(theirs, ours, problem.update_rate)
                left.append(_kept(ours))
                right.append(_kept(ours if problem.teacher == "live" else theirs))
        return StepTrace(tuple(left), tuple(right))

    def _followed(self, theirs: Weights, ours: Weights, rate: float) -> Weights:
        if self.average == "never":
            return theirs
        rate = {"swapped": 1 - rate, "squared": rate**2}.get(self.average, rate)
        return {name: rate * ours[name] + (1 - rate) * theirs[name] for name in ours}

    def _moved(
        self, model: nn.Module, ours: Weights, theirs: Weights, parts: tuple[MicroBatch, ...], problem: StepProblem
    ) -> Weights:
        leaves = {name: value.clone().requires_grad_() for name, value in ours.items()}
        sums, counts = zip(*(self._sum(model, leaves, theirs, part, problem) for part in parts), strict=True)
        total = sum(counts)
        if self.accumulate == "parts":
            loss = torch.stack([one / max(count, 1) for one, count in zip(sums, counts, strict=True)]).mean()
        else:
            loss = torch.stack(list(sums)).sum() / max(total, 1)
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        norm = torch.stack([it.pow(2).sum() for it in gradients]).sum().sqrt()
        scale = min(1.0, self.clip / max(float(norm), 1e-12)) * self.sign * problem.learning_rate
        return {name: ours[name] + scale * it for name, it in zip(leaves, gradients, strict=True)}

    def _sum(
        self, model: nn.Module, ours: Weights, theirs: Weights, part: MicroBatch, problem: StepProblem
    ) -> tuple[Tensor, int]:
        reads = part.reprompts if self.teacher_reads == "reprompt" else part.prompts
        student = self._scores(model, ours, part.prompts, part) / problem.temperature
        with torch.no_grad():
            teacher = self._scores(model, theirs, reads, part) / problem.temperature
        p, q = student.log_softmax(-1), teacher.log_softmax(-1)
        a = problem.alpha
        if a == 0:
            each = (q.exp() * (q - p)).sum(-1)
        elif a == 1:
            each = (p.exp() * (p - q)).sum(-1)
        else:
            middle = ((1 - a) * p.exp() + a * q.exp()).log()
            each = ((1 - a) * p.exp() * (p - middle) + a * q.exp() * (q - middle)).sum(-1)
        mask = part.completion_mask if self.everyone else part.completion_mask & part.self_distillation_mask[:, None]
        return torch.where(mask, each, torch.zeros_like(each)).sum(), int(mask.sum())

    def _scores(self, model: nn.Module, weights: Weights, prompts: Prompts, part: MicroBatch) -> Tensor:
        ids = torch.cat((prompts.token_ids, part.completions), 1)
        attend = torch.cat((prompts.mask, part.completion_mask), 1).to(torch.long)
        logits: Tensor = functional_call(model, weights, (ids, attend))
        start, length = prompts.token_ids.shape[1] - self.look, part.completions.shape[1]
        return logits[:, start : start + length]


def _kept(weights: Weights) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}
