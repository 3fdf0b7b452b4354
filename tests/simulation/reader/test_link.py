"""Ratings as noisy latent scores."""

import pytest
import torch

from sdpo_ref.simulation.reader.posterior import linearize

EVERYBODY = torch.ones(1, 5, dtype=torch.bool)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_tangent_of_the_logistic_function(slope: float) -> None:
    """Ratings of scores that hardly differ give these scores back, wherever on the scale they lie (SIM-063)."""
    scores = torch.tensor([-1.5, 0.0, 2.0]) + 1e-4 * torch.arange(-2, 3)[:, None]
    found = linearize(torch.sigmoid(slope * scores.double())[None], EVERYBODY, slope=slope, variance=1.0)
    torch.testing.assert_close(found.scores[0], scores.double(), rtol=0, atol=1e-6)


def test_noise_is_magnified_where_the_scale_is_flat() -> None:
    """The variance of a score is that of the rating over the squared derivative of the scale."""
    means = torch.tensor([0.1, 0.5, 0.9]).double()
    found = linearize(means.expand(1, 5, 3), EVERYBODY, slope=2.0, variance=0.03)
    torch.testing.assert_close(found.noise[0], 0.03 / (2 * means * (1 - means)) ** 2)


def test_equal_ratings_give_equal_scores_exactly() -> None:
    """No rounding turns a constant into a signal; also at the ends of the scale, where the logit is infinite."""
    for rating in (0.0, 0.1, 0.3, 0.7, 1.0):
        found = linearize(torch.full((1, 5, 3), rating, dtype=torch.float64), EVERYBODY, slope=1.0, variance=1.0)
        assert len(set(found.scores.flatten().tolist())) == 1
        assert bool(found.scores.isfinite().all())


def test_the_untold_have_no_say_in_the_tangent() -> None:
    """Whatever stands in place of a missing rating, the others' scores stay."""
    told = torch.tensor([[False, True, True, False, True]])
    ratings = torch.rand(1, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    among = linearize(ratings.masked_fill(~told[..., None], torch.nan), told, slope=1.0, variance=1.0)
    alone = linearize(ratings[:, told[0]], told[:, told[0]], slope=1.0, variance=1.0)
    torch.testing.assert_close(among.scores[:, told[0]], alone.scores, rtol=0, atol=1e-14)
    torch.testing.assert_close(among.noise, alone.noise)
    assert not bool(among.scores[~told].any())
