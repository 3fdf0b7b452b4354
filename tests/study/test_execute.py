"""One task: settings and a seed in, an outcome out."""

import math

import pytest
import torch

from sdpo_ref.simulation.assembly import assemble
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
)
from sdpo_ref.simulation.run_settings import ProbeSettings, RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeSettings, WorldSettings
from sdpo_ref.study.execute import execute
from sdpo_ref.study.outcome import METRICS, Outcome

SMALL = WorldSettings(prompts=4, time=4, vocab=12, aspects=2, embedding=4)
CRITIQUE = RegimeSettings(regime="critique", spans=2)
METHODS: tuple[MethodSettings, ...] = (
    Sdpo(),
    Sdpo(teacher="ema"),
    Sdpo(kl_weight=0.1),
    Sdpo(student="features"),
    Sdft(),
    Hybrid(),
    Hybrid(gated=True),
    Reinforce(),
    Rloo(),
    Rloo(student="features"),
    SpanRloo(),
    Grpo(epochs=2),
    Ppo(),
    Dpo(),
)


def settings(method: MethodSettings, *, steps: int = 20, regime: RegimeSettings = CRITIQUE) -> RunSettings:
    """A small run."""
    return RunSettings(
        world=SMALL,
        oracle=OracleSettings(regimes=(regime,)),
        readers=(ReaderSettings(feedback=regime),),
        method=method,
        steps=steps,
        measure_every=5,
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.method}-{method.student}")
def test_every_method_learns_and_is_measured(method: MethodSettings) -> None:
    """The reward rises, every metric is one that is documented, and the credit map belongs to the first prompt."""
    found = execute(settings(method), seed=3)
    assert found.error is None
    assert found.curve is not None
    assert found.curve.step == (0, 5, 10, 15, 20)
    assert found.curve.reward[0] == pytest.approx(0.0, abs=1e-12)
    assert found.metrics["final_reward"] == found.curve.reward[-1] > 0.05
    assert set(found.metrics) <= set(METRICS)
    assert all(math.isfinite(number) for number in found.metrics.values())
    assert found.credit_map is not None
    assert len(found.credit_map.tokens) == 8
    assert {len(row) for row in found.credit_map.credit} == {4}


def test_the_same_task_finds_the_same() -> None:
    """To the last bit; another seed finds something else."""
    assert execute(settings(Sdpo()), 1) == execute(settings(Sdpo()), 1)
    assert execute(settings(Sdpo()), 1) != execute(settings(Sdpo()), 2)


def test_methods_share_the_world_and_the_first_rollouts() -> None:
    """What a method is compared on does not depend on the method: same tokens, same truth."""
    maps = [execute(settings(method, steps=1), 7).credit_map for method in (Sdpo(), Rloo(), Dpo(), Sdft())]
    assert all(
        one is not None and one.tokens == maps[0].tokens and one.truth == maps[0].truth for one in maps if maps[0]
    )
    assert len({one.credit for one in maps if one}) == len(maps)


def test_a_method_that_diverges_is_an_outcome() -> None:
    """Its policy is not finite any more; the study goes on and says so."""
    found = execute(settings(ThirdParty(factory="tests.study.parts:diverging")), 0)
    assert found.metrics == {}
    assert found.error is not None
    assert "NaN" in found.error


def test_an_outcome_survives_its_file_format() -> None:
    """JSON and back, without loss."""
    found = execute(settings(Sdpo(), steps=3), 0)
    assert Outcome.model_validate_json(found.model_dump_json()) == found


def test_placebos_teach_nothing_or_little() -> None:
    """Constant feedback leaves the policy where it was; another prompt's feedback helps far less than one's own."""
    own, constant, deranged = (
        execute(settings(Sdpo(placebo=placebo)), 0).metrics["final_reward"]
        for placebo in (None, "constant", "deranged")
    )
    assert constant == 0.0
    assert deranged < 0.5 * own


def test_the_features_are_the_readers() -> None:
    """The student of F13 combines what the reader of the same run has learned, and starts as the base policy."""
    parts = assemble(settings(Rloo(student="features")), seed=4)
    held = parts.trainer.policy.weights()
    assert torch.equal(held["features"], parts.knowledge.loadings)
    assert int(held["combination"].count_nonzero()) == 0
    assert torch.equal(held["table"], parts.world.base_logits)


def test_a_probe_measures_direction_and_identity() -> None:
    """Little noise hardly turns one gradient, much noise turns it more, the mean less; the identity is exact."""

    def probe(noise: float) -> dict[str, float]:
        regime = RegimeSettings(regime="critique", spans=2, noise=noise)
        return execute(
            ProbeSettings(
                world=SMALL,
                oracle=OracleSettings(regimes=(regime,)),
                readers=(ReaderSettings(feedback=CRITIQUE),),
                draws=32,
            ),
            0,
        ).metrics

    little, much = probe(0.01), probe(0.3)
    assert little["single_direction"] > 0.99
    assert much["single_direction"] < much["direction"] < little["direction"] + 1e-9
    assert much["identity_error"] < 1e-10


def test_calibration_does_not_depend_on_how_far_the_reader_goes() -> None:
    """It is about credited quality and not about the tilt: kappa scales one and not the other."""

    def slope(kappa: float) -> float:
        run = settings(Sdpo(), steps=1)
        readers = (run.readers[0].model_copy(update={"kappa": kappa}),)
        return execute(run.model_copy(update={"readers": readers}), 3).metrics["calibration"]

    assert slope(2.0) == pytest.approx(slope(1.0), rel=1e-9)
    assert 0.2 < slope(1.0) < 5.0
