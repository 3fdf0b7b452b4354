"""SDFT: the loss of SDFT on the rows that have a demonstration, which is the best attempt of the group."""

import copy
import math

import pytest
import torch

from sdpo_ref.losses.sdft import sdft_loss
from sdpo_ref.protocols import Trainer
from sdpo_ref.protocols.parts import Message
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.teachers.chat import encoded
from sdpo_ref.teachers.reprompt import Reprompter
from sdpo_ref.teachers.weights import FrozenTeacher
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import DistillationBatch, Feedback, Judgement
from tests.trainers.problems import (
    EVERY_COMPLETION,
    GivenTeacher,
    Maker,
    change,
    flat,
    judged,
    rollouts_of,
    small_policy,
)

POLICY = small_policy()
ROLLOUTS = rollouts_of(POLICY, EVERY_COMPLETION[[0, 4, 7, 2]], [0, 0, 1, 1])
REWARDS = torch.tensor([0.1, 0.9, 0.4, 0.4])


def teacher(usable: list[bool]) -> GivenTeacher:
    """What another policy says, and NaN in rows that are not usable."""
    with torch.no_grad():
        logits = small_policy(1).logits(ROLLOUTS.prompts, ROLLOUTS.completions, ROLLOUTS.completion_mask)
    logits[~torch.tensor(usable)] = math.nan
    return GivenTeacher(logits, torch.tensor(usable))


def sdft(usable: list[bool], **options: object) -> Maker:
    """A maker of SDFT trainers with a given teacher."""

    def make(policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        return SdftTrainer(policy, teacher(usable), optimizer, **options)  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize("options", [{}, {"alpha": 1.0}, {"skip_tokens": 1, "aggregation": "row_mean_all"}])
def test_it_descends_the_loss_of_sdft_on_usable_rows(options: dict[str, object]) -> None:
    """Rows without a demonstration are left out of the loss and of its mean (SIM-102)."""
    usable = [True, False, True, True]
    moved, report = change(POLICY, sdft(usable, **options), ROLLOUTS, REWARDS)
    copied, rows, given = copy.deepcopy(POLICY), torch.tensor(usable), teacher(usable)
    loss = sdft_loss(
        DistillationBatch(
            copied.logits(ROLLOUTS.prompts, ROLLOUTS.completions, ROLLOUTS.completion_mask)[rows],
            given.logits[rows],
            ROLLOUTS.completions[rows],
            ROLLOUTS.completion_mask[rows],
            rows[rows],
        ),
        **options,  # type: ignore[arg-type]
    )
    gradients = torch.autograd.grad(loss, list(copied.parameters()))
    torch.testing.assert_close(moved, -torch.cat([gradient.flatten() for gradient in gradients]))
    assert report.loss == pytest.approx(float(loss.detach()))
    assert report.metrics["self_distillation/reprompt_sample_fraction"] == 0.75


def test_with_reverse_kl_and_nothing_skipped_it_is_sdpo() -> None:
    """It departs from SDPO in the divergence, the skipped tokens and what the teacher reads, and in nothing else."""
    usable = [True, False, True, False]

    def sdpo(policy: PrefixSumPolicy, optimizer: torch.optim.Optimizer) -> Trainer:
        given = teacher(usable)
        return SdpoTrainer(policy, given, optimizer)

    moved, _ = change(POLICY, sdft(usable, alpha=1.0), ROLLOUTS, REWARDS)
    expected, _ = change(POLICY, sdpo, ROLLOUTS, REWARDS)
    torch.testing.assert_close(moved, expected)


def test_steps_lower_the_divergence() -> None:
    """Against a teacher that stays, the loss falls to less than a tenth, whatever the rewards are."""
    policy = copy.deepcopy(POLICY)
    trainer = SdftTrainer(policy, teacher([True] * 4), torch.optim.Adam(policy.parameters(), lr=0.1))
    losses = [trainer.step(ROLLOUTS, judged(REWARDS)).loss for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]


def test_without_a_demonstration_nothing_happens() -> None:
    """No usable row: no update, not even through momentum, and no NaN from what the teacher did not say."""
    policy, given = copy.deepcopy(POLICY), teacher([True] * 4)
    trainer = SdftTrainer(policy, given, torch.optim.Adam(policy.parameters(), lr=0.1))
    assert isinstance(trainer, Trainer)
    assert trainer.policy is policy
    assert trainer.step(ROLLOUTS, judged(REWARDS)).optimizer_steps == 1
    before = flat(policy)
    given.usable = torch.zeros(4).bool()
    report = trainer.step(ROLLOUTS, judged(REWARDS))
    assert torch.equal(flat(policy), before)
    assert (report.optimizer_steps, report.teacher_updates, given.updates) == (0, 0, 1)


def test_a_text_teacher_shows_the_best_of_the_group() -> None:
    """Rules with a quantile and without feedback make the demonstration the best attempt, and nothing else (SIM-103).

    The policy's letters are its tokens; a teacher that is shown the best attempt has it in its prompt.
    """
    alphabet = "ab\n TheAnsw:ilxyqoputk.,'-CmrdgfSvcBWINYFPERLGOHDUKMjz0123456789<>/{}[]()\"#*_=+!?&%$@;|~^`VXZQ"
    shown: list[str] = []

    def encode(messages: tuple[Message, ...]) -> list[int]:
        shown.append("".join(message["content"] for message in messages))
        return [alphabet.index(letter) for letter in shown[-1]]

    def decode(token_ids: list[int]) -> str:
        return "".join(alphabet[token] for token in token_ids)

    reprompter = Reprompter(
        encode=encode,
        decode_completion=decode,
        rules=ContextRules(
            success_threshold=-math.inf, success_quantile=0.6, own_success="exclude", use_feedback=False
        ),
    )
    policy = small_policy(vocab=len(alphabet))
    prompts = encoded([({"role": "user", "content": "ask"},)] * 3, torch.tensor([0, 0, 0]), encode=encode)
    rollouts = policy.sample(prompts, num_tokens=3, generator=torch.Generator().manual_seed(2))
    rollouts.completions[:] = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 1, 1]])
    shown.clear()
    judgement = Judgement(torch.tensor([0.2, 0.7, 0.5]), (Feedback("kind words"),) * 3)
    trainer = SdftTrainer(policy, FrozenTeacher(policy, reprompter), torch.optim.SGD(policy.parameters(), lr=0.1))
    report = trainer.step(rollouts, judgement)
    assert report.metrics["self_distillation/reprompt_sample_fraction"] == pytest.approx(2 / 3)
    assert sum("aba" in text for text in shown) >= 2
    assert not any("aaa" in text or "bbb" in text or "kind words" in text for text in shown)
