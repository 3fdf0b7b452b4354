"""An oracle from settings: what they say, in the order that they say, and impossible ones refused."""

from collections import Counter

import pytest
from pydantic import ValidationError

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles import (
    CentralTendency,
    CritiqueOracle,
    Halo,
    Heterogeneous,
    Misleading,
    Missing,
    Position,
    Positivity,
    RubricOracle,
    ScalarOracle,
    SelfPreference,
    Severity,
    StagedOracle,
    Verbosity,
    build_oracle,
)
from sdpo_ref.simulation.settings import OracleSettings, RegimeName, RegimeSettings
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import REGIMES, judged, same


@pytest.mark.parametrize("regime", ["binary", "ordinal", "scalar", "rubric", "critique"])
def test_regimes_by_name(world: World, rollouts: Rollouts, regime: RegimeName) -> None:
    """Without biases the regime itself, with the settings' noise."""
    oracle = build_oracle(world, OracleSettings(regimes=(RegimeSettings(regime=regime, noise=0.2),)), seed=0)
    assert type(oracle) is REGIMES[regime]
    assert same(judged(oracle, rollouts), judged(REGIMES[regime](world, 0.2), rollouts))


def test_spans_reach_the_critique(world: World) -> None:
    """And more of them than positions are refused before anything is judged."""
    settings = OracleSettings(regimes=(RegimeSettings(regime="critique", spans=2),))
    oracle = build_oracle(world, settings, seed=0)
    assert isinstance(oracle, CritiqueOracle)
    assert oracle.spans == 2
    with pytest.raises(InvalidInputError, match="spans"):
        build_oracle(world, OracleSettings(regimes=(RegimeSettings(regime="critique", spans=9),)), seed=0)


def test_wrappers_stand_in_the_order_of_the_settings(world: World, rollouts: Rollouts) -> None:
    """The first field innermost, each with its own strength."""
    settings = OracleSettings(
        regimes=(RegimeSettings(regime="rubric", noise=0.1),),
        verbosity=0.2,
        position=-0.3,
        self_preference=0.4,
        halo=0.5,
        central_tendency=0.6,
        severity=0.1,
        positivity=0.7,
        missing_share=0.25,
    )
    oracle: StagedOracle = Verbosity(RubricOracle(world, 0.1), 0.2, (0, 1))
    oracle = Halo(SelfPreference(Position(oracle, -0.3), 0.4, 10), 0.5)
    oracle = Missing(Positivity(Severity(CentralTendency(oracle, 0.6), 0.1), 0.7), 0.25)
    assert same(judged(build_oracle(world, settings, seed=0), rollouts), judged(oracle, rollouts))


def test_each_field_is_its_wrapper(world: World) -> None:
    """A field that is set puts one wrapper around the regime, and a field at its default none."""
    expected = {
        "verbosity": Verbosity,
        "position": Position,
        "self_preference": SelfPreference,
        "halo": Halo,
        "central_tendency": CentralTendency,
        "severity": Severity,
        "positivity": Positivity,
        "misleading_share": Misleading,
        "missing_share": Missing,
    }
    assert set(expected) == set(OracleSettings.model_fields) - {"regimes", "filler_share"}
    for field, wrapper in expected.items():
        assert type(build_oracle(world, OracleSettings.model_validate({field: 0.5}), seed=0)) is wrapper


@pytest.mark.parametrize(("share", "count"), [(0.5, 3), (1.0, 6), (0.1, 1)])
def test_the_stated_share_of_prompts_misleads(world: World, share: float, count: int) -> None:
    """To the nearest prompt; the seed decides which, and a higher share has the same and more."""
    oracles = [build_oracle(world, OracleSettings(misleading_share=s), seed=7) for s in (share, 1.0)]
    some, every = (oracle.prompts for oracle in oracles if isinstance(oracle, Misleading))
    assert (len(set(some)), set(every)) == (count, set(range(6)))
    assert set(some) <= set(every)
    chosen = {
        oracle.prompts
        for seed in range(20)
        if isinstance(oracle := build_oracle(world, OracleSettings(misleading_share=0.5), seed=seed), Misleading)
    }
    assert len(chosen) > 5


def test_a_higher_share_misleads_the_same_prompts_and_more(world: World) -> None:
    """So that a sweep over the share adds prompts and replaces none."""
    chosen = []
    for share in (0.2, 0.4, 0.6, 0.8):
        oracle = build_oracle(world, OracleSettings(misleading_share=share), seed=7)
        assert isinstance(oracle, Misleading)
        chosen.append(set(oracle.prompts))
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]


def test_several_regimes_are_dealt_to_the_prompts(world: World) -> None:
    """As evenly as possible, decided by the seed."""
    regimes = tuple(RegimeSettings(regime="scalar", noise=noise) for noise in (0.1, 0.2, 0.3, 0.4))
    dealt = set()
    for seed in range(20):
        oracle = build_oracle(world, OracleSettings(regimes=regimes), seed=seed)
        assert isinstance(oracle, Heterogeneous)
        assert sorted(Counter(oracle.member_of).values()) == [1, 1, 2, 2]
        dealt.add(oracle.member_of)
    assert len(dealt) > 10


def test_filler_is_a_share_of_the_vocabulary(world: World, rollouts: Rollouts) -> None:
    """The four lowest ids of ten at a share of 0.4."""
    oracle = build_oracle(world, OracleSettings(verbosity=1.0, filler_share=0.4), seed=0)
    assert same(judged(oracle, rollouts), judged(Verbosity(ScalarOracle(world), 1.0, (0, 1, 2, 3)), rollouts))
    assert not same(judged(oracle, rollouts), judged(Verbosity(ScalarOracle(world), 1.0, (0, 1, 2)), rollouts))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"regimes": [{"regime": "oracular"}]}, "regime"),
        ({"regimes": [{"noise": -0.1}]}, "noise"),
        ({"regimes": [{"noise": float("nan")}]}, "noise"),
        ({"regimes": [{"spans": 0}]}, "spans"),
        ({"regimes": []}, "regimes"),
        ({"positivity": 1.2}, "positivity"),
        ({"severity": -0.2}, "severity"),
        ({"central_tendency": 2}, "central_tendency"),
        ({"halo": -1}, "halo"),
        ({"position": -1.2}, "position"),
        ({"verbosity": -1}, "verbosity"),
        ({"self_preference": float("inf")}, "self_preference"),
        ({"filler_share": 1.1}, "filler_share"),
        ({"misleading_share": 1.5}, "misleading_share"),
        ({"missing_share": -0.5}, "missing_share"),
        ({"positvity": 0.5}, "positvity"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], name: str) -> None:
    """Before a world exists."""
    with pytest.raises(ValidationError, match=name):
        OracleSettings.model_validate(settings)
