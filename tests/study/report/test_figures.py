"""Every figure, drawn from observations that a study could have made."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.experiments import EXPERIMENTS
from sdpo_ref.study.outcome import Outcome
from sdpo_ref.study.published import PUBLISHED
from sdpo_ref.study.report.figures import FIGURES
from sdpo_ref.study.report.figures.style import label_of
from sdpo_ref.study.report.figures.svg import svg
from tests.study.synthetic import observations

ISSUE = {"curves", "final", "credit_maps", "pareto", "noise", "bias", "complexity", "hybrid", "decomposition", "seeds"}

RATES = (0.1, 0.2, 0.4)
"""Learning rates of R03."""


def texts(drawing: str) -> str:
    """All that is written in a drawing."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", drawing))


def test_the_figures_that_were_asked_for_are_there() -> None:
    """By name; each belongs to an experiment of the study."""
    assert set(FIGURES) >= ISSUE
    assert {figure.experiment for figure in FIGURES.values()} == set(EXPERIMENTS)


@cache
def drawn(name: str) -> str:
    """A figure of what a whole study could have found."""
    return svg(FIGURES[name], observations(FIGURES[name].experiment))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_every_method_and_nothing_empty(name: str) -> None:
    """Names of what is compared stand in it, every panel has data, and no number is NaN."""
    seen = observations(FIGURES[name].experiment)
    written = texts(drawn(name))
    assert "no finished runs" not in written
    assert "nan" not in drawn(name).lower().replace("dominance", "")
    for method in {str(one.labels["method"]) for one in seen if "method" in one.labels}:
        if name in ("credit_maps", "bias", "complexity", "information"):
            continue  # these show SDPO against what is best
        assert label_of(method) in written
    assert len(written) > 40


@pytest.mark.parametrize("name", ["final", "credit_maps"])
def test_the_same_data_give_the_same_bytes(name: str) -> None:
    """So a report can be compared with an older one: lines and areas, and pictures of cells."""
    assert svg(FIGURES[name], observations(FIGURES[name].experiment)) == drawn(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_other_data_one_seed_and_runs_that_ended_early_can_be_drawn(name: str) -> None:
    """Without intervals, and without what is not there; other data make another drawing."""
    figure = FIGURES[name]
    few = observations(figure.experiment, range(5, 6), shift=0.1)
    broken = [
        replace(one, outcome=Outcome(error="diverged")) if place % 3 == 1 else one for place, one in enumerate(few)
    ]
    drawing = svg(figure, broken)
    assert "<svg" in drawing
    assert drawing != drawn(name)
    for seen in (few, broken):
        figure.effects(seen)


def test_a_third_partys_name_is_text() -> None:
    """Whatever it is called, it is written and not executed."""
    hostile = "<script>alert(1)</script>:make"
    figure = FIGURES["final"]
    seen = observations("F01")
    others = [
        Observation({**one.labels, "method": hostile}, one.seed, one.outcome)
        for one in seen
        if one.labels["method"] == "sdpo"
    ]
    drawing = svg(figure, [*seen, *others])
    assert "<script" not in drawing
    assert "&lt;script&gt;" in drawing


def test_ids_of_two_figures_never_clash() -> None:
    """Several drawings stand in one page."""
    drawings = [svg(figure, observations(figure.experiment)) for figure in (FIGURES["final"], FIGURES["credit"])]
    first, second = (set(re.findall(r'\bid="([^"]+)"', drawing)) for drawing in drawings)
    assert first
    assert first.isdisjoint(second)


def test_the_published_study_comes_first_and_ours_begins_with_what_leads_are_made_of() -> None:
    """Every lead below is to be read with it."""
    experiments = [figure.experiment for figure in FIGURES.values()]
    assert set(experiments[: len(PUBLISHED)]) == set(PUBLISHED)
    assert list(FIGURES)[len(PUBLISHED)] == "decomposition"


def test_credit_maps_are_rectangles_with_the_first_completion_on_top() -> None:
    """No picture that a viewer may smooth."""
    assert "<image" not in drawn("credit_maps")
    for axes in FIGURES["credit_maps"].draw(observations("F03")).axes[:-1]:
        low, high = axes.get_ylim()
        assert low > high == 0


def test_seeds_are_not_joined() -> None:
    """They have no order."""
    above, *_ = FIGURES["seeds"].draw(observations("F11")).axes
    lines = above.get_lines()
    assert {line.get_linestyle() for line in lines} == {"None"}
    places = [place for line in lines for place in np.asarray(line.get_xdata()).tolist()]
    assert len(set(places)) == len(places)


def test_what_happens_between_no_noise_and_a_little_is_seen() -> None:
    """It has a quarter of the width, which is a tenth of the axis in numbers."""
    figure = FIGURES["noise"].draw(observations("F06"))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    (zero, _), (little, _), (most, _) = axes.transData.transform([(0, 0.5), (5, 0.5), (50, 0.5)])
    assert (little - zero) / (most - zero) > 0.25
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == ["0", "5", "15", "30", "50"]


def test_without_noise_sdpo_meets_the_best_baseline_at_its_best_rate() -> None:
    """Each of its learning rates against the one cell of the baselines with the highest mean, named with its rate."""
    seen = observations("R03")
    found = FIGURES["noiseless"].effects(seen)
    assert len(found) == 2 * 2 * 3

    def mean(method: str, rate: float) -> float:
        labels = {"regime": "rubric", "slope": 0.25, "method": method, "learning_rate": rate}
        own = [one.outcome.metrics["final_reward"] for one in seen if one.labels == labels]
        return sum(own) / len(own)

    best = max((mean(method, rate), f"{label_of(method)} at {rate:g}") for method in ("rloo", "grpo") for rate in RATES)
    for effect, rate in zip(found[-3:], RATES, strict=True):
        assert effect.setting == f"rubric, slope 0.25, SDPO at learning rate {rate:g}"
        assert effect.quantity == f"final reward: SDPO − {best[1]}"
        assert effect.estimate is not None
        assert effect.estimate.mean == pytest.approx(mean("sdpo", rate) - best[0])
