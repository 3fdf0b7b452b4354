"""Wrappers compose with every oracle and with each other, and none depends on another."""

import ast
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import sdpo_ref.simulation.oracles
from sdpo_ref.simulation.oracles import (
    Bias,
    BinaryOracle,
    CentralTendency,
    CritiqueOracle,
    Heterogeneous,
    Lens,
    Misleading,
    Missing,
    NoiseLevel,
    OrdinalOracle,
    Positivity,
    Recording,
    RubricOracle,
    ScalarOracle,
)
from sdpo_ref.simulation.world import World
from sdpo_ref.types import Rollouts
from tests.simulation.oracles.problems import REGIMES, WITH_EFFECT, close, judged, ratings_of, rollouts_in, same


@pytest.mark.parametrize(("inner", "outer"), list(itertools.product(WITH_EFFECT, repeat=2)))
def test_any_two_compose(world: World, inner: str, outer: str) -> None:
    """Around every regime the outer one still has its effect; recordings have none, nor the same settings again.

    Nor has a halo where the overall rating is the only one. A thumb shows an effect only where a rating crosses one
    half: there are so many rollouts that every effect turns at least eight thumbs.
    """
    rollouts = rollouts_in(world, 480)
    for regime in REGIMES.values():
        once = WITH_EFFECT[inner](regime(world, 0.2))
        twice = judged(WITH_EFFECT[outer](once), rollouts)
        assert bool(((twice.rewards >= 0) & (twice.rewards <= 1)).all())
        idle = (
            outer == "recording"
            or (outer == inner and outer in ("noise level", "missing", "heterogeneous"))
            or (outer == "halo" and regime in (BinaryOracle, OrdinalOracle, ScalarOracle))
        )
        assert same(twice, judged(once, rollouts)) == idle


def test_the_innermost_acts_first_within_a_stage(world: World, rollouts: Rollouts) -> None:
    """Positivity of a central tendency and central tendency of a positivity are different, each in its order."""
    clean = judged(ScalarOracle(world, 0.0), rollouts).rewards

    def up(ratings: torch.Tensor) -> torch.Tensor:
        return ratings + 0.6 * (1 - ratings)

    def middle(ratings: torch.Tensor) -> torch.Tensor:
        return ratings + 0.5 * (0.5 - ratings)

    one = judged(Positivity(CentralTendency(ScalarOracle(world, 0.0), 0.5), 0.6), rollouts).rewards
    other = judged(CentralTendency(Positivity(ScalarOracle(world, 0.0), 0.6), 0.5), rollouts).rewards
    torch.testing.assert_close(one, up(middle(clean)), rtol=0, atol=1e-14)
    torch.testing.assert_close(other, middle(up(clean)), rtol=0, atol=1e-14)


PERCEIVING, RATING = ("verbosity", "position", "self-preference"), ("positivity", "severity", "halo")
STAGES = [
    *itertools.product(PERCEIVING, RATING),
    *itertools.product([*PERCEIVING, *RATING], ["noise level", "misleading", "missing"]),
    *itertools.combinations(["noise level", "misleading", "missing"], 2),
]


@pytest.mark.parametrize(("one", "other"), STAGES)
def test_stages_have_their_own_order(world: World, rollouts: Rollouts, one: str, other: str) -> None:
    """Wrappers of different stages give the same judgement whichever is outside."""
    for regime in REGIMES.values():
        oracle = regime(world, 0.2)
        nested = WITH_EFFECT[one](WITH_EFFECT[other](oracle)), WITH_EFFECT[other](WITH_EFFECT[one](oracle))
        assert same(*(judged(outer, rollouts) for outer in nested))


@pytest.mark.parametrize("wrapper", WITH_EFFECT)
def test_around_several_oracles_is_around_each(world: World, rollouts: Rollouts, wrapper: str) -> None:
    """A wrapper around an oracle that differs by prompt is the wrapper around each of its members."""
    wrap, member_of = WITH_EFFECT[wrapper], (0, 1, 2, 1, 0, 2)
    members = (OrdinalOracle(world), RubricOracle(world, 0.3), CritiqueOracle(world, 0.1))
    outside = wrap(Heterogeneous(members, member_of))
    inside = Heterogeneous(tuple(wrap(member) for member in members), member_of)
    assert same(judged(outside, rollouts), judged(inside, rollouts))


def test_misleading_twice_is_honest(world: World, rollouts: Rollouts) -> None:
    """1 - (1 - r) is r, up to rounding."""
    oracle = CritiqueOracle(world)
    twice = ratings_of(judged(Misleading(Misleading(oracle, (0, 1)), (0, 1)), rollouts))
    torch.testing.assert_close(twice, ratings_of(judged(oracle, rollouts)), rtol=0, atol=1e-15)


def test_what_a_recording_hears(world: World, rollouts: Rollouts) -> None:
    """Biases around it, but not the gaps that are made around it."""
    recording = Recording(ScalarOracle(world))
    said = judged(Missing(Positivity(recording, 0.6), 0.5), rollouts)
    assert torch.equal(recording.log[0].judgement.rewards, said.rewards)
    assert None in said.feedback
    assert None not in recording.log[0].judgement.feedback


def test_a_level_around_several_oracles_is_theirs(world: World, rollouts: Rollouts) -> None:
    """The noise of a level goes to every member, whatever it had."""
    members = (ScalarOracle(world, 0.1), ScalarOracle(world, 0.9))
    mixed = Heterogeneous(members, (0, 1, 0, 1, 0, 1))
    assert close(judged(NoiseLevel(mixed, 0.3), rollouts), judged(ScalarOracle(world, 0.3), rollouts))


@dataclass(frozen=True)
class Inverted(Bias):
    """A stranger's bias: the scale is read upside down."""

    @property
    def lens(self) -> Lens:
        """One line."""
        return Lens(rate=lambda ratings: 1 - ratings)


def test_a_strangers_bias_composes(world: World, rollouts: Rollouts) -> None:
    """A lens is all it takes, inside and outside of the bundled ones."""
    clean = judged(ScalarOracle(world, 0.0), rollouts).rewards
    inside = judged(Positivity(Inverted(ScalarOracle(world, 0.0)), 0.6), rollouts).rewards
    outside = judged(Inverted(Positivity(ScalarOracle(world, 0.0), 0.6)), rollouts).rewards
    torch.testing.assert_close(inside, 1 - clean + 0.6 * clean, rtol=0, atol=1e-14)
    torch.testing.assert_close(outside, 1 - (clean + 0.6 * (1 - clean)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("module", ["wrappers", "biases"])
def test_no_wrapper_depends_on_another_or_on_a_regime(module: str) -> None:
    """Of this package it imports the stages alone, and no class names one beside it but its abstract base."""
    file = Path(str(sdpo_ref.simulation.oracles.__file__)).with_name(f"{module}.py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name, node in classes.items():
        named = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        assert named & (classes.keys() - {name, "RatingBias", "Record"}) == set(), name
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    neighbours = {
        name.removeprefix("sdpo_ref.simulation.oracles.")
        for name in names
        if name.startswith("sdpo_ref.simulation.oracles")
    }
    assert neighbours <= {"staged", "draws", "evidence"}
    assert "staged" in neighbours
