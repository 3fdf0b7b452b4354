"""The batched simulator against the clear one: the same numbers for everything that a run can be."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from _pytest.mark.structures import ParameterSet
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdpo_ref.simulation.batched import student
from sdpo_ref.simulation.methods import (
    AdvantageWeighted,
    Dpo,
    Grpo,
    Hybrid,
    KlGated,
    MethodSettings,
    Ppo,
    Reinforce,
    Rloo,
    Sdft,
    Sdpo,
    SpanRloo,
)
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.study.settings import run_settings
from tests.simulation.batched.problems import SMALL, differences, settings

BOUND = 1e-12

REGIMES: tuple[RegimeName, ...] = ("ordinal", "scalar", "rubric", "critique")
"""In which advantages of a small group seldom cancel to the last bit; binary feedback is asked by itself."""

METHODS: Mapping[str, MethodSettings] = {
    "sdpo": Sdpo(),
    "sdpo paying": Sdpo(kl_weight=0.2),
    "sdpo of features": Sdpo(student="features"),
    **{f"sdpo {kind}": Sdpo(teacher=kind) for kind in ("ema", "frozen", "trust_region", "frozen_difference")},
    "sdpo of features, ema, paying": Sdpo(student="features", teacher="ema", kl_weight=0.1),
    "constant": Sdpo(placebo="constant"),
    "deranged": Sdpo(placebo="deranged"),
    "sdft": Sdft(),
    "sdft paying": Sdft(kl_weight=0.1),
    "hybrid": Hybrid(),
    "hybrid of ema": Hybrid(teacher="ema", reward_weight=0.9),
    "gated": Hybrid(gated=True),
    "gated, deranged, paying": Hybrid(gated=True, placebo="deranged", kl_weight=0.1),
    "reinforce": Reinforce(),
    "rloo": Rloo(),
    "rloo of features": Rloo(student="features"),
    "grpo": Grpo(),
    "grpo, three epochs, paying": Grpo(epochs=3, kl_weight=0.1, learning_rate=0.15),
    "ppo": Ppo(learning_rate=0.3),
    "dpo": Dpo(),
    "dpo paying": Dpo(kl_weight=0.3),
}

PUBLISHED: Mapping[str, MethodSettings] = {
    "kl-gated": KlGated(threshold=0.02),
    "kl-gated, ema, paying": KlGated(teacher="ema", kl_weight=0.1),
    "advantage-weighted": AdvantageWeighted(),
    "advantage-weighted, deranged, paying": AdvantageWeighted(signed=False, placebo="deranged", kl_weight=0.1),
}
"""The published study's methods in our world. A share of credits that cancel has a rounding of its own to enlarge."""

BIASES: Mapping[str, Mapping[str, float]] = {
    **{name: {name: 0.6} for name in ("verbosity", "position", "self_preference", "halo", "central_tendency")},
    **{name: {name: 0.4} for name in ("severity", "positivity", "misleading_share", "missing_share")},
    "recency": {"position": -0.5},
    "everything": {
        **dict.fromkeys(("verbosity", "position", "self_preference", "halo", "central_tendency"), 0.3),
        **dict.fromkeys(("severity", "positivity", "misleading_share", "missing_share"), 0.3),
    },
    "no feedback": {"missing_share": 1.0},
}


def pairs(regimes: Sequence[RegimeName], others: Mapping[str, Any]) -> list[ParameterSet]:
    """Every regime with every other choice; all but one regime of each choice are slow."""
    return [
        pytest.param(
            regime, other, marks=[] if place % len(regimes) == number else [pytest.mark.slow], id=f"{regime}-{name}"
        )
        for number, regime in enumerate(regimes)
        for place, (name, other) in enumerate(others.items())
    ]


@pytest.mark.parametrize(("regime", "method"), pairs(REGIMES, METHODS))
def test_every_method_under_every_regime(regime: RegimeName, method: MethodSettings) -> None:
    """Two worlds in one batch, in step with two runs of the clear simulator."""
    assert max(differences([settings(regime, method, steps=4)] * 2, (0, 1))) < BOUND


@pytest.mark.parametrize(("regime", "method"), pairs((*REGIMES, "binary"), PUBLISHED))
def test_the_published_methods_under_every_regime(regime: RegimeName, method: MethodSettings) -> None:
    """As the others."""
    assert max(differences([settings(regime, method, steps=4)] * 2, (2, 3))) < BOUND


@pytest.mark.parametrize(("regime", "method"), pairs(("binary",), METHODS))
def test_every_method_under_binary_feedback(regime: RegimeName, method: MethodSettings) -> None:
    """Other worlds than above, where a group is all thumbs up at first.

    A teacher of mixed weights then leaves a gradient that is zero but for rounding, which Adam enlarges (SIM-160).
    """
    assert max(differences([settings(regime, method, steps=4)] * 2, (2, 3))) < BOUND


def test_credit_for_spans() -> None:
    """The method that reads a critique's ratings without a teacher; some critiques are missing."""
    runs = [settings("critique", SpanRloo(), oracle={"missing_share": share}) for share in (0.0, 0.4)]
    assert max(differences(runs, (0, 1))) < BOUND


@pytest.mark.parametrize(("regime", "bias"), pairs(("ordinal", "rubric", "critique"), BIASES))
def test_every_wrapper(regime: RegimeName, bias: Mapping[str, float]) -> None:
    """Beside a run in the same batch that does not have the bias."""
    runs = [settings(regime, Sdpo(), steps=4, oracle=it) for it in (bias, None)]
    assert max(differences(runs, (1, 0))) < BOUND


def test_exchanged_feedback_has_gaps() -> None:
    """A prompt that gets the feedback of another one gets none where that one has none."""
    one = settings("rubric", Sdpo(placebo="deranged"), oracle={"missing_share": 0.5})
    assert max(differences([one, one], (0, 1))) < BOUND


@pytest.mark.parametrize("method", [Sdft(), Dpo()], ids=lambda method: method.method)
def test_steps_without_any_preference(method: Sdft | Dpo) -> None:
    """Where all rewards are equal nothing moves but a run that pays for its distance; none disturbs another.

    Two prompts with two rollouts each, judged on two levels: steps with both preferences, with one and with none.
    """
    told = RegimeSettings(regime="ordinal", noise=0.0)
    one = RunSettings(
        world=WorldSettings.model_validate({**SMALL, "prompts": 2}),
        oracle=OracleSettings(regimes=(told,), severity=0.8),
        readers=(ReaderSettings(feedback=told),),
        method=method,
        group_size=2,
        steps=30,
        measure_every=10,
    )
    paying = one.model_copy(update={"method": method.model_copy(update={"kl_weight": 0.5})})
    assert max(differences([one, paying, one], (0, 0, 1))) < 1e-11


@pytest.mark.parametrize("method", [Sdpo(), Sdft(), Hybrid(gated=True), Rloo()], ids=lambda method: method.method)
def test_regimes_that_differ_from_prompt_to_prompt(method: MethodSettings) -> None:
    """Each prompt has its own regime and reader, and some feedback is missing."""
    told = (
        RegimeSettings(regime="ordinal"),
        RegimeSettings(regime="rubric", noise=0.3),
        RegimeSettings(regime="critique", spans=3),
    )
    one = RunSettings(
        world=WorldSettings.model_validate({**SMALL, "prompts": 7}),
        oracle=OracleSettings(regimes=told, missing_share=0.3),
        readers=tuple(ReaderSettings(feedback=each) for each in told),
        method=method,
        steps=8,
        measure_every=4,
    )
    assert max(differences([one, one], (0, 1))) < BOUND


def test_numbers_may_differ_within_a_batch() -> None:
    """Noise, slope, idiosyncrasy, coherence, kappa, doubt, learning rate and weights belong to the run."""
    world = {**SMALL, "slope": 2.0, "idiosyncrasy": 0.4, "coherence": 1.0, "annotations": 2, "grammar_spread": 2.0}
    runs = [
        settings("rubric", Hybrid(learning_rate=0.05, reward_weight=0.1)),
        settings("rubric", Hybrid(learning_rate=0.4, reward_weight=0.8), world=world, kappa=2.0, overconfident=True),
        settings("rubric", Hybrid(kl_weight=0.5), basis="token", slope=0.5, idiosyncrasy=0.6),
    ]
    assert max(differences(runs, (0, 0, 7))) < BOUND


@contextmanager
def large_epsilon() -> Iterator[None]:
    """Adam of both simulators with an epsilon of one: what rounding leaves of a gradient stays as small as it is.

    With 1e-8 a gradient that is zero but for rounding, as where the advantages of a small group cancel, moves a weight
    by as much as any other, and two right simulators part.
    """
    larger = functools.partialmethod(torch.optim.Adam.__init__, eps=1.0)
    with patch.object(torch.optim.Adam, "__init__", larger), patch.object(student, "_EPSILON", 1.0):
        yield


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    method=st.sampled_from(sorted(METHODS)),
    regime=st.sampled_from((*REGIMES, "binary")),
    sizes=st.fixed_dictionaries(
        {
            "prompts": st.integers(2, 4),
            "time": st.integers(2, 5),
            "vocab": st.integers(2, 6),
            "aspects": st.integers(1, 3),
            "embedding": st.integers(3, 4),
        }
    ),
    noise=st.floats(0, 0.5),
    rate=st.floats(0.01, 1.0),
    group=st.integers(2, 5),
    seed=st.integers(0, 2**31),
)
def test_any_run(  # noqa: PLR0917 - one argument for each strategy
    method: str, regime: RegimeName, sizes: dict[str, int], noise: float, rate: float, group: int, seed: int
) -> None:
    """Whatever the sizes, down to two tokens, one aspect and a group of two."""
    told = RegimeSettings(regime=regime, noise=noise, spans=2)
    one = RunSettings(
        world=WorldSettings.model_validate(sizes),
        oracle=OracleSettings(regimes=(told,)),
        readers=(ReaderSettings(feedback=told),),
        method=METHODS[method].model_copy(update={"learning_rate": rate}),
        group_size=group,
        steps=6,
        measure_every=3,
    )
    with large_epsilon():
        assert max(differences([one], (seed,))) < BOUND


@pytest.mark.slow
def test_a_whole_run_of_the_default_size() -> None:
    """Two hundred steps in the study's own world: what is rounded differently stays as small as it was."""
    assert differences([run_settings("scalar", Sdpo(learning_rate=0.4), measure_every=50)], (3,))[0] < BOUND


@pytest.mark.slow
@pytest.mark.parametrize(
    ("regime", "method"),
    [
        ("ordinal", Sdft()),
        ("rubric", Hybrid(gated=True)),
        ("critique", Sdpo(teacher="ema", kl_weight=0.05)),
        ("scalar", Grpo(epochs=4)),
        ("critique", SpanRloo()),
        ("scalar", Ppo()),
        ("ordinal", Dpo()),
    ],
    ids=lambda value: value if isinstance(value, str) else value.method,
)
def test_runs_in_a_world_of_the_default_size(regime: RegimeName, method: MethodSettings) -> None:
    """The first steps of every kind of method in the study's own world."""
    one = run_settings(regime, method, measure_every=4).model_copy(update={"steps": 8})
    assert differences([one], (3,))[0] < BOUND
