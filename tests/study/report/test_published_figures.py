"""Figures of the published study and its controls: published numbers beside ours."""

from collections import Counter

import pytest
from matplotlib.figure import Figure

from sdpo_ref._resources import content
from sdpo_ref.claims.outside import published_numbers
from sdpo_ref.claims.published import read_published_findings
from sdpo_ref.study.report.figures import FIGURES, figures
from sdpo_ref.study.report.figures.beside import NOUNS
from sdpo_ref.study.report.outside import Published
from tests.study.synthetic import observations

NUMBERS = tuple(published_numbers(read_published_findings(content("conformance"))))

WITH_NUMBERS = figures(NUMBERS)


def marks(figure: Figure) -> int:
    """Hollow diamonds in a figure."""
    lines = (line for axes in figure.axes for line in axes.get_lines())
    return sum(line.get_marker() == "D" and line.get_markerfacecolor() == "none" for line in lines)


def is_marked(number: Published) -> bool:
    """A share that is lost stands in the table alone, and a spread over seeds is a line through its mean."""
    return number.kind != "share lost" and number.statistic == "mean"


@pytest.mark.parametrize("name", ["kinds", "pull", "published_noise", "published_bias", "size", "published_seeds"])
def test_every_published_number_is_marked_once(name: str) -> None:
    """Beside ours; without numbers there is none, and no legend for one."""
    figure = WITH_NUMBERS[name]
    wanted = sum(is_marked(one) for one in NUMBERS if one.experiment == figure.experiment)
    seen = observations(figure.experiment)
    assert marks(figure.draw(seen)) == wanted > 0
    assert marks(FIGURES[name].draw(seen)) == 0


def test_the_hybrid_has_its_weight_in_two_panels() -> None:
    """Those of the first step and of the end."""
    drawn = WITH_NUMBERS["published_hybrid"].draw(observations("P06"))
    of = Counter(one.metric for one in NUMBERS if one.experiment == "P06")
    places = {
        axes.get_xlabel(): [line.get_xdata()[0] for line in axes.get_lines() if line.get_markerfacecolor() == "none"]  # type: ignore[index]
        for axes in drawn.axes
    }
    assert {title: len(found) for title, found in places.items()} == {NOUNS[metric]: n for metric, n in of.items()}
    assert (set(places[NOUNS["weight_first"]]), set(places[NOUNS["weight_last"]])) == ({0.5}, {0.9})


@pytest.mark.parametrize("name", [name for name, one in FIGURES.items() if one.experiment.startswith("P0")])
def test_the_table_has_every_published_number_with_its_verdict(name: str) -> None:
    """P00 has none, and shows what hangs on each constant."""
    figure = WITH_NUMBERS[name]
    effects = figure.effects(observations(figure.experiment))
    wanted = [one for one in NUMBERS if one.experiment == figure.experiment]
    if wanted:
        assert [effect.note for effect in effects] == [f"published {one.words}: {one.verdict}" for one in wanted]
    assert all(effect.estimate is not None for effect in effects)
    assert len(effects) > 2


def test_published_credit_stands_at_the_same_place_on_both_sides() -> None:
    """Ours is turned and the published one is not, so a reader sees where it belongs."""
    left, right = WITH_NUMBERS["credit_sign"].draw(observations("C04")).axes
    places = [
        [line.get_xdata()[0] for line in axes.get_lines() if line.get_markerfacecolor() == "none"]  # type: ignore[index]
        for axes in (left, right)
    ]
    assert places[0] == places[1]
    assert len(places[0]) == 3


def test_equal_steps_stand_beside_the_published_leads_at_one_rate() -> None:
    """Those with completions as long as here: four vocabularies."""
    assert marks(WITH_NUMBERS["equal_steps"].draw(observations("C07"))) == 4
    names = list(FIGURES)
    assert names.index("equal_steps") == names.index("size") + 1
