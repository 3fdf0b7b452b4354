"""Tasks that are done together have the outcomes that they have alone, in every number that is kept."""

import pytest

from sdpo_ref.errors import UnsupportedError, UsageError
from sdpo_ref.simulation.methods import MethodSettings, Rloo, Sdpo
from sdpo_ref.simulation.run_settings import ProbeSettings
from sdpo_ref.simulation.settings import RegimeName, RegimeSettings
from sdpo_ref.study.execute import execute, probe
from sdpo_ref.study.execute_batch import execute_batch, probe_batch
from sdpo_ref.study.experiment import StudySettings, Task
from sdpo_ref.study.outcome import CreditMap, Outcome
from sdpo_ref.study.settings import REGIMES, probe_settings
from sdpo_ref.study.simulators import simulator
from tests.study.test_execute import METHODS, SMALL, settings

NEAR = 1e-11


def rows(found: CreditMap | None) -> list[float]:
    assert found is not None
    return [number for table in (found.tokens, found.credit, found.truth) for row in table for number in row]


def assert_alike(found: Outcome, expected: Outcome) -> None:
    """Metrics, curve and credit map."""
    assert found.metrics == pytest.approx(expected.metrics, rel=NEAR, abs=NEAR)
    assert found.curve is not None
    assert expected.curve is not None
    for name, column in dict(expected.curve).items():
        assert getattr(found.curve, name) == pytest.approx(column, rel=NEAR, abs=NEAR), name
    assert rows(found.credit_map) == pytest.approx(rows(expected.credit_map), rel=NEAR, abs=NEAR)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.method}-{method.student}")
def test_every_method_keeps_the_same(method: MethodSettings) -> None:
    """Two seeds together, and each alone."""
    one = settings(method)
    for seed, found in zip((0, 5), execute_batch([one, one], (0, 5)), strict=True):
        assert_alike(found, execute(one, seed))


def test_credit_where_a_token_s_worth_depends_on_its_neighbour() -> None:
    """The true advantage counts the pair with the token that completes it."""
    coherent = SMALL.model_copy(update={"coherence": 1.0})
    one = settings(Rloo()).model_copy(update={"world": coherent})
    assert_alike(execute_batch([one], [1])[0], execute(one, 1))


@pytest.mark.parametrize("regime", REGIMES)
def test_calibration_is_asked_of_sdpo_in_every_regime(regime: RegimeName) -> None:
    """It is the one number that looks at the tilt itself."""
    one = settings(Sdpo(), regime=RegimeSettings.model_validate({"regime": regime, "spans": 2}))
    (found,) = execute_batch([one], [2])
    assert found.metrics["calibration"] == pytest.approx(execute(one, 2).metrics["calibration"], rel=NEAR)
    assert "calibration" not in execute_batch([settings(Rloo())], [2])[0].metrics


def test_a_lost_run_has_its_error_for_an_outcome() -> None:
    """The same as alone, beside one that ends well."""
    bad, good = settings(Sdpo(learning_rate=1e308)), settings(Sdpo())
    lost, fine = execute_batch([bad, good], [0, 0])
    assert lost == execute(bad, 0)
    assert lost.error is not None
    assert_alike(fine, execute(good, 0))


@pytest.mark.parametrize("regime", REGIMES)
def test_the_probe_finds_the_same(regime: RegimeName) -> None:
    """All judgements at once, or one after the other."""
    one = probe_settings(regime, noise=0.3).model_copy(update={"world": SMALL, "draws": 6})
    one = ProbeSettings.model_validate(one.model_dump())
    assert probe_batch(one, seed=3) == pytest.approx(probe(one, seed=3), abs=1e-12)


def test_tasks_are_dealt_into_batches() -> None:
    """By shape, to all workers, and never more than a cache holds; what cannot be batched goes alone."""
    shapes: list[StudySettings] = [settings(Sdpo()), settings(Rloo()), settings(Sdpo(learning_rate=0.4))]
    tasks = [Task(one, seed) for seed in range(4) for one in shapes]
    for jobs, sizes in ((1, [8, 4]), (2, [4, 4, 2, 2]), (3, [3, 3, 2, 2, 2])):
        batches = list(simulator("batched").batches(tasks, jobs=jobs))
        assert [len(batch) for batch in batches] == sizes
        assert sorted(task.key for batch in batches for task in batch) == sorted(task.key for task in tasks)
    assert all(len(batch) == 1 for batch in simulator("reference").batches(tasks, jobs=1))
    large = [Task(probe_settings("scalar", noise=0.1), seed) for seed in range(40)]
    assert max(len(batch) for batch in simulator("batched").batches(large, jobs=1)) == 32
    foreign = settings(Sdpo(teacher_factory="tests.study.parts:teacher"))
    assert simulator("batched").name_for(foreign) == "reference"
    assert simulator("batched").name_for(shapes[0]) == "batched"
    assert simulator("reference").name_for(shapes[0]) == "reference"


def test_both_simulators_answer_a_task() -> None:
    """Also one that the batched simulator hands on."""
    one = settings(Sdpo(), steps=5)
    for name in ("batched", "reference"):
        (found,) = simulator(name).execute([Task(one, 1)])
        assert_alike(found, execute(one, 1))


def test_a_device_that_cannot_be_used_is_refused_before_anything_runs() -> None:
    """One that is not there, and any other than the processor for the clear simulator."""
    with pytest.raises(UnsupportedError, match="device 'abacus' cannot be used here"):
        simulator("batched", device="abacus")
    with pytest.raises(UsageError, match="received device 'cuda' for the simulator 'reference'"):
        simulator("reference", device="cuda")
