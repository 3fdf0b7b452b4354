"""Trainers and teachers of the library on a transformers model, unchanged; a step against a gradient by hand."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.protocols import Policy, Teacher, Trainer
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.teachers.chat import ChatRollouts
from sdpo_ref.teachers.weights import EmaTeacher, FrozenTeacher, LiveTeacher, TrustRegionTeacher
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import FULL, Feedback, Judgement
from tests.lm.models import llama, tokenizer

pytestmark = pytest.mark.lm

FEEDBACK = ContextRules(use_demonstrations=False, feedback_when="always")
BEST = ContextRules(success_threshold=-math.inf, success_quantile=0.5, own_success="exclude", use_feedback=False)
CRITICISM = (Feedback("Say red."), None, Feedback("Use fewer words."), Feedback("Say red."))
JUDGEMENT = Judgement(torch.tensor([0.1, 0.9, 0.4, 0.2], dtype=torch.float64), CRITICISM)


def student_and_rollouts() -> tuple[TransformersPolicy, ChatRollouts]:
    """Two completions of each of two questions of unequal length, in float64."""
    student = TransformersPolicy(llama().double(), tokenizer())
    prompts = student.prompts(["Hi", "Say a colour."], group_size=2)
    rollouts = student.sample(prompts, num_tokens=8, generator=torch.Generator().manual_seed(3))
    assert isinstance(rollouts, ChatRollouts)
    return student, rollouts


def descent(student: TransformersPolicy, rate: float = 1.0) -> torch.optim.Optimizer:
    """Plain gradient descent: the update is the gradient."""
    return torch.optim.SGD(student.model.parameters(), lr=rate)


def weights(student: TransformersPolicy) -> dict[str, Tensor]:
    """Copies."""
    return {name: weight.detach().clone() for name, weight in student.weights().items()}


def text(name: str) -> str:
    """The teacher's message on a question, as the default template words it; by hand."""
    asked, said = name.split("|")
    return (
        f"<user>{asked}\n\nWhat was said about an earlier attempt:\n{said}\n\n"
        "Now answer the question at the top.<end><assistant>"
    )


def test_the_teacher_reads_the_attempts_own_feedback_through_the_template() -> None:
    """Rows without feedback read their own prompt and do not count (ORACLE-002, TEACH-005, TEACH-006)."""
    student, rollouts = student_and_rollouts()
    prompts, usable = student.reprompter(FEEDBACK).reprompts(rollouts, JUDGEMENT)
    read = [tokenizer().decode(ids[mask]) for ids, mask in zip(prompts.token_ids, prompts.mask, strict=True)]
    asked = [text("Hi|Say red."), "<user>Hi<end><assistant>"]
    assert read == [*asked, text("Say a colour.|Use fewer words."), text("Say a colour.|Say red.")]
    assert usable.tolist() == [True, False, True, True]
    shown, usable = student.reprompter(BEST).reprompts(rollouts, JUDGEMENT)
    assert usable.tolist() == [True, False, False, True]
    assert student.texts(rollouts)[1] in tokenizer().decode(shown.token_ids[0])
    assert student.texts(rollouts)[2] in tokenizer().decode(shown.token_ids[3])


def test_one_step_is_the_gradient_by_hand() -> None:
    r"""Derived again: no padding, no mask, no loss of ours; row by row, through the model's own forward pass.

    The gradient of :math:`\mathrm{KL}(p_S \| p_T)` by the student's logits is
    :math:`p_S (\log p_S - \log p_T - \mathrm{KL})`, over the number of tokens that count.
    """
    student, rollouts = student_and_rollouts()
    model = copy.deepcopy(student.model)
    before = weights(student)
    trainer = SdpoTrainer(student, FrozenTeacher(student, student.reprompter(FEEDBACK)), descent(student))
    report = trainer.step(rollouts, JUDGEMENT)
    contexts = {0: text("Hi|Say red."), 2: text("Say a colour.|Use fewer words."), 3: text("Say a colour.|Say red.")}
    questions = {0: "Hi", 2: "Say a colour.", 3: "Say a colour."}
    count, value = int(rollouts.completion_mask[[0, 2, 3]].sum()), 0.0
    for row, read in contexts.items():
        completion = rollouts.completions[row][rollouts.completion_mask[row]]
        scores = []
        for prompt in (f"<user>{questions[row]}<end><assistant>", read):
            ids = torch.tensor(tokenizer()(prompt)["input_ids"])
            scores.append(model(torch.cat([ids, completion])[None]).logits[0, len(ids) - 1 : -1])
        p, q = scores[0].detach().softmax(-1), scores[1].detach().softmax(-1)
        divergence = (p * (p / q).log()).sum(-1, keepdim=True)
        value += float(divergence.sum()) / count
        scores[0].backward(p * ((p / q).log() - divergence) / count)
    assert report.loss == pytest.approx(value, rel=1e-12)
    assert value > 0.01
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        moved = before[name] - student.weights()[name]
        assert (moved - weight.grad).abs().max() < 1e-12 + 1e-10 * weight.grad.abs().max(), name


def test_micro_batches_change_memory_and_not_the_update() -> None:
    """Rows of unequal length and one without feedback, in one pass, in two and in four (TRAIN-002)."""
    after = []
    for micro_batches in (1, 2, 4):
        student, rollouts = student_and_rollouts()
        teacher = FrozenTeacher(student, student.reprompter(FEEDBACK))
        SdpoTrainer(student, teacher, descent(student), micro_batches=micro_batches).step(rollouts, JUDGEMENT)
        after.append(weights(student))
    for other in after[1:]:
        assert all((other[name] - after[0][name]).abs().max() < 1e-12 for name in other)


def test_the_ema_teacher_is_the_average_by_hand() -> None:
    """(1 - rate) teacher + rate student after each step, for every weight; and its view is that model's."""
    student, rollouts = student_and_rollouts()
    expected = weights(student)
    reader = student.reprompter(FEEDBACK)
    teacher = EmaTeacher(student, reader, update_rate=0.25)
    trainer = SdpoTrainer(student, teacher, descent(student))
    for _ in range(3):
        trainer.step(rollouts, JUDGEMENT)
        expected = {name: 0.75 * weight + 0.25 * student.weights()[name] for name, weight in expected.items()}
    averaged = copy.deepcopy(student)
    with torch.no_grad():
        for name, weight in averaged.weights().items():
            weight.copy_(expected[name])
    found, by_hand = teacher.view(rollouts, JUDGEMENT), reader.view(averaged, rollouts, JUDGEMENT)
    assert (found.logits - by_hand.logits).abs().max() < 1e-11
    assert (found.logits - reader.view(student, rollouts, JUDGEMENT).logits).abs().max() > 1e-4
    assert not found.logits.requires_grad


def test_the_other_teachers() -> None:
    """Frozen stays, live follows, and the trust region lies between them in the logarithm (TEACH-024 to TEACH-026)."""
    student, rollouts = student_and_rollouts()
    reader = student.reprompter(FEEDBACK)
    initial = reader.view(student, rollouts, JUDGEMENT).logits
    live, frozen = LiveTeacher(student, reader), FrozenTeacher(student, reader)
    region = TrustRegionTeacher(student, reader, mix=0.25)
    SdpoTrainer(student, live, descent(student)).step(rollouts, JUDGEMENT)
    current = reader.view(student, rollouts, JUDGEMENT).logits
    assert (current - initial).abs().max() > 1e-3
    assert torch.equal(live.view(rollouts, JUDGEMENT).logits, current)
    assert torch.equal(frozen.view(rollouts, JUDGEMENT).logits, initial)
    mixed = 0.75 * initial.log_softmax(-1) + 0.25 * current.log_softmax(-1)
    expected = mixed - mixed.exp().sum(-1, keepdim=True).log()
    assert (region.view(rollouts, JUDGEMENT).logits - expected).abs().max() < 1e-12


Maker = Callable[[TransformersPolicy, Teacher, torch.optim.Optimizer], Trainer]
TRAINERS: dict[str, Maker] = {
    "sdpo": SdpoTrainer,
    "sdft": SdftTrainer,
    "hybrid": lambda *parts: HybridTrainer(*parts, reward_weight=0.5, mixing="loss", support=FULL),
    "gated": lambda *parts: HybridTrainer(*parts, reward_weight=0.5, mixing="loss", support=FULL, gated=True),
    "rloo": lambda student, _, optimizer: RlooTrainer(student, optimizer),
    "grpo": lambda student, _, optimizer: GrpoTrainer(student, optimizer),
    "grpo_kl": lambda student, _, optimizer: GrpoTrainer(
        student, optimizer, epochs=2, reference=copy.deepcopy(student), kl_weight=0.1
    ),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_lowers_its_loss(name: str) -> None:
    """A small step changes the weights, and the same step again starts lower; numbers stay finite."""
    student, rollouts = student_and_rollouts()
    assert isinstance(student, Policy)
    rules = BEST if name == "sdft" else FEEDBACK
    teacher = FrozenTeacher(student, student.reprompter(rules))
    trainer = TRAINERS[name](student, teacher, descent(student, 0.02))
    before = weights(student)
    first, second = (trainer.step(rollouts, JUDGEMENT) for _ in range(2))
    assert first.optimizer_steps >= 1
    assert second.loss < first.loss
    assert any(not torch.equal(before[part], weight) for part, weight in student.weights().items())
    assert all(bool(torch.isfinite(weight).all()) for weight in student.weights().values())


def test_a_reward_raises_what_it_was_given_for() -> None:
    """RLOO on a model: completions better than their siblings become likelier, the others less likely."""
    student, rollouts = student_and_rollouts()

    def likelihood() -> Any:
        logits = student.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).detach()
        chosen = logits.log_softmax(-1).gather(-1, rollouts.completions[..., None])[..., 0]
        return torch.where(rollouts.completion_mask, chosen, 0.0).sum(-1)

    before = likelihood()
    RlooTrainer(student, descent(student, 0.003)).step(rollouts, JUDGEMENT)
    assert (likelihood() - before > 0).tolist() == [False, True, True, False]
