"""What is shown beside an outcome."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sdpo_ref.claims.statistics.display import (
    interquartile_mean,
    stratified_bootstrap,
)
from sdpo_ref.errors import InvalidInputError


def mean_of_means(strata: Sequence[Sequence[float]]) -> float:
    """Every stratum weighs the same."""
    return sum(sum(one) / len(one) for one in strata) / len(strata)


def test_the_interquartile_mean_leaves_out_the_extremes() -> None:
    """Of eight values the two smallest and the two largest; of three none, as a quarter of three is less than one."""
    assert interquartile_mean([1e9, 1.0, 2.0, 3.0, 4.0, -1e9, -50.0, 70.0]) == 2.5
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0


def test_the_bootstrap_resamples_within_each_stratum() -> None:
    """Strata without spread give a point, however far apart they are; mixing them would not."""
    generator = np.random.default_rng(3)
    strata = [[0.0] * 5, [10.0] * 3]
    assert stratified_bootstrap(strata, mean_of_means, generator=generator, draws=50) == (5.0, 5.0)


def test_the_bootstrap_interval_is_about_that_of_the_mean() -> None:
    """For 200 normal values: 1.96 standard errors to either side, within a fifth; narrower at a lower confidence."""
    generator = np.random.default_rng(4)
    values = generator.standard_normal(200)
    error = float(values.std() / math.sqrt(200))
    low, high = stratified_bootstrap([values.tolist()], mean_of_means, generator=generator, draws=1000)
    assert (low - values.mean()) / error == pytest.approx(-1.96, rel=0.2)
    assert (high - values.mean()) / error == pytest.approx(1.96, rel=0.2)
    narrow = stratified_bootstrap([values.tolist()], mean_of_means, generator=generator, draws=1000, confidence=0.5)
    assert (narrow[1] - narrow[0]) / error == pytest.approx(2 * 0.674, rel=0.2)


def test_the_bootstrap_is_a_function_of_its_generator() -> None:
    """The same seed draws the same resamples."""
    found = {
        stratified_bootstrap([[0.0, 1.0, 5.0]], mean_of_means, generator=np.random.default_rng(seed), draws=20)
        for seed in (7, 7, 8)
    }
    assert len(found) == 2


@pytest.mark.parametrize(
    "shown",
    [
        interquartile_mean,
        lambda values: stratified_bootstrap([[0.0], values], mean_of_means, generator=np.random.default_rng(0)),
    ],
)
def test_nothing_is_shown_of_nothing_or_of_nan(shown: Callable[[list[float]], object]) -> None:
    """An empty list and one that holds NaN are refused."""
    for values in ([], [0.0, math.nan]):
        with pytest.raises(InvalidInputError, match="received"):
            shown(values)


def test_a_bootstrap_needs_strata_draws_and_a_confidence() -> None:
    """None of the three may be missing."""
    generator = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match="strata"):
        stratified_bootstrap([], mean_of_means, generator=generator)
    with pytest.raises(InvalidInputError, match="draws"):
        stratified_bootstrap([[1.0]], mean_of_means, generator=generator, draws=0)
    with pytest.raises(InvalidInputError, match="confidence"):
        stratified_bootstrap([[1.0]], mean_of_means, generator=generator, confidence=1.0)
