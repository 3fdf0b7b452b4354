"""The published world as objects behind the protocols, for a trainer or a teacher from outside (spec/09, K).

Data flows one way, step by step: the policy's table -> rollouts -> the evaluator's judgement -> the trainer, which asks
the teacher and moves the table. Random numbers and measurements are those of :mod:`sdpo_ref.published.run`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sdpo_ref.errors import DivergedError, InvalidInputError
from sdpo_ref.protocols import Policy, Teacher, Trainer
from sdpo_ref.published.batch import Batch, Draws
from sdpo_ref.published.gradients import sdpo_gradient
from sdpo_ref.published.metrics import credit, distinctness, entropy
from sdpo_ref.published.run import Measured, Trained, measured, sample
from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.published.step import given_feedback, hints_of, ratings, tilts
from sdpo_ref.simulation.third_party import made_by, made_by_implementation
from sdpo_ref.teachers.weights import LiveTeacher
from sdpo_ref.types import Feedback, Judgement, Prompts, Rollouts, StepReport, TeacherView


class TablePolicy(nn.Module):
    r"""The published student: a free logit for every position and token, which starts at zero.

    .. math::
        \ell_t(v \mid x, y_{<t}) = \theta_{tv}

    There is one prompt, and completions never end early. Implements :class:`~sdpo_ref.protocols.Policy`.
    Implements: PUB-001, PUB-045.

    Args:
        time: T.
        vocab: V.

    Attributes:
        table: :math:`\theta`, ``[time, vocab]``; all that is learned.

    Example:
        >>> TablePolicy(2, 3).weights()["table"].shape
        torch.Size([2, 3])
    """

    def __init__(self, time: int, vocab: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(time, vocab, dtype=torch.float64))

    def logits(
        self,
        prompts: Prompts,
        completions: Int[Tensor, "rollout time"],
        completion_mask: Bool[Tensor, "rollout time"],
    ) -> Float[Tensor, "rollout time vocab"]:
        """Scores for each completion token: the table, whatever the prompt and the tokens before.

        Args:
            prompts: not read.
            completions: give the number of rollouts.
            completion_mask: not read; all tokens count.

        Returns:
            Logits aligned to the completion tokens. Gradient flows into the table.

        Raises:
            InvalidInputError: if completions have another length than the table.
        """
        del prompts, completion_mask
        self._refuse_other_length(completions.shape[-1])
        return self.table.expand(completions.shape[0], -1, -1)

    def sample(self, prompts: Prompts, *, num_tokens: int, generator: torch.Generator) -> Rollouts:
        """One completion of T tokens for each prompt.

        Args:
            prompts: give the number of rollouts.
            num_tokens: T.
            generator: source of the uniform numbers, one for each token.

        Raises:
            InvalidInputError: if ``num_tokens`` is not the table's length.
        """
        self._refuse_other_length(num_tokens)
        uniform = torch.rand(prompts.group_ids.shape[0], num_tokens, generator=generator, dtype=torch.float64)
        return self.rollouts(prompts, uniform)

    def rollouts(self, prompts: Prompts, uniform: Float[Tensor, "rollout time"]) -> Rollouts:
        """What is sampled with given uniform numbers.

        Args:
            prompts: one for each completion.
            uniform: in [0, 1).
        """
        with torch.no_grad():
            tokens = sample(self.probabilities()[None], uniform[None])[0]
            chosen = self.table.log_softmax(-1).expand(tokens.shape[0], -1, -1).gather(-1, tokens[..., None])
        return Rollouts(prompts, tokens, torch.ones_like(tokens, dtype=torch.bool), chosen.squeeze(-1))

    def probabilities(self) -> Float[Tensor, "time vocab"]:
        """Of every token at every position; without gradient."""
        return torch.softmax(self.table.detach(), -1)

    def weights(self) -> Mapping[str, Tensor]:
        """The table, live."""
        return dict(self.named_parameters())

    def _refuse_other_length(self, received: int) -> None:
        if received != self.table.shape[0]:
            raise InvalidInputError(
                f"received completions of {received} tokens; allowed are {self.table.shape[0]}, as many as this "
                "policy's table has positions; take the rollouts of its own world"
            )


@dataclass(frozen=True)
class Evaluator:
    """The published evaluator in one step; implements :class:`~sdpo_ref.protocols.Oracle`.

    The reward is the rating. The feedback is what a teacher is given, the control's in place of the rollout's own where
    there is one: its first number is f, and a critique's hint at each token follows.
    Implements: PUB-045, PUB-046.

    Attributes:
        batch: the one run.
        noise: of the step's ratings, standard normal.
        hints: errors of the step's hints, standard normal.
    """

    batch: Batch
    noise: Float[Tensor, "run rollout"]
    hints: Float[Tensor, "run rollout time"]

    def judge(self, rollouts: Rollouts, *, generator: torch.Generator) -> Judgement:
        """Rewards and feedback.

        Args:
            rollouts: all of the step.
            generator: not used: the step's random numbers are given, so that they are those of a batch.
        """
        del generator
        tokens = rollouts.completions[None]
        rewards = self.batch.world.reward(tokens)
        rated = ratings(self.batch, tokens, rewards, self.noise)
        given = given_feedback(self.batch, rated, rewards)[0]
        hints = hints_of(self.batch, tokens, self.hints)
        parts = [given[:, None]] if hints is None else [given[:, None], hints[0]]
        numbers: list[list[float]] = torch.cat(parts, -1).tolist()
        return Judgement(rated[0], tuple(Feedback(_words(row), tuple(row)) for row in numbers))


def _words(numbers: list[float]) -> str:
    overall, *hints = numbers
    return " ".join((f"Overall: {overall:.2f}.", *(f"Token {at}: {hint:+.2f}." for at, hint in enumerate(hints, 1))))


@dataclass(frozen=True)
class Tilted:
    r"""A policy that has read the feedback: its logits plus the published tilt, :math:`\beta f_i\, q(t, v)`.

    It is told the truth, as far as the control lets it. Implements
    :class:`~sdpo_ref.teachers.weights.Conditioning`.
    Implements: PUB-010, PUB-011, PUB-042, PUB-043, PUB-045.

    Attributes:
        batch: the one run.
    """

    batch: Batch

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """Scores of the policy once it has read the feedback; without gradient.

        Args:
            policy: whose logits are tilted.
            rollouts: all of a step, or some.
            judgement: on them; its rewards are not read.

        Returns:
            Logits for every completion token; rows without feedback are not usable and have no tilt.

        Raises:
            InvalidInputError: if the feedback has another number of ratings than the evaluator's.
        """
        tokens = rollouts.completions[None]
        feedback, hints = self._numbers(judgement, tokens.shape[-1])
        with torch.no_grad():
            logits = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
        added = tilts(self.batch, tokens, feedback, hints)[0]
        return TeacherView(logits + added, torch.tensor([one is not None for one in judgement.feedback]))

    def _numbers(
        self, judgement: Judgement, time: int
    ) -> tuple[Float[Tensor, "run rollout"], Float[Tensor, "run rollout time"] | None]:
        critique = self.batch.settings[0].feedback == "critique"
        count = 1 + time if critique else 1
        rows = [(0.0,) * count if one is None else one.ratings for one in judgement.feedback]
        if any(len(row) != count for row in rows):
            raise InvalidInputError(
                f"received feedback with {sorted({len(row) for row in rows})} ratings; allowed are {count}: give the "
                "teacher the evaluator's own feedback"
            )
        numbers = torch.tensor(rows, dtype=torch.float64).reshape(1, len(rows), count)
        return numbers[..., 0], numbers[..., 1:] if critique else None


class PublishedSdpo:
    """The published SDPO as a trainer: plain gradient descent on the table, with the pull towards the start.

    Implements :class:`~sdpo_ref.protocols.Trainer`.
    Implements: PUB-012, PUB-013, PUB-017.

    Args:
        policy: the student.
        teacher: whose probabilities it moves to.
        batch: the one run: its learning rate and its pull.
    """

    def __init__(self, policy: TablePolicy, teacher: Teacher, batch: Batch) -> None:
        self._policy, self._teacher, self._batch = policy, teacher, batch

    @property
    def policy(self) -> TablePolicy:
        """The student."""
        return self._policy

    def step(self, rollouts: Rollouts, judgement: Judgement) -> StepReport:
        """One step of gradient descent; rows that the teacher cannot use teach nothing."""
        view = self._teacher.view(rollouts, judgement)
        student = self._policy.probabilities()
        taught = torch.where(view.self_distillation_mask[:, None, None], view.logits.softmax(-1), student)
        start = torch.full_like(student, 1 / student.shape[-1])
        gradient = sdpo_gradient(student[None], taught[None], start[None], self._batch.numbers("pull"))[0]
        with torch.no_grad():
            self._policy.table.sub_(self._batch.numbers("learning_rate") * gradient)
        self._teacher.update(self._policy)
        divergence = (torch.xlogy(taught, taught) - torch.xlogy(taught, student)).sum((-1, -2)).mean()
        return StepReport(float(divergence), optimizer_steps=1, teacher_updates=1, metrics={})


def run_alone(settings: PublishedSettings, seed: int) -> Measured:
    """Train and measure one run with objects; its trainer or its teacher may be from outside.

    Implements: PUB-046, PUB-047, PUB-048.

    Args:
        settings: of the run; its method is ``sdpo``.
        seed: of the run.

    Returns:
        What is kept of it. Credit is that of the change of the table in a step, in place of the negative gradient.

    Raises:
        InvalidInputError: if the method is another, or the trainer's policy is not the one that it was given.
        LoadError: if the part from outside cannot be made.
        DivergedError: if the table is not finite any more.
    """
    if settings.method != "sdpo":
        raise InvalidInputError(f"received {settings.method}; allowed is sdpo: use run_batch for the other methods")
    batch, draws = Batch.draw([settings], [seed]), Draws.of_seeds(settings, [seed])
    trainer, prompts = _trainer(batch), _prompts(settings.rollouts)
    policy = _measurable(trainer)
    student = policy.probabilities()[None]
    done = Trained(student, entropies=[entropy(student)], distinctness=[distinctness(student)])
    for step, (uniform, noise, hints) in enumerate(zip(draws.uniform, draws.noise, draws.hints, strict=True), start=1):
        before = policy.table.detach().clone()
        rollouts = policy.rollouts(prompts, uniform[0])
        judgement = Evaluator(batch, noise, hints).judge(rollouts, generator=torch.Generator())
        trainer.step(rollouts, judgement)
        policy = _measurable(trainer)
        student = policy.probabilities()[None]
        if not bool(torch.isfinite(student).all()):
            raise DivergedError(f"the policy holds NaN after step {step}; lower the learning rate")
        done.tokens.append(rollouts.completions[None])
        done.rewards.append(batch.world.reward(rollouts.completions[None]).mean(1))
        done.credits.append(credit((policy.table.detach() - before)[None], batch.world.quality))
        done.feedbacks.append(_overall(judgement).mean(0, keepdim=True))
        done.entropies.append(entropy(student))
        done.distinctness.append(distinctness(student))
    done.student = student
    (found,) = measured(done, batch)
    return found


def _trainer(batch: Batch) -> Trainer:
    """The trainer of a run at its start: that from outside, or the published one."""
    (settings,) = batch.settings
    outside, policy, conditioning = settings.outside, TablePolicy(settings.time, settings.vocab), Tilted(batch)
    teacher: Teacher = LiveTeacher(policy, conditioning)
    if outside.teacher is not None:
        teacher = made_by(outside.teacher, Teacher, policy, conditioning)  # type: ignore[type-abstract]
    given, rate = (policy, teacher), settings.learning_rate
    if outside.trainer is not None:
        return made_by(outside.trainer, Trainer, *given, learning_rate=rate)  # type: ignore[type-abstract]
    if outside.implementation is not None:
        return made_by_implementation(outside.implementation, "trainer", Trainer, *given, learning_rate=rate)  # type: ignore[type-abstract]
    return PublishedSdpo(policy, teacher, batch)


def _prompts(rollouts: int) -> Prompts:
    """The one prompt of this world, once for each rollout."""
    ids = torch.zeros(rollouts, dtype=torch.long)
    return Prompts(ids[:, None], torch.ones_like(ids[:, None], dtype=torch.bool), ids)


def _overall(judgement: Judgement) -> Float[Tensor, " rollout"]:
    return torch.tensor([one.ratings[0] for one in judgement.feedback if one is not None], dtype=torch.float64)


def _measurable(trainer: Trainer) -> TablePolicy:
    policy = trainer.policy
    if not isinstance(policy, TablePolicy):
        raise InvalidInputError(
            f"the trainer's policy is a {type(policy).__name__}; exact measurements need the TablePolicy that its "
            "factory was given"
        )
    return policy
