"""What a batch promises: neighbours do not matter, a lost run is lost alone, and what it cannot do it says."""

import pytest
import torch

from sdpo_ref.errors import DivergedError, InvalidInputError, UnsupportedError
from sdpo_ref.simulation.measure import Measurement
from sdpo_ref.simulation.methods import Grpo, Ppo, Rloo, Sdpo, ThirdParty
from sdpo_ref.simulation.run_batch import Watched, batch_key, run_batch
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeSettings
from tests.simulation.batched.problems import SMALL, brought, clear, distance, settings


def curve(found: list[Measurement] | DivergedError) -> list[Measurement]:
    assert isinstance(found, list)
    return found


def test_a_run_does_not_depend_on_its_batch() -> None:
    """Alone, among copies, and among runs of other seeds and settings: the same curve."""
    one = settings("critique", Sdpo())
    others = [settings("critique", Sdpo(learning_rate=0.3), oracle={"halo": 0.5, "missing_share": 0.2})] * 3
    alone = curve(run_batch([brought(one, 5)]).curves[0])
    among = run_batch([brought(each, seed) for each, seed in zip([*others, one], (1, 5, 9, 5), strict=True)])
    assert distance(curve(among.curves[3]), alone) < 1e-12
    assert distance(curve(among.curves[1]), alone) > 1e-3


def test_a_lost_run_is_lost_alone() -> None:
    """It ends at the measurement at which the clear simulator ends it; its neighbours are as they would be."""
    good = settings("scalar", Sdpo())
    bad = settings("scalar", Sdpo(learning_rate=1e308))
    trained = run_batch([brought(good, 0), brought(bad, 0), brought(good, 1)])
    with pytest.raises(DivergedError) as expected:
        clear(bad, 0)
    lost = trained.curves[1]
    assert isinstance(lost, DivergedError)
    assert str(lost) == str(expected.value)
    for row, seed in ((0, 0), (2, 1)):
        assert distance(curve(trained.curves[row]), clear(good, seed)[0]) < 1e-12


def test_a_run_that_rates_itself_cannot_poison_the_reader() -> None:
    """An oracle that prefers what the policy likes passes NaN on to the reader, which then has nothing to factor."""
    liking = {"self_preference": 1.0, "missing_share": 0.2}
    bad = settings("rubric", Sdpo(learning_rate=1e308), oracle=liking)
    good = settings("rubric", Sdpo(), oracle=liking)
    trained = run_batch([brought(bad, 0), brought(good, 0)])
    assert isinstance(trained.curves[0], DivergedError)
    assert distance(curve(trained.curves[1]), clear(good, 0)[0]) < 1e-12


def test_the_last_step_is_measured() -> None:
    """Also where it is no multiple of the distance between measurements."""
    one = settings("scalar", Rloo(), steps=7)
    found = curve(run_batch([brought(one, 0)]).curves[0])
    assert [at.step for at in found] == [0, 4, 7]
    assert distance(found, clear(one, 0)[0]) < 1e-12


def test_what_is_watched_is_what_was_credited_before_the_update() -> None:
    """In the steps that follow a measurement, the first one included."""
    watched: list[Watched] = []
    run_batch([brought(settings("scalar", Rloo(), steps=9), 0)], observe=watched.append)
    assert [seen.moment.step for seen in watched] == [1, 5, 9]
    signal = watched[0].credit.signal[0]
    assert signal[:, 0].sum(-1).abs().max() < 1e-12
    assert torch.equal(signal, signal[:, :1].expand_as(signal))


def test_numbers_do_not_separate_runs_and_shapes_do() -> None:
    """Noise, biases and rates may differ within a batch; sizes, regimes, methods and their kinds may not."""
    one = settings("scalar", Sdpo())
    same = settings("scalar", Sdpo(learning_rate=0.7, kl_weight=0.1), oracle={"positivity": 0.5}, kappa=3.0)
    assert batch_key(one) == batch_key(same)
    others = (
        settings("ordinal", Sdpo()),
        settings("scalar", Sdpo(), world={**SMALL, "time": 4}),
        settings("scalar", Sdpo(), steps=8),
        settings("scalar", Sdpo(teacher="ema")),
        settings("scalar", Sdpo(placebo="constant")),
        settings("scalar", Sdpo(student="features")),
        settings("scalar", Rloo()),
        settings("scalar", Grpo(epochs=2)),
        settings("scalar", Ppo(epochs=2)),
    )
    assert len({batch_key(each) for each in (one, *others)}) == 1 + len(others)


def test_what_only_the_clear_simulator_can_do() -> None:
    """Third parties' parts, and placebos in several regimes."""
    two = (RegimeSettings(regime="scalar"), RegimeSettings(regime="rubric"))
    mixed = RunSettings(
        oracle=OracleSettings(regimes=two),
        readers=tuple(ReaderSettings(feedback=each) for each in two),
        method=Sdpo(placebo="constant"),
    )
    foreign = (
        mixed,
        settings("scalar", ThirdParty(factory="a:b")),
        settings("scalar", Sdpo(teacher_factory="a:b")),
        settings("scalar", Sdpo()).model_copy(update={"oracle_factory": "a:b"}),
    )
    assert all(batch_key(one) is None for one in foreign)
    with pytest.raises(UnsupportedError, match="use the simulator 'reference'"):
        run_batch([brought(mixed, 0)])


def test_bad_batches_are_refused() -> None:
    """By name, with what to do."""
    one = brought(settings("scalar", Rloo()), 0)
    with pytest.raises(InvalidInputError, match="received no runs, allowed is at least 1"):
        run_batch([])
    with pytest.raises(InvalidInputError, match="runs of 2 shapes, allowed is one; group them by batch_key"):
        run_batch([one, brought(settings("ordinal", Rloo()), 0)])
    with pytest.raises(UnsupportedError, match=r"device 'abacus' cannot be used here .*; 'cpu' is always there"):
        run_batch([one], device="abacus")
    wide = settings("scalar", Rloo(), world={**SMALL, "grammar_spread": 1000.0})
    with pytest.raises(UnsupportedError, match=r"spans \d+ nats, allowed are 300: .* or use the simulator 'reference'"):
        run_batch([brought(wide, 0)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_does_not_matter() -> None:
    """The same code on a GPU gives the same curve."""
    one = settings("rubric", Sdpo())
    on_gpu = run_batch([brought(one, 0)], device="cuda")
    assert distance(curve(on_gpu.curves[0]), clear(one, 0)[0]) < 1e-12
