"""Every method trains a policy in the simulated world; smoke, not findings: one seed, a small world, few steps."""

import copy
from collections.abc import Callable

import pytest
import torch

from sdpo_ref.protocols import Trainer
from sdpo_ref.simulation.measure import Measurement
from sdpo_ref.simulation.oracles import build_oracle
from sdpo_ref.simulation.policies.first_order import FirstOrderPolicy
from sdpo_ref.simulation.reader.knowledge import Knowledge
from sdpo_ref.simulation.reader.reader import Reader
from sdpo_ref.simulation.run import run
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.simulation.teachers.placebo import ConstantFeedback
from sdpo_ref.simulation.teachers.read_feedback import ReadFeedback
from sdpo_ref.simulation.world import World
from sdpo_ref.simulation.world.corpus import annotate
from sdpo_ref.teachers.weights import Conditioning, LiveTeacher
from sdpo_ref.trainers.advantage_weighted import AdvantageWeightedTrainer
from sdpo_ref.trainers.dpo import DpoTrainer
from sdpo_ref.trainers.grpo import GrpoTrainer
from sdpo_ref.trainers.hybrid import HybridTrainer
from sdpo_ref.trainers.kl_gated import KlGatedTrainer
from sdpo_ref.trainers.ppo import PpoTrainer, ValueTable
from sdpo_ref.trainers.reinforce import ReinforceTrainer
from sdpo_ref.trainers.rloo import RlooTrainer
from sdpo_ref.trainers.sdft import SdftTrainer
from sdpo_ref.trainers.sdpo import SdpoTrainer
from sdpo_ref.trainers.span_rloo import SpanRlooTrainer
from sdpo_ref.types import Feedback

SETTINGS = WorldSettings(prompts=4, time=4, vocab=12, aspects=2, embedding=4)

Method = Callable[[FirstOrderPolicy, torch.optim.Optimizer, LiveTeacher], Trainer]


def ppo(policy: FirstOrderPolicy, optimizer: torch.optim.Optimizer, _: LiveTeacher) -> Trainer:
    value = ValueTable(SETTINGS.prompts, SETTINGS.time)
    return PpoTrainer(policy, optimizer, value=value, value_optimizer=torch.optim.Adam(value.parameters(), lr=0.05))


METHODS: dict[str, Method] = {
    "sdpo": lambda policy, optimizer, teacher: SdpoTrainer(policy, teacher, optimizer),
    "sdft": lambda policy, optimizer, teacher: SdftTrainer(policy, teacher, optimizer),
    "hybrid": lambda policy, optimizer, teacher: HybridTrainer(policy, teacher, optimizer, reward_weight=0.5),
    "gated": lambda policy, optimizer, teacher: HybridTrainer(policy, teacher, optimizer, gated=True),
    "kl-gated": lambda policy, optimizer, teacher: KlGatedTrainer(policy, teacher, optimizer),
    "advantage-weighted": lambda policy, optimizer, teacher: AdvantageWeightedTrainer(
        policy, teacher, optimizer, signed=False
    ),
    "reinforce": lambda policy, optimizer, _: ReinforceTrainer(policy, optimizer),
    "rloo": lambda policy, optimizer, _: RlooTrainer(policy, optimizer),
    "span rloo": lambda policy, optimizer, _: SpanRlooTrainer(policy, optimizer, spans=1),
    "grpo": lambda policy, optimizer, _: GrpoTrainer(policy, optimizer),
    "dpo": lambda policy, optimizer, _: DpoTrainer(policy, optimizer, reference=copy.deepcopy(policy)),
    "ppo": ppo,
}


def trained(
    method: str,
    regime: RegimeName,
    *,
    steps: int = 25,
    conditioned: Callable[[Conditioning], Conditioning] = lambda inner: inner,
) -> list[Measurement]:
    """One run of a method under a regime of feedback."""
    world = World.draw(SETTINGS, seed=11)
    feedback = RegimeSettings(regime=regime)
    settings = ReaderSettings(feedback=feedback)
    knowledge = Knowledge.learn(
        annotate(world, seed=11), world.embeddings, basis=settings.basis, noise=SETTINGS.annotation_noise
    )
    reading = ReadFeedback(Reader.from_settings(knowledge, settings), kappa=settings.kappa)
    policy = FirstOrderPolicy.base(world)
    teacher = LiveTeacher(policy, conditioned(reading))
    trainer = METHODS[method](policy, torch.optim.Adam(policy.parameters(), lr=0.1), teacher)
    oracle = build_oracle(world, OracleSettings(regimes=(feedback,)), seed=11)
    return run(world, oracle, trainer, steps=steps, group_size=8, seed=11, measure_every=steps)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_raises_the_true_reward(method: str) -> None:
    """After 25 steps every method is clearly above the base policy, by the ground truth that none of them saw."""
    assert trained(method, "scalar")[-1].reward > 0.1


@pytest.mark.parametrize("regime", ["binary", "ordinal", "scalar", "rubric", "critique"])
def test_sdpo_learns_from_every_regime(regime: RegimeName) -> None:
    """The self-teacher reads each kind of feedback."""
    assert trained("sdpo", regime)[-1].reward > 0.1


def test_constant_feedback_teaches_nothing() -> None:
    """The placebo: the same judgement for all leaves the policy where it was."""
    said = Feedback("always the same", (0.5,))
    curve = trained("sdpo", "scalar", conditioned=lambda inner: ConstantFeedback(inner, said, 0.5))
    assert curve[-1].reward == pytest.approx(0.0, abs=1e-9)
    assert curve[-1].kl_to_base == pytest.approx(0.0, abs=1e-9)


def test_same_seed_same_run() -> None:
    """To the last bit."""
    assert trained("sdpo", "critique", steps=5) == trained("sdpo", "critique", steps=5)
