"""Trainers as strangers write them: some that are right in different ways, and wrong ones with one slip each.

They share no line with the trainer that is written out, nor with the known wrong ways.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody does
from torch import Tensor
from torch.optim.adam import adam
from torch.utils.checkpoint import checkpoint

from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.types import Judgement, Rollouts


class Plain:
    """Autograd and PyTorch's Adam."""

    def __init__(self, policy: FirstOrderPolicy, teacher: Any, *, learning_rate: float) -> None:
        self.policy, self.teacher, self.learning_rate = policy, teacher, learning_rate
        self.optimizer: Any = self.make_optimizer()
        self.calls = 0

    def make_optimizer(self) -> Any:
        return torch.optim.Adam(self.policy.parameters(), lr=self.learning_rate)

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        self.calls += 1
        self.optimizer.zero_grad()
        self.loss(rollouts, judgement).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def loss(self, rollouts: Rollouts, judgement: Judgement) -> Tensor:
        student, teacher, counts = self.sides(rollouts, judgement)
        return self.mean(self.tokens(student, teacher, rollouts), counts, judgement)

    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        view = self.teacher.view(rollouts, judgement)
        student = self.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        counts = self.counts(rollouts.completion_mask, view.self_distillation_mask)
        return student, torch.where(counts[..., None], view.logits.detach(), 0.0), counts

    def counts(self, mask: Tensor, usable: Tensor) -> Tensor:
        return mask & usable[:, None]

    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        del rollouts
        return F.kl_div(teacher.log_softmax(-1), student.log_softmax(-1), log_target=True, reduction="none").sum(-1)

    def mean(self, tokens: Tensor, counts: Tensor, judgement: Judgement) -> Tensor:
        del judgement
        return torch.where(counts, tokens, 0.0).sum() / counts.sum().clamp(min=1)


# Right


class ByHand(Plain):
    """The gradient in closed form, Adam in five lines, no autograd."""

    def make_optimizer(self) -> Any:
        return {"m": torch.zeros_like(self.policy.table), "v": torch.zeros_like(self.policy.table)}

    @torch.no_grad()
    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        self.calls += 1
        logits, teacher, counts = self.sides(rollouts, judgement)
        logp, logq = logits.log_softmax(-1), teacher.log_softmax(-1)
        p = logp.exp()
        kl = (p * (logp - logq)).sum(-1, keepdim=True)
        g = torch.where(counts[..., None], p * (logp - logq - kl), 0.0) / counts.sum().clamp(min=1)
        self.update(torch.zeros_like(self.policy.table).index_add_(0, rollouts.prompts.group_ids, g))

    def update(self, gradient: Tensor) -> None:
        self.optimizer["m"].mul_(0.9).add_(gradient, alpha=0.1)
        self.optimizer["v"].mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        m, v = self.optimizer["m"] / (1 - 0.9**self.calls), self.optimizer["v"] / (1 - 0.999**self.calls)
        self.policy.table.sub_(self.learning_rate * m / (v.sqrt() + 1e-8))


class InNumpy(ByHand):
    """The same with numpy, row by row."""

    @torch.no_grad()
    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        self.calls += 1
        logits, teacher, counts = (one.numpy() for one in self.sides(rollouts, judgement))
        gradient = np.zeros(tuple(self.policy.table.shape))
        for row, time in zip(*counts.nonzero(), strict=True):
            p, q = (np.exp(side[row, time] - side[row, time].max()) for side in (logits, teacher))
            p, q = p / p.sum(), q / q.sum()
            ratio = np.log(p / q)
            gradient[rollouts.prompts.group_ids[row], time] += p * (ratio - p @ ratio) / counts.sum()
        self.update(torch.from_numpy(gradient))


class RowByRow(Plain):
    """A loop over rows and tokens."""

    def loss(self, rollouts: Rollouts, judgement: Judgement) -> Tensor:
        student, teacher, counts = self.sides(rollouts, judgement)
        total, count = student.sum() * 0.0, 0
        for row in range(counts.shape[0]):
            for time in range(counts.shape[1]):
                if counts[row, time]:
                    p = student[row, time].softmax(0)
                    total = total + (p * (p.log() - teacher[row, time].log_softmax(0))).sum()
                    count += 1
        return total / max(count, 1)


class Float32(Plain):
    """The loss in float32, as training does."""

    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        return super().tokens(student.float(), teacher.float(), rollouts).double()


class Compiled(Plain):
    """The divergence through ``torch.compile``."""

    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        del rollouts
        return torch.compile(_kl, backend="aot_eager", dynamic=True)(student, teacher)


def _kl(student: Tensor, teacher: Tensor) -> Tensor:
    log_p = student.log_softmax(-1)
    return (log_p.exp() * (log_p - teacher.log_softmax(-1))).sum(-1)


class Chunked(Plain):
    """The rows in three chunks, one backward pass each."""

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        self.optimizer.zero_grad()
        student, teacher, counts = self.sides(rollouts, judgement)
        total = counts.sum().clamp(min=1)
        for rows in torch.arange(counts.shape[0]).tensor_split(3):
            part = torch.where(counts[rows], _kl(student[rows], teacher[rows]), 0.0).sum() / total
            part.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        self.optimizer.step()


class Accumulated(Plain):
    """Four micro-batches, each with its own forward pass."""

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        self.optimizer.zero_grad()
        _, teacher, counts = self.sides(rollouts, judgement)
        for rows in torch.arange(counts.shape[0]).tensor_split(4):
            part = rollouts.select(rows)
            student = self.policy.logits(part.prompts, part.completions, part.completion_mask)
            loss = _kl(student, teacher[rows])[counts[rows]].sum() / counts.sum().clamp(min=1)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


class Vmapped(Plain):
    """One row's loss, over all rows by ``torch.vmap``."""

    def loss(self, rollouts: Rollouts, judgement: Judgement) -> Tensor:
        student, teacher, counts = self.sides(rollouts, judgement)
        rows: Tensor = torch.vmap(lambda s, t, c: (_kl(s, t) * c).sum())(student, teacher, counts)
        return rows.sum() / counts.sum().clamp(min=1)


class OtherOrder(Plain):
    """Vocabulary and rows from the end."""

    def loss(self, rollouts: Rollouts, judgement: Judgement) -> Tensor:
        student, teacher, counts = self.sides(rollouts, judgement)
        order = torch.arange(student.shape[-1] - 1, -1, -1)
        tokens = _kl(student.flip(0)[..., order], teacher.flip(0)[..., order])
        return tokens[counts.flip(0)].sum() / counts.sum().clamp(min=1)


class Flat(Plain):
    """All weights are one flat parameter of the trainer's own; the policy's are overwritten after each call."""

    def make_optimizer(self) -> Any:
        self.flat = self.policy.table.detach().clone().flatten().requires_grad_()
        return torch.optim.Adam([self.flat], lr=self.learning_rate)

    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        logits, teacher, counts = super().sides(rollouts, judgement)
        moved = self.flat.view_as(self.policy.table) - self.policy.table.detach()
        return logits.detach() + moved[rollouts.prompts.group_ids, : logits.shape[1]], teacher, counts

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        super().step(rollouts, judgement)
        self.policy.table.data.copy_(self.flat.detach().view_as(self.policy.table))


class Functional(Plain):
    """PyTorch's functional Adam, on gradients from ``torch.autograd.grad``."""

    def make_optimizer(self) -> Any:
        zeros = torch.zeros_like(self.policy.table)
        return {"m": [zeros.clone()], "v": [zeros.clone()], "step": [torch.tensor(0.0)]}

    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        gradients = torch.autograd.grad(self.loss(rollouts, judgement), [self.policy.table])
        with torch.no_grad():
            adam(
                [self.policy.table],
                list(gradients),
                self.optimizer["m"],
                self.optimizer["v"],
                [],
                self.optimizer["step"],
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.learning_rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )


class Sparse(ByHand):
    """Only the logits that were visited are touched by the gradient, as a sparse tensor, and put into ``grad``."""

    def make_optimizer(self) -> Any:
        return torch.optim.Adam(self.policy.parameters(), lr=self.learning_rate)

    def update(self, gradient: Tensor) -> None:
        self.policy.table.grad = gradient.to_sparse().coalesce().to_dense()
        self.optimizer.step()


class Checkpointed(Plain):
    """The divergence is computed again in the backward pass."""

    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        del rollouts
        found: Tensor = checkpoint(_kl, student, teacher, use_reentrant=False)
        return found


class Fused(Plain):
    """PyTorch's fused AdamW without decay."""

    def make_optimizer(self) -> Any:
        return torch.optim.AdamW(self.policy.parameters(), lr=self.learning_rate, weight_decay=0.0, fused=True)


class AnotherEpsilon(Plain):
    """The epsilon of many published configurations."""

    def make_optimizer(self) -> Any:
        return torch.optim.Adam(self.policy.parameters(), lr=self.learning_rate, eps=1e-5)


RIGHT: tuple[type[Plain], ...] = (
    Plain,
    ByHand,
    InNumpy,
    RowByRow,
    Float32,
    Compiled,
    Chunked,
    Accumulated,
    Vmapped,
    OtherOrder,
    Flat,
    Functional,
    Sparse,
    Checkpointed,
    Fused,
    AnotherEpsilon,
)


# Wrong: each with the number of the known wrong way that it must be called

WRONG: dict[str, type[Plain]] = {}


def _is(id_: str) -> Callable[[type[Plain]], type[Plain]]:
    def enter(trainer: type[Plain]) -> type[Plain]:
        WRONG[id_] = trainer
        return trainer

    return enter


@_is("M501")
class RewardWeighted(Plain):
    def mean(self, tokens: Tensor, counts: Tensor, judgement: Judgement) -> Tensor:
        return (torch.where(counts, tokens, 0.0) * judgement.rewards[:, None]).sum() / counts.sum()


@_is("M502")
class LateTeacher(Plain):
    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        import copy

        now = copy.deepcopy(self.policy.state_dict())
        self.past = getattr(self, "past", now)
        self.present = now
        super().step(rollouts, judgement)
        self.past = now

    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        self.policy.load_state_dict(self.past)
        _, teacher, counts = super().sides(rollouts, judgement)
        self.policy.load_state_dict(self.present)
        student = self.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        return student, teacher, counts


@_is("M504")
class HalfUnused(Plain):
    def counts(self, mask: Tensor, usable: Tensor) -> Tensor:
        keep = torch.zeros_like(usable)
        keep[::2] = True
        return mask & (usable & keep)[:, None]


class Stronger(Plain):
    factor = 3.0

    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        student, teacher, counts = super().sides(rollouts, judgement)
        mixed = torch.lerp(student.detach(), teacher, self.factor)
        return student, mixed, counts


@_is("M505")
class ThreeTimes(Stronger):
    factor = 3.0


@_is("M506")
class AFifth(Stronger):
    factor = 1.2


@_is("M507")
class AThird(Stronger):
    factor = 0.3


@_is("M508")
class VocabularyMean(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        del rollouts
        return F.kl_div(teacher.log_softmax(-1), student.log_softmax(-1), log_target=True, reduction="none").mean(-1)


@_is("M509")
class Summed(Plain):
    def mean(self, tokens: Tensor, counts: Tensor, judgement: Judgement) -> Tensor:
        del judgement
        return tokens[counts].sum()


@_is("M510")
class Jsd(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        del rollouts
        p, q = student.softmax(-1), teacher.softmax(-1)
        m = (p + q) / 2
        return 0.5 * ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1))


@_is("M511")
class ForwardKl(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        del rollouts
        return F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none").sum(-1)


def _picked(student: Tensor, teacher: Tensor, rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    ids = rollouts.completions.clamp(0, student.shape[-1] - 1)[..., None]
    return student.log_softmax(-1).gather(-1, ids)[..., 0], teacher.log_softmax(-1).gather(-1, ids)[..., 0]


@_is("M512")
class SampledToken(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        log_p, log_q = _picked(student, teacher, rollouts)
        return (log_p - log_q).detach() * log_p


@_is("M513")
class K3(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        log_p, log_q = _picked(student, teacher, rollouts)
        return (log_q - log_p).exp() - (log_q - log_p) - 1


@_is("M514")
class K1(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        log_p, log_q = _picked(student, teacher, rollouts)
        return log_p - log_q


@_is("M515")
class WithPadding(Plain):
    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        view = self.teacher.view(rollouts, judgement)
        student = self.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        rows = view.self_distillation_mask[:, None].expand(rollouts.completions.shape)
        return student, view.logits, rows


@_is("M516")
class WithUnusableRows(Plain):
    def counts(self, mask: Tensor, usable: Tensor) -> Tensor:
        return mask

    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        student, _, counts = super().sides(rollouts, judgement)
        return student, self.teacher.view(rollouts, judgement).logits, counts


@_is("M518")
class Neighbours(Plain):
    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        student, teacher, counts = super().sides(rollouts, judgement)
        size = int((rollouts.prompts.group_ids == 0).sum())
        tilt = teacher - student.detach()
        return student, student.detach() + torch.cat([tilt[-size:], tilt[:-size]]), counts


@_is("M520")
class Tempered(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        return super().tokens(student / 2.0, teacher / 2.0, rollouts)


@_is("M521")
class NeverCleared(Plain):
    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        self.loss(rollouts, judgement).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


@_is("M522")
class Twice(Plain):
    def step(self, rollouts: Rollouts, judgement: Judgement) -> None:
        for _ in range(2):
            super().step(rollouts, judgement)


@_is("M523")
class LastUntrained(Plain):
    def counts(self, mask: Tensor, usable: Tensor) -> Tensor:
        following = F.pad(mask[:, 1:], (0, 1), value=False)
        return mask & following & usable[:, None]


@_is("M525")
class DefaultAdamW(Plain):
    def make_optimizer(self) -> Any:
        return torch.optim.AdamW(self.policy.parameters(), lr=self.learning_rate)


@_is("M527")
class Coupled(Plain):
    def make_optimizer(self) -> Any:
        return torch.optim.Adam(self.policy.parameters(), lr=self.learning_rate, weight_decay=0.01)


@_is("M528")
class FasterByATenth(Plain):
    def make_optimizer(self) -> Any:
        return torch.optim.Adam(self.policy.parameters(), lr=1.1 * self.learning_rate)


@_is("M531")
class AttachedTeacher(Plain):
    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        student, teacher, counts = super().sides(rollouts, judgement)
        return student, student + (teacher - student.detach()), counts


@_is("M532")
class Shifted(Plain):
    def tokens(self, student: Tensor, teacher: Tensor, rollouts: Rollouts) -> Tensor:
        return super().tokens(student, torch.cat([teacher[:, -1:], teacher[:, :-1]], 1), rollouts)


@_is("M533")
class Grpo(Plain):
    def loss(self, rollouts: Rollouts, judgement: Judgement) -> Tensor:
        student, teacher, counts = self.sides(rollouts, judgement)
        groups, rewards = rollouts.prompts.group_ids, judgement.rewards
        advantage = torch.stack(
            [(r - rewards[groups == g].mean()) / (rewards[groups == g].std(correction=0) + 1e-6)
             for r, g in zip(rewards, groups, strict=True)]
        )  # fmt: skip
        log_p, _ = _picked(student, teacher, rollouts)
        return -(advantage[:, None] * log_p)[counts].sum() / counts.sum()


@_is("M535")
class SignOfTheTilt(Plain):
    def sides(self, rollouts: Rollouts, judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
        student, teacher, counts = super().sides(rollouts, judgement)
        tilt = teacher - student.detach()
        return student, student.detach() + torch.sign(tilt - tilt.mean(-1, keepdim=True)), counts


@_is("M540")
class MeanOfMeans(Plain):
    def mean(self, tokens: Tensor, counts: Tensor, judgement: Judgement) -> Tensor:
        rows = [tokens[row][counts[row]].mean() for row in range(len(counts)) if counts[row].any()]
        return torch.stack(rows).mean()
