"""The reader's picture of the regimes against what oracles without noise do."""

import math

import pytest
import torch

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.simulation.oracles import build_oracle
from sdpo_ref.simulation.reader import design_of
from sdpo_ref.simulation.settings import OracleSettings, RegimeName, RegimeSettings
from sdpo_ref.simulation.world import random_stream
from tests.simulation.reader.problems import problem, ratings_of


@pytest.mark.parametrize(("regime", "spans"), [("scalar", 1), ("rubric", 1), ("critique", 2), ("critique", 3)])
def test_designs_describe_the_oracles(regime: RegimeName, spans: int) -> None:
    """The design's sum over the true components is the logit of the noiseless rating (SIM-062)."""
    settings = RegimeSettings(regime=regime, noise=0.0, spans=spans)
    given = problem("scalar")
    world, prompt_ids, completions = given.world, given.rollouts.prompts.group_ids, given.rollouts.completions
    oracle = build_oracle(world, OracleSettings(regimes=(settings,)), seed=0)
    judgement = oracle.judge(given.rollouts, generator=random_stream(0))
    design = design_of(settings, time=4, aspects=2)
    aspects = math.sqrt(1 - 0.15) * world.taste[prompt_ids][:, None] * world.aspect_scores(completions)
    rest = world.token_quality(prompt_ids, completions) - aspects.sum(-1)
    components = torch.cat([aspects, rest[..., None]], dim=-1)
    expected = torch.einsum("jt,jc,itc->ij", design.positions, design.components, components)
    found = torch.logit(ratings_of(judgement, design.positions.shape[0]))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_levels_are_the_scalar_on_a_coarser_scale() -> None:
    """The same sums, and steps of a quarter, or of all of the scale."""
    names: tuple[RegimeName, ...] = ("binary", "ordinal", "scalar")
    binary, ordinal, scalar = (design_of(RegimeSettings(regime=name), time=4, aspects=2) for name in names)
    for one in (binary, ordinal):
        assert torch.equal(one.positions, scalar.positions)
        assert torch.equal(one.components, scalar.components)
    assert (binary.step, ordinal.step, scalar.step) == (1.0, 0.25, 0.01)


def test_more_spans_than_positions_are_refused() -> None:
    """The message says what is allowed."""
    with pytest.raises(InvalidInputError, match=r"\[1, 4\]"):
        design_of(RegimeSettings(regime="critique", spans=5), time=4, aspects=2)
