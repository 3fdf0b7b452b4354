"""The study's experiments are data, and say what their claim is about."""

import itertools

import pytest
from pydantic import ValidationError

from sdpo_ref.published.settings import PublishedSettings
from sdpo_ref.simulation.run_settings import RunSettings
from sdpo_ref.simulation.settings import OracleSettings, ReaderSettings, RegimeName, RegimeSettings, WorldSettings
from sdpo_ref.study.experiment import Cell, Experiment
from sdpo_ref.study.experiments import EXPERIMENTS
from sdpo_ref.study.published import PUBLISHED
from sdpo_ref.study.tuning import tuned


def runs_of(name: str) -> list[RunSettings]:
    """Settings of all runs of an experiment."""
    return [cell.settings for cell in EXPERIMENTS[name]().cells if isinstance(cell.settings, RunSettings)]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_named_and_survives_its_file_format(name: str) -> None:
    """JSON and back gives the same cells, so that a user can start from any of them."""
    made = EXPERIMENTS[name]()
    assert made.name == name
    assert made.question.endswith("?")
    assert Experiment.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize("name", PUBLISHED)
def test_labels_of_the_published_study_say_what_the_settings_are(name: str) -> None:
    """A label that is called as a setting has its value."""
    for cell in EXPERIMENTS[name]().cells:
        assert isinstance(cell.settings, PublishedSettings)
        for setting in PublishedSettings.model_fields.keys() & cell.labels.keys():
            assert getattr(cell.settings, setting) == cell.labels[setting]


@pytest.mark.parametrize("name", sorted(set(EXPERIMENTS) - set(PUBLISHED)))
def test_labels_say_what_the_settings_are(name: str) -> None:
    """A label cannot claim a regime, a noise, a size or a learning rate that the settings do not have."""
    for cell in EXPERIMENTS[name]().cells:
        labels, settings = cell.labels, cell.settings
        assert not isinstance(settings, PublishedSettings)
        if "regime" in labels:
            assert [regime.regime for regime in settings.oracle.regimes] == [labels["regime"]]
        if "noise" in labels:
            assert [regime.noise for regime in settings.oracle.regimes] == [labels["noise"]]
        if "axis" in labels:
            assert getattr(settings.world, str(labels["axis"])) == labels["size"]
        if "slope" in labels:
            assert settings.world.slope == labels["slope"]
        if labels.get("basis") in ("token", "embedding"):
            assert settings.readers[0].basis == labels["basis"]
        if labels.get("bias", "none") != "none":
            assert getattr(settings.oracle, str(labels["bias"])) == labels["strength"]
        if isinstance(settings, RunSettings):
            for setting in ("learning_rate", "kl_weight", "student", "teacher"):
                assert setting not in labels or getattr(settings.method, setting) == labels[setting]
            called = "hybrid" if labels.get("method") == "gated" else labels.get("method", settings.method.method)
            assert settings.method.method == called


def test_the_reader_knows_the_noise_and_not_the_bias() -> None:
    """Fairness both ways: the teacher's assumption is the oracle's noise, and it is not given a bias (SIM-060)."""
    for settings in runs_of("F06"):
        assert settings.readers[0].feedback == settings.oracle.regimes[0]
    biased = [
        settings for settings in runs_of("F08") if settings.oracle != OracleSettings(regimes=settings.oracle.regimes)
    ]
    assert biased
    assert all(one.readers[0] == ReaderSettings(feedback=one.oracle.regimes[0]) for one in biased)


def test_a_reader_that_is_told_another_noise_is_told_the_rest() -> None:
    """Those of F06 at noise .5, and beside SDPO's the same run with a reader that assumes .15."""
    runs = {(cell.labels["regime"], cell.labels["arm"]): cell.settings for cell in EXPERIMENTS["R04"]().cells}
    assert len(runs) == 6
    for regime in ("scalar", "critique"):
        wrong, right = runs[regime, "told .15"], runs[regime, "sdpo"]
        assert isinstance(wrong, RunSettings)
        assert isinstance(right, RunSettings)
        assert [run.readers[0].feedback.noise for run in (wrong, right)] == [0.15, 0.5]
        assert right in runs_of("F06")
        assert runs[regime, "rloo"] in runs_of("F06")
        assert wrong.model_copy(update={"readers": right.readers}) == right


def test_without_noise_the_reader_is_told_the_truth_at_rates_that_hold_the_tuned_ones() -> None:
    """Ratings have no noise, the reader is given that and the slope, and each method's own rate is on the grid."""
    cells = EXPERIMENTS["R03"]().cells
    for settings in runs_of("R03"):
        reader = settings.readers[0]
        assert reader.feedback == settings.oracle.regimes[0]
        assert reader.feedback.noise == 0.0
        assert reader.slope == settings.world.slope
    regimes: tuple[RegimeName, ...] = ("scalar", "rubric")
    for method, regime in itertools.product(("sdpo", "rloo", "grpo"), regimes):
        runs = [cell.settings for cell in cells if cell.labels["regime"] == regime]
        assert tuned(method, regime) in [run.method for run in runs if isinstance(run, RunSettings)]


def test_every_cell_has_the_same_budget() -> None:
    """Steps and rollouts a step are equal for all methods of all claims (SIM-130)."""
    runs = [run for name in EXPERIMENTS for run in runs_of(name)]
    assert {(run.steps, run.group_size, run.world.prompts) for run in runs} == {(200, 8, 16)}


def test_two_cells_with_the_same_labels_are_refused() -> None:
    """Nobody could tell their results apart."""
    cell = EXPERIMENTS["F04"]().cells[0]
    with pytest.raises(ValidationError, match="two cells"):
        Experiment(name="twice", title="Twice", question="Which?", cells=(cell, cell))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"oracle": {"regimes": [{"regime": "critique", "spans": 9}]}}, "spans"),
        ({"oracle": {"regimes": [{"noise": -0.1}]}}, "noise"),
        ({"oracle": {"regimes": [{"regime": "haiku"}]}}, "regime"),
        ({"readers": [{"feedback": {"regime": "rubric"}}]}, "readers"),
        ({"method": {"method": "span_rloo"}}, "span_rloo"),
        ({"method": {"method": "rloo", "learning_rate": 0}}, "learning_rate"),
        ({"method": {"method": "ddpo"}}, "method"),
        ({"world": {"aspects": 9}}, "aspects"),
        ({"steps": 0}, "steps"),
        ({"group_size": 1}, "group_size"),
        ({"grup_size": 8}, "grup_size"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, object], named: str) -> None:
    """Before anything runs."""
    if "spans" in named:
        changes = {**changes, "readers": [{"feedback": {"regime": "critique", "spans": 9}}]}
    with pytest.raises(ValidationError, match=named):
        RunSettings.model_validate({"method": {"method": "rloo"}, **changes})


def test_a_cell_may_mix_regimes() -> None:
    """One reader for each, in their order."""
    regimes = (RegimeSettings(regime="ordinal"), RegimeSettings(regime="critique", spans=2))
    settings = RunSettings.model_validate(
        {
            "world": WorldSettings(time=4),
            "oracle": OracleSettings(regimes=regimes),
            "readers": [ReaderSettings(feedback=regime) for regime in regimes],
            "method": {"method": "sdpo"},
        }
    )
    assert Cell(labels={}, settings=settings).settings == settings
