"""A rule's measured rates on stored values."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import hypergeom

from sdpo_ref.claims.statistics.calibration import calibrate
from sdpo_ref.claims.statistics.magnitude import MagnitudeRule
from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.errors import InvalidInputError


def test_draws_are_without_replacement() -> None:
    """All values of a draw are different, and a draw of everything is everything."""
    stored = [float(one) for one in range(6)]

    def decide(drawn: Sequence[float]) -> Ruling:
        return Ruling.PASS if len(drawn) == 4 == len(set(drawn)) and set(drawn) <= set(stored) else Ruling.INVALID

    assert calibrate(decide, stored, seeds=4, draws=200, generator=np.random.default_rng(1))[Ruling.PASS] == 1.0


def test_the_rates_are_those_of_the_hypergeometric_distribution() -> None:
    """Of 40 stored values 8 are bad; a draw of 5 that holds none passes with the exact probability."""
    stored = [0.0] * 8 + [1.0] * 32
    exact = float(hypergeom.pmf(0, 40, 8, 5))
    rates = calibrate(
        lambda drawn: Ruling.PASS if min(drawn) > 0.0 else Ruling.FAIL,
        stored,
        seeds=5,
        draws=4000,
        generator=np.random.default_rng(2),
    )
    error = (exact * (1 - exact) / 4000) ** 0.5
    assert rates[Ruling.PASS] == pytest.approx(exact, abs=4 * error)
    assert sum(rates.values()) == pytest.approx(1.0)
    assert set(rates) == set(Ruling)


def test_it_finds_what_theory_does_not_know() -> None:
    """A store in which 5 % of seeds collapse fails far more often than a normal one with the same claim."""
    rule = MagnitudeRule((16,), alpha=0.05, beta=0.01, claimed=(-0.5, 0.5), tolerated=(-1.0, 1.0))
    generator = np.random.default_rng(5)
    normal = generator.standard_normal(256).tolist()
    collapsing = [-20.0 if seed < 13 else value for seed, value in enumerate(normal)]
    passed = [
        calibrate(lambda drawn: rule.decide(drawn).ruling, stored, seeds=16, draws=100, generator=generator)[
            Ruling.PASS
        ]
        for stored in (normal, collapsing)
    ]
    assert passed[0] > 0.9
    assert passed[1] < 0.7


@pytest.mark.parametrize(("seeds", "draws"), [(4, 1), (0, 1), (2, 0)])
def test_a_draw_that_the_store_cannot_give_is_refused(seeds: int, draws: int) -> None:
    """Not more seeds than values, and at least one draw of one."""
    with pytest.raises(InvalidInputError, match="received"):
        calibrate(lambda _: Ruling.PASS, [1.0, 2.0, 3.0], seeds=seeds, draws=draws, generator=np.random.default_rng(0))
