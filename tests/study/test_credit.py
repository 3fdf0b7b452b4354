"""What each method credits tokens with, against what its own step does."""

import pytest
import torch

from sdpo_ref.simulation.assembly import Assembled, assemble
from sdpo_ref.simulation.credit import Step
from sdpo_ref.simulation.methods import (
    Dpo,
    Grpo,
    Hybrid,
    MethodSettings,
    Ppo,
    Reinforce,
    Rloo,
    Sdft,
    Sdpo,
    SpanRloo,
    ThirdParty,
    credit_signal,
)
from sdpo_ref.simulation.run import every_prompt
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeSettings, WorldSettings
from sdpo_ref.simulation.world import random_stream
from sdpo_ref.types import Judgement, Rollouts

CRITIQUE = RegimeSettings(regime="critique", spans=2)


def judged(method: MethodSettings) -> tuple[Assembled, Rollouts, Judgement]:
    """The parts of a run, its first rollouts and their judgement."""
    settings = RunSettings(
        world=WorldSettings(prompts=3, time=4, vocab=9, aspects=2, embedding=3),
        oracle=OracleSettings(regimes=(CRITIQUE,)),
        readers=(ReaderSettings(feedback=CRITIQUE),),
        method=method,
    )
    parts = assemble(settings, seed=2)
    rollouts = parts.trainer.policy.sample(
        every_prompt(parts.world, 6), num_tokens=4, generator=random_stream(2, 1, "rollouts")
    )
    return parts, rollouts, parts.oracle.judge(rollouts, generator=random_stream(2, 1, "judgement"))


@pytest.mark.parametrize("method", [Rloo(), SpanRloo(), Reinforce(), Dpo(), Hybrid(), Hybrid(gated=True)], ids=repr)
def test_the_signal_weighs_the_first_gradient(method: MethodSettings) -> None:
    """The method's first gradient is that of the sampled tokens' log-probabilities, weighted with the signal.

    REINFORCE takes a number off that is equal for all tokens, so only the direction of the rest is compared there.
    """
    parts, rollouts, judgement = judged(method)
    signal = credit_signal(method, Step(parts.teacher, parts.trainer, rollouts, judgement))
    assert signal is not None
    if method.method == "reinforce":
        signal = signal - judgement.rewards.mean()
    policy = parts.trainer.policy
    chances = policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask).log_softmax(-1)
    sampled = chances.gather(-1, rollouts.completions[..., None]).squeeze(-1)
    table = policy.weights()["table"]
    (expected,) = torch.autograd.grad(-(signal * sampled).sum(), [table])
    parts.trainer.step(rollouts, judgement)
    assert table.grad is not None
    cosine = torch.nn.functional.cosine_similarity(table.grad.flatten(), expected.flatten(), dim=0)
    assert float(cosine) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("method", [Sdpo(), Sdft()], ids=repr)
def test_the_implicit_reward_is_the_teachers_log_ratio(method: MethodSettings) -> None:
    """Log-probability of the sampled token under the teacher minus that under the student."""
    parts, rollouts, judgement = judged(method)
    signal = credit_signal(method, Step(parts.teacher, parts.trainer, rollouts, judgement))
    view = parts.teacher.view(rollouts, judgement)
    own = parts.trainer.policy.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    ratio = (view.logits.log_softmax(-1) - own.log_softmax(-1)).detach()
    expected = ratio.gather(-1, rollouts.completions[..., None]).squeeze(-1)
    assert signal is not None
    assert torch.allclose(signal, expected, atol=1e-12)


@pytest.mark.parametrize("method", [Grpo(), Ppo()], ids=repr)
def test_clipped_methods_credit_the_whole_completion_alike_at_first(method: MethodSettings) -> None:
    """GRPO always, PPO as long as its value is zero up to the factor of the trace; better completions get more."""
    parts, rollouts, judgement = judged(method)
    signal = credit_signal(method, Step(parts.teacher, parts.trainer, rollouts, judgement))
    assert signal is not None
    last = signal[:, -1]
    for group in range(3):
        rows = rollouts.prompts.group_ids == group
        assert torch.equal(last[rows].argsort(), judgement.rewards[rows].argsort())


def test_a_third_partys_trainer_is_not_asked() -> None:
    """Nothing is made up for a trainer that shows no signal."""
    parts, rollouts, judgement = judged(Rloo())
    method = ThirdParty(factory="tests.study.parts:diverging")
    assert credit_signal(method, Step(parts.teacher, parts.trainer, rollouts, judgement)) is None
