"""What counts and what is attended: rollouts in which tools wrote, through policies, teachers and trainers."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.protocols import Policy, Trainer
from sdpo_ref.protocols.attention import require_attended, up_to_the_last
from sdpo_ref.protocols.parts import MicroBatch
from sdpo_ref.protocols.profile import ContextRules
from sdpo_ref.simulation.policies.prefix_sum import PrefixSumPolicy
from sdpo_ref.teachers.chat import encoded
from sdpo_ref.teachers.reprompt import Reprompter
from sdpo_ref.teachers.weights import FrozenDifferenceTeacher, LiveTeacher
from sdpo_ref.trainers.dpo import DpoTrainer
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.ppo import PpoTrainer, ValueTable
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.types import Judgement, Prompts, Rollouts, TeacherView

VOCAB = 5
ROWS = ["sttst.", "sssst.", "tsst..", "stst.."]
"""s for a sampled token, t for one that a tool wrote, . for padding."""


def masks(rows: list[str]) -> tuple[Tensor, Tensor]:
    """What counts, and what is attended."""
    return (
        torch.tensor([[letter == "s" for letter in row] for row in rows]),
        torch.tensor([[letter != "." for letter in row] for row in rows]),
    )


def rollouts_on(rows: list[str]) -> Rollouts:
    """Completions as these letters say; rows 0 and 1, 2 and 3 share a prompt."""
    source = torch.Generator().manual_seed(1)
    counted, attended = masks(rows)
    groups = torch.arange(len(rows)) // 2
    prompts = Prompts(groups[:, None] + 1, torch.ones(len(rows), 1, dtype=torch.bool), groups)
    completions = torch.randint(VOCAB, attended.shape, generator=source)
    before = torch.full(attended.shape, -1.5, dtype=torch.float64)
    return Rollouts(prompts, completions, counted, before)


JUDGEMENT = Judgement(torch.tensor([1.0, 0.0, 0.25, 0.5], dtype=torch.float64), (None,) * 4)


class Tilt:
    """A conditioning under which one token is likelier; every row is usable."""

    def view(self, policy: Policy, rollouts: Rollouts, judgement: Judgement) -> TeacherView:
        """The policy's scores and a constant."""
        with torch.no_grad():
            logits = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
        rows = torch.ones(len(judgement.feedback), dtype=torch.bool)
        return TeacherView(logits + torch.arange(VOCAB) / VOCAB, rows)


def adam(policy: PrefixSumPolicy) -> torch.optim.Optimizer:
    """Plain gradient descent would do as well."""
    return torch.optim.SGD(policy.parameters(), lr=0.5)


def _ppo(policy: PrefixSumPolicy) -> Trainer:
    value = ValueTable(2, 6)
    of_value = torch.optim.SGD(value.parameters(), lr=0.1)
    return PpoTrainer(policy, adam(policy), value=value, value_optimizer=of_value)


TRAINERS: dict[str, Callable[[PrefixSumPolicy], Trainer]] = {
    "sdpo": lambda it: SdpoTrainer(it, LiveTeacher(it, Tilt()), adam(it), micro_batches=2),
    "sdpo, frozen difference": lambda it: SdpoTrainer(it, FrozenDifferenceTeacher(it, Tilt()), adam(it)),
    "sdpo with a penalty": lambda it: SdpoTrainer(
        it, LiveTeacher(it, Tilt()), adam(it), reference=copy.deepcopy(moved(it)), kl_weight=0.5
    ),
    "sdft": lambda it: SdftTrainer(it, LiveTeacher(it, Tilt()), adam(it)),
    "hybrid": lambda it: HybridTrainer(it, LiveTeacher(it, Tilt()), adam(it), reward_weight=0.5),
    "rloo": lambda it: RlooTrainer(it, adam(it)),
    "grpo": lambda it: GrpoTrainer(it, adam(it)),
    "dpo": lambda it: DpoTrainer(it, adam(it), reference=copy.deepcopy(it)),
    "ppo": _ppo,
}


def moved(policy: PrefixSumPolicy) -> PrefixSumPolicy:
    """A policy that is somewhere else."""
    return PrefixSumPolicy(policy.current.detach() + 0.3, policy.prefix.detach().flip(0))


def policy() -> PrefixSumPolicy:
    """The same at each call."""
    return PrefixSumPolicy.random(VOCAB, generator=torch.Generator().manual_seed(3))


def after_a_step(make: Callable[[PrefixSumPolicy], Trainer], rollouts: Rollouts) -> Tensor:
    """The policy's weights, flat."""
    trained = policy()
    make(trained).step(rollouts, JUDGEMENT)
    return torch.cat([weight.detach().flatten() for weight in trained.parameters()])


def with_other(rollouts: Rollouts, places: Tensor) -> Rollouts:
    """Other ids at some places."""
    return replace(rollouts, completions=torch.where(places, (rollouts.completions + 1) % VOCAB, rollouts.completions))


@pytest.mark.parametrize("name", TRAINERS)
def test_what_tools_wrote_is_attended_and_not_trained(name: str) -> None:
    """Other answers of a tool give another step; what nothing that counts comes after may be anything."""
    make, rollouts = TRAINERS[name], rollouts_on(ROWS)
    plain = after_a_step(make, rollouts)
    needed = up_to_the_last(rollouts.completion_mask)
    answers = needed & ~rollouts.completion_mask
    assert not torch.allclose(after_a_step(make, with_other(rollouts, answers)), plain)
    assert torch.equal(after_a_step(make, with_other(rollouts, ~needed)), plain)


@pytest.mark.parametrize(
    ("row", "expected"), [("sts...", "111..."), ("ssstt.", "111..."), ("tts...", "111..."), ("tt....", "......")]
)
def test_up_to_the_last_that_counts(row: str, expected: str) -> None:
    """Holes are filled; what stands behind the last token that counts is left out."""
    counted, _ = masks([row])
    assert up_to_the_last(counted).tolist() == [[letter == "1" for letter in expected]]


@pytest.mark.parametrize(
    ("attended", "words"),
    [
        (torch.tensor([[True, False, False]]), "False at 1 tokens that count"),
        (torch.tensor([[False, True, True]]), "has a hole"),
    ],
)
def test_contradictions_are_refused(attended: Tensor, words: str) -> None:
    """With what was received and what is allowed."""
    counted, one = torch.tensor([[False, True, False]]), torch.zeros(1, 3).long()
    prompts = Prompts(one, one == 0, one[:, 0])
    with pytest.raises(InvalidInputError, match=words):
        MicroBatch(prompts, prompts, one, counted, torch.tensor([True]), attended)


@pytest.mark.parametrize("attended", [torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 3).long()])
def test_another_shape_or_dtype_is_refused(attended: Tensor) -> None:
    """By the class itself, where annotations are not checked."""
    unchecked = inspect.unwrap(require_attended)
    with pytest.raises(InvalidInputError, match=r"allowed are those of completion_mask, \(1, 3\) and bool"):
        unchecked(torch.zeros(1, 3, dtype=torch.bool), attended)


def test_text_of_an_attempt_holds_what_tools_wrote() -> None:
    """The teacher is shown, and scores, all up to the last token that was sampled."""
    seen: list[list[int]] = []

    def decode(ids: list[int]) -> str:
        seen.append(ids)
        return " ".join(map(str, ids))

    reprompter = Reprompter(
        encode=lambda messages: [len(messages[-1]["content"]) % VOCAB, 1],
        decode_completion=decode,
        rules=ContextRules(success_threshold=0.9),
    )
    rollouts = rollouts_on(ROWS)
    asked = ({"role": "user", "content": "Add."},)
    prompts = encoded([asked] * len(ROWS), rollouts.prompts.group_ids, encode=reprompter.encode)
    rollouts = replace(rollouts, prompts=prompts)
    view = reprompter.view(policy(), rollouts, JUDGEMENT)
    assert seen[0] == rollouts.completions[0, :4].tolist()
    answers = up_to_the_last(rollouts.completion_mask) & ~rollouts.completion_mask
    other = reprompter.view(policy(), with_other(rollouts, answers), JUDGEMENT)
    assert not torch.allclose(view.logits[2, 1], other.logits[2, 1])
