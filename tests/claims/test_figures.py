"""The published figures: what is compared with which of our cells, and when a figure is reproduced."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sdpo_ref.claims.comparison import CellName, Metrics, cells_with
from sdpo_ref.claims.figures import (
    Figure,
    FigureVerdict,
    Table,
    Tolerances,
    decided,
    published_tables,
    published_tolerances,
    tolerances_of,
)
from sdpo_ref.errors import IntegrityError
from sdpo_ref.study.experiment import Label

SDPO: dict[str, Label] = {"method": "sdpo"}
REINFORCE: dict[str, Label] = {"method": "reinforce"}


def table(*figures: Figure, experiment: str = "P07", seeds: int = 1, statistic: str = "mean") -> Table:
    """A published table of final rewards."""
    made = {"id": "T99", "title": "Made up", "place": "nowhere", "experiment": experiment, "metric": "final_reward"}
    return Table.model_validate({**made, "seeds": seeds, "statistic": statistic, "figures": figures})


def runs(sdpo: list[float], reinforce: list[float]) -> list[dict[CellName, Metrics]]:
    """For each seed the rewards of the two methods."""
    (left,), (right,) = cells_with("P07", SDPO), cells_with("P07", REINFORCE)
    return [
        {left: {"final_reward": ours}, right: {"final_reward": theirs}}
        for ours, theirs in zip(sdpo, reinforce, strict=True)
    ]


def test_a_value_a_lead_and_a_share_that_is_lost() -> None:
    """By hand: .6, .6 - .5, and 1 - .6 / .5."""
    value = Figure(cell=SDPO, value=0.0)
    lead = Figure(cell=SDPO, less=REINFORCE, value=0.0)
    lost = Figure(cell=SDPO, lost_from=REINFORCE, value=0.0)
    made, found = table(value, lead, lost), runs([0.6], [0.5])
    assert made.values(value, found) == [0.6]
    assert made.values(lead, found) == pytest.approx([0.1])
    assert made.values(lost, found) == pytest.approx([-0.2])
    assert [figure.name for figure in made.figures] == ["sdpo", "sdpo: lead", "sdpo: share lost"]


def test_a_mean_over_an_axis_needs_all_its_cells() -> None:
    """The mean over two lengths of the lead with four tokens is of four cells."""
    of: dict[str, Label] = {"vocab": 4.0}
    figure = Figure(cell={**SDPO, **of}, less={**REINFORCE, **of}, mean_over={"time": (4.0, 6.0)}, value=0.0)
    made = table(figure, experiment="P05")
    cells = made.cells(figure)
    found = {cell: {"final_reward": float(number)} for number, cell in enumerate(cells)}  # 0 and 1 less 2 and 3
    assert len(cells) == 4
    assert made.values(figure, [found]) == [-2.0]


def test_figures_over_five_seeds_are_of_blocks_of_five() -> None:
    """Of eleven seeds there are two blocks; the last seed is left over."""
    figure = Figure(cell=SDPO, value=0.0)
    found = runs([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 9.0], [0.0] * 11)
    assert table(figure, seeds=5).values(figure, found) == [2.0, 5.0]
    assert table(figure, seeds=5, statistic="deviation").values(figure, found) == pytest.approx([math.sqrt(2.5), 0.0])


def test_a_figure_of_nothing_is_refused() -> None:
    """It would be reproduced by nothing."""
    figure = Figure(cell={"method": "ppo"}, value=0.0)
    with pytest.raises(IntegrityError, match="which 0 cells have"):
        table(figure).cells(figure)
    with pytest.raises(ValidationError, match="give one of them"):
        Figure(cell=SDPO)


@given(published=st.floats(-0.9, 0.9), ours=st.floats(-0.9, 0.9))
def test_the_verdict_follows_the_distance(published: float, ours: float) -> None:
    """Well within the margin it is reproduced, well beyond it is not, and a turned sign is named."""
    noise = [0.001 * (-1) ** number for number in range(64)]
    tolerances = Tolerances(command="", spread={"T99 sdpo": 0.05})
    made = table(Figure(cell=SDPO, value=published))
    (found,) = decided(made, runs([ours + one for one in noise], [0.0] * 64), tolerances)
    assert found.margin == pytest.approx(0.1005)
    near, turned = abs(ours - published), abs(ours + published)
    if near < 0.098:
        assert found.verdict is FigureVerdict.REPRODUCED
    elif near > 0.103 and turned < 0.098:
        assert found.verdict is FigureVerdict.SIGN_TURNED
    elif near > 0.103 and turned > 0.103:
        assert found.verdict is FigureVerdict.NOT_REPRODUCED


def test_what_differs_too_much_is_open() -> None:
    """Half of the seeds at each side of the margin decide nothing."""
    values = [0.5 + 0.2 * (number % 2) for number in range(64)]
    tolerances = Tolerances(command="", spread={"T99 sdpo": 0.05})
    (found,) = decided(table(Figure(cell=SDPO, value=0.5)), runs(values, [0.0] * 64), tolerances)
    assert found.verdict is FigureVerdict.OPEN


def test_every_published_figure_has_a_cell_and_a_margin() -> None:
    """109 figures in 17 tables; names are told apart within a table."""
    tables, tolerances = published_tables(), published_tolerances()
    assert (len(tables), sum(len(one.figures) for one in tables)) == (17, 109)
    for one in tables:
        assert len({figure.name for figure in one.figures}) == len(one.figures)
        for figure in one.figures:
            assert one.cells(figure)
            assert tolerances.margin(one, figure) > 0


def test_margins_are_of_the_spread_of_what_is_published() -> None:
    """Means over five seeds have less spread than single seeds, in the registered margins as well."""
    spread = published_tolerances().spread
    assert spread["T16 sdpo"] < spread["T01 sdpo, continuous"]
    cells = {cell for one in published_tables() for figure in one.figures for cell in one.cells(figure)}
    metrics = {one.metric for one in published_tables()}
    found = [{cell: dict.fromkeys(metrics, 1.0 + seed % 2) for cell in cells} for seed in range(10)]
    assert tolerances_of(found).spread["T01 sdpo, continuous"] == pytest.approx(math.sqrt(5 / 18), abs=1e-6)
